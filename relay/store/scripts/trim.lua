#!lua flags=allow-oom
-- Forget events that every consumer had applied a while ago; and the reasons of queues that wait no more.
-- KEYS  1 events 2 cursors 3 wake 4 reasons
-- ARGV  1 how long ago at least, ms  2 how many events at most  then each consumer: one without a cursor holds everything. Where there
--       is none, events go by their age alone
-- Returns {'trimmed', how many events, how many reasons}.
-- Said twice: the next ones.
-- USES clock
local events, cursors, wake, reasons = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- No consumer's name is empty: under it lies the last look: its time, the lowest cursor then, and the one at the look before.
local LOOK, SAMPLE = '', 20
local apart, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if not apart or not limit then return redis.error_reply('ARGUMENTS trim: two numbers are needed') end
local now = now_ms()

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function before(one, other)
  local ms, seq = parts(one)
  local ms2, seq2 = parts(other)
  return ms < ms2 or ms == ms2 and seq < seq2
end

local function lowest()
  local low = #ARGV == 2 and string.format('%.0f-0', now)
  for at = 3, #ARGV do
    local cursor = redis.call('HGET', cursors, ARGV[at])
    if not cursor then return nil end
    if not low or before(cursor, low) then low = cursor end
  end
  return low
end

local trimmed, forgotten = 0, 0
local low = lowest()
if low then
  local at, seen, safe = string.match(redis.call('HGET', cursors, LOOK) or '', '^(%d+) (%S+) (%S+)$')
  at = tonumber(at or 0)
  if not seen or at > now or now - at >= apart then
    safe = seen and at <= now and seen or safe or '0-0'
    redis.call('HSET', cursors, LOOK, string.format('%.0f ', now) .. low .. ' ' .. safe)
  end
  -- A cursor that was set back (by hand, to have events applied again) holds what it points at.
  if before(low, safe) then safe = low end
  trimmed = redis.call('XTRIM', events, 'MINID', '~', safe, 'LIMIT', limit)
end
if redis.call('EXISTS', reasons) == 1 then
  for _, queue in ipairs(redis.call('HRANDFIELD', reasons, SAMPLE)) do
    if not redis.call('ZSCORE', wake, queue) then forgotten = forgotten + redis.call('HDEL', reasons, queue) end
  end
end
return {'trimmed', trimmed, forgotten}
