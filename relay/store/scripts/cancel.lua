#!lua flags=allow-oom
-- Cancel deliveries: later, ready, held -> final at once; leased: a flag, which extend tells its holder and settle obeys.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 held 7 wake 8 paused 9 aside 10 age 11 expiry 12 events 13 shares
--       then for each delivery: m:<id>, and each key of its content
-- ARGV  1 how long a closed record is kept, ms  then for each delivery: id, keys of content
-- Returns for each delivery: 'cancelled', 'pending' (leased: an attempt may yet end it otherwise), 'final' (it has another outcome),
--       'newer' (a newer version of Relay wrote it) or 'unknown'.
-- Said twice: the same.
-- USES clock
-- USES delivery
-- USES lanes
-- USES final
-- USES named
-- USES pick
shares = KEYS[13]
local deliveries, later, held, events = KEYS[1], KEYS[2], KEYS[6], KEYS[12]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[7], KEYS[8], KEYS[9]
local places = {deliveries, KEYS[10], KEYS[11]}
local retention = tonumber(ARGV[1])
if not retention or #ARGV < 3 or #ARGV % 2 ~= 1 then return redis.error_reply('ARGUMENTS cancel: arguments are missing') end
local now = now_ms()
local answer, told = {}, {}

local function cancel(id, record, contents)
  local d, why = pick(deliveries, record, id)
  if not d then return why end
  if d.state == LEASED then
    with(d, CANCEL)
    without(d, MOVED)
    redis.call('HDEL', record, 'r' .. string.sub(id, 22))
    redis.call('HSET', deliveries, id, pack(d))
    return 'pending'
  end
  leave(d, id, later, held)
  told[#told + 1] = id
  told[#told + 1] = give_up(places, id, d, 'c', now, record, contents, retention, false)
  return 'cancelled'
end

for at, record, contents in each_named(14, 2, 2) do
  answer[#answer + 1] = cancel(ARGV[at], record, contents)
end
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
return answer
