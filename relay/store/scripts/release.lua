#!lua flags=allow-oom
-- Give leases back without an attempt: leased -> ready, at the head of its lane.
-- KEYS  1 deliveries 2 ready 3 turns 4 clock 5 leased 6 held 7 wake 8 paused 9 aside 10 later
-- ARGV  1 holder  2 when to ring the queues, ms from now (0: at once)  then for each delivery: id, fence
-- Returns for each delivery: 'released', 'later' or 'held' (that was asked for meanwhile), 'done' (said before) or 'lost'.
-- Said twice: 'done'.
-- USES clock
-- USES delivery
-- USES lanes
-- USES back
local deliveries, leased, held, later = KEYS[1], KEYS[5], KEYS[6], KEYS[10]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8], KEYS[9]
local holder, wait = ARGV[1], tonumber(ARGV[2])
if #ARGV < 4 or #ARGV % 2 ~= 0 or not wait or not later then return redis.error_reply('ARGUMENTS release: a fence is missing') end
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
    local place = give_back(d, id, now, held, later)
    if place == 'released' then wake_then(d.queue, now + wait) end
    answer[#answer + 1] = place
    redis.call('HSET', deliveries, id, pack(d))
  end
end
return answer
