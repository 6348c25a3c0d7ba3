#!lua flags=allow-oom
-- Lease ready deliveries of several queues: ready -> leased. The lane of lowest virtual time is served first.
-- KEYS  1 deliveries 2 ready 3 turns 4 clock 5 leased 6 wake 7 paused 8 aside 9 seen 10 g:<holder> 11 reasons
-- ARGV  1 holder  2 seq, one higher for each new call of the holder  3 lease, ms  4 deadline of a wake-up, ms
--       5 how many in all queues together
--       then for each queue: its name, deliveries wanted
-- Returns {lease expires at ms, then for each queue: {1 or 0: more is ready, id, value, id, value ...}}. A queue that is asked
--       for when no more may be granted answers {1} and keeps its wake entry.
-- Said twice (same holder and seq): the same grant, as far as it is still held.
-- A delivery marked alone is leased by itself.
-- USES clock
-- USES delivery
-- USES lanes
-- USES seen
local deliveries, leased, seen, grant = KEYS[1], KEYS[5], KEYS[9], KEYS[10]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[2], KEYS[3], KEYS[4], KEYS[6], KEYS[7], KEYS[8]
local QUANTUM = 5
local holder, seq, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local left = tonumber(ARGV[5])
if #ARGV < 7 or #ARGV % 2 ~= 1 or not lease_ms or not left then return redis.error_reply('ARGUMENTS lease: queues are missing') end

local now = now_ms()
local expires = now + lease_ms
look(seen, now, lease_ms)

local known = redis.call('GET', grant)
if known and string.sub(known, 1, #seq + 1) == seq .. '\n' then
  local again, by = {expires}, {}
  for at = 6, #ARGV, 2 do
    local entry = {#turns_of(ARGV[at], 1)}
    by[ARGV[at]] = by[ARGV[at]] or entry
    again[#again + 1] = entry
  end
  for id in string.gmatch(string.sub(known, #seq + 2), '[^\n]+') do
    local value = redis.call('HGET', deliveries, id)
    local d = value and read(value)
    if d and d.state == LEASED and d.holder == holder and by[d.queue] then
      redis.call('ZADD', leased, expires, id)
      local entry = by[d.queue]
      entry[#entry + 1] = id
      entry[#entry + 1] = value
    end
  end
  return again
end

local granted = {}
local function take(queue, wanted)
  local entry = {0}
  local alone = false
  while wanted > 0 and not alone do
    local turns = turns_of(queue, 2)
    if #turns == 0 then break end
    local virtual = tonumber(string.sub(turns[1], #queue + 2, #queue + 16))
    local lane = string.sub(turns[1], #queue + 18)
    local portion = turns[2] and math.min(wanted, QUANTUM) or wanted
    local members = ready_of(queue, lane, portion + 1)
    local spent, taken = 0, {}
    for k = 1, math.min(portion, #members) do
      local id = string.sub(members[k], #queue + #lane + 17)
      local value = redis.call('HGET', deliveries, id)
      if not value then
        taken[#taken + 1] = members[k]
      else
        local d = read(value)
        alone = has(d, ALONE)
        if alone and #entry > 1 then break end
        d.state, d.fence, d.holder = LEASED, d.fence + 1, holder
        value = pack(d)
        redis.call('HSET', deliveries, id, value)
        redis.call('ZADD', leased, expires, id)
        entry[#entry + 1] = id
        entry[#entry + 1] = value
        granted[#granted + 1] = id
        taken[#taken + 1] = members[k]
        spent = spent + d.cost
        wanted = wanted - 1
        left = left - 1
        if alone then break end
      end
    end
    if #taken == 0 and not alone then
      -- A turn without ready deliveries: nothing stands behind it.
      redis.call('ZREM', keys.turns, turns[1])
    elseif #taken > 0 then
      redis.call('ZREM', keys.ready, unpack(taken))
      redis.call('ZREM', keys.turns, turns[1])
      redis.call('HSET', keys.clock, queue, virtual)
      if #members > #taken then
        redis.call('ZADD', keys.turns, 0, queue .. '|' .. digits(virtual + spent, 15) .. '|' .. lane)
      end
    end
  end
  if #turns_of(queue, 1) == 0 then
    redis.call('HDEL', keys.clock, queue)
    redis.call('ZREM', keys.wake, queue)
    redis.call('HDEL', KEYS[11], queue)
  else
    entry[1] = 1
    redis.call('ZADD', keys.wake, now + tonumber(ARGV[4]), queue)
  end
  return entry
end

local answer = {expires}
for at = 6, #ARGV, 2 do
  if queue_paused(ARGV[at]) then
    redis.call('ZREM', keys.wake, ARGV[at])
    answer[#answer + 1] = {0}
  elseif left == 0 then
    answer[#answer + 1] = {1}
  else
    answer[#answer + 1] = take(ARGV[at], math.min(left, tonumber(ARGV[at + 1])))
  end
end
if #granted > 0 then redis.call('SET', grant, seq .. '\n' .. table.concat(granted, '\n'), 'PX', lease_ms * 2) end
return answer
