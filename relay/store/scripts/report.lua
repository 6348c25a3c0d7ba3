#!lua flags=allow-oom
-- Say that a worker works, and what it had to do with: so many times with each site and tenant.
-- KEYS  1 workers 2 traffic of sites 3 traffic of tenants 4 told:<holder>
-- ARGV  1 holder 2 seq, one higher for each new call of the holder 3 names kept in each traffic
--       4 how many sites; then a site and its count for each of them; then a tenant and its count for each
-- Returns {'told'}.
-- Said twice (same seq): counts once.
-- USES clock
local workers, told = KEYS[1], KEYS[4]
local holder, seq, most, sites = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if #KEYS ~= 4 or not holder or not seq or not most or not sites or most < 1 or #ARGV > 404 or #ARGV % 2 ~= 0
  or sites < 0 or 4 + 2 * sites > #ARGV then
  return redis.error_reply('ARGUMENTS report: a holder, numbers, and at most 200 names with their counts are needed')
end
for at = 6, #ARGV, 2 do
  if not tonumber(ARGV[at]) then return redis.error_reply('ARGUMENTS report: a count is no number') end
end
local now = now_ms()
-- Who was not heard of for an hour is gone; a time to come was another clock's.
redis.call('ZREMRANGEBYSCORE', workers, '-inf', now - 3600000)
redis.call('ZREMRANGEBYSCORE', workers, '(' .. string.format('%.0f', now + 1000), '+inf')
redis.call('ZADD', workers, now, holder)
redis.call('PEXPIRE', workers, 3600000)
if tonumber(redis.call('GET', told) or -1) >= seq then return {'told'} end
redis.call('SET', told, seq, 'PX', 120000)
for at = 5, #ARGV, 2 do
  redis.call('ZINCRBY', at < 5 + 2 * sites and KEYS[2] or KEYS[3], ARGV[at + 1], ARGV[at])
end
for at = 2, 3 do
  redis.call('ZREMRANGEBYRANK', KEYS[at], 0, -most - 1)
  redis.call('EXPIRE', KEYS[at], 7200)
end
return {'told'}
