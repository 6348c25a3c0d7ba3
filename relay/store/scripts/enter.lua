#!lua flags=allow-oom
-- Ask for connections and deliveries on an egress path; renews the connections that the holder has.
-- KEYS  1 conns 2 state 3 rates 4 waiting 5 drawn:<holder>
-- ARGV  1 seq, one higher for each new call of the holder  2 queue that asks  3 deliveries wanted
--       4 lease, ms  5 length of a grant, ms  6 connections at most  7 initial window
--       8 us between deliveries, 0: no rate  9 their burst  10 us between new connections, 0: no rate  11 their burst
--       12 how many of the tokens are held: connections open already; then the tokens, held ones first
-- Returns {state, held tokens renewed, new tokens granted, deliveries granted, ms until to ask again, queues waiting,
--   window, connections in use, token of the probe or '-', last failure or '-'}. Tokens are granted in their order; those
--   not granted are to be closed, or not opened. In state 'dead' nothing new is granted; in state 'probe' one connection
--   of the whole fleet may carry one delivery.
-- Said twice (same seq): the same tokens and deliveries, drawn from the rates once.
-- USES clock
-- USES conns
-- USES gcra
-- USES throttle
local conns, rates, waiting, drawn = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local seq, queue, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lease_ms, grant_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local most, initial = tonumber(ARGV[6]), tonumber(ARGV[7])
local deliveries = {every = tonumber(ARGV[8]), burst = tonumber(ARGV[9])}
local openings = {every = tonumber(ARGV[10]), burst = tonumber(ARGV[11])}
local open_already = tonumber(ARGV[12])
if #KEYS ~= 5 or not (wanted and lease_ms and grant_ms and most and initial and deliveries.every and deliveries.burst
    and openings.every and openings.burst and open_already)
  or not tonumber(seq) or queue == '' or wanted < 0 or lease_ms < 1 or most < 1 or initial < 1 or deliveries.burst < 1 or openings.burst < 1
  or open_already < 0 or #ARGV - 12 < open_already or #ARGV > 1012 then
  return redis.error_reply('ARGUMENTS enter: numbers, a queue and at most 1000 tokens are needed')
end
for at = 13, #ARGV do
  if string.find(ARGV[at], '^@') or ARGV[at] == '' or ARGV[at] == '-' then
    return redis.error_reply('ARGUMENTS enter: that is no token')
  end
end

local now = now_ms()
local path = read_path(KEYS[2], now, initial)
local count = in_use(conns, path, now, lease_ms)
if now - path.seen > 1000 or path.seen > now then
  redis.call('HSET', path.key, 'seen', now)
  redis.call('PEXPIRE', path.key, IDLE_MS + path.pause)
end
local limited = deliveries.every > 0 or openings.every > 0
local known = limited and redis.call('GET', drawn) or ''
local again_seq, drawn_deliveries = string.match(known, '^(%S+) %S+ (%d+)')
local repeated = again_seq == seq
local state = breaker(path, now)
local asked = #ARGV - 12 - open_already

-- The connections that are open stay, as far as the limit allows; one whose token expired is counted in again.
if asked > 0 and count > 0 then count = count - redis.call('ZREM', conns, '@' .. queue) end
local there = #ARGV > 12 and redis.call('ZMSCORE', conns, unpack(ARGV, 13)) or {}
local kept, held, granted = {}, 0, 0
local surplus = count - most
for at = 1, open_already do
  if there[at] and surplus > 0 and open_already - at < surplus then break end
  if not there[at] and count >= most then break end
  if not there[at] then count = count + 1 end
  held = held + 1
  kept[#kept + 1] = now + lease_ms
  kept[#kept + 1] = ARGV[12 + at]
end

-- The breaker: while a probe is out, nothing else begins.
local room = math.max(0, math.min(math.floor(path.window), most) - count)
local again = math.min(grant_ms, math.floor(lease_ms / 3))
local probe = '-'
if state == 'dead' then
  room, wanted, again = 0, 0, path.till - now
elseif state == 'probe' then
  local until_free = path.probe ~= '' and redis.call('ZSCORE', conns, path.probe)
  wanted = math.min(wanted, 1)
  if until_free then
    for at = 13, #ARGV do
      if ARGV[at] == path.probe then probe = path.probe end
    end
    if probe == '-' then wanted, again = 0, math.max(1, until_free - now) end
    room = 0
  elseif wanted == 0 and asked == 0 then
    room = 0
  elseif held > 0 then
    probe, room = ARGV[13], 0
  else
    room = math.min(1, most - count, asked)
    if room > 0 then probe = ARGV[13 + open_already] end
  end
end

-- New connections: those that an earlier saying of this call was given, then as many as there is room for.
local fresh = 0
for at = open_already + 1, open_already + asked do
  if not there[at] then
    if room < 1 or repeated then break end
    room, fresh = room - 1, fresh + 1
  end
  granted = granted + 1
end

-- Rates: nothing is opened that could carry nothing.
local late = false
if repeated then
  wanted = math.min(wanted, tonumber(drawn_deliveries))
elseif limited then
  local arrivals = redis.call('HMGET', rates, 'deliveries', 'connections')
  local openable, opened_at, open_wait = allowed(arrivals[2], now, openings, fresh)
  if openable < fresh then
    granted, fresh = granted - fresh + openable, openable
    if held + granted == 0 then late, again, probe = true, open_wait, '-' end
  end
  if held + granted == 0 then wanted = 0 end
  local passing, passed_at, pass_wait = allowed(arrivals[1], now, deliveries, wanted)
  if passing == 0 and wanted > 0 then
    late, again, granted, fresh = true, pass_wait, granted - fresh, 0
    if held + granted == 0 then probe = '-' end
  end
  wanted = passing
  if passing > 0 or fresh > 0 then
    redis.call('HSET', rates, 'deliveries', math.floor(passed_at + passing * deliveries.every + 0.5),
      'connections', math.floor(opened_at + fresh * openings.every + 0.5))
    redis.call('PEXPIRE', rates, math.ceil(math.max(IDLE_MS,
      deliveries.every * deliveries.burst / 1000, openings.every * openings.burst / 1000)))
    redis.call('SET', drawn, string.format('%s %.0f %d %d', seq, now, passing, fresh), 'PX', 120000)
  end
end
if held + granted == 0 then wanted = 0 end

for at = 1, granted do
  kept[#kept + 1] = now + lease_ms
  kept[#kept + 1] = ARGV[12 + open_already + at]
end
if #kept > 0 then
  redis.call('ZADD', conns, unpack(kept))
  redis.call('PEXPIRE', conns, IDLE_MS)
end
if probe ~= '-' and probe ~= path.probe then redis.call('HSET', path.key, 'probe', probe) end
count = count + fresh

-- Refused for want of a connection: the queue waits, and leave will name it.
local waiters = redis.call('ZCARD', waiting)
if asked > 0 and held + granted == 0 and not late then
  if state == 'open' then
    local first = redis.call('ZRANGE', conns, 0, 0, 'WITHSCORES')[2]
    again = math.max(100, math.min(first and first - now + 1 or 0, lease_ms))
  end
  if waiters < 10000 then
    waiters = waiters + redis.call('ZADD', waiting, 'NX', now, queue)
    redis.call('PEXPIRE', waiting, IDLE_MS)
  end
elseif waiters > 0 and wanted > 0 then
  waiters = waiters - redis.call('ZREM', waiting, queue)
end
return {state, held, granted, wanted, math.ceil(again), waiters, math.floor(path.window), count, probe,
  state ~= 'open' and path.reply ~= '' and path.reply or '-'}
