#!lua flags=allow-oom
-- Put off queues whose site takes nothing now: they are rung again when their time comes, and cost nothing until then.
-- KEYS  1 wake 2 reasons
-- ARGV  for each queue: its name, ms from now, why (a reply), for those who ask
-- Returns {'parked', how many of them still wait}.
-- Said twice: the same, counted from the second time.
-- USES clock
local wake, reasons = KEYS[1], KEYS[2]
if #ARGV < 3 or #ARGV % 3 ~= 0 then return redis.error_reply('ARGUMENTS park: a time is missing') end
local now = now_ms()
local count = 0
for at = 1, #ARGV, 3 do
  if redis.call('ZSCORE', wake, ARGV[at]) then
    local due = now + tonumber(ARGV[at + 1])
    redis.call('ZADD', wake, due, ARGV[at])
    redis.call('HSET', reasons, ARGV[at], string.format('%.0f ', due) .. ARGV[at + 2])
    count = count + 1
  end
end
return {'parked', count}
