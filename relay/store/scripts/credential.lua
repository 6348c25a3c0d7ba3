#!lua flags=allow-oom
-- Add, change or remove a credential, with its event for the audit.
-- KEYS  1 users or tokens 2 audit
-- ARGV  1 name  2 the record as it was read ('' where there is none yet)  3 the new record ('' to remove it)
--       4 how many events are kept  then field, value ... of the event
-- Returns {'done'}, or {'stale'}: somebody else was here first, nothing is changed.
-- Said twice: {'done'}, and one event.
local credentials, audit = KEYS[1], KEYS[2]
local name, before, after, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if name == '' or not keep or #ARGV < 6 or #ARGV % 2 ~= 0 or before == after then
  return redis.error_reply('ARGUMENTS credential: a name, two different records and an event are needed')
end
local now = redis.call('HGET', credentials, name) or ''
if now == after then return {'done'} end
if now ~= before then return {'stale'} end
if after == '' then redis.call('HDEL', credentials, name) else redis.call('HSET', credentials, name, after) end
redis.call('XADD', audit, 'MAXLEN', '~', keep, '*', unpack(ARGV, 5))
return {'done'}
