#!lua flags=allow-oom
-- End deliveries as bounced by an operator: later, ready, held -> final at once; leased: a flag and the reply, which settle obeys.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 held 7 wake 8 paused 9 aside 10 age 11 expiry 12 events 13 shares
--       then for each delivery: m:<id>, and each key of its content
-- ARGV  1 how long a closed record is kept, ms  2 reply (code, enhanced status code, text; 255 octets at most)
--       then for each delivery: id, keys of content
-- Returns for each delivery: 'bounced', 'pending' (leased: an attempt may yet end it otherwise), 'final' (it has another outcome),
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
local retention, reply = tonumber(ARGV[1]), ARGV[2]
if not retention or #ARGV < 4 or #ARGV % 2 ~= 0 or not string.find(reply, '^5%d%d ') or #reply > 255 then
  return redis.error_reply('ARGUMENTS bounce: a permanent reply, ids or numbers of keys are missing')
end
local now = now_ms()
local answer, told = {}, {}

local function bounce(id, record, contents)
  local d, why = pick(deliveries, record, id)
  if not d then
    if why ~= 'cancelled' and why ~= 'final' then return why end
    return redis.call('HGET', record, 'e' .. string.sub(id, 22)) == 'r' and 'bounced' or 'final'
  end
  if d.state == LEASED then
    with(d, CANCEL)
    without(d, MOVED)
    redis.call('HSET', record, 'r' .. string.sub(id, 22), reply)
    redis.call('HSET', deliveries, id, pack(d))
    return 'pending'
  end
  leave(d, id, later, held)
  told[#told + 1] = id
  told[#told + 1] = give_up(places, id, d, 'r', now, record, contents, retention, has(d, REPORT), reply)
  return 'bounced'
end

for at, record, contents in each_named(14, 3, 2) do
  answer[#answer + 1] = bounce(ARGV[at], record, contents)
end
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
return answer
