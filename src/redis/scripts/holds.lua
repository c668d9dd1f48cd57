-- Holds: credits set aside for a call that is about to run. A record that has not ended lies in the hash h:<workspace>;
-- one that has ended keeps its name taken, and its answer, as e:<workspace>|<hold>.
--
--   {user, feature, team, period, credits asked for, from user, from team, from pool, made ms, expires ms, state,
--    settled credits or -1, end of the period ms, first day, last day, start of the period ms,
--    ms at which its end was asked for or came, or -1}
--
-- An open hold also stands in the sorted set `holds` of its shard. Whoever finds one there that has expired does
-- nothing and says so; sweep.lua frees it, and the call is made again. So no other script knows of expiry.
local OPEN, SETTLING, SETTLED, VOIDED, EXPIRED = 0, 1, 2, 3, 4

local function held_by(hold)
  return hold[6] + hold[7] + hold[8]
end

-- Gives back what a hold set aside.
local function release(hold, user, team, pool, feature)
  local held = held_by(hold)
  user[4] = user[4] - hold[6]
  team[4] = team[4] - hold[7]
  pool[4] = pool[4] - hold[8]
  pool[7] = pool[7] - held
  user[6] = user[6] - held
  feature[2] = feature[2] - held
end

local function end_hold(workspace, id, hold, state, at, seconds)
  hold[11] = state
  if hold[17] < 0 then hold[17] = at end
  call('HDEL', prefix .. 'h:' .. workspace, id)
  call('ZREM', due_key, workspace .. ' ' .. id)
  call('SET', prefix .. 'e:' .. workspace .. '|' .. id, pack(hold), 'EX', seconds)
end
