#!lua flags=allow-oom
-- What time does: later -> ready when due; what is too old, unless leased, is final; and of what is late its sender is to hear.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 held 7 wake 8 paused 9 aside 10 age 11 expiry 12 events 13 shares 14 late
--       then for each candidate: m:<id>, and each key of its content
-- ARGV  1 how many at most  2 deadline of a wake-up, ms  3 longest age, ms  4 longest wait in later, ms  5 how long a closed record is kept, ms
--       then for each candidate (a delivery that an earlier answer named): id, keys of content
-- Returns {how many became ready or final, when the next is due in ms (0: none), {queues to ring}, {candidates: say these with
--       their keys, as they are too old, late or staged}}.
-- Said twice: the next ones.
-- USES clock
-- USES delivery
-- USES lanes
-- USES final
-- USES named
shares = KEYS[13]
local deliveries, later, held, age, expiry, events, late = KEYS[1], KEYS[2], KEYS[6], KEYS[10], KEYS[11], KEYS[12], KEYS[14]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[7], KEYS[8], KEYS[9]
local places = {deliveries, age, expiry}
local FIRST = 6
-- A delivery's last attempt is due at its expiry: that attempt, not promote, is to end it.
local SPARE_MS = 60000
local limit, deadline, longest, ahead, retention = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if not retention or (#ARGV - FIRST + 1) % 2 ~= 0 then return redis.error_reply('ARGUMENTS promote: arguments are missing') end
local now = now_ms()
local count, rung, told, named, given = 0, {}, {}, {}, {}

local function to_ready(d, id)
  d.state, d.ms = READY, now
  redis.call('ZREM', later, id)
  redis.call('HSET', deliveries, id, pack(d))
  if line_up(d, id, now + deadline) then rung[#rung + 1] = d.queue end
  count = count + 1
end

local function too_old(id)
  local own = redis.call('ZSCORE', expiry, id)
  if not own then return tonumber(redis.call('ZSCORE', age, id) or now) + longest + SPARE_MS <= now end
  if tonumber(own) + SPARE_MS <= now then return true end
  -- It outlives what is as old: it must not stand at the head of `age` before those behind it.
  if tonumber(redis.call('ZSCORE', age, id) or now) < own - longest then redis.call('ZADD', age, own - longest, id) end
  return false
end

-- Told once, under a fence that no outcome has.
local function tell_late(id, record, value)
  redis.call('ZREM', late, id)
  claim(record, id, '0', value)
  told[#told + 1] = id
  told[#told + 1] = 'L0'
end

for at, record, contents in each_named(15, FIRST, 2) do
  local id = ARGV[at]
  given[id] = true
  local value = redis.call('HGET', deliveries, id)
  local d = value and read(value)
  if not value then
    redis.call('ZREM', age, id)
    redis.call('ZREM', expiry, id)
    redis.call('ZREM', later, id)
    redis.call('ZREM', late, id)
  elseif d and d.state == STAGED then
    if redis.call('HEXISTS', record, 'o') == 1 and d.ms > now then
      d.state = LATER
      redis.call('ZADD', later, d.ms, id)
      redis.call('HSET', deliveries, id, pack(d))
      count = count + 1
    elseif redis.call('HEXISTS', record, 'o') == 1 then
      to_ready(d, id)
    elseif tonumber(redis.call('ZSCORE', later, id) or 0) <= now then
      redis.call('ZREM', later, id)
      redis.call('ZREM', age, id)
      redis.call('ZREM', expiry, id)
      redis.call('HDEL', deliveries, id)
    end
  elseif d and d.state ~= LEASED and too_old(id) then
    redis.call('ZREM', later, id)
    redis.call('ZREM', held, id)
    if d.state == READY then leave_ready(d, id) end
    told[#told + 1] = id
    told[#told + 1] = give_up(places, id, d, 'x', now, record, contents, retention, has(d, REPORT))
    redis.call('ZREM', late, id)
    count = count + 1
  elseif d and tonumber(redis.call('ZSCORE', late, id) or now + 1) <= now then
    tell_late(id, record, value)
    count = count + 1
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, limit)) do
  local value = redis.call('HGET', deliveries, id)
  if not value then
    redis.call('ZREM', later, id)
  else
    local d = read(value)
    if d and d.state == STAGED then
      given[id] = true
      named[#named + 1] = id
    elseif d then
      to_ready(d, id)
    end
  end
end
-- A wait longer than any can be is from before a jump of the clock.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', later, '(' .. string.format('%.0f', now + ahead), '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', later, now + ahead, id)
end
local function name_old(zset, before)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', zset, '-inf', string.format('%.0f', before), 'LIMIT', 0, limit)) do
    local value = redis.call('HGET', deliveries, id)
    local d = value and read(value)
    if not given[id] and (not value or d and d.state ~= LEASED and too_old(id)) then
      given[id] = true
      named[#named + 1] = id
    end
  end
end
name_old(age, now - longest - SPARE_MS)
name_old(expiry, now - SPARE_MS)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', late, '-inf', now, 'LIMIT', 0, limit)) do
  if not given[id] then
    given[id] = true
    named[#named + 1] = id
  end
end
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
return {count, tonumber(first[2] or 0), rung, named}
