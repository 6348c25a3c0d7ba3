-- A delivery that somebody names by its id, wherever it is.
-- Returns it; or nil and 'final', 'cancelled', 'newer' or 'unknown' (no such message, or one that is not accepted yet).
local function pick(deliveries, record, id)
  local value = redis.call('HGET', deliveries, id)
  local accepted = redis.call('HEXISTS', record, 'o') == 1
  if not accepted then return nil, 'unknown' end
  if not value then return nil, redis.call('HGET', record, 'e' .. string.sub(id, 22)) == 'c' and 'cancelled' or 'final' end
  local d = read(value)
  return d, 'newer'
end

-- Takes a delivery that is not leased out of its place.
local function leave(d, id, later, held)
  if d.state == READY then
    leave_ready(d, id)
  else
    redis.call('ZREM', d.state == HELD and held or later, id)
  end
end
