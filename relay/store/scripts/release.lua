#!lua flags=allow-oom
-- Give leases back without an attempt: leased -> ready, at the head of its lane.
-- KEYS  1 deliveries 2 ready 3 turns 4 clock 5 leased 6 held 7 wake 8 paused 9 aside
-- ARGV  1 holder  2 when to ring the queues, ms from now (0: at once)  then for each delivery: id, fence
-- Returns for each delivery: 'released', 'held' (that was asked for meanwhile), 'done' (said before) or 'lost'.
-- Said twice: 'done'.
-- USES clock
-- USES delivery
-- USES lanes
local deliveries, leased, held = KEYS[1], KEYS[5], KEYS[6]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8], KEYS[9]
local holder, wait = ARGV[1], tonumber(ARGV[2])
if #ARGV < 4 or #ARGV % 2 ~= 0 or not wait then return redis.error_reply('ARGUMENTS release: a fence is missing') end
local now = now_ms()
local answer = {}
for at = 3, #ARGV, 2 do
  local id, fence = ARGV[at], tonumber(ARGV[at + 1])
  local value = redis.call('HGET', deliveries, id)
  local d = value and read(value)
  if not d or d.fence ~= fence then
    answer[#answer + 1] = 'lost'
  elseif d.state ~= LEASED then
    answer[#answer + 1] = 'done'
  elseif d.holder ~= holder then
    answer[#answer + 1] = 'lost'
  else
    redis.call('ZREM', leased, id)
    d.holder, d.ms = '', 0
    if has(d, HOLD) then
      without(d, HOLD)
      d.state = HELD
      redis.call('ZADD', held, now, id)
      answer[#answer + 1] = 'held'
    else
      d.state = READY
      make_ready(d, id)
      if not queue_paused(d.queue) then redis.call('ZADD', keys.wake, now + wait, d.queue) end
      answer[#answer + 1] = 'released'
    end
    redis.call('HSET', deliveries, id, pack(d))
  end
end
return answer
