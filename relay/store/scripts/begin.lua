#!lua flags=allow-oom
-- Begin with a delivery that is to be alone: while its holder names it, it is the one to suspect if the holder ends.
-- KEYS  1 deliveries 2 suspects
-- ARGV  1 holder  2 id ('': none is to be suspected from now on)  3 fence
-- Returns {'begun'}, {'none'}, or {'lost'} (another holds it: nothing was changed).
-- Said twice: the same.
-- USES clock
-- USES delivery
-- USES suspicion
local deliveries, suspects = KEYS[1], KEYS[2]
local holder, id, fence = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not holder or not id or not fence then return redis.error_reply('ARGUMENTS begin: holder, id and fence are needed') end
if id == '' then
  redis.call('HDEL', suspects, holder)
  return {'none'}
end
local value = redis.call('HGET', deliveries, id)
local d = value and read(value)
if not d or d.state ~= LEASED or d.holder ~= holder or d.fence ~= fence then return {'lost'} end
with(d, BEGUN)
redis.call('HSET', deliveries, id, pack(d))
if named_by(suspects, holder) ~= id then
  note(suspects, holder, id .. ' ' .. string.format('%.0f', now_ms()))
end
return {'begun'}
