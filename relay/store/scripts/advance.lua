#!lua flags=allow-oom
-- Note how far a consumer has applied the events: only ever further.
-- KEYS  1 cursors
-- ARGV  1 consumer  2 id of the last event that it applied
-- Returns {'at', the id that stands now}.
-- Said twice: the same.
local cursors, consumer = KEYS[1], ARGV[1]
local ms, seq = string.match(ARGV[2] or '', '^(%d+)-(%d+)$')
if not ms or consumer == '' then return redis.error_reply('ARGUMENTS advance: a consumer and the id of an event are needed') end
local known = redis.call('HGET', cursors, consumer)
if known then
  local ms2, seq2 = string.match(known, '^(%d+)-(%d+)$')
  ms, seq, ms2, seq2 = tonumber(ms), tonumber(seq), tonumber(ms2), tonumber(seq2)
  if ms < ms2 or ms == ms2 and seq <= seq2 then return {'at', known} end
end
redis.call('HSET', cursors, consumer, ARGV[2])
return {'at', ARGV[2]}
