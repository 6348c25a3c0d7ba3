#!lua flags=allow-oom
-- A delivery's DSN was admitted (or none is to be written): its claim on the content goes, and with the last one the content.
-- KEYS  1 shares  then for each claim: m:<id>, and each key of its content
-- ARGV  1 how long a closed record is kept, ms  then for each claim: delivery id, fence of the outcome, keys of content
-- Returns for each claim: 'closed', or 'done' (it had gone before).
-- Said twice: 'done'.
-- USES delivery
-- USES final
-- USES named
local FIELDS, FIRST = 3, 2
shares = KEYS[1]
local retention = tonumber(ARGV[1])
if not retention or #ARGV < FIRST or (#ARGV - FIRST + 1) % FIELDS ~= 0 then
  return redis.error_reply('ARGUMENTS close: arguments are missing')
end
local answer = {}
for at, record, contents in each_named(2, FIRST, FIELDS) do
  if redis.call('HDEL', record, 'k' .. string.sub(ARGV[at], 22) .. '.' .. ARGV[at + 1]) == 1 then
    redis.call('HINCRBY', record, 'k', -1)
    drop_content(record, contents, retention)
    answer[#answer + 1] = 'closed'
  else
    answer[#answer + 1] = 'done'
  end
end
return answer
