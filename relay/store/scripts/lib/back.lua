-- A delivery goes back without an attempt: to where it was asked to go meanwhile, or to the head of its lane.
-- One that is to be cancelled goes back too: its next holder, who knows where its content lies, settles it so.
-- Returns 'held', 'later' or 'released' (ready).
local function give_back(d, id, now, held, later)
  local due = has(d, MOVED) and d.ms or 0
  without(d, MOVED)
  without(d, BEGUN)
  d.holder, d.ms = '', 0
  if has(d, HOLD) and not has(d, CANCEL) then
    without(d, HOLD)
    d.state, d.ms = HELD, due
    redis.call('ZADD', held, now, id)
    return 'held'
  end
  if due > now then
    d.state, d.ms = LATER, due
    redis.call('ZADD', later, due, id)
    return 'later'
  end
  d.state = READY
  make_ready(d, id)
  return 'released'
end
