#!lua
-- Count messages against a credential's quotas: each that fits is counted, each that does not is refused.
-- KEYS  1 quota 2 spent:<holder>
-- ARGV  1 seq, another one for each new call of the holder
--       2 messages a minute  3 messages a day  4 recipients a minute  5 recipients a day (0: no limit)
--       then for each message: its recipients
-- Returns {a digit for each message in one string: 1 fits, 0 does not, the first quota that was used up ('-' for none: messages_minute,
--   messages_day, recipients_minute, recipients_day), ms until that one begins anew (0 for none)}
-- Said twice (same seq): the same, counted once.
-- USES clock
local quota, spent = KEYS[1], KEYS[2]
local seq, FIRST, MOST = ARGV[1], 6, 100
local limits = {tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])}
if #limits ~= 4 or #ARGV < FIRST or #ARGV > FIRST + MOST - 1 then
  return redis.error_reply('ARGUMENTS spend: four limits and 1 to 100 messages are needed')
end
for at = FIRST, #ARGV do
  if not tonumber(ARGV[at]) or tonumber(ARGV[at]) < 0 then return redis.error_reply('ARGUMENTS spend: recipients are a number') end
end
local MINUTE, DAY = 60000, 86400000
local NAMES = {'messages_minute', 'messages_day', 'recipients_minute', 'recipients_day'}
local answered = redis.call('GET', spent)
if answered then
  local of, flags, name, ms = string.match(answered, '^(%S+) (%d+) (%S+) (%d+)$')
  if of == seq then return {flags, name, tonumber(ms)} end
end

local now = now_ms()
local minute, day = math.floor(now / MINUTE), math.floor(now / DAY)
local known = redis.call('HMGET', quota, 'minute', 'day', 'mm', 'md', 'rm', 'rd')
local same_minute, same_day = tonumber(known[1]) == minute, tonumber(known[2]) == day
local used = {same_minute and tonumber(known[3]) or 0, same_day and tonumber(known[4]) or 0,
  same_minute and tonumber(known[5]) or 0, same_day and tonumber(known[6]) or 0}
local flags, full = {}, nil
for at = FIRST, #ARGV do
  local costs = {1, 1, tonumber(ARGV[at]), tonumber(ARGV[at])}
  local over
  -- A day before a minute: that is the longer wait.
  for _, k in ipairs({2, 4, 1, 3}) do
    if not over and limits[k] > 0 and used[k] + costs[k] > limits[k] then over = k end
  end
  if not over then
    for k = 1, 4 do used[k] = used[k] + costs[k] end
  end
  full = full or over
  flags[#flags + 1] = over and '0' or '1'
end
redis.call('HSET', quota, 'minute', minute, 'day', day, 'mm', used[1], 'md', used[2], 'rm', used[3], 'rd', used[4])
redis.call('PEXPIRE', quota, DAY + MINUTE)
local length = full and (full % 2 == 0 and DAY or MINUTE) or 0
local answer = {table.concat(flags), full and NAMES[full] or '-', full and length - now % length or 0}
redis.call('SET', spent, string.format('%s %s %s %d', seq, answer[1], answer[2], answer[3]), 'PX', 120000)
return answer
