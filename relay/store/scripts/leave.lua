#!lua flags=allow-oom
-- Give connections of an egress path back, or only tell how deliveries went; names waiting queues that may come now.
-- KEYS  1 conns 2 state 3 rates 4 waiting 5 drawn:<holder> 6 told:<holder>
-- ARGV  1 seq, one higher for each new call of the holder  2 lease, ms  3 connections at most  4 initial window
--       5 transactions that the site answered  6 connections that failed or were refused (at most 1000 count)
--       7 the last failure's reply  8 deliveries granted by the last enter and not begun  9 connections granted, not opened
--       10 us between deliveries, 0: no rate  11 us between new connections, 0: no rate
--       12 failed cohorts that make the path dead  13 its first pause, ms  14 its longest pause, ms
--       15 how many of the answered were prompt; then the tokens
-- Returns {state, window, connections in use, ms until to ask again (0: now), queues waiting, then the queues to ring}.
--   A connection is kept for each of those for three seconds, so that it does not fall to whoever asks first.
-- Said twice (same seq): counts once, names the same queues.
-- USES clock
-- USES conns
-- USES gcra
-- USES throttle
local KEPT_MS = 3000
local conns, rates, waiting, drawn, told_key = KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local n = {}
for at = 1, 15 do n[at] = tonumber(ARGV[at]) end
if #KEYS ~= 6 or not (n[1] and n[2] and n[3] and n[4] and n[5] and n[6] and ARGV[7] and n[8] and n[9] and n[10] and n[11]
    and n[12] and n[13] and n[14] and n[15]) or n[2] < 1 or n[3] < 1 or n[4] < 1 or n[5] < 0 or n[6] < 0 or n[8] < 0 or n[9] < 0
  or n[12] <= 0 or n[13] < 1 or n[14] < 1 or n[15] < 0 or n[15] > n[5] or #ARGV > 1015 then
  return redis.error_reply('ARGUMENTS leave: 15 arguments and at most 1000 tokens are needed')
end
local seq, lease_ms = n[1], n[2]
local limits = {connections = n[3], initial = n[4], cohorts = n[12], first_pause = n[13], longest_pause = n[14]}

local now = now_ms()
local path = read_path(KEYS[2], now, limits.initial)
local busy = in_use(conns, path, now, lease_ms)
local said, named = string.match(redis.call('GET', told_key) or '', '^(%d+)\n?(.*)$')
local repeated = said and seq <= tonumber(said)

local told = {successes = n[5], prompt = n[15], failures = math.min(n[6], 1000), reply = string.sub(ARGV[7], 1, 200),
  probe_back = false}
local count = busy
if #ARGV > 15 then
  for at = 16, #ARGV do
    if ARGV[at] == path.probe then told.probe_back = true end
  end
  count = count - redis.call('ZREM', conns, unpack(ARGV, 16))
end

if not repeated then
  if n[8] > 0 or n[9] > 0 then
    local by, at, unused, unopened = string.match(redis.call('GET', drawn) or '', '^(%S+) (%S+) (%d+) (%d+)$')
    if by then
      unused, unopened, at = math.min(n[8], tonumber(unused)), math.min(n[9], tonumber(unopened)), tonumber(at)
      give_back(rates, 'deliveries', now, {every = n[10]}, unused, at)
      give_back(rates, 'connections', now, {every = n[11]}, unopened, at)
      redis.call('DEL', drawn)
    end
  end
  learn(path, now, told, busy, limits)
  if told.probe_back then path.probe = '' end
  write_path(path, now)
end

local state = breaker(path, now)
local waiters = redis.call('ZCARD', waiting)
local answer = {state, math.floor(path.window), count, state == 'dead' and path.till - now or 0, waiters}
if repeated then
  if seq == tonumber(said) then
    for queue in string.gmatch(named, '[^\n]+') do answer[#answer + 1] = queue end
  end
else
  local room = math.min(path.window, limits.connections) - count
  if state == 'probe' then room = path.probe == '' and math.min(1, limits.connections - count) or 0 end
  if state == 'dead' or waiters == 0 then room = 0 end
  if room >= 1 then
    -- Whoever waits since a time to come met another clock: it waits since now.
    local ahead = redis.call('ZRANGEBYSCORE', waiting, '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, 1000)
    for _, queue in ipairs(ahead) do redis.call('ZADD', waiting, now, queue) end
    for _, queue in ipairs(redis.call('ZRANGE', waiting, 0, math.min(room, 50) - 1)) do
      redis.call('ZADD', conns, now + KEPT_MS, '@' .. queue)
      redis.call('ZREM', waiting, queue)
      answer[#answer + 1] = queue
    end
    redis.call('PEXPIRE', conns, IDLE_MS)
  end
  redis.call('SET', told_key, table.concat({ARGV[1], unpack(answer, 6)}, '\n'), 'PX', 120000)
  answer[3], answer[5] = count + #answer - 5, waiters - #answer + 5
end
return answer
