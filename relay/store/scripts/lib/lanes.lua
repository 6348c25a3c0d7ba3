-- Ready deliveries, and whose turn it is: start-time fair queueing over the lanes of a queue.
-- A lane has a turn exactly while it has ready deliveries, unless its tenant is held (then it is in aside).
local keys = {}

-- As many digits as order them as text: of a time in ms, and of a virtual time. Lua's %d holds a long, and costs less than %.0f.
local MS, VIRTUAL = '%013d', '%015d'

local function member(d, id)
  return d.queue .. '|' .. d.lane .. '|' .. string.format(MS, d.ms) .. '|' .. id
end

local function ready_of(queue, lane, count)
  local prefix = queue .. '|' .. lane
  return redis.call('ZRANGEBYLEX', keys.ready, '[' .. prefix .. '|', '(' .. prefix .. '}', 'LIMIT', 0, count)
end

local function turns_of(queue, count)
  return redis.call('ZRANGEBYLEX', keys.turns, '[' .. queue .. '|', '(' .. queue .. '}', 'LIMIT', 0, count)
end

-- Queues and tenants are held seldom: whether any is, is asked once a call. No call holds one and asks about it later.
local any_held
local function any_paused()
  if any_held == nil then any_held = redis.call('EXISTS', keys.paused) == 1 end
  return any_held
end

-- What `paused` says of a tenant begins with 'h' while it is held, with 'u' while its lanes are being given back.
local function tenant_paused(tenant)
  local why = any_paused() and redis.call('HGET', keys.paused, 't:' .. tenant)
  return why and string.sub(why, 1, 1) == 'h'
end

-- Queues whose turns were looked through in this call: queue -> lane -> turn.
local looked = {}

local function turn_of(queue, lane)
  if not looked[queue] then
    looked[queue] = {}
    for _, turn in ipairs(turns_of(queue, 1000)) do looked[queue][string.sub(turn, #queue + 18)] = turn end
  end
  return looked[queue][lane]
end

-- Returns whether the lane has its turn, and is not set aside.
local function give_turn(queue, lane, virtual)
  local tenant = string.sub(lane, 2)
  if tenant_paused(tenant) then
    redis.call('ZADD', keys.aside, 0, tenant .. '|' .. queue .. '|' .. lane)
    return false
  end
  local turn = queue .. '|' .. string.format(VIRTUAL, virtual) .. '|' .. lane
  redis.call('ZADD', keys.turns, 0, turn)
  if looked[queue] then looked[queue][lane] = turn end
  return true
end

-- Adds a delivery to its lane; the lane gets its turn at the queue's virtual time where it had none.
-- Returns true where it got it: then the queue can be served.
local function make_ready(d, id)
  local turned = #ready_of(d.queue, d.lane, 1) == 0
    and give_turn(d.queue, d.lane, tonumber(redis.call('HGET', keys.clock, d.queue) or 0))
  redis.call('ZADD', keys.ready, 0, member(d, id))
  return turned
end

-- Takes a delivery out of its lane; the lane loses its turn with its last delivery.
local function leave_ready(d, id)
  redis.call('ZREM', keys.ready, member(d, id))
  if #ready_of(d.queue, d.lane, 1) > 0 then return end
  local tenant = string.sub(d.lane, 2)
  redis.call('ZREM', keys.aside, tenant .. '|' .. d.queue .. '|' .. d.lane)
  local turn = turn_of(d.queue, d.lane)
  if turn then
    redis.call('ZREM', keys.turns, turn)
    looked[d.queue][d.lane] = nil
  end
  if #turns_of(d.queue, 1) == 0 then
    redis.call('HDEL', keys.clock, d.queue)
    if redis.call('ZSCORE', keys.wake, d.queue) then redis.call('ZREM', keys.wake, d.queue) end
  end
end

local function queue_paused(queue)
  return any_paused() and redis.call('HEXISTS', keys.paused, 'q:' .. queue) == 1
end

-- Whether a queue can be served: it is not held, and not all of its ready deliveries are set aside.
local function serves(queue)
  return not queue_paused(queue) and #turns_of(queue, 1) > 0
end

-- Sees to it that a queue with ready deliveries will be rung at `ms`, or sooner where it was to be already.
-- turned: what make_ready answered, if it was asked. Returns whether it had no wake entry, so that the caller rings it now.
local function wake_at(queue, ms, turned)
  if not turned and (redis.call('ZSCORE', keys.wake, queue) or #turns_of(queue, 1) == 0) then return false end
  return not queue_paused(queue) and redis.call('ZADD', keys.wake, 'NX', ms, queue) == 1
end

-- The same at `ms` exactly. Returns whether it can be served.
local function wake_then(queue, ms)
  if not serves(queue) then return false end
  redis.call('ZADD', keys.wake, ms, queue)
  return true
end

-- Adds a delivery to its lane, and sees to it that its queue will be rung at `ms`, or sooner where it was to be already.
-- Returns whether the queue had no wake entry, so that the caller rings it now. While nothing is held, such a queue has nothing
-- ready and no virtual time: neither is asked for.
local function line_up(d, id, ms)
  if any_paused() then return wake_at(d.queue, ms, make_ready(d, id)) end
  if redis.call('ZADD', keys.wake, 'NX', ms, d.queue) == 0 then
    make_ready(d, id)
    return false
  end
  give_turn(d.queue, d.lane, 0)
  redis.call('ZADD', keys.ready, 0, member(d, id))
  return true
end
