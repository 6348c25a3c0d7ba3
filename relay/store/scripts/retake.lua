#!lua flags=allow-oom
-- Take back leases that the store itself lost: a replica that became primary had not got them. Said where extend or settle
-- answered 'lost'. A fence was granted by the store, so one above the delivery's proves that writes were lost.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 leased 7 held 8 wake 9 paused 10 aside 11 seen
--       then for each delivery: m:<id>
-- ARGV  1 holder  2 lease, ms  then for each delivery: id, fence
-- Returns for each delivery: 'retaken' or 'kept' (the holder has the lease); 'doubled': another had it under this fence or under
--       an earlier one, so that both may have sent it, and the message's record counts that; 'lost': it was reclaimed, which
--       counted, or settled.
-- Said twice: 'kept', or the same. The record counts a holder's fence once.
-- USES clock
-- USES delivery
-- USES lanes
-- USES seen
-- USES pick
local deliveries, later, leased, held, seen = KEYS[1], KEYS[2], KEYS[6], KEYS[7], KEYS[11]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[8], KEYS[9], KEYS[10]
local holder, lease_ms = ARGV[1], tonumber(ARGV[2])
if #ARGV < 4 or #ARGV % 2 ~= 0 or not lease_ms or #KEYS ~= 11 + (#ARGV - 2) / 2 then
  return redis.error_reply('ARGUMENTS retake: a fence or a record is missing')
end
for at = 4, #ARGV, 2 do
  if not tonumber(ARGV[at]) then return redis.error_reply('ARGUMENTS retake: a fence is no number') end
end
local now = now_ms()
look(seen, now, lease_ms)

-- The highest fence under which anything of a delivery was made final, 0 for none.
local function last_fence(record, id)
  local prefix, last = 'f' .. string.sub(id, 22) .. '.', 0
  for _, field in ipairs(redis.call('HKEYS', record)) do
    if string.sub(field, 1, #prefix) == prefix then last = math.max(last, tonumber(string.sub(field, #prefix + 1))) end
  end
  return last
end

local function doubled(record, id, fence)
  local mark = 'l' .. string.sub(id, 22) .. '.' .. fence .. '.' .. holder
  if redis.call('EXISTS', record) == 1 and redis.call('HSETNX', record, mark, 1) == 1 then
    redis.call('HINCRBY', record, 'p', 1)
  end
  return 'doubled'
end

local function retake(id, fence, record)
  local value = redis.call('HGET', deliveries, id)
  local d = value and read(value)
  if not value then
    local last = last_fence(record, id)
    return last > 0 and last <= fence and doubled(record, id, fence) or 'lost'
  end
  if not d or d.state == STAGED then return 'lost' end
  if d.state == LEASED and d.fence == fence and d.holder == holder then
    redis.call('ZADD', leased, now + lease_ms, id)
    return 'kept'
  end
  if d.fence < fence and d.state ~= LEASED then
    leave(d, id, later, held)
    if d.state == HELD then with(d, HOLD) end
    d.state, d.fence, d.holder = LEASED, fence, holder
    redis.call('HSET', deliveries, id, pack(d))
    redis.call('ZADD', leased, now + lease_ms, id)
    return 'retaken'
  end
  if d.fence > fence or d.holder == '' or d.holder == holder then return 'lost' end
  return doubled(record, id, fence)
end

local answer = {}
for at = 3, #ARGV, 2 do
  answer[#answer + 1] = retake(ARGV[at], tonumber(ARGV[at + 1]), KEYS[11 + (at - 1) / 2])
end
return answer
