-- Decides every event of one shard's batch in the order of the batch: fences out what was delivered before, marks
-- duplicates, asks every rule, debits all or nothing, and answers with the new absolutes.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {
--   workspaces {id, calendar version, epoch seen, version seen, ...},
--   groups     {workspace, period, 1 when planned, end of the period in ms, ...},    a group is a workspace and period
--   users      {group, user, ...},
--   features   {group, feature, ...},
--   events     {partition, offset, group, user, feature, day, credits, mark, slot, arrival mark, arrival slot, place, ...},
--   committed  {partition, next offset, ...},
--   times      {now in ms, seconds that a mark lives, seconds that an arrival mark lives, arrival slots looked back,
--               seconds that a passed one stays, seconds that an ended hold's name stays taken},
--   holds      {event, hold, 1 when we published it, period, 1 when planned, end in ms, day, ...} of events that name one,
--              with the place that their own time gives them }
--   The numbers of workspace, group, user and feature are places in the lists before, from 1. A mark is a 64-bit hash
--   as decimal text; `place` says where in its slot the event's time lies, 0..4095.
--
-- Reply    packed {'calendar', {workspace, text, ...}}   nothing was done: place the events by these calendars, call again
--          packed {'rebuild', {workspace, ...}}          nothing was done: the state of these is missing or stale
--          packed {'due'}                                nothing was done: sweep the shard's holds, call again
--          packed {'moved', {event, period, 1 when planned, end in ms, day, ...}}   nothing was done: these belong
--                          elsewhere, where they were put at first or where the hold is that they settle; call again
--          packed {'unopened', {group, last period opened before, carry-over, ...}}   nothing was done: open these
--                          periods, call again
--          packed {'ok', heads, answers, pools, teams, users, cells, again}
--   heads    {epoch, version, ...} for each workspace
--   answers  for each event {1, sequence, team}                  allowed, all from the pool
--                           {2, outcome, sequence, team, drawn from user, team, pool, overage,
--                               reason, limit, used, held, remaining}
--                           {3, sequence, team}                  duplicate
--                           {4}                                  decided and recorded before
--                           {5, as 2 from the outcome on}        it settled its hold
--   pools    for each group {credited, out, used, held, total, used, held, overage, ...} or {} when it has no books
--   teams    {group, team, credited, out, used, held, ...}
--   users    {user, credited, out, used, held, spent, limit, ...}
--   cells    {user, feature, day, credits, overage, events, overage events, denied events, denied credits, denied micro, ...}
--   again    places of events that were decided before: their first answers
--
-- Example: one event of 2 credits by ann, seen first:
--   {{'acme',1,1,7}, {1,'2026-11-01',1,1796083200000}, {1,'ann'}, {1,'ai_chat'}, {0,41,1,1,1,20779,2000000,'-91',2992176,'17',1994784,9},
--    {0,40}, {1795300000000,432000,27000,2,900,262800}, {}}
--   -> {'ok', {1,8}, {{1,8,''}}, {{350000000000,0,2000000,0,...}}, {}, {1,0,0,0,0,2000000,-1}, {1,1,20779,2000000,0,1,0,0,0,0}, {}}
--
-- It reads and validates everything first and writes last, for Redis has no rollback.
assert(#KEYS == 1 and #ARGV == 1, 'decide takes one key and one argument')
local m = unpack_record(ARGV[1])
local W, G, U, F, E, committed, times, H = m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]
local nW, nG, nU, nF, nE = #W / 4, #G / 4, #U / 2, #F / 2, #E / 12
local now = times[1]
if holds_due(now) then return pack({'due'}) end

-- 1. Heads and settings: is this state whole, and did the caller place the events by the calendar in force?
local ids = {}
for w = 1, nW do ids[w] = W[4 * w - 3] end
local heads = call('HMGET', KEYS[1], unpack(ids))
local users_of, features_of = {}, {}
for w = 1, nW do users_of[w] = {}; features_of[w] = {} end
for u = 1, nU do local l = users_of[G[4 * U[2 * u - 1] - 3]]; l[#l + 1] = u end
for f = 1, nF do local l = features_of[G[4 * F[2 * f - 1] - 3]]; l[#l + 1] = f end

local settings, user_settings, feature_limits, team_settings = {}, {}, {}, {}
local rebuild, stale = {}, {}
for w = 1, nW do
  local known = heads[w]
  local head = read_head(known)
  heads[w] = head
  local key = prefix .. 'w:' .. ids[w]
  local us, fs = users_of[w], features_of[w]
  local fields = {'s'}
  for i = 1, #us do fields[1 + i] = 'u:' .. U[2 * us[i]] end
  for i = 1, #fs do fields[1 + #us + i] = 'f:' .. F[2 * fs[i]] end
  local read = call('HMGET', key, unpack(fields))
  settings[w] = read_settings(read[1])
  if is_lost(head, known, read[1], W[4 * w - 1], W[4 * w]) then
    rebuild[#rebuild + 1] = w
  elseif settings[w][1] ~= W[4 * w - 2] then
    stale[#stale + 1] = w
    stale[#stale + 1] = call('HGET', key, 'cal') or ''
  end
  local teams, wanted = {}, {}
  for i = 1, #us do
    local packed = read[1 + i]
    if packed then
      local record = unpack_record(packed)
      user_settings[us[i]] = record
      local team = record[2]
      if team ~= '' and not teams[team] then teams[team] = true; wanted[#wanted + 1] = team end
    end
  end
  for i = 1, #fs do
    local packed = read[1 + #us + i]
    if packed then feature_limits[fs[i]] = unpack_record(packed)[1] end
  end
  team_settings[w] = {}
  if #wanted > 0 then
    fields = {}
    for i = 1, #wanted do fields[i] = 't:' .. wanted[i] end
    read = call('HMGET', key, unpack(fields))
    for i = 1, #wanted do
      if read[i] then team_settings[w][wanted[i]] = unpack_record(read[i]) end
    end
  end
end
if #rebuild > 0 then return pack({'rebuild', rebuild}) end
if #stale > 0 then return pack({'calendar', stale}) end

-- 2. The fence: what was decided before gets its first answer again, from the tail.
local fences, tails, answers = {}, {}, {}
local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local rebuilt = {} -- of each workspace that was rebuilt: how far what was recorded reached beyond the fences
for w = 1, nW do
  fences[w] = map_of(heads[w][4])
  rebuilt[w] = heads[w][6] and map_of(heads[w][6])
end
local function is_recorded(w, partition, offset)
  local last = rebuilt[w][partition]
  return last and offset <= last
    and call('SISMEMBER', prefix .. 'b:' .. ids[w] .. ':' .. partition, string.format('%.0f', offset)) == 1
end
local function tail_of(partition)
  local map = tails[partition]
  if not map then
    map = {}
    local list = call('LRANGE', prefix .. 'tail:' .. partition, 0, -1)
    for i = 2, #list, 2 do
      local flat, places, epochs = unpack_record(list[i])
      for j = 1, #flat, 4 do
        local group = flat[j + 2]
        local place, epoch = 3 * group, epochs and epochs[group]
        map[flat[j]] = {flat[j + 1], places[place - 2], places[place - 1], places[place], flat[j + 3], epoch}
      end
    end
    tails[partition] = map
  end
  return map
end
local fresh, is_fresh, moved, again = {}, {}, {}, {}
local function belongs(i, period, planned, ends, day)
  local g = 4 * E[12 * i - 9]
  if period ~= G[g - 2] or planned ~= G[g - 1] or ends ~= G[g] or day ~= E[12 * i - 6] then
    local n = #moved
    moved[n + 1], moved[n + 2], moved[n + 3], moved[n + 4], moved[n + 5] = i, period, planned, ends, day
  end
end
for i = 1, nE do
  local e = 12 * i - 11
  local partition, offset = E[e], E[e + 1]
  local w = G[4 * E[e + 2] - 3]
  local fence = fences[w][partition]
  if fence and offset <= fence then
    local first = tail_of(partition)[offset]
    -- Of an epoch that is over: what lies below the fence of the next is recorded, with that epoch's number.
    if first and first[6] and first[6] ~= heads[w][1] then first = nil end
    answers[i] = first and first[1] or {4}
    again[#again + 1] = i
    if first then belongs(i, first[2], first[3], first[4], first[5]) end
  elseif rebuilt[w] and is_recorded(w, partition, offset) then
    answers[i] = {4}
    again[#again + 1] = i
  else
    fresh[#fresh + 1] = i
    is_fresh[i] = true
    fences[w][partition] = offset
    amount(E[e + 6])
  end
end

-- 3. The marks of what is fresh.
local function era_of_event(i) return era_of(heads[G[4 * E[12 * i - 9] - 3]][1]) end
local seen = {}
for k = 1, #fresh do
  local i = fresh[k]
  local e = 12 * i - 11
  local era = era_of_event(i)
  look_up_time(era + E[e + 8], E[e + 11], E[e + 7], i, times[2])
  look_up_arrival(era + E[e + 10], E[e + 9], i, times[3])
end
find_marks(seen, times[4])
local marks_now, arrivals_now = {}, {}
for k = 1, #fresh do
  local i = fresh[k]
  local e = 12 * i - 11
  local mark, arrival, slot = E[e + 7], E[e + 9], E[e + 10]
  local since = arrivals_now[arrival] and slot - arrivals_now[arrival] or -1
  if marks_now[mark] or (since >= 0 and since <= times[4]) then seen[i] = true end
  if not seen[i] then
    marks_now[mark] = true
    arrivals_now[arrival] = slot
  end
end

-- 4. The holds that fresh events settle: an open one of the same user, or one that is settling with this amount when we
-- published the event. It takes the event into its own period, on a day of that.
local holds, taken = {}, {}
for h = 1, #H, 7 do
  local i, id = H[h], H[h + 1]
  if is_fresh[i] then
    local e = 12 * i - 11
    local workspace = ids[G[4 * E[e + 2] - 3]]
    local name = workspace .. ' ' .. id
    local packed = not seen[i] and not taken[name] and call('HGET', prefix .. 'h:' .. workspace, id)
    local hold = packed and unpack_record(packed)
    if hold and (hold[1] ~= U[2 * E[e + 3]] or hold[11] ~= H[h + 2] or (hold[11] == SETTLING and hold[12] ~= E[e + 6])) then
      hold = nil
    end
    if hold then
      taken[name] = true
      holds[i] = {id, hold}
      belongs(i, hold[4], 1, hold[13], math.min(most(H[h + 6], hold[14]), hold[15]))
    else
      belongs(i, H[h + 3], H[h + 4], H[h + 5], H[h + 6])
    end
  end
end
if #moved > 0 then return pack({'moved', moved}) end


-- 5. The books of each group.
local pools, teams, users, features = {}, {}, {}, {}
local latest = {} -- for each user {cells of the latest day, place of each feature, features touched}
local unopened, outbox = {}, {}
local newcomers = {} -- of each workspace, users whom the period has not seen
local hold_features = {} -- for each group {feature, record, ...} that only holds name
local of_holds = {}
for g = 1, nG do hold_features[g], of_holds[g] = {}, {} end
for i, pair in pairs(holds) do
  local list = of_holds[E[12 * i - 9]]
  list[#list + 1] = pair[2]
end
for g = 1, nG do
  local w, period, planned = G[4 * g - 3], G[4 * g - 2], G[4 * g - 1] == 1
  local key = prefix .. 'p:' .. ids[w] .. ':' .. period
  local us, fs, names, fields = {}, {}, {}, {'p'}
  teams[g] = {}
  for _, u in ipairs(users_of[w]) do
    if U[2 * u - 1] == g then
      us[#us + 1] = u
      fields[#fields + 1] = 'u:' .. U[2 * u]
    end
  end
  for _, f in ipairs(features_of[w]) do
    if F[2 * f - 1] == g then
      fs[#fs + 1] = f
      fields[#fields + 1] = 'f:' .. F[2 * f]
    end
  end
  for i = 1, #us do
    local record = user_settings[us[i]]
    local team = record and record[2] or ''
    if team ~= '' and not teams[g][team] then
      teams[g][team] = true
      names[#names + 1] = team
      fields[#fields + 1] = 't:' .. team
    end
  end
  for _, hold in ipairs(of_holds[g]) do
    local team = hold[3]
    if team ~= '' and not teams[g][team] then
      teams[g][team] = true
      names[#names + 1] = team
      fields[#fields + 1] = 't:' .. team
    end
  end
  local read = call('HMGET', key, unpack(fields))
  for i = 1, #us do
    local packed = read[1 + i]
    local record, cells
    if packed then
      record, cells = unpack_record(packed)
    else
      record, cells = new_user()
      newcomers[w] = newcomers[w] or {}
      newcomers[w][#newcomers[w] + 1] = us[i]
    end
    users[us[i]] = record
    latest[us[i]] = {cells, {}, {}}
  end
  for i = 1, #fs do
    local packed = read[1 + #us + i]
    features[fs[i]] = packed and unpack_record(packed) or {0, 0}
  end
  for i = 1, #names do
    local packed = read[1 + #us + #fs + i]
    teams[g][names[i]] = packed and unpack_record(packed) or new_team()
  end
  for _, hold in ipairs(of_holds[g]) do hold_features[g][hold[2]] = false end
  for i = 1, #fs do
    local name = F[2 * fs[i]]
    if hold_features[g][name] == false then hold_features[g][name] = features[fs[i]] end
  end
  for name, record in pairs(hold_features[g]) do
    if not record then
      local packed = call('HGET', key, 'f:' .. name)
      hold_features[g][name] = packed and unpack_record(packed) or {0, 0}
    end
  end
  if read[1] then
    pools[g] = unpack_record(read[1])
  elseif planned then
    local before, last = read_opened(prefix .. 'w:' .. ids[w], period)
    if before then return pack({'rebuild', {w}}) end
    local n = #unopened
    unopened[n + 1], unopened[n + 2], unopened[n + 3] = g, last, settings[w][5]
  else
    pools[g] = false
  end
end
if #unopened > 0 then return pack({'unopened', unopened}) end

-- 6. The fold.
local cold, cold_list = {}, {} -- cells of other days than a user's latest
local function cold_cells(u, day)
  local of_user = cold[u]
  if not of_user then of_user = {}; cold[u] = of_user end
  local cells = of_user[day]
  if not cells then
    local g = U[2 * u - 1]
    local key = prefix .. 'c:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2]
    local packed = call('HGET', key, day .. ':' .. U[2 * u])
    cells = {packed and unpack_record(packed) or {}, {}, {}, u, day}
    of_user[day] = cells
    cold_list[#cold_list + 1] = cells
  end
  return cells
end
local function cell_of(u, f, day)
  local user, cells = users[u], latest[u]
  if day > user[8] then -- the day turns: what was the latest is kept apart
    if #cells[1] > 0 then
      cells[4] = u
      cells[5] = user[8]
      cold[u] = cold[u] or {}
      cold[u][user[8]] = cells
      cold_list[#cold_list + 1] = cells
    end
    user[8] = day
    cells = {{}, {}, {}}
    latest[u] = cells
  elseif day < user[8] then
    cells = cold_cells(u, day)
  end
  local list, place = cells[1], cells[2][f]
  if not place then
    local name = F[2 * f]
    for p = 1, #list, 8 do
      if list[p] == name then place = p break end
    end
    if not place then
      place = #list + 1
      list[place] = name
      for p = place + 1, place + 7 do list[p] = 0 end
    end
    cells[2][f] = place
  end
  cells[3][f] = place
  return list, place
end

local ALLOWED, OVERAGE, DENIED = 1, 2, 3
local NOBODY, NO_POOL = new_team(), new_pool()

local dirty_users, dirty_features = {}, {}
local warm_users, warm_teams, warm_pools = {}, {}, {} -- those whose sums changed: they may want an alert
for g = 1, nG do warm_teams[g] = {} end

local function count_denied(cells, c, credits)
  cells[c + 5] = cells[c + 5] + 1
  cells[c + 6] = cells[c + 6] + floor(credits / MICRO)
  cells[c + 7] = cells[c + 7] + credits % MICRO
end

local function count(cells, c, drawn, over, overage)
  cells[c + 1] = cells[c + 1] + drawn
  cells[c + 2] = cells[c + 2] + over
  cells[c + 3] = cells[c + 3] + 1
  if overage then cells[c + 4] = cells[c + 4] + 1 end
end

-- What the held part takes from where it was held.
local function draw_held(hold, user, team, pool, credits)
  local from_user = math.min(credits, hold[6])
  local from_team = math.min(credits - from_user, hold[7])
  local from_pool = math.min(credits - from_user - from_team, hold[8])
  user[3] = user[3] + from_user
  team[3] = team[3] + from_team
  pool[3] = pool[3] + from_pool
  pool[6] = pool[6] + from_user + from_team + from_pool
  return from_user, from_team, from_pool
end

-- Settles a hold: the held part first, then as far as limits and accounts allow, the rest is overage. Never refused,
-- unless a total would pass the largest.
local function settle(i, hold)
  local e = 12 * i - 11
  local g, u, f, day, credits = E[e + 2], E[e + 3], E[e + 4], E[e + 5], E[e + 6]
  local w = G[4 * g - 3]
  local head, pool, user, feature, own = heads[w], pools[g], users[u], features[f], user_settings[u]
  local team_name = hold[3]
  local team = team_name ~= '' and teams[g][team_name] or NOBODY
  head[2] = head[2] + 1
  local cells, c = cell_of(u, f, day)
  dirty_users[u], dirty_features[f] = true, true
  if held_by(hold) > 0 then warm_users[u], warm_pools[g] = true, true end
  if hold[7] > 0 then warm_teams[g][team_name] = true end
  release(hold, user, team, pool, hold_features[g][hold[2]])
  local reason, blocked_limit, used, held, rest = past_largest_total(pool, credits)
  if reason then
    count_denied(cells, c, credits)
    return {5, DENIED, head[2], team_name, 0, 0, 0, 0, reason, blocked_limit, used, held, rest}
  end
  local from_user, from_team, from_pool = draw_held(hold, user, team, pool, credits)
  local part = from_user + from_team + from_pool
  local more = credits - part
  user[5] = user[5] + part
  feature[1] = feature[1] + part
  if more > 0 then
    local limit = effective_limit(own, own and team_settings[w][own[2]], settings[w], user[7])
    local cap, suspended = feature_limits[f] or -1, own and own[3] == 1
    reason, blocked_limit, used, held, rest = first_failing(true, pool, user, team, feature, limit, cap, suspended, more)
    local allowed = more
    if reason and not bends(reason, settings[w][3] == 1) then
      if suspended then allowed = 0 end
      if limit >= 0 then allowed = math.min(allowed, most(0, limit - user[5] - user[6])) end
      if cap >= 0 then allowed = math.min(allowed, most(0, cap - feature[1] - feature[2])) end
    end
    local more_user, more_team, more_pool = draw(user, team, pool, allowed)
    from_user, from_team, from_pool = from_user + more_user, from_team + more_team, from_pool + more_pool
    user[5] = user[5] + more
    feature[1] = feature[1] + more
  end
  if credits > 0 then warm_users[u], warm_pools[g] = true, true end
  if from_team > 0 then warm_teams[g][team_name] = true end
  local drawn = from_user + from_team + from_pool
  local over = credits - drawn
  pool[8] = pool[8] + over
  count(cells, c, drawn, over, reason)
  if reason then
    return {5, OVERAGE, head[2], team_name, from_user, from_team, from_pool, over, reason, blocked_limit, used, held, rest}
  end
  return {5, ALLOWED, head[2], team_name, from_user, from_team, from_pool, 0, 0, -1, 0, 0, 0}
end

local function decide(i)
  local e = 12 * i - 11
  local g, u, f, day, credits = E[e + 2], E[e + 3], E[e + 4], E[e + 5], E[e + 6]
  local w = G[4 * g - 3]
  local head, pool, user, feature = heads[w], pools[g] or NO_POOL, users[u], features[f]
  local own = user_settings[u]
  local team_name = own and own[2] or ''
  if holds[i] then return settle(i, holds[i][2]) end
  head[2] = head[2] + 1
  if seen[i] then return {3, head[2], team_name} end
  local team = team_name ~= '' and teams[g][team_name] or NOBODY
  local limit = effective_limit(own, team_settings[w][team_name], settings[w], user[7])
  local reason, blocked_limit, used, held, rest = first_failing(
    G[4 * g - 1] == 1, pool, user, team, feature, limit, feature_limits[f] or -1, own and own[3] == 1, credits)
  local cells, c = cell_of(u, f, day)
  dirty_users[u] = true
  local denied = reason and not bends(reason, settings[w][3] == 1)
  if not denied then
    local largest, a, b, d, z = past_largest_total(pool, credits)
    if largest then denied, reason, blocked_limit, used, held, rest = true, largest, a, b, d, z end
  end
  if denied then
    count_denied(cells, c, credits)
    return {2, DENIED, head[2], team_name, 0, 0, 0, 0, reason, blocked_limit, used, held, rest}
  end
  local from_user, from_team, from_pool = draw(user, team, pool, credits)
  local drawn = from_user + from_team + from_pool
  local over = credits - drawn
  user[5] = user[5] + credits
  pool[8] = pool[8] + over
  feature[1] = feature[1] + credits
  dirty_features[f] = true
  if credits > 0 then
    warm_users[u], warm_pools[g] = true, true
    if from_team > 0 then warm_teams[g][team_name] = true end
  end
  count(cells, c, drawn, over, reason)
  if reason then
    return {2, OVERAGE, head[2], team_name, from_user, from_team, from_pool, over, reason, blocked_limit, used, held, rest}
  end
  if from_pool == credits then return {1, head[2], team_name} end
  return {2, ALLOWED, head[2], team_name, from_user, from_team, from_pool, 0, 0, -1, 0, 0, 0}
end

for i = 1, nE do
  local e = 12 * i - 11
  if is_fresh[i] then
    answers[i] = decide(i)
  elseif answers[i][1] ~= 3 and answers[i][1] ~= 4 then -- its absolutes are told again, as they stand now
    cell_of(E[e + 3], E[e + 4], E[e + 5])
    dirty_users[E[e + 3]] = true
  end
end

-- 7. Alerts of what changed.
for g in pairs(warm_pools) do
  local w = G[4 * g - 3]
  pool_alerts(outbox, ids[w], heads[w], settings[w], pools[g], G[4 * g - 2], now)
end
for g = 1, nG do
  local w = G[4 * g - 3]
  for name in pairs(warm_teams[g]) do
    if name ~= '' then team_alerts(outbox, ids[w], heads[w], settings[w], name, teams[g][name], G[4 * g - 2], now) end
  end
end
for u in pairs(warm_users) do
  local g, own, user = U[2 * u - 1], user_settings[u], users[u]
  local w = G[4 * g - 3]
  local limit = effective_limit(own, own and team_settings[w][own[2]], settings[w], user[7])
  user_alerts(outbox, ids[w], heads[w], settings[w], U[2 * u], user, limit, G[4 * g - 2], now)
end

-- 8. Writes, none before this line. Heads first: the command that an out-of-memory server refuses.
local fields = {}
for w = 1, nW do
  local flat = {}
  for partition, offset in pairs(fences[w]) do
    flat[#flat + 1] = partition
    flat[#flat + 1] = offset
  end
  heads[w][4] = flat
  fields[2 * w - 1] = ids[w]
  fields[2 * w] = pack(heads[w])
end
if #fresh > 0 then call('HSET', KEYS[1], unpack(fields)) end
-- The tail, right behind the fence: what is decided and not committed.
local blobs, lengths = {}, {}
for k = 1, #fresh do
  local i = fresh[k]
  local e = 12 * i - 11
  local partition = E[e]
  local blob, n = blobs[partition], lengths[partition]
  if not blob then blob, n = {}, 0; blobs[partition] = blob end
  blob[n + 1] = E[e + 1]
  blob[n + 2] = answers[i]
  blob[n + 3] = E[e + 2]
  blob[n + 4] = E[e + 5]
  lengths[partition] = n + 4
end
local places, epochs = {}, {}
for g = 1, nG do
  for j = 0, 2 do places[3 * g - 2 + j] = G[4 * g - 2 + j] end
  epochs[g] = heads[G[4 * g - 3]][1]
end
for partition, blob in pairs(blobs) do
  call('RPUSH', prefix .. 'tail:' .. partition, string.format('%.0f', blob[#blob - 3]), pack(blob, places, epochs))
end
send(outbox)

local teams_reply = {}
local writes = {}
for g = 1, nG do
  local list = {}
  writes[g] = list
  if pools[g] then list[1] = 'p'; list[2] = pack(pools[g]) end
  for name, record in pairs(teams[g]) do
    local n = #list
    list[n + 1] = 't:' .. name
    list[n + 2] = pack(record)
    n = #teams_reply
    teams_reply[n + 1] = g
    teams_reply[n + 2] = name
    for j = 1, 4 do teams_reply[n + 2 + j] = record[j] end
  end
end
local users_reply, cells_reply = {}, {}
local function tell_cells(u, day, cells)
  for f, place in pairs(cells[3]) do
    local n = #cells_reply
    cells_reply[n + 1] = u
    cells_reply[n + 2] = f
    cells_reply[n + 3] = day
    for j = 1, 7 do cells_reply[n + 3 + j] = cells[1][place + j] end
  end
end
for u in pairs(dirty_users) do
  local g, user = U[2 * u - 1], users[u]
  local w, list, own = G[4 * g - 3], writes[g], user_settings[u]
  local n = #list
  list[n + 1] = 'u:' .. U[2 * u]
  list[n + 2] = pack(user, latest[u][1])
  n = #users_reply
  users_reply[n + 1] = u
  for j = 1, 5 do users_reply[n + 1 + j] = user[j] end
  users_reply[n + 7] = effective_limit(own, own and team_settings[w][own[2]], settings[w], user[7])
  tell_cells(u, user[8], latest[u])
end
for f in pairs(dirty_features) do
  local list = writes[F[2 * f - 1]]
  local n = #list
  list[n + 1] = 'f:' .. F[2 * f]
  list[n + 2] = pack(features[f])
end
for g = 1, nG do
  for name, record in pairs(hold_features[g]) do
    local list = writes[g]
    list[#list + 1] = 'f:' .. name
    list[#list + 1] = pack(record)
  end
  if #writes[g] > 0 then
    hset(prefix .. 'p:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2], writes[g])
  end
end
for i = 1, #cold_list do
  local cells = cold_list[i]
  local u, day = cells[4], cells[5]
  local g = U[2 * u - 1]
  call('HSET', prefix .. 'c:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2], day .. ':' .. U[2 * u], pack(cells[1]))
  tell_cells(u, day, cells)
end

for w, list in pairs(newcomers) do
  local names = {}
  for i = 1, #list do
    if dirty_users[list[i]] then names[#names + 1] = U[2 * list[i]] end
  end
  if #names > 0 then call('SADD', prefix .. 'k:' .. ids[w], unpack(names)) end
end
for i, pair in pairs(holds) do
  pair[2][12] = E[12 * i - 5]
  end_hold(ids[G[4 * E[12 * i - 9] - 3]], pair[1], pair[2], SETTLED, now, times[6])
end

for k = 1, #fresh do
  local i = fresh[k]
  if not seen[i] then
    local e = 12 * i - 11
    local era = era_of_event(i)
    add_time(era + E[e + 8], E[e + 11], E[e + 7], times[2])
    add_arrival(era + E[e + 10], E[e + 9], times[3])
  end
end
write_marks(times[4], times[5])

-- What the caller saw committed is asked for no more.
for i = 1, #committed, 2 do
  local key = prefix .. 'tail:' .. committed[i]
  local last = call('LINDEX', key, 0)
  while last and tonumber(last) < committed[i + 1] do
    call('LPOP', key, 2)
    last = call('LINDEX', key, 0)
  end
end

local heads_reply, pools_reply = {}, {}
for w = 1, nW do
  heads_reply[2 * w - 1] = heads[w][1]
  heads_reply[2 * w] = version(heads[w])
end
for g = 1, nG do pools_reply[g] = pools[g] or {} end
return pack({'ok', heads_reply, answers, pools_reply, teams_reply, users_reply, cells_reply, again})
