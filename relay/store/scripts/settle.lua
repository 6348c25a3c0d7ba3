#!lua flags=allow-oom
-- Record what attempts did: leased -> later, held or final; and tell it to the outbox.
-- KEYS  1 deliveries 2 later 3 leased 4 held 5 age 6 expiry 7 events 8 seen 9 shares
--       then for each delivery: m:<id>, and each key of its content
-- ARGV  1 holder  2 lease, ms  3 longest age of a delivery, ms  4 how long a closed record is kept, ms
--       then for each delivery: id, fence, verb (final | later | hold), wait before the next attempt in ms, new body ('' as it was),
--       slot ('': some recipient is final, else where the deferral is noted), attempt ('': none was
--       made), event (upper case: a DSN is due; p: the
--       reply to the final dot never came), keys of content
-- Returns for each delivery: 'settled', 'done' (this was recorded before), 'expired', 'cancelled' or 'bounced' (final instead of later),
--       'held' (as asked for meanwhile), or 'lost' (another holds it or its outcome: nothing was changed).
-- Said twice: 'done'.
-- USES clock
-- USES delivery
-- USES seen
-- USES final
shares = KEYS[9]
local deliveries, later, leased, held, events, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8]
local places = {KEYS[1], KEYS[5], KEYS[6]}
local FIELDS, FIRST = 9, 5
local holder, lease_ms, longest, retention = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if #ARGV < FIRST or (#ARGV - FIRST + 1) % FIELDS ~= 0 or not retention then
  return redis.error_reply('ARGUMENTS settle: arguments are missing')
end
local VERBS = {final = true, later = true, hold = true}
local declared = 9
for at = FIRST, #ARGV, FIELDS do
  if not VERBS[ARGV[at + 2]] or ARGV[at + 7] == '' or not tonumber(ARGV[at + 1]) or not tonumber(ARGV[at + 3]) or not tonumber(ARGV[at + 8]) then
    return redis.error_reply('ARGUMENTS settle: a fence, verb, wait, event or number of keys is missing')
  end
  declared = declared + 1 + tonumber(ARGV[at + 8])
end
if declared ~= #KEYS then return redis.error_reply('ARGUMENTS settle: keys are missing') end

local now = now_ms()
look(seen, now, lease_ms)

local function expires_at(id)
  local own = redis.call('ZSCORE', KEYS[6], id)
  if own then return tonumber(own) end
  return tonumber(redis.call('ZSCORE', KEYS[5], id) or now) + longest
end

-- What leaves a place leaves it together with the others of the call: a command each would cost more than all else here.
-- Whoever is named a second time is read again: `known` is how the deliveries were before.
local known = {}
do
  local ids = {}
  for at = FIRST, #ARGV, FIELDS do ids[#ids + 1] = ARGV[at] end
  for k, value in ipairs(redis.call('HMGET', deliveries, unpack(ids))) do known[ids[k]] = value end
end
local unleased, ended, unneeded = {}, {}, {}
local function current(id)
  local value = known[id]
  known[id] = nil
  if value ~= nil then return value end
  for _, gone in ipairs(ended) do
    if gone == id then return false end
  end
  return redis.call('HGET', deliveries, id)
end

local function unlink()
  if #unneeded > 0 then redis.call('UNLINK', unpack(unneeded)) end
  unneeded = {}
end

local function leave_together()
  if #unleased > 0 then redis.call('ZREM', leased, unpack(unleased)) end
  if #ended > 0 then
    redis.call('HDEL', deliveries, unpack(ended))
    redis.call('ZREM', KEYS[5], unpack(ended))
    redis.call('ZREM', KEYS[6], unpack(ended))
  end
  unlink()
end

-- As `finish` in lib/final.lua does for one, with its last outcome.
local function finish_later(id, record, contents, field, outcome)
  ended[#ended + 1] = id
  local found = redis.call('HMGET', record, 'o', 'k', 'b')
  local open = tonumber(found[1] or 0) - 1
  if field then
    redis.call('HSET', record, 'o', open, field, outcome)
  else
    redis.call('HSET', record, 'o', open)
  end
  if open > 0 or tonumber(found[2] or 0) > 0 then return end
  for _, content in ipairs(contents) do unneeded[#unneeded + 1] = content end
  if #unneeded > 1000 then unlink() end
  redis.call('PEXPIRE', record, retention)
  give_back_share(record, found[3])
end

local told = {}
local function tell(id, event)
  told[#told + 1] = id
  told[#told + 1] = event
end

local marked = 'o' .. string.char(#holder) .. holder
local function was_settled(d, record, id, fence)
  local recorded = redis.call('HGET', record, outcome_field(id, fence))
  if recorded and string.sub(recorded, 1, #marked) == marked then return true end
  -- A deferral that found it cancelled or too old ended it under the next fence.
  local ended = not d and redis.call('HGET', record, outcome_field(id, fence + 1))
  local last = ended and string.sub(ended, 1, 1) ~= 'o' and given_up(ended) or d
  return last and last.fence == fence and last.holder == holder
end

local function settle(at, record, contents)
  local id, fence, verb, event = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 7]
  local value = current(id)
  local d = value and read(value)
  if not d or d.state ~= LEASED or d.fence ~= fence or d.holder ~= holder then
    return was_settled(d, record, id, fence) and 'done' or 'lost'
  end
  local slot = ARGV[at + 5]
  local field, outcome = slot == '' and outcome_field(id, fence), marked .. ARGV[at + 6]
  if field and verb ~= 'final' then
    redis.call('HSET', record, field, outcome)
  elseif not field and ARGV[at + 6] ~= '' then
    redis.call('HSET', record, 'a' .. string.sub(id, 22) .. '.' .. slot, ARGV[at + 6])
  end
  local report = event == string.upper(event)
  if report then claim(record, id, ARGV[at + 1], value) end
  note_doubts(record, d)
  without(d, DOUBT)
  if event == 'p' then redis.call('HINCRBY', record, 'p', 1) end
  unleased[#unleased + 1] = id
  if verb == 'final' then
    finish_later(id, record, contents, field, outcome)
    tell(id, event .. ARGV[at + 1])
    return 'settled'
  end
  if ARGV[at + 4] ~= '' then d.body = ARGV[at + 4] end
  if verb == 'later' and ARGV[at + 6] ~= '' then d.attempts = math.min(d.attempts + 1, 65535) end
  d.losses, d.suspicion = 0, 0
  without(d, ALONE)
  without(d, BEGUN)
  local moved = has(d, MOVED)
  without(d, MOVED)
  if report or slot == '' then tell(id, event .. ARGV[at + 1]) end
  if has(d, CANCEL) then
    tell(id, end_as_asked(places, id, d, now, record, contents, retention))
    return asked_reply(record, id) and 'bounced' or 'cancelled'
  end
  if verb == 'hold' or has(d, HOLD) then
    without(d, HOLD)
    d.state = HELD
    redis.call('ZADD', held, now, id)
    redis.call('HSET', deliveries, id, pack(d))
    tell(id, 'h' .. ARGV[at + 1])
    return verb == 'hold' and 'settled' or 'held'
  end
  local expires = expires_at(id)
  if now >= expires then
    tell(id, give_up(places, id, d, 'x', now, record, contents, retention, has(d, REPORT)))
    return 'expired'
  end
  d.state = LATER
  d.ms = math.min(moved and d.ms or now + tonumber(ARGV[at + 3]), expires)
  redis.call('ZADD', later, d.ms, id)
  redis.call('HSET', deliveries, id, pack(d))
  if not (report or slot == '') then tell(id, event .. ARGV[at + 1]) end
  return 'settled'
end

local answer = {}
local key = 10
for at = FIRST, #ARGV, FIELDS do
  local record, contents = KEYS[key], {}
  for k = 1, tonumber(ARGV[at + 8]) do contents[k] = KEYS[key + k] end
  key = key + 1 + #contents
  answer[#answer + 1] = settle(at, record, contents)
end
leave_together()
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
return answer
