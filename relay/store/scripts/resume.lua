#!lua flags=allow-oom
-- Let a queue or tenant that is held as a whole go on. A tenant's lanes get their turns back, some in each call.
-- KEYS  1 ready 2 turns 3 clock 4 wake 5 paused 6 aside
-- ARGV  1 'q:<queue>' or 't:<tenant>'  2 deadline of a wake-up, ms  3 lanes at most
-- Returns {'resumed' (all is done) or 'more' (say it again), then the queues to ring}.
-- Said twice: the next lanes; in the end 'resumed'. Until then `paused` says 'u' of the tenant, so that it can be gone on with.
-- USES clock
-- USES lanes
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local name, deadline, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not name or not deadline or not limit then return redis.error_reply('ARGUMENTS resume: a name and two numbers are needed') end
local kind, rest = string.match(name, '^([qt]):(.*)$')
if not kind then return redis.error_reply('ARGUMENTS resume: q:<queue> or t:<tenant>') end
local wake = now_ms() + deadline
local answer = {'resumed'}

local function ring(queue)
  if wake_at(queue, wake) then answer[#answer + 1] = queue end
end

if kind == 'q' then
  redis.call('HDEL', keys.paused, name)
  ring(rest)
  return answer
end

local known = redis.call('HGET', keys.paused, name)
if known then redis.call('HSET', keys.paused, name, 'u' .. string.sub(known, 2)) end
local lanes = redis.call('ZRANGEBYLEX', keys.aside, '[' .. rest .. '|', '(' .. rest .. '}', 'LIMIT', 0, limit + 1)
for k = 1, math.min(limit, #lanes) do
  local queue, lane = string.match(lanes[k], '^([^|]*)|([^|]*)$', #rest + 2)
  redis.call('ZREM', keys.aside, lanes[k])
  give_turn(queue, lane, tonumber(redis.call('HGET', keys.clock, queue) or 0))
  ring(queue)
end
if #lanes > limit then
  answer[1] = 'more'
else
  redis.call('HDEL', keys.paused, name)
end
return answer
