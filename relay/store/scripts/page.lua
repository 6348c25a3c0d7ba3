#!lua flags=no-writes
-- Members of a sorted set behind so many of one score: by rank, for to pass them one by one would take as long as there are many.
-- KEYS  1 the set
-- ARGV  1 score  2 how many members of it were passed  3 how many members at most
-- Returns {'page', member, score, ...}.
-- Said twice: the same.
local score, passed, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not score or not passed or not most then return redis.error_reply('ARGUMENTS page: three numbers are needed') end
local first = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[1]) + passed
local answer = redis.call('ZRANGE', KEYS[1], first, first + most - 1, 'WITHSCORES')
table.insert(answer, 1, 'page')
return answer
