#!lua flags=allow-oom
-- Let held deliveries go on: held -> ready, or later where their time has not come; leased: the flag goes.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 held 7 wake 8 paused 9 aside  then for each delivery: m:<id>
-- ARGV  1 deadline of a wake-up, ms  then for each delivery: id
-- Returns {{for each delivery: 'unheld' (it is not held, or no longer), 'cancelled' or 'final' (it has an outcome), 'newer' (a newer
--       version of Relay wrote it) or 'unknown'}, {queues to ring}}.
-- Said twice: the same, with nothing to ring.
-- USES clock
-- USES delivery
-- USES lanes
-- USES final
-- USES pick
local deliveries, later, held = KEYS[1], KEYS[2], KEYS[6]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[7], KEYS[8], KEYS[9]
local deadline = tonumber(ARGV[1])
if not deadline or #ARGV < 2 or #KEYS ~= 8 + #ARGV then return redis.error_reply('ARGUMENTS unhold: keys or ids are missing') end
local now = now_ms()
local answer, rung = {}, {}

local function go_on(d, id, record)
  redis.call('ZREM', held, id)
  note_doubts(record, d)
  without(d, DOUBT)
  d.losses, d.suspicion = 0, 0
  if d.ms > now then
    d.state = LATER
    redis.call('ZADD', later, d.ms, id)
    return
  end
  d.state, d.ms = READY, now
  if line_up(d, id, now + deadline) then rung[#rung + 1] = d.queue end
end

local function unhold(id, record)
  local d, why = pick(deliveries, record, id)
  if not d then return why end
  without(d, HOLD)
  if d.state == HELD then go_on(d, id, record) end
  redis.call('HSET', deliveries, id, pack(d))
  return 'unheld'
end

for at = 2, #ARGV do answer[at - 1] = unhold(ARGV[at], KEYS[8 + at]) end
return {answer, rung}
