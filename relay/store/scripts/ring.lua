#!lua flags=allow-oom
-- Which queues are to be rung now: they have ready deliveries, and their time has come.
-- KEYS  1 wake
-- ARGV  1 how many at most  2 deadline of a wake-up, ms: who does not drain the queue until then lets it be rung again
--       3 longest time that a queue is parked, ms
-- Returns {when the next is to be rung in ms (0: none waits), then the queues}.
-- Said twice: the next ones.
-- USES clock
local wake = KEYS[1]
local limit, deadline, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not limit or not deadline or not longest then return redis.error_reply('ARGUMENTS ring: three numbers are needed') end
local now = now_ms()
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', wake, '(' .. string.format('%.0f', now + longest), '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', wake, now + longest, queue)
end
local queues = redis.call('ZRANGEBYSCORE', wake, '-inf', now, 'LIMIT', 0, limit)
for _, queue in ipairs(queues) do redis.call('ZADD', wake, now + deadline, queue) end
local first = redis.call('ZRANGE', wake, 0, 0, 'WITHSCORES')
local answer = {tonumber(first[2] or 0)}
for k = 1, #queues do answer[k + 1] = queues[k] end
return answer
