#!lua flags=allow-oom
-- Hold whole queues or tenants: nothing of them is leased from now on; what is leased already goes on.
-- KEYS  1 paused 2 wake
-- ARGV  1 why, for those who ask  then each of them: 'q:<queue>' or 't:<tenant>'
-- Returns {'paused', how many were not before}.
-- Said twice: the same, none anew. A queue leaves `wake`; a tenant's lanes are set aside by lease, as it meets them.
-- USES clock
local paused, wake = KEYS[1], KEYS[2]
if #ARGV < 2 then return redis.error_reply('ARGUMENTS pause: names are missing') end
for at = 2, #ARGV do
  if not string.match(ARGV[at], '^[qt]:') then return redis.error_reply('ARGUMENTS pause: q:<queue> or t:<tenant>') end
end
local value = string.format('h%013.0f', now_ms()) .. ARGV[1]
local count = 0
for at = 2, #ARGV do
  local known = redis.call('HGET', paused, ARGV[at])
  if not known or string.sub(known, 1, 1) ~= 'h' then
    redis.call('HSET', paused, ARGV[at], value)
    count = count + 1
  end
  if string.sub(ARGV[at], 1, 2) == 'q:' then redis.call('ZREM', wake, string.sub(ARGV[at], 3)) end
end
return {'paused', count}
