#!lua flags=allow-oom
-- Renew leases that their holder still works on.
-- KEYS  1 deliveries 2 leased 3 seen
-- ARGV  1 holder  2 lease, ms  then for each delivery: id, fence
-- Returns {lease expires at ms, then for each delivery: 'kept', 'lost' (stop working on it), 'cancel' or 'hold' (kept, and asked for)}.
-- Said twice: the same.
-- USES clock
-- USES delivery
-- USES seen
local deliveries, leased, seen = KEYS[1], KEYS[2], KEYS[3]
local holder, lease_ms = ARGV[1], tonumber(ARGV[2])
if #ARGV % 2 ~= 0 or not lease_ms then return redis.error_reply('ARGUMENTS extend: a fence is missing') end
local now = now_ms()
look(seen, now, lease_ms)
local answer = {now + lease_ms}
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local value = redis.call('HGET', deliveries, id)
  local d = value and read(value)
  if d and d.state == LEASED and d.holder == holder and d.fence == tonumber(ARGV[at + 1]) then
    redis.call('ZADD', leased, now + lease_ms, id)
    answer[#answer + 1] = has(d, CANCEL) and 'cancel' or has(d, HOLD) and 'hold' or 'kept'
  else
    answer[#answer + 1] = 'lost'
  end
end
return answer
