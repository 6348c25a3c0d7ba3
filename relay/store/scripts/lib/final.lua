-- The end of a delivery: its outcome goes into the record, its content when nothing else needs it.
-- A record's `k` counts claims on the content: deliveries whose DSN is still to be written.
-- shares: the key of that name, which each script that ends messages sets; a record's `b` says what its tenant has less then.
local shares
local function give_back_share(record, share)
  if not share then return end
  local octets, tenant = string.match(share, '^(%d+) (.*)$')
  redis.call('HDEL', record, 'b')
  if redis.call('HINCRBY', shares, tenant, '-' .. octets) <= 0 then redis.call('HDEL', shares, tenant) end
end

local function drop_content(record, contents, retention_ms)
  local found = redis.call('HMGET', record, 'o', 'k', 'b')
  if tonumber(found[1] or 0) > 0 or tonumber(found[2] or 0) > 0 then return end
  if #contents > 0 then redis.call('UNLINK', unpack(contents)) end
  redis.call('PEXPIRE', record, retention_ms)
  give_back_share(record, found[3])
end

-- value: the delivery as it was attempted, with what its sender wants to hear of each recipient.
local function claim(record, id, fence, value)
  if redis.call('HSETNX', record, 'k' .. string.sub(id, 22) .. '.' .. fence, value) == 1 then
    redis.call('HINCRBY', record, 'k', 1)
  end
end

-- Counts leases of it that ended without a settle: each is a possible double.
local function note_doubts(record, d)
  if has(d, DOUBT) then redis.call('HINCRBY', record, 'p', 1 + d.losses) end
end

local function outcome_field(id, fence)
  return 'f' .. string.sub(id, 22) .. '.' .. fence
end

-- places: the keys deliveries, age and expiry. The delivery has left later, ready, leased or held already.
local function finish(places, id, record, contents, retention_ms)
  redis.call('HDEL', places[1], id)
  redis.call('ZREM', places[2], id)
  redis.call('ZREM', places[3], id)
  redis.call('HINCRBY', record, 'o', -1)
  drop_content(record, contents, retention_ms)
end

-- Ends a delivery that no attempt ended. It leaves a mark where an operator asked for it, so that asking again has the same answer.
-- kind: 'x' expired, 'c' cancelled, 'r' bounced by an operator with this reply; its body says which recipients it was for.
-- Returns the event to append.
local function give_up(places, id, d, kind, now, record, contents, retention_ms, report, reply)
  local fence = d.fence + 1
  local value = pack(d)
  note_doubts(record, d)
  local said = reply and string.char(#reply) .. reply or ''
  redis.call('HSET', record, outcome_field(id, fence), kind .. string.format('%013.0f', now) .. said .. value)
  if kind ~= 'x' then redis.call('HSET', record, 'e' .. string.sub(id, 22), kind) end
  if report then claim(record, id, fence, value) end
  finish(places, id, record, contents, retention_ms)
  return (report and string.upper(kind) or kind) .. fence
end

-- What an operator wants a delivery to be bounced with, once nobody attempts it: false where it is to be cancelled alone.
local function asked_reply(record, id)
  return redis.call('HGET', record, 'r' .. string.sub(id, 22))
end

-- The event of one that is to end as an operator asked while it was leased.
local function end_as_asked(places, id, d, now, record, contents, retention_ms)
  local reply = asked_reply(record, id)
  if not reply then return give_up(places, id, d, 'c', now, record, contents, retention_ms, false) end
  return give_up(places, id, d, 'r', now, record, contents, retention_ms, has(d, REPORT), reply)
end

-- The delivery in an outcome that give_up wrote.
local function given_up(value)
  local at = 15
  if string.sub(value, 1, 1) == 'r' then at = 16 + string.byte(value, 15) end
  return read(string.sub(value, at))
end
