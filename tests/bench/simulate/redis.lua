-- A Redis in tables, as far as the store's scripts of scheduling use one: they run here as they are, on a clock that is
-- moved by hand. What they read, decide and write is theirs; this only keeps it.
--
-- Ready deliveries are kept as runs, so that ten million fit: consecutive ids of one lane that were accepted together.
-- `leased`, `seen` and a queue's contents are not kept: who leases here always settles.
local ffi = require 'ffi'
local clock = 0
local keys, expires = {}, {}
local price, runs, shown = {}, {}, {}
local leased_runs = {}

local function key(name)
  local due = expires[name]
  if due and due <= clock then keys[name], expires[name] = nil, nil end
  return keys[name]
end

local function made(name)
  local found = key(name)
  if not found then
    found = {}
    keys[name] = found
  end
  return found
end

local function text(value)
  if type(value) ~= 'number' then return value end
  if value == math.floor(value) and math.abs(value) < 1e15 then return string.format('%.0f', value) end
  return string.format('%.17g', value)
end

local function bound(word)
  if word == '-inf' then return -math.huge, false end
  if word == '+inf' then return math.huge, false end
  if type(word) == 'string' and string.sub(word, 1, 1) == '(' then return tonumber(string.sub(word, 2)), true end
  return tonumber(word), false
end

local function in_order(zset)
  local members = {}
  for member in pairs(zset) do members[#members + 1] = member end
  table.sort(members, function(a, b)
    if zset[a] ~= zset[b] then return zset[a] < zset[b] end
    return a < b
  end)
  return members
end

local function matching(zset, low, high)
  local least, above = bound(low)
  local most, below = bound(high)
  local found
  for member, score in pairs(zset) do
    if (score > least or score == least and not above) and (score < most or score == most and not below) then
      found = found or {}
      found[member] = score
    end
  end
  return found
end

-- Sets of queue|...: the turns as sorted lists by queue, the ready deliveries as runs by queue and lane.
local function queue_of(word)
  return string.match(word, '^[%[%(]?([^|]*)|')
end

local function is(name, suffix)
  return string.sub(name, -#suffix) == suffix
end

local function lane_of(prefix)
  return string.match(prefix, '^%[([^|]*)|(.*)|$')
end

local function ready_members(low, count)
  local queue, lane = lane_of(low)
  local list = runs[queue] and runs[queue][lane]
  local members = {}
  if not list then return members end
  for at = list.head, list.tail do
    local run = list[at]
    local prefix = queue .. '|' .. lane .. '|' .. string.format('%013.0f', run.ms) .. '|'
    for id = run.first, run.last do
      if #members == count then return members end
      local word = string.format('%d', id)
      shown[word] = {run, queue, lane}
      members[#members + 1] = prefix .. word
    end
  end
  return members
end

local function take_ready(low, high)
  local queue, lane = string.match(low, '^%[([^|]*)|([^|]*)|')
  local last = tonumber(string.match(high, '([^|]*)$'))
  local list = runs[queue][lane]
  while list.head <= list.tail do
    local run = list[list.head]
    local taken = math.min(run.last, last)
    if last < run.first or last > run.last then taken = run.last end
    leased_runs[#leased_runs + 1] = {queue, lane, run.ms, run.attempts, run.first, taken - run.first + 1}
    local over = last >= run.first and last <= run.last
    run.first = taken + 1
    if run.first > run.last then
      list[list.head] = nil
      list.head = list.head + 1
    end
    if over then break end
  end
  if list.head > list.tail then
    runs[queue][lane] = nil
    if not next(runs[queue]) then runs[queue] = nil end
  end
end

local commands = {}

function commands.TIME()
  return {text(math.floor(clock / 1000)), text(clock % 1000 * 1000)}
end

function commands.GET(name) return key(name) or false end

function commands.SET(name, value, _, ms)
  keys[name], expires[name] = text(value), ms and clock + ms or nil
end

function commands.DEL(name) keys[name], expires[name] = nil, nil end

function commands.EXISTS(name) return key(name) and 1 or 0 end

function commands.PEXPIRE(name, ms)
  if key(name) then expires[name] = clock + tonumber(ms) end
end

function commands.HGET(name, field)
  local found = key(name)
  return found and found[field] or false
end

function commands.HEXISTS(name, field)
  local found = key(name)
  return found and found[field] and 1 or 0
end

function commands.HMGET(name, ...)
  local answer = {}
  if is(name, ':deliveries') then
    for at = 1, select('#', ...) do
      local run, queue, lane = unpack(shown[select(at, ...)])
      answer[at] = struct.pack('', 1, 2, 0, run.attempts, 0, 0, run.ms, price[lane], 0, 0, '', #queue, queue, #lane, lane)
    end
    return answer
  end
  local found = key(name) or {}
  for at = 1, select('#', ...) do answer[at] = found[select(at, ...)] or false end
  return answer
end

function commands.HSET(name, ...)
  if is(name, ':deliveries') then return end
  local found = made(name)
  for at = 1, select('#', ...), 2 do
    local field, value = select(at, ...)
    found[field] = text(value)
  end
end

function commands.HDEL(name, ...)
  local found = key(name)
  for at = 1, select('#', ...) do
    if found then found[select(at, ...)] = nil end
  end
end

function commands.ZADD(name, first, ...)
  if is(name, ':leased') then return 0 end
  if is(name, ':turns') then
    local member = ...
    local list = made(name)
    local queue = queue_of(member)
    list[queue] = list[queue] or {}
    table.insert(list[queue], member)
    table.sort(list[queue])
    return 1
  end
  if is(name, ':ready') then
    local member = ...
    local queue, lane, ms, id = string.match(member, '^([^|]*)|([^|]*)|(%d+)|(.*)$')
    runs[queue] = runs[queue] or {}
    runs[queue][lane] = runs[queue][lane] or {head = 1, tail = 0}
    local list = runs[queue][lane]
    list.tail = list.tail + 1
    list[list.tail] = {ms = tonumber(ms), first = tonumber(id), last = tonumber(id), attempts = 0}
    return 1
  end
  local zset, added = made(name), 0
  local only_new = first == 'NX'
  local at, count = 1, select('#', ...)
  local score = first
  if only_new then score, at = ..., 2 end
  while at <= count do
    local member = text((select(at, ...)))
    if zset[member] == nil then added = added + 1 end
    if not only_new or zset[member] == nil then zset[member] = tonumber(score) end
    score, at = select(at + 1, ...), at + 2
  end
  return added
end

function commands.ZREM(name, ...)
  if is(name, ':ready') then
    for at = 1, select('#', ...) do take_ready('[' .. select(at, ...), '[' .. select(at, ...)) end
    return select('#', ...)
  end
  local zset, gone = key(name), 0
  if not zset then return 0 end
  for at = 1, select('#', ...) do
    local member = select(at, ...)
    if is(name, ':turns') then
      local queue = queue_of(member)
      for k, other in ipairs(zset[queue] or {}) do
        if other == member then
          table.remove(zset[queue], k)
          gone = gone + 1
          break
        end
      end
      if zset[queue] and #zset[queue] == 0 then zset[queue] = nil end
    elseif zset[member] ~= nil then
      zset[member] = nil
      gone = gone + 1
    end
  end
  if not next(zset) then keys[name], expires[name] = nil, nil end
  return gone
end

function commands.ZCARD(name)
  local count = 0
  for _ in pairs(key(name) or {}) do count = count + 1 end
  return count
end

function commands.ZSCORE(name, member)
  local zset = key(name)
  return zset and zset[member] and text(zset[member]) or false
end

function commands.ZMSCORE(name, ...)
  local zset, answer = key(name) or {}, {}
  for at = 1, select('#', ...) do
    local score = zset[select(at, ...)]
    answer[at] = score and text(score) or false
  end
  return answer
end

function commands.ZRANGE(name, low, high, scores)
  local zset, answer = key(name) or {}, {}
  if low == 0 and high == 0 then
    local least
    for member, score in pairs(zset) do
      if not least or score < zset[least] or score == zset[least] and member < least then least = member end
    end
    return {least, least and scores and text(zset[least])}
  end
  local members = in_order(zset)
  for at = low + 1, math.min(high + 1, #members) do
    answer[#answer + 1] = members[at]
    if scores then answer[#answer + 1] = text(zset[members[at]]) end
  end
  return answer
end

function commands.ZRANGEBYSCORE(name, low, high, _, _, limit)
  local zset = key(name)
  local found = zset and matching(zset, low, high)
  if not found then return {} end
  local members = in_order(found)
  for at = #members, (limit or #members) + 1, -1 do members[at] = nil end
  return members
end

function commands.ZREMRANGEBYSCORE(name, low, high)
  for member in pairs(matching(key(name) or {}, low, high) or {}) do keys[name][member] = nil end
end

function commands.ZRANGEBYLEX(name, low, _, _, _, limit)
  if is(name, ':ready') then return ready_members(low, limit) end
  local list, answer = (key(name) or {})[queue_of(low)] or {}, {}
  for at = 1, math.min(limit, #list) do answer[at] = list[at] end
  return answer
end

function commands.ZREMRANGEBYLEX(_, low, high) take_ready(low, high) end

redis = {
  call = function(name, ...) return commands[name](...) end,
  error_reply = function(message) error(message) end,
}

-- The one layout that scripts pack: >BBBHBI4dHHBc0Bc0Bc0. What is packed here is only read here.
struct = {}
local double = ffi.new('double[1]')
function struct.pack(_, ...)
  double[0] = select(7, ...)
  local version, state, flags, attempts, losses, fence, _, cost, chunks, _, holder, _, queue, _, lane = ...
  return string.char(version, state, flags, attempts, losses) .. ffi.string(double, 8)
    .. table.concat({fence, cost, chunks, holder, queue, lane}, '\1')
end
function struct.unpack(_, value)
  local version, state, flags, attempts, losses = string.byte(value, 1, 5)
  ffi.copy(double, string.sub(value, 6, 13), 8)
  local fence, cost, chunks, holder, queue, lane = string.match(value, '^([^\1]*)\1([^\1]*)\1([^\1]*)\1([^\1]*)\1([^\1]*)\1(.*)$', 14)
  return version, state, flags, attempts, losses, tonumber(fence), double[0], tonumber(cost), tonumber(chunks), holder, queue, lane,
    #value + 1
end

-- What the simulation asks for.
simulation = {}
function simulation.set_clock(ms) clock = ms end
function simulation.set_price(lane, cost) price[lane] = cost end
-- The delivery that was made ready last is the first of `count`.
function simulation.extend(queue, lane, count, attempts)
  local list = runs[queue][lane]
  local run = list[list.tail]
  run.last, run.attempts = run.first + count - 1, attempts
end
function simulation.waiting()
  local count = 0
  for _, lanes in pairs(runs) do
    for _, list in pairs(lanes) do
      for at = list.head, list.tail do count = count + list[at].last - list[at].first + 1 end
    end
  end
  return count
end
-- What was leased since this was last asked: queue, lane, ms, attempts, first id, count, for each run.
function simulation.leased()
  local found = {}
  for _, run in ipairs(leased_runs) do
    for k = 1, 6 do found[#found + 1] = run[k] end
  end
  leased_runs, shown = {}, {}
  return found
end
