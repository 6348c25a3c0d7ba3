-- Connections in use on a path: tokens that each expire, so that a dead holder's come back by themselves.
local IDLE_MS = 3600000
-- Forgets tokens that expired, and returns how many are left. Where nobody was seen for longer than holders
-- wait between renewals, the store or its clock was away and not the holders: what expired is kept once more,
-- for as long as holders need to renew. Each path has this grace once in ten leases.
local function in_use(conns, path, now, lease_ms)
  local gone = redis.call('ZRANGEBYSCORE', conns, '-inf', now)
  if #gone > 0 then
    local away = now - path.seen > lease_ms * 2 / 3
    if away and (now - path.grace > lease_ms * 10 or path.grace > now) then
      for _, token in ipairs(gone) do redis.call('ZADD', conns, now + math.floor(lease_ms / 3), token) end
      path.grace = now
      redis.call('HSET', path.key, 'grace', now)
    else
      redis.call('ZREMRANGEBYSCORE', conns, '-inf', now)
    end
  end
  local ahead = redis.call('ZRANGEBYSCORE', conns, '(' .. string.format('%.0f', now + lease_ms), '+inf')
  for _, token in ipairs(ahead) do redis.call('ZADD', conns, now + lease_ms, token) end
  return redis.call('ZCARD', conns)
end
