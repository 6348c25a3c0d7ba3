#!lua flags=allow-oom
-- Hold deliveries: later, ready -> held at once; leased: a flag, which extend tells its holder and settle, release and reclaim obey.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 held 7 wake 8 paused 9 aside 10 events  then for each delivery: m:<id>
-- ARGV  for each delivery: id
-- Returns for each delivery: 'held', 'pending' (leased), 'cancelling' (leased, and to be cancelled: nothing was changed), 'cancelled' or
--       'final' (it has an outcome), 'newer' (a newer version of Relay wrote it) or 'unknown'.
-- Said twice: the same. A held delivery grows old like any other.
-- USES clock
-- USES delivery
-- USES lanes
-- USES pick
local deliveries, later, held, events = KEYS[1], KEYS[2], KEYS[6], KEYS[10]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[7], KEYS[8], KEYS[9]
if #ARGV < 1 or #KEYS ~= 10 + #ARGV then return redis.error_reply('ARGUMENTS hold: keys or ids are missing') end
local now = now_ms()
local answer, told = {}, {}

local function hold(id, record)
  local d, why = pick(deliveries, record, id)
  if not d then return why end
  if d.state == HELD then return 'held' end
  if d.state == LEASED then
    if has(d, CANCEL) then return 'cancelling' end
    with(d, HOLD)
  else
    leave(d, id, later, held)
    d.state = HELD
    redis.call('ZADD', held, now, id)
    told[#told + 1] = id
    told[#told + 1] = 'h' .. d.fence
  end
  redis.call('HSET', deliveries, id, pack(d))
  return d.state == HELD and 'held' or 'pending'
end

for at = 1, #ARGV do answer[at] = hold(ARGV[at], KEYS[10 + at]) end
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
return answer
