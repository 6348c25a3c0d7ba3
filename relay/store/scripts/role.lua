#!lua flags=allow-oom
-- Take, keep or give back a role: one process at a time projects the events for a consumer.
-- KEYS  1 roles:<consumer>
-- ARGV  1 token of the process  2 for how long, ms (0: give it back)
-- Returns {'held', ms}, {'given'} or {'taken', ms that another still has it}.
-- Said twice: the same.
local role, token, ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not ms then return redis.error_reply('ARGUMENTS role: a token and a time are needed') end
local holder = redis.call('GET', role)
if ms == 0 then
  if holder == token then redis.call('DEL', role) end
  return {'given'}
end
if holder and holder ~= token then return {'taken', redis.call('PTTL', role)} end
redis.call('SET', role, token, 'PX', ms)
return {'held', ms}
