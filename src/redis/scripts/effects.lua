-- What the scripts that change something share: drawing on accounts, alerts, the outbox.

-- HSET of {field, value, ...}, in parts: unpack fails at 8,000 values.
local function hset(key, flat)
  for i = 1, #flat, 4000 do call('HSET', key, unpack(flat, i, math.min(i + 3999, #flat))) end
end

-- Takes from user, team and pool in this order, as far as they reach.
local function draw(user, team, pool, credits)
  local from_user = math.min(credits, remaining(user))
  local from_team = math.min(credits - from_user, remaining(team))
  local from_pool = math.min(credits - from_user - from_team, remaining(pool))
  user[3] = user[3] + from_user
  team[3] = team[3] + from_team
  pool[3] = pool[3] + from_pool
  pool[6] = pool[6] + from_user + from_team + from_pool
  return from_user, from_team, from_pool
end

-- The highest threshold that used has reached of total, in percent; 0 for none.
local function level_of(used, total, thresholds)
  local level = 0
  if total <= 0 then return 0 end
  for i = 1, #thresholds do
    if used / total >= thresholds[i] / 100 then level = thresholds[i] end
  end
  return level
end

-- Alerts for the outbox between the level that was told last and the one that is reached; answers the latter.
local function alerts(outbox, workspace, head, scope, id, period, now, used, total, told, thresholds)
  local level = level_of(used, total, thresholds)
  if level == told then return level end
  for i = 1, #thresholds do
    local threshold = thresholds[i]
    local state = told < threshold and threshold <= level and 0 or level < threshold and threshold <= told and 1
    if state then
      outbox[#outbox + 1] =
        pack({'alert', workspace, head[1], version(head), scope, id, threshold, used, total, period, now, state})
    end
  end
  return level
end

-- Alerts of the three kinds of accounts; each answers the new level.
local POOL, TEAM, USER = 0, 1, 2
local function pool_alerts(outbox, workspace, head, settings, pool, period, now)
  pool[10] = alerts(outbox, workspace, head, POOL, workspace, period, now, pool[6] + pool[7], pool[5], pool[10], settings[6])
end
local function team_alerts(outbox, workspace, head, settings, id, team, period, now)
  team[6] = alerts(outbox, workspace, head, TEAM, id, period, now, team[3] + team[4], team[1] - team[2], team[6], settings[6])
end
local function user_alerts(outbox, workspace, head, settings, id, user, limit, period, now)
  user[10] = alerts(outbox, workspace, head, USER, id, period, now, user[5] + user[6], math.max(0, limit), user[10], settings[6])
end

local function send(outbox)
  for i = 1, #outbox do call('XADD', prefix .. 'outbox', '*', 'entry', outbox[i]) end
end
