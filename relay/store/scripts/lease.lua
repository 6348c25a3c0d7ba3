#!lua flags=allow-oom
-- Lease ready deliveries of several queues: ready -> leased. The lane of lowest virtual time is served first.
-- KEYS  1 deliveries 2 ready 3 turns 4 clock 5 leased 6 wake 7 paused 8 aside 9 seen 10 g:<holder> 11 reasons
-- ARGV  1 holder  2 seq, one higher for each new call of the holder  3 lease, ms  4 deadline of a wake-up, ms
--       5 how many in all queues together
--       then for each queue: its name, deliveries wanted
-- Returns {lease expires at ms, then for each queue: {1 or 0: more is ready, id, value, id, value ...}}. A queue that is asked
--       for when no more may be granted answers {1} and keeps its wake entry. {2}: what is next cannot be read here.
-- Said twice (same holder and seq): the same grant, as far as it is still held.
-- A delivery marked alone is leased by itself. One that a newer version wrote is left to a newer worker, and its queue with it:
-- the answer is {2}, and the queue is rung again at the deadline.
-- USES clock
-- USES delivery
-- USES lanes
-- USES seen
local deliveries, leased, seen, grant = KEYS[1], KEYS[5], KEYS[9], KEYS[10]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[2], KEYS[3], KEYS[4], KEYS[6], KEYS[7], KEYS[8]
-- How much of its turn a lane takes while others wait; how many turns a queue has in one call.
local QUANTUM, MOST_STEPS = 5, 100
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

-- Queues rest with a reason seldom.
local any_reasons = redis.call('EXISTS', KEYS[11]) == 1
local granted = {}
local unreadable = false

-- What gets a place or leaves one does so together with the others of the call: a command each would cost more than all else here.
-- A queue that was emptied keeps its last turn and members until then, so it is not looked at again.
local moved, until_when, unready, unturned, emptied = {}, {}, {}, {}, {}
local done = {}

local function together(command, key, what)
  for at = 1, #what, 1000 do redis.call(command, key, unpack(what, at, math.min(at + 999, #what))) end
end

local function move_together()
  together('HSET', deliveries, moved)
  together('ZADD', leased, until_when)
  together('ZREM', keys.ready, unready)
  together('ZREM', keys.turns, unturned)
  together('HDEL', keys.clock, emptied)
  together('ZREM', keys.wake, emptied)
  if any_reasons then together('HDEL', KEYS[11], emptied) end
end

-- Moves up to `portion` deliveries of a lane into `entry`. Returns what they cost, how many of the members are to leave `ready`,
-- and whether the queue is to be served no further.
local function grant_from(queue, lane, members, portion, entry)
  local ids = {}
  for k = 1, math.min(portion, #members) do ids[k] = string.sub(members[k], #queue + #lane + 17) end
  local values = #ids > 0 and redis.call('HMGET', deliveries, unpack(ids)) or {}
  local spent, taken, stop = 0, 0, false
  for k = 1, #ids do
    local d = values[k] and read(values[k])
    local alone = d and has(d, ALONE)
    if values[k] and not d or alone and #entry > 1 then
      unreadable = not d
      stop = true
      break
    end
    taken, stop = k, alone
    if d then
      d.state, d.fence, d.holder = LEASED, d.fence + 1, holder
      local value, at = pack(d), #moved + 1
      moved[at], moved[at + 1] = ids[k], value
      until_when[at], until_when[at + 1] = expires, ids[k]
      entry[#entry + 1] = ids[k]
      entry[#entry + 1] = value
      granted[#granted + 1] = ids[k]
      spent = spent + d.cost
      left = left - 1
    end
    if alone then break end
  end
  return spent, taken, stop
end

-- Serves the lane whose turn it is, or sets it aside where its tenant is held. Returns whether the queue is to be served no further,
-- and whether that lane has no turn any more.
local function serve(queue, turns, wanted, entry)
  local virtual = tonumber(string.sub(turns[1], #queue + 2, #queue + 16))
  local lane = string.sub(turns[1], #queue + 18)
  local tenant = string.sub(lane, 2)
  if tenant_paused(tenant) then
    redis.call('ZREM', keys.turns, turns[1])
    redis.call('ZADD', keys.aside, 0, tenant .. '|' .. queue .. '|' .. lane)
    return false, true
  end
  local portion = turns[2] and math.min(wanted, QUANTUM) or wanted
  local members = ready_of(queue, lane, portion + 1)
  local spent, taken, stop = grant_from(queue, lane, members, portion, entry)
  local served = #members == taken
  local emptied_now = served and not turns[2]
  if emptied_now and taken == 1 then
    unready[#unready + 1] = members[1]
  elseif taken > 0 then
    -- They are the first of their lane, so they lie side by side.
    redis.call('ZREMRANGEBYLEX', keys.ready, '[' .. members[1], '[' .. members[taken])
  end
  if emptied_now then
    unturned[#unturned + 1] = turns[1]
  elseif taken > 0 or served then
    if taken > 0 then redis.call('HSET', keys.clock, queue, virtual) end
    redis.call('ZREM', keys.turns, turns[1])
    if not served then
      redis.call('ZADD', keys.turns, 0, queue .. '|' .. string.format(VIRTUAL, virtual + spent) .. '|' .. lane)
    end
  end
  return stop, served
end

local function take(queue, wanted)
  local entry = {0}
  local steps, empty, stop = 0, nil, false
  unreadable = false
  while steps < MOST_STEPS and not stop and not empty do
    local missing = wanted - (#entry - 1) / 2
    if missing <= 0 then break end
    local turns = turns_of(queue, 2)
    empty = #turns == 0
    if not empty then
      steps = steps + 1
      local served
      stop, served = serve(queue, turns, missing, entry)
      empty = served and not turns[2]
    end
  end
  if empty == nil then empty = #turns_of(queue, 1) == 0 end
  if empty then
    emptied[#emptied + 1] = queue
    done[queue] = true
  else
    -- Where nothing could be granted, asking again at once would give the same.
    entry[1] = (#entry > 1 or steps == MOST_STEPS) and 1 or unreadable and 2 or 0
    redis.call('ZADD', keys.wake, now + tonumber(ARGV[4]), queue)
  end
  return entry
end

local answer = {expires}
for at = 6, #ARGV, 2 do
  if queue_paused(ARGV[at]) then
    redis.call('ZREM', keys.wake, ARGV[at])
    answer[#answer + 1] = {0}
  elseif done[ARGV[at]] then
    answer[#answer + 1] = {0}
  elseif left == 0 then
    answer[#answer + 1] = {1}
  else
    answer[#answer + 1] = take(ARGV[at], math.min(left, tonumber(ARGV[at + 1])))
  end
end
move_together()
if #granted > 0 then redis.call('SET', grant, seq .. '\n' .. table.concat(granted, '\n'), 'PX', lease_ms * 2) end
return answer
