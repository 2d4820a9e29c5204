-- FILL: store a cell under a live lease, or give the lease back.
--
-- KEYS[1] the key's hash
-- ARGV    1 field, 2 the whole lease, 3 the new cell ('' = release), 4 TTL in ms, 5 '1' if the TTL may shorten a fixed one
-- Reply   1 STORED   0 LOST   2 RELEASED
local k = KEYS[1]
if redis.call('HGET', k, ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', k, ARGV[1])
  return 2
end
redis.call('HSET', k, ARGV[1], ARGV[3])
-- '@' says that the TTL is fixed: it is set by the first fill and never renewed, so that no cell outlives the TTL that it was
-- promised. It may only shrink: a negative cell has a shorter life than the key.
if redis.call('HSETNX', k, '@', '1') == 1 then
  redis.call('PEXPIRE', k, ARGV[4])
elseif ARGV[5] == '1' and redis.call('PTTL', k) > tonumber(ARGV[4]) then
  redis.call('PEXPIRE', k, ARGV[4])
end
return 1
