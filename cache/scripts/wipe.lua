-- WIPE: void every cell and lease of a key. It fences a write (MARK), ends the fence (CLEAR), and invalidates.
--
-- KEYS[1] the key's hash
-- ARGV    1 fence token to add ('' = none), 2 its TTL in ms, 3 fence token to remove ('' = none),
--         4 channel to publish the key on ('' = none)
-- Reply   {found, n}: found = 1 when the own token was, or now is, live; n = fences left
local k, add, ttl, del = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local m = redis.call('HGET', k, '!')
redis.call('UNLINK', k) -- the first write: a later HSET is then allowed even over maxmemory
local out, last, found = {}, 0, 0
if m or add ~= '' then
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  if m then
    for tok, d in string.gmatch(m, '([^:;]+):(%d+)') do
      d = tonumber(d)
      if tok == del then
        found = d > now and 1 or 0
      elseif tok ~= add and d > now then -- other writers' fences stay
        out[#out + 1] = string.format('%s:%.0f', tok, d)
        if d > last then last = d end
      end
    end
  end
  if add ~= '' then
    out[#out + 1] = string.format('%s:%.0f', add, now + ttl)
    if now + ttl > last then last = now + ttl end
    found = 1
  end
end
if #out > 0 then
  redis.call('HSET', k, '!', table.concat(out, ';'))
  redis.call('PEXPIREAT', k, string.format('%.0f', last))
end
-- A user who may not publish still voids: copies of the key elsewhere end by their age.
if ARGV[4] ~= '' then redis.pcall('PUBLISH', ARGV[4], k) end
return {found, #out}
