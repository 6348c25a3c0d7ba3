-- What a lost lease says of a delivery that is to be alone; docs/decisions/0016-poison.md tells why so.
-- A grave suspicion gives it the holder to itself until its attempt ends, so only losses in that time can prove it.
local GRAVE, PROVEN = 3, 7
-- Fields of `suspects`: a holder -> the delivery that it makes alone; '#' -> holders that lost leases, counted; 'x' and a holder
-- -> which of them it was; 'd' and a delivery -> which one was lost last with the delivery, while it was gravely suspected.
-- What is older than so many fields is forgotten: it can prove nothing any more.
local MOST_FIELDS = 2000

local function note(suspects, field, value)
  if redis.call('HLEN', suspects) >= MOST_FIELDS then redis.call('DEL', suspects) end
  redis.call('HSET', suspects, field, value)
end

-- Which of all holders that lost leases this one was.
local function death_of(suspects, holder)
  local number = redis.call('HGET', suspects, 'x' .. holder)
  if number then return tonumber(number) end
  number = redis.call('HINCRBY', suspects, '#', 1)
  note(suspects, 'x' .. holder, number)
  return number
end

-- Returns whether it is what ends its holders. Where it was not begun with, it cannot be; and where others ended between two
-- that it may have ended, something else ends them.
local function suspect(suspects, d, id)
  local death = death_of(suspects, d.holder)
  if not has(d, ALONE) or not has(d, BEGUN) then return false end
  local found = redis.call('HGET', suspects, d.holder) == id
  if d.suspicion < GRAVE then
    d.suspicion = math.min(d.suspicion + (found and 2 or 1), GRAVE)
  elseif found then
    local last = redis.call('HGET', suspects, 'd' .. id)
    if d.suspicion < PROVEN - 2 or last and death == tonumber(last) + 1 then
      d.suspicion = math.min(d.suspicion + 2, PROVEN)
    end
    note(suspects, 'd' .. id, death)
  end
  return d.suspicion == PROVEN
end
