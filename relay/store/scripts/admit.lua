#!lua
-- Accept a message: idempotency, record, content and deliveries in one step. This is the acceptance.
-- KEYS  1 deliveries 2 later 3 ready 4 turns 5 clock 6 age 7 expiry 8 wake 9 paused 10 aside 11 events 12 shares
--       13 m:<id>  14 i:<hash> (m:<id> where there is no idempotency key)  15.. c:<id>, or each of its chunks
--       then, where a delivery says when it is late: late; last, where there are terms: index
-- ARGV  1 id  2 fingerprint ('' without an idempotency key)  3 how long the key is kept, ms  4 deadline of a wake-up, ms
--       5 record  6 content ('' when it lies in chunks)  7 chunks  8 deliveries in all  9 number of the first one here
--       10 part: 'all', 'staged' (more parts follow: nothing is accepted yet) or 'last'
--       11 what a tenant's messages may take up at most, octets (0: no limit); without a tenant nothing is counted
--       12 what the deliveries here are found by, '' for nothing: for each, separated by a space, its terms of 11 characters
--       then for each delivery: queue, lane, cost, flags, due ms (0: now), expires ms (0: by the settings; `<expires>+<when
--       it is late>` where its sender is to hear of that), body
-- Returns {'accepted', id, queues to ring ...}, {'staged', id}, {'repeated', id}, {'conflict', id} (the key stands for another
--       message), {'share', id} (its tenant has more than its share already), or {'missing', id} (a chunk or a staged part is gone: store the content, and say all parts, again).
-- Said twice: {'repeated', id}, and a mark is written so that WAIT counts it.
-- A message of many deliveries comes in parts: those of the first parts are staged in `later`, where promote makes them ready
-- once the last part was admitted, and drops them if it never is.
-- USES clock
-- USES delivery
-- USES lanes
local deliveries, later, age, expiry, events = KEYS[1], KEYS[2], KEYS[6], KEYS[7], KEYS[11]
local shares, record, idem = KEYS[12], KEYS[13], KEYS[14]
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = KEYS[3], KEYS[4], KEYS[5], KEYS[8], KEYS[9], KEYS[10]
local STAGED_MS, FIELDS, FIRST, TERM = 60000, 7, 13, 11
-- What a delivery takes besides content, about.
local OVERHEAD = 700
local id, fingerprint, chunks, total, part = ARGV[1], ARGV[2], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[10]
local terms = ARGV[12]
local needed = 14 + math.max(chunks or 1, 1)
local further = #KEYS - needed - (terms == '' and 0 or 1)
local late = further == 1 and KEYS[needed + 1]
if (#ARGV - FIRST + 1) % FIELDS ~= 0 or further < 0 or further > 1 or not tonumber(ARGV[11]) then
  return redis.error_reply('ARGUMENTS admit: keys or arguments are missing')
end
for at = FIRST, #ARGV, FIELDS do
  local queue, lane = ARGV[at], ARGV[at + 1]
  if #queue > 255 or #lane > 255 or string.find(queue .. lane, '|', 1, true) or not tonumber(ARGV[at + 2]) or tonumber(ARGV[at + 2]) > 65535
    or not tonumber(ARGV[at + 3]) or not tonumber(ARGV[at + 4])
    or not (tonumber(ARGV[at + 5]) or late and string.find(ARGV[at + 5], '^%d+%+%d+$')) then
    return redis.error_reply('ARGUMENTS admit: a queue, lane or number that cannot be stored')
  end
end

if redis.call('HEXISTS', record, 'o') == 1 then
  redis.call('HSET', record, 'w', 1)
  return {'repeated', id}
end
if fingerprint ~= '' then
  local known = redis.call('GET', idem)
  if known then
    local other = string.sub(known, 1, 20)
    if string.sub(known, 21) ~= fingerprint then return {'conflict', other} end
    redis.call('SET', idem, known, 'KEEPTTL')
    return {'repeated', other}
  end
end
for k = 1, chunks do
  if redis.call('EXISTS', KEYS[14 + k]) == 0 then return {'missing', id} end
end
local tenant = string.sub(ARGV[FIRST + 1], 2)
local octets = total * OVERHEAD
if tenant ~= '' then
  for k = 1, math.max(chunks, 1) do octets = octets + (chunks == 0 and #ARGV[6] or redis.call('STRLEN', KEYS[14 + k])) end
  local most = tonumber(ARGV[11])
  if most > 0 and tonumber(redis.call('HGET', shares, tenant) or 0) + octets > most then return {'share', id} end
end

local now = now_ms()
local number = tonumber(ARGV[9])
local staged = {}
if part == 'last' then
  for n = 0, number - 1 do
    if not redis.call('ZSCORE', later, id .. '.' .. n) then return {'missing', id} end
    staged[#staged + 1] = now
    staged[#staged + 1] = id .. '.' .. n
  end
end
local wake = now + tonumber(ARGV[4])
local answer = {part == 'staged' and 'staged' or 'accepted', id}
for at = FIRST, #ARGV, FIELDS do
  local delivery = id .. '.' .. number
  local d = {state = READY, flags = tonumber(ARGV[at + 3]), attempts = 0, losses = 0, suspicion = 0, fence = 0, ms = tonumber(ARGV[at + 4]),
    cost = tonumber(ARGV[at + 2]), chunks = chunks, holder = '', queue = ARGV[at], lane = ARGV[at + 1], body = ARGV[at + 6]}
  if part == 'staged' then
    d.state = STAGED
    redis.call('ZADD', later, now + STAGED_MS, delivery)
  elseif d.ms > now then
    d.state = LATER
    redis.call('ZADD', later, d.ms, delivery)
  else
    d.ms = now
    if line_up(d, delivery, wake) then answer[#answer + 1] = d.queue end
  end
  redis.call('HSET', deliveries, delivery, pack(d))
  redis.call('ZADD', age, now, delivery)
  local own = tonumber(ARGV[at + 5])
  if not own then
    local expires, notice = string.match(ARGV[at + 5], '^(%d+)%+(%d+)$')
    own = tonumber(expires)
    redis.call('ZADD', late, notice, delivery)
  end
  if own > 0 then redis.call('ZADD', expiry, own, delivery) end
  number = number + 1
end
if terms ~= '' then
  local members, delivery = {}, tonumber(ARGV[9])
  for some in string.gmatch(terms .. ' ', '(.-) ') do
    for at = 1, #some, TERM do
      members[#members + 1] = 0
      members[#members + 1] = string.sub(some, at, at + TERM - 1) .. '|' .. tenant .. '|' .. id .. '.' .. delivery
    end
    delivery = delivery + 1
  end
  for at = 1, #members, 400 do redis.call('ZADD', KEYS[#KEYS], unpack(members, at, math.min(at + 399, #members))) end
end
if part == 'staged' then return answer end

redis.call('HSET', record, 'm', ARGV[5], 'o', total)
if tenant ~= '' then
  redis.call('HSET', record, 'b', string.format('%.0f ', octets) .. tenant)
  redis.call('HINCRBY', shares, tenant, string.format('%.0f', octets))
end
if chunks == 0 then
  redis.call('SET', KEYS[15], ARGV[6])
else
  for k = 1, chunks do redis.call('PERSIST', KEYS[14 + k]) end
end
if fingerprint ~= '' then redis.call('SET', idem, id .. fingerprint, 'PX', ARGV[3]) end
-- The staged parts are due at once: promote takes them up from here.
for k = 1, #staged, 200 do redis.call('ZADD', later, 'XX', unpack(staged, k, math.min(k + 199, #staged))) end
redis.call('XADD', events, '*', id, 'a')
return answer
