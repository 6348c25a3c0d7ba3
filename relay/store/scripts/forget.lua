#!lua flags=allow-oom
-- Take out of the index what names messages that there is no record of any more.
-- KEYS  1 index 2 deliveries 3 forgetting  then for each member that was met: m:<id>
-- ARGV  1 where the next look begins ('' at the first member)  then each member that was met: term|tenant|id.number
-- Returns {'forgotten', how many}.
-- Said twice: the same, of those that are left.
local index, deliveries, FIRST = KEYS[1], KEYS[2], 2
if #ARGV < 1 or #KEYS - 3 ~= #ARGV - 1 then return redis.error_reply('ARGUMENTS forget: a record for each member is needed') end
local gone = {}
for at = FIRST, #ARGV do
  -- One that was admitted in part has no record yet, but its first delivery is there.
  local first = string.match(ARGV[at], '([^|.]+)%.%d+$')
  if not first then return redis.error_reply('ARGUMENTS forget: this is no member: ' .. ARGV[at]) end
  if redis.call('EXISTS', KEYS[at + 2]) == 0 and redis.call('HEXISTS', deliveries, first .. '.0') == 0 then gone[#gone + 1] = ARGV[at] end
end
for at = 1, #gone, 200 do redis.call('ZREM', index, unpack(gone, at, math.min(at + 199, #gone))) end
redis.call('SET', KEYS[3], ARGV[1], 'PX', 86400000)
return {'forgotten', #gone}
