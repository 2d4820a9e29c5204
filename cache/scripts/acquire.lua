-- ACQUIRE: read the cell, or take the lease to fill it.
--
-- KEYS[1] the key's hash
-- ARGV    1 field, 2 nonce, 3 lease in ms, 4 most cells, 5 the cell that the caller could not use ('' = none)
-- Reply   {0, cell} HIT   {1, lease} OWNED   {2, ms} WAIT for another lease   {3, ms} BYPASS, a write is in progress
local k, f, nonce, lease, maxf, unusable = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local r = redis.call('HMGET', k, '!', '@', f)
local m, fixed, c = r[1], r[2], r[3]
if m then
  local left = 0
  for d in string.gmatch(m, ':(%d+)') do left = math.max(left, tonumber(d) - now) end
  if left > 0 then return {3, left} end
  redis.call('UNLINK', k) -- every fence in the list has run out
  fixed, c = false, false
end
if c and unusable ~= '' and c == unusable then c = false end
if c then
  if string.sub(c, 1, 1) == 'V' then return {0, c} end
  local d, n = string.match(c, '^L(%d+)|%d+|(.*)$')
  if n == nonce then return {1, c} end -- our own retry
  if d and tonumber(d) > now then return {2, tonumber(d) - now} end
end
-- A lease is granted from here on. A hash that is full, or whose fixed TTL would end before the lease does, starts afresh:
-- the first would refuse until its TTL, the second would lose the fill in the tail.
local n = redis.call('HLEN', k)
if n > maxf or (fixed and redis.call('PTTL', k) < lease) then
  redis.call('UNLINK', k)
  n, fixed = 0, false
end
-- Minted here, from the server's clock: the same lease is never granted twice, whatever a client retries.
c = string.format('L%.0f|%.0f|%s', now + lease, t[1] * 1000000 + t[2], nonce)
redis.call('HSET', k, f, c)
if n == 0 or (not fixed and redis.call('PTTL', k) < lease) then redis.call('PEXPIRE', k, lease) end
return {1, c}
