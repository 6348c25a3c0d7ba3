-- A delivery's value: a header that scripts read and write, then a body that only Python reads.
-- relay/store/codec.py holds the same layout.
local VERSION = 1
local LATER, READY, LEASED, HELD, STAGED = 1, 2, 3, 4, 5
local CANCEL, HOLD, ALONE, REPORT, DOUBT, MOVED, BEGUN = 1, 2, 4, 8, 16, 32, 64
-- Losses, as far as they are counted; suspicion has the three bits above them.
local MOST_LOSSES = 31
local LAYOUT = '>BBBHBI4dHHBc0Bc0Bc0'

local SHORTEST = 25

-- nil for what a newer version of Relay wrote, or none did: that is left untouched, for a newer process.
local function read(value)
  if #value < SHORTEST or string.byte(value) > VERSION then return nil end
  local d = {}
  local version, at
  version, d.state, d.flags, d.attempts, d.losses, d.fence, d.ms, d.cost, d.chunks,
    d.holder, d.queue, d.lane, at = struct.unpack(LAYOUT, value)
  d.losses, d.suspicion = d.losses % 32, math.floor(d.losses / 32)
  d.body = string.sub(value, at)
  return d
end

local function pack(d)
  return struct.pack(LAYOUT, VERSION, d.state, d.flags, d.attempts, d.suspicion * 32 + d.losses, d.fence, d.ms, d.cost, d.chunks,
    #d.holder, d.holder, #d.queue, d.queue, #d.lane, d.lane) .. d.body
end

local function has(d, flag)
  return math.floor(d.flags / flag) % 2 == 1
end

local function with(d, flag)
  if not has(d, flag) then d.flags = d.flags + flag end
end

local function without(d, flag)
  if has(d, flag) then d.flags = d.flags - flag end
end
