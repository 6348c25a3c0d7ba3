#!lua flags=allow-oom
-- Failed logins of a client or an account: looks at them, notes one more, or a client that got in.
-- KEYS  1 failures 2 known
-- ARGV  1 verb: 'look', 'failed' or 'passed'  2 how long a failure counts, ms  3 how long a client is known, ms
--       4 client ('' where there is none)  5 token of this failure
-- Returns {failures that count, ms until the oldest of them does no more (0: there is none), 1 where the client is known or 0}
-- Said twice (same token): the same.
-- USES clock
local failures, known = KEYS[1], KEYS[2]
local verb, window, lasts, client, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local MOST_FAILURES, MOST_KNOWN = 1000, 100
if not window or not lasts or window < 1 or lasts < 1 or not token or (verb ~= 'look' and verb ~= 'failed' and verb ~= 'passed') then
  return redis.error_reply('ARGUMENTS login: a verb, two times, a client and a token are needed')
end
local now = now_ms()
if verb == 'failed' then
  redis.call('ZADD', failures, 'NX', now, token)
  redis.call('ZREMRANGEBYRANK', failures, 0, -MOST_FAILURES - 1)
  redis.call('PEXPIRE', failures, window)
elseif verb == 'passed' and client ~= '' then
  redis.call('ZADD', known, now, client)
  redis.call('ZREMRANGEBYRANK', known, 0, -MOST_KNOWN - 1)
  redis.call('PEXPIRE', known, lasts)
end
-- What lies in the future is of before a jump of the clock: it counts, and goes with its key.
local first = redis.call('ZRANGEBYSCORE', failures, now - window + 1, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local since = client ~= '' and redis.call('ZSCORE', known, client)
return {redis.call('ZCOUNT', failures, now - window + 1, '+inf'),
  first and math.max(1, math.min(window, math.ceil(first + window - now))) or 0,
  since and since + lasts > now and 1 or 0}
