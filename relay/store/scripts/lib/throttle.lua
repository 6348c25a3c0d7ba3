-- A path's window and breaker: what the site's answers teach (Postfix's SCHEDULER_README, qmgr_queue.c).
-- The one place of this policy.
local SLOW = 10
local function read_path(key, now, initial)
  local v = redis.call('HMGET', key, 'window', 'success', 'failure', 'cohorts', 'refused', 'until', 'pause', 'deaths',
    'seen', 'grace', 'probe', 'reply', 'limited')
  local path = {
    key = key, window = tonumber(v[1] or initial), success = tonumber(v[2] or 0), failure = tonumber(v[3] or 0),
    cohorts = tonumber(v[4] or 0), refused = tonumber(v[5] or 0), till = tonumber(v[6] or 0), pause = tonumber(v[7] or 0),
    deaths = tonumber(v[8] or 0), seen = tonumber(v[9] or 0), grace = tonumber(v[10] or 0),
    probe = v[11] or '', reply = v[12] or '', limited = v[13] == '1'
  }
  if path.till > now + path.pause then path.till = now + path.pause end
  return path
end
local function write_path(path, now)
  redis.call('HSET', path.key, 'window', path.window, 'success', path.success, 'failure', path.failure,
    'cohorts', path.cohorts, 'refused', path.refused, 'until', path.till, 'pause', path.pause, 'deaths', path.deaths,
    'seen', now, 'probe', path.probe, 'reply', path.reply, 'limited', path.limited and 1 or 0)
  redis.call('PEXPIRE', path.key, 3600000 + path.pause)
end
-- 'open', 'dead' (until path.till) or 'probe': one connection may find out whether the site lives.
local function breaker(path, now)
  if path.till == 0 then return 'open' end
  return now < path.till and 'dead' or 'probe'
end
local function restart(path, initial)
  path.window, path.success, path.failure, path.cohorts, path.refused, path.probe = initial, 0, 0, 0, 0, ''
end
local function die(path, now, limits)
  path.limited = true
  path.deaths = path.deaths + 1
  path.pause = math.min(limits.first_pause * 2 ^ math.min(path.deaths - 1, 20), limits.longest_pause)
  path.till = now + path.pause
  restart(path, limits.initial)
end
-- Each success adds 1/window, so a window grows by one when as many as it holds went well; and never beyond
-- what is really used. As long as a site has never failed, each prompt success adds one: whoever answers at once and
-- takes all that came has room for more, and a window that begins small must not be what a campaign waits for.
-- Towards a size that the site has refused it goes ten times slower: a site that takes five connections is not asked
-- for a sixth after every five deliveries.
local function grow(path, told, busy, limits)
  local left = told.successes
  local more = math.min(told.prompt, busy + limits.initial - path.window, limits.connections - path.window)
  if more > 0 and not path.limited then
    path.window, path.success, path.failure = path.window + more, 0, 0
    left = left - more
  end
  while left > 0 and path.window < busy + limits.initial and path.window < limits.connections do
    local slow = path.refused > 0 and path.window + 1 >= path.refused
    local gain = 1 / (slow and path.window * SLOW or path.window)
    local needed = math.ceil((1 - path.success) / gain - 1e-9)
    if needed > left then
      path.success = path.success + left * gain
      return
    end
    left = left - needed
    path.window, path.success, path.failure = path.window + 1, 0, 0
    if path.window > path.refused then path.refused = 0 end
  end
end
-- Each failure takes 1/window, and the window shrinks at the first of them: it was too large already. At the first
-- one of all it falls back to where it began: nobody knows by how much it was too large.
local function shrink(path, initial)
  local first = not path.limited
  path.limited = true
  if first and path.window > initial then
    path.refused = path.window
    path.window, path.success, path.failure = initial, 0, 0
    return
  end
  path.failure = path.failure - 1 / path.window
  while path.failure < 0 and path.window > 1 do
    path.refused = path.window
    path.window, path.failure, path.success = path.window - 1, path.failure + 1, 0
  end
end
-- What a holder tells: successes and failures since it last did, and whether it gives the probe back.
local function learn(path, now, told, busy, limits)
  if told.failures > 0 then path.reply = told.reply end
  local state = breaker(path, now)
  -- While it is dead, news are old news: of connections that were open or begun before.
  if state == 'dead' then return end
  if state == 'probe' then
    if told.successes > 0 then
      path.till, path.pause, path.deaths = 0, 0, 0
      restart(path, limits.initial)
    elseif told.failures > 0 and told.probe_back then
      die(path, now, limits)
    end
    return
  end
  if path.window > limits.connections then path.window = limits.connections end
  if told.successes > 0 then path.cohorts = 0 end
  for _ = 1, told.failures do
    -- A window that shrank to one does not make one failure enough.
    if told.successes == 0 then path.cohorts = path.cohorts + 1 / math.max(path.window, limits.initial) end
    if path.cohorts >= limits.cohorts - 1e-9 then return die(path, now, limits) end
    shrink(path, limits.initial)
  end
  grow(path, told, busy, limits)
end
