-- Ready deliveries, and whose turn it is: start-time fair queueing over the lanes of a queue.
-- A lane has a turn exactly while it has ready deliveries, unless its tenant is held (then it is in aside).
local keys = {}

local function digits(number, width)
  return string.format('%0' .. width .. '.0f', number)
end

local function member(d, id)
  return d.queue .. '|' .. d.lane .. '|' .. digits(d.ms, 13) .. '|' .. id
end

local function ready_of(queue, lane, count)
  local prefix = queue .. '|' .. lane
  return redis.call('ZRANGEBYLEX', keys.ready, '[' .. prefix .. '|', '(' .. prefix .. '}', 'LIMIT', 0, count)
end

local function turns_of(queue, count)
  return redis.call('ZRANGEBYLEX', keys.turns, '[' .. queue .. '|', '(' .. queue .. '}', 'LIMIT', 0, count)
end

-- What `paused` says of a tenant begins with 'h' while it is held, with 'u' while its lanes are being given back.
local function tenant_paused(tenant)
  local why = redis.call('HGET', keys.paused, 't:' .. tenant)
  return why and string.sub(why, 1, 1) == 'h'
end

local function give_turn(queue, lane, virtual)
  local tenant = string.sub(lane, 2)
  if tenant_paused(tenant) then
    redis.call('ZADD', keys.aside, 0, tenant .. '|' .. queue .. '|' .. lane)
  else
    redis.call('ZADD', keys.turns, 0, queue .. '|' .. digits(virtual, 15) .. '|' .. lane)
  end
end

-- Adds a delivery to its lane; the lane gets its turn at the queue's virtual time where it had none.
local function make_ready(d, id)
  if #ready_of(d.queue, d.lane, 1) == 0 then
    give_turn(d.queue, d.lane, tonumber(redis.call('HGET', keys.clock, d.queue) or 0))
  end
  redis.call('ZADD', keys.ready, 0, member(d, id))
end

-- Takes a delivery out of its lane; the lane loses its turn with its last delivery.
local function leave_ready(d, id)
  redis.call('ZREM', keys.ready, member(d, id))
  if #ready_of(d.queue, d.lane, 1) > 0 then return end
  local tenant = string.sub(d.lane, 2)
  redis.call('ZREM', keys.aside, tenant .. '|' .. d.queue .. '|' .. d.lane)
  for _, turn in ipairs(turns_of(d.queue, 1000)) do
    if string.sub(turn, #d.queue + 18) == d.lane then redis.call('ZREM', keys.turns, turn) end
  end
  if #turns_of(d.queue, 1) == 0 then
    redis.call('HDEL', keys.clock, d.queue)
    if redis.call('ZSCORE', keys.wake, d.queue) then redis.call('ZREM', keys.wake, d.queue) end
  end
end

local function queue_paused(queue)
  return redis.call('HEXISTS', keys.paused, 'q:' .. queue) == 1
end

-- Whether a queue can be served: it is not held, and not all of its ready deliveries are set aside.
local function serves(queue)
  return not queue_paused(queue) and #turns_of(queue, 1) > 0
end

-- Sees to it that a queue with ready deliveries will be rung at `ms`, or sooner where it was to be already.
-- Returns whether it had no wake entry, so that the caller rings it now.
local function wake_at(queue, ms)
  return redis.call('ZSCORE', keys.wake, queue) == false and serves(queue) and redis.call('ZADD', keys.wake, ms, queue) == 1
end

-- The same at `ms` exactly. Returns whether it can be served.
local function wake_then(queue, ms)
  if not serves(queue) then return false end
  redis.call('ZADD', keys.wake, ms, queue)
  return true
end
