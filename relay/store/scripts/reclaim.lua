#!lua flags=allow-oom
-- Take back expired leases: leased -> ready at the head of its lane, to be leased alone; or held, where it is what ends its holders.
-- KEYS  1 deliveries 2 ready 3 turns 4 clock 5 leased 6 held 7 wake 8 paused 9 aside 10 events 11 seen 12 later 13 suspects
-- ARGV  1 lease, ms  2 how many at most
-- Returns {'grace', until ms} and nothing was taken: the store or all workers were away (lib/seen.lua);
--       or {'reclaimed', how many went back, how many were held, then the queues to ring}.
-- Said twice: the next ones. Each that is taken counts as a possible double.
-- USES clock
-- USES delivery
-- USES lanes
-- USES seen
-- USES back
-- USES suspicion
local deliveries, leased, held, events, seen, later, suspects = KEYS[1], KEYS[5], KEYS[6], KEYS[10], KEYS[11], KEYS[12], KEYS[13]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8], KEYS[9]
local lease_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if not lease_ms or not limit or not suspects then return redis.error_reply('ARGUMENTS reclaim: lease and limit are numbers') end
local now = now_ms()
local grace = look(seen, now, lease_ms)
-- A lease that ends later than any can is from before a jump of the clock.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '(' .. string.format('%.0f', now + lease_ms), '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', leased, now + lease_ms, id)
end
if grace > now then return {'grace', grace} end

local answer = {'reclaimed', 0, 0}
local rung, told = {}, {}
local function tell(id, event)
  told[#told + 1] = id
  told[#told + 1] = event
end

local ended = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
for k = 1, #ended, 2 do
  local id, expires = ended[k], tonumber(ended[k + 1])
  local value = redis.call('HGET', deliveries, id)
  local d = value and read(value)
  if not value then
    redis.call('ZREM', leased, id)
  elseif d then
    redis.call('ZREM', leased, id)
    if has(d, ALONE) then d.losses = math.min(d.losses + 1, MOST_LOSSES) end
    if suspect(suspects, d, id, expires, lease_ms) then with(d, HOLD) end
    with(d, ALONE)
    with(d, DOUBT)
    if give_back(d, id, now, held, later) == 'held' then
      tell(id, 'h' .. d.fence)
      answer[3] = answer[3] + 1
    else
      answer[2] = answer[2] + 1
      if d.state == READY and not rung[d.queue] and wake_then(d.queue, now) then
        rung[d.queue] = true
        answer[#answer + 1] = d.queue
      end
    end
    redis.call('HSET', deliveries, id, pack(d))
    tell(id, 'p' .. d.fence)
  end
end
if #told > 0 then redis.call('XADD', events, '*', unpack(told)) end
return answer
