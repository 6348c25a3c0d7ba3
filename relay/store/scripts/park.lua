#!lua flags=allow-oom
-- Put off queues whose site takes nothing now: they are rung again when their time comes, and cost nothing until then.
-- KEYS  1 wake
-- ARGV  for each queue: its name, ms from now
-- Returns {'parked', how many of them still wait}.
-- Said twice: the same, counted from the second time.
-- USES clock
local wake = KEYS[1]
if #ARGV < 2 or #ARGV % 2 ~= 0 then return redis.error_reply('ARGUMENTS park: a time is missing') end
local now = now_ms()
local count = 0
for at = 1, #ARGV, 2 do
  if redis.call('ZSCORE', wake, ARGV[at]) then
    redis.call('ZADD', wake, now + tonumber(ARGV[at + 1]), ARGV[at])
    count = count + 1
  end
end
return {'parked', count}
