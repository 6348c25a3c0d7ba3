-- What a lost lease says of a delivery that is to be alone; docs/decisions/0016-poison.md tells why so.
-- A grave suspicion gives it the holder to itself until its attempt ends, so only losses in that time can prove it.
local GRAVE, PROVEN = 3, 7
-- Fields of `suspects`: a holder -> the delivery that it makes alone, a space, and since when, ms; '#' -> holders that lost
-- leases, counted; 'x' and a holder -> which of them it was; 'd' and a delivery -> which one was lost last with the delivery,
-- while it was gravely suspected.
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

-- The delivery that a holder makes alone, and since when: nil where an earlier version wrote it.
local function named_by(suspects, holder)
  local id, since = string.match(redis.call('HGET', suspects, holder) or '', '^(%S+) ?(%d*)$')
  return id, tonumber(since)
end

-- A grave suspicion grows by two where the holder ended as soon as it had begun; by one where it lived on with it for long enough
-- to renew the lease, for then it is as likely the delivery's length that had it be there.
local function added(expires, lease_ms, since)
  return since and expires - lease_ms > since and 1 or 2
end

-- expires: when its lease did. Returns whether it is what ends its holders. Where it was not begun with, it cannot be; and where
-- others ended between two that it may have ended, something else ends them.
local function suspect(suspects, d, id, expires, lease_ms)
  local death = death_of(suspects, d.holder)
  if not has(d, ALONE) or not has(d, BEGUN) then return false end
  local named, since = named_by(suspects, d.holder)
  if d.suspicion < GRAVE then
    d.suspicion = math.min(d.suspicion + (named == id and 2 or 1), GRAVE)
  elseif named == id then
    local last = redis.call('HGET', suspects, 'd' .. id)
    if d.suspicion == GRAVE or last and death == tonumber(last) + 1 then
      d.suspicion = math.min(d.suspicion + added(expires, lease_ms, since), PROVEN)
    end
    note(suspects, 'd' .. id, death)
  end
  return d.suspicion == PROVEN
end
