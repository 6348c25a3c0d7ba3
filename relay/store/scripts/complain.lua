#!lua flags=allow-oom
-- Note that a recipient complained about a message, and tell it to the outbox. The message may be long over, and its record gone.
-- KEYS  1 events 2 j:<id>
-- ARGV  1 message id  2 tenant  3 recipient ('': not told)  4 kind  5 token of this call  6 how long it is remembered, ms  7 at most so many a message
-- Returns {'noted', number}, {'repeated', number} (the recipient has complained about it already) or {'full', number}.
-- Said twice (same token): the same.
-- USES clock
local events, complaints = KEYS[1], KEYS[2]
local id, tenant, recipient, kind, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local remembered, most = tonumber(ARGV[6]), tonumber(ARGV[7])
if not remembered or not most or id == '' or kind == '' or token == '' then
  return redis.error_reply('ARGUMENTS complain: id, kind, token or a number is missing')
end
local known = redis.call('HGET', complaints, '@' .. recipient)
if known then
  local other, number = string.match(known, '^(%S+) (%d+)$')
  return {other == token and 'noted' or 'repeated', tonumber(number)}
end
local number = tonumber(redis.call('HGET', complaints, 'n') or 0) + 1
if number > most then return {'full', most} end
redis.call('HSET', complaints, 'n', number, 't', tenant, '@' .. recipient, token .. ' ' .. number,
  '#' .. number, string.format('%013.0f', now_ms()) .. kind .. ' ' .. recipient)
redis.call('PEXPIRE', complaints, remembered)
redis.call('XADD', events, '*', id .. '.0', 'j' .. number)
return {'noted', number}
