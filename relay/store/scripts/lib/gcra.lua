-- Rates by GCRA: a rate is the microseconds between two events (0: no rate) and how many may come at once.
-- Returns how many of `wanted` may pass now, the theoretical arrival time (us), and ms until one may pass.
local function allowed(stored, now, rate, wanted)
  if rate.every == 0 then return wanted, 0, 0 end
  local now_us = now * 1000
  local arrival = math.max(tonumber(stored or 0), now_us)
  arrival = math.min(arrival, now_us + rate.every * rate.burst)
  local free = math.floor((now_us + rate.every * rate.burst - arrival) / rate.every + 1e-9)
  local wait = arrival - now_us - rate.every * (rate.burst - 1)
  return math.min(wanted, free), arrival, math.max(0, math.ceil(wait / 1000))
end
-- Gives back `unused` events drawn at `drawn_at`, but not the time that has passed since: what came free in it
-- might have overflowed had they never been drawn.
local function give_back(key, field, now, rate, unused, drawn_at)
  local back = unused * rate.every - math.max(0, now - drawn_at) * 1000
  local arrival = back > 0 and tonumber(redis.call('HGET', key, field) or 0) or 0
  if arrival > 0 then redis.call('HSET', key, field, math.floor(arrival - back + 0.5)) end
end
