-- Grace: who looks at leases notes when. Where nobody did for a third of a lease, or the clock went back, the store
-- or all workers were away, and no lease is reclaimed until each holder had the time of a lease to renew its own.
-- A note costs a sync, so one of a moment ago, a twentieth of a lease, is left as it is.
local function look(key, now, lease_ms)
  local last, grace = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  last, grace = tonumber(last or 0), tonumber(grace or 0)
  local before = grace
  if now - last > lease_ms / 3 or last > now then grace = now + lease_ms end
  if grace > now + lease_ms then grace = now + lease_ms end
  local fresh = last <= now and now - last < lease_ms / 20
  if not fresh or grace ~= before then
    redis.call('SET', key, string.format('%.0f %.0f', now, grace))
  end
  return grace
end
