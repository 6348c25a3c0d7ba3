#!lua flags=allow-oom
-- Give deliveries another time for their next attempt: later, ready at once; leased: a flag and the time, which settle, release and
-- reclaim obey. A queue that is parked is rung for a delivery that is to go now.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 wake 7 paused 8 aside 9 age 10 expiry  then for each delivery: m:<id>
-- ARGV  1 deadline of a wake-up, ms  2 longest age of a delivery, ms  3 due ms (0: now)  then for each delivery: id
-- Returns {{for each delivery: 'later', 'ready', 'pending' (leased), 'held' or 'cancelling' (nothing was changed), 'cancelled' or
--       'final' (it has an outcome), 'newer' (a newer version of Relay wrote it) or 'unknown'}, {queues to ring}}.
-- Said twice: the same. No time is later than the delivery's expiry: its last attempt is made then.
-- USES clock
-- USES delivery
-- USES lanes
-- USES pick
local deliveries, later, age, expiry = KEYS[1], KEYS[2], KEYS[9], KEYS[10]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local deadline, longest, due = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not deadline or not longest or not due or #ARGV < 4 or #KEYS ~= 7 + #ARGV then
  return redis.error_reply('ARGUMENTS reschedule: keys or ids are missing')
end
local now = now_ms()
local answer, rung, known = {}, {}, {}

local function time_of(id)
  local own = redis.call('ZSCORE', expiry, id)
  local expires = own and tonumber(own) or tonumber(redis.call('ZSCORE', age, id) or now) + longest
  return math.min(due, expires)
end

local function to_ready(d, id)
  if d.state ~= READY then
    redis.call('ZREM', later, id)
    d.state, d.ms = READY, now
    make_ready(d, id)
  end
  if not known[d.queue] and wake_then(d.queue, now + deadline) then
    known[d.queue] = true
    rung[#rung + 1] = d.queue
  end
end

local function to_later(d, id, ms)
  leave(d, id, later)
  d.state, d.ms = LATER, ms
  redis.call('ZADD', later, ms, id)
end

local function reschedule(id, record)
  local d, why = pick(deliveries, record, id)
  if not d then return why end
  if d.state == HELD then return 'held' end
  if has(d, CANCEL) and d.state == LEASED then return 'cancelling' end
  local ms = time_of(id)
  if d.state == LEASED then
    with(d, MOVED)
    d.ms = ms
  elseif ms <= now then
    to_ready(d, id)
  else
    to_later(d, id, ms)
  end
  redis.call('HSET', deliveries, id, pack(d))
  return d.state == LEASED and 'pending' or d.state == READY and 'ready' or 'later'
end

for at = 4, #ARGV do answer[at - 3] = reschedule(ARGV[at], KEYS[7 + at]) end
return {answer, rung}
