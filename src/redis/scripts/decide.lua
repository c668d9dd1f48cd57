-- Decides every event of one shard's batch: fences out what was delivered before, marks duplicates, asks every rule,
-- debits all or nothing, and answers with the new absolutes. Events of one workspace are decided in their order.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV     lists, each packed one value behind the other: an array would be grown while it is read
--   [1]  workspaces {id, calendar version, epoch seen, version seen, ...}
--   [2]  groups     {workspace, period, 1 when planned, end of the period in ms, ...},    a group is a workspace and period
--   [3]  users      {group, 'u:' and the user, ...}
--   [4]  features   {group, 'f:' and the feature, ...}
--   [5]  cells      {user, feature, day, ...}
--   [6]  parts      {workspace, partition, last event, ...}: the events of one workspace from one partition lie together,
--                   in the order of their offsets; the parts of one partition lie together too
--   [7]  events     {offset, cell, credits, ...}
--   [8]  marks      {mark, arrival mark, slot * 4096 + place, ...}, for each event
--   [9]  arrivals   {last event, arrival slot, ...}: neighbours of the same slot together
--   [10] twins      {event, ...} that share a mark with another one in here
--   [11] committed  {partition, next offset, ...}
--   [12] times      {now in ms, seconds that a mark lives, seconds that an arrival mark lives, arrival slots looked back,
--                   seconds that a passed one stays, seconds that an ended hold's name stays taken}
--   [13] holds      {event, hold, 1 when we published it, period, 1 when planned, end in ms, day, ...} of events that name
--                   one, with the place that their own time gives them; the only one that is an array, for its length
--   [14..] a memo for each partition, in the order of the parts: what the tail keeps of its events, packed
--            {part of the partition, period, 1 when planned, end in ms, day, ...}, {offset, place in the former, ...}
--   The numbers of workspace, group, user, feature, cell and event are places in the lists before, from 1. A mark is a
--   64-bit hash as decimal text; `place` says where in its slot the event's time lies, 0..4095.
--
-- Reply    packed {'calendar', {workspace, text, ...}}   nothing was done: place the events by these calendars, call again
--          packed {'rebuild', {workspace, ...}}          nothing was done: the state of these is missing or stale
--          packed {'due'}                                nothing was done: sweep the shard's holds, call again
--          packed {'moved', {event, period, 1 when planned, end in ms, day, ...}}   nothing was done: these belong
--                          elsewhere, where they were put at first or where the hold is that they settle; call again
--          packed {'unopened', {group, last period opened before, carry-over, ...}}   nothing was done: open these
--                          periods, call again
--          packed {'ok', heads, again, answers, answered teams, pools, teams, users, cells}
--   heads    {epoch, version, sequence of the last decision, ...} for each workspace: the events of a workspace that were
--            decided now took the sequences up to it, in their order
--   again    events that were decided before: their first answers are told
--   answers  for each event 1    allowed, all from the pool
--                           {2, outcome, drawn from user, team, pool, overage, reason, limit, used, held, remaining}
--                           3    duplicate
--                           {5, as 2 from the outcome on}        it settled its hold
--            of those decided before {4} when it is recorded, else {1|2|3|5, sequence, team, as above from the outcome on}
--   answered teams  {event, team, ...} of those decided now that concern a team
--   pools    for each group {credited, out, used, held, total, used, held, overage, ...} or {} when it has no books
--   teams    {group, team, credited, out, used, held, ...}
--   users    {{user, credited, out, used, held, spent, limit}, ...}
--   cells    {{cell, credits, overage, events, overage events, denied events, denied credits, denied micro}, ...}
--
-- Example: one event of 2 credits by ann, seen first:
--   'acme',1,1,7  1,'2026-11-01',1,1796083200000  1,'u:ann'  1,'f:ai_chat'  1,1,20779  1,0,1  41,1,2000000
--   '-91','17',12255952905  1,1994784  ''  0,40  1795300000000,432000,27000,2,900,262800  {}
--   {1,'2026-11-01',1,1796083200000,20779}, {41,1}
--   -> {'ok', {1,8,1}, {}, {1}, {}, {{350000000000,0,2000000,0,...}}, {}, {{1,0,0,0,0,2000000,-1}}, {{1,2000000,0,1,0,0,0,0}}}
--
-- What every account, limit and total has room for as a whole has room for each part of it in whatever order: there the
-- events are added up by user, feature and day, and cost a sum. Where something may not fit, each is asked by itself.
-- It reads and validates everything first and writes last, for Redis has no rollback.
assert(#KEYS == 1 and #ARGV >= 13, 'decide takes one key, the lists of its request and the memos')
local function list(n) return {unpack_record(ARGV[n])} end
local W, G, U, F, C, P, E = list(1), list(2), list(3), list(4), list(5), list(6), list(7)
local M, arrivals, twins, committed, times, H = list(8), list(9), list(10), list(11), list(12), unpack_record(ARGV[13])
local nW, nG, nU, nF, nC, nP, nE = #W / 4, #G / 4, #U / 2, #F / 2, #C / 3, #P / 3, #E / 3
local now = times[1]
if holds_due(now) then return pack({'due'}) end

-- 1. Heads and settings: is this state whole, and did the caller place the events by the calendar in force?
local ids, heads = {}, {}
for w = 1, nW do ids[w] = W[4 * w - 3] end
local users_of, features_of = {}, {}
for g = 1, nG do users_of[g], features_of[g] = {}, {} end
for u = 1, nU do local l = users_of[U[2 * u - 1]]; l[#l + 1] = u end
for f = 1, nF do local l = features_of[F[2 * f - 1]]; l[#l + 1] = f end
local packed_heads = call('HMGET', KEYS[1], unpack(ids))
for w = 1, nW do heads[w] = read_head(packed_heads[w]) end

local settings, user_settings, feature_limits, team_settings = {}, {}, {}, {}
local lost, rebuild, stale = {}, {}, {}
local fields_of, no_teams = {}, {} -- what is read of each group, of its settings as of its books
for g = 1, nG do
  local w, us, fs = G[4 * g - 3], users_of[g], features_of[g]
  local key = prefix .. 'w:' .. ids[w]
  local fields, n = {'s'}, #us
  for i = 1, n do fields[1 + i] = U[2 * us[i]] end
  for i = 1, #fs do fields[1 + n + i] = F[2 * fs[i]] end
  fields_of[g] = fields
  local read = call('HMGET', key, unpack(fields))
  local own = read_settings(read[1])
  settings[g] = own
  if not lost[w] then
    if is_lost(heads[w], packed_heads[w], read[1], W[4 * w - 1], W[4 * w]) then
      lost[w] = true
      rebuild[#rebuild + 1] = w
    elseif own[1] ~= W[4 * w - 2] then
      lost[w] = true
      stale[#stale + 1] = w
      stale[#stale + 1] = call('HGET', key, 'cal') or ''
    end
  end
  local wanted, teams = nil, no_teams
  for i = 1, n do
    local packed = read[1 + i]
    if packed then
      local record = unpack_record(packed)
      user_settings[us[i]] = record
      local team = record[2]
      if team ~= '' and teams[team] == nil then
        if not wanted then wanted, teams = {}, {} end
        teams[team] = false
        wanted[#wanted + 1] = 't:' .. team
      end
    end
  end
  for i = 1, #fs do
    local packed = read[1 + n + i]
    if packed then feature_limits[fs[i]] = unpack_record(packed)[1] end
  end
  if wanted then
    read = call('HMGET', key, unpack(wanted))
    for i = 1, #wanted do
      if read[i] then teams[string.sub(wanted[i], 3)] = unpack_record(read[i]) end
    end
  end
  team_settings[g] = teams
end
if #rebuild > 0 then return pack({'rebuild', rebuild}) end
if #stale > 0 then return pack({'calendar', stale}) end

-- 2. The fence: what was decided before gets its first answer again, from the tail.
local tails, answers, old = {}, {}, {} -- old: events decided before
local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local rebuilt = {} -- of each workspace that was rebuilt: how far what was recorded reached beyond the fences
for w = 1, nW do rebuilt[w] = heads[w][6] and map_of(heads[w][6]) end
local function is_recorded(w, partition, offset)
  local last = rebuilt[w][partition]
  return last and offset <= last
    and call('SISMEMBER', prefix .. 'b:' .. ids[w] .. ':' .. partition, string.format('%.0f', offset)) == 1
end
-- By offset: {answer in full, period, planned, end, day, epoch}.
local function tail_of(partition)
  local map = tails[partition]
  if not map then
    map = {}
    local list = call('LRANGE', prefix .. 'tail:' .. partition, 0, -1)
    for i = 1, #list, 3 do
      local places, offsets = unpack_record(list[i + 1])
      local given, last, epochs, teams = unpack_record(list[i + 2])
      local team_of = map_of(teams)
      for k = 1, #given do
        local answer, place = given[k], 5 * offsets[2 * k] - 4
        local part = places[place]
        if answer ~= 0 then
          last[part] = last[part] + 1
          local full = {answer, last[part], team_of[k] or ''}
          if type(answer) == 'table' then
            full[1] = answer[1]
            for j = 2, #answer do full[j + 2] = answer[j] end
          end
          map[offsets[2 * k - 1]] =
            {full, places[place + 1], places[place + 2], places[place + 3], places[place + 4], epochs[part]}
        end
      end
    end
    tails[partition] = map
  end
  return map
end
local moved, again = {}, {}
local function belongs(i, period, planned, ends, day)
  local c = 3 * E[3 * i - 1]
  local g = 4 * U[2 * C[c - 2] - 1]
  if period ~= G[g - 2] or planned ~= G[g - 1] or ends ~= G[g] or day ~= C[c] then
    local n = #moved
    moved[n + 1], moved[n + 2], moved[n + 3], moved[n + 4], moved[n + 5] = i, period, planned, ends, day
  end
end
local fresh_in = {} -- of each part, how many are decided now
local first = 1
for p = 1, nP do
  local w, partition, last = P[3 * p - 2], P[3 * p - 1], P[3 * p]
  local fences, at = heads[w][4], 1
  while fences[at] and fences[at] ~= partition do at = at + 2 end
  local fence = fences[at + 1]
  fresh_in[p] = last - first + 1
  if rebuilt[w] or (fence and E[3 * first - 2] <= fence) then
    for i = first, last do
      local offset = E[3 * i - 2]
      local answer
      if fence and offset <= fence then
        local before = tail_of(partition)[offset]
        -- Of an epoch that is over: what lies below the fence of the next is recorded, with that epoch's number.
        if before and before[6] and before[6] ~= heads[w][1] then before = nil end
        answer = before and before[1] or {4}
        if before then belongs(i, before[2], before[3], before[4], before[5]) end
      elseif rebuilt[w] and is_recorded(w, partition, offset) then
        answer = {4}
      end
      if answer then
        old[i], answers[i] = true, answer
        again[#again + 1] = i
        fresh_in[p] = fresh_in[p] - 1
      else
        fences[at], fences[at + 1] = partition, offset
      end
    end
  else
    fences[at], fences[at + 1] = partition, E[3 * last - 2]
  end
  first = last + 1
end

-- 3. The marks of what is fresh.
local seen = {}
local part, part_end, era = 0, 0, 0
local run, run_end, arrived = -1, 0, nil
for i = 1, nE do
  if i > part_end or i > run_end then
    while i > part_end do
      part = part + 1
      part_end = P[3 * part]
    end
    while i > run_end do
      run = run + 2
      run_end = arrivals[run]
    end
    era = era_of(heads[P[3 * part - 2]][1])
    arrived = nil
  end
  if not old[i] then
    arrived = arrived or arrival_set(era + arrivals[run + 1], times[3], times[4])
    local time = M[3 * i]
    local place = time % 4096
    look_up_time(era + (time - place) / 4096, place, M[3 * i - 2], i, times[2])
    local n = arrived.n + 1
    arrived.n, arrived.marks[n], arrived.events[n] = n, M[3 * i - 1], i
  end
end
find_marks(seen, times[4])
if #twins > 0 then
  local marks_now, arrivals_now, r = {}, {}, 1
  for t = 1, #twins do
    local i = twins[t]
    while arrivals[r] < i do r = r + 2 end
    if not old[i] then
      local mark, arrival, slot = M[3 * i - 2], M[3 * i - 1], arrivals[r + 1]
      local since = arrivals_now[arrival] and slot - arrivals_now[arrival] or -1
      if marks_now[mark] or (since >= 0 and since <= times[4]) then seen[i] = true end
      if not seen[i] then
        marks_now[mark] = true
        arrivals_now[arrival] = slot
      end
    end
  end
end

-- 4. The holds that fresh events settle: an open one of the same user, or one that is settling with this amount when we
-- published the event. It takes the event into its own period, on a day of that.
local holds, taken = {}, {}
for h = 1, #H, 7 do
  local i, id = H[h], H[h + 1]
  if not old[i] then
    local u = C[3 * E[3 * i - 1] - 2]
    local workspace = ids[G[4 * U[2 * u - 1] - 3]]
    local name = workspace .. ' ' .. id
    local packed = not seen[i] and not taken[name] and call('HGET', prefix .. 'h:' .. workspace, id)
    local hold = packed and unpack_record(packed)
    if hold and ('u:' .. hold[1] ~= U[2 * u] or hold[11] ~= H[h + 2] or (hold[11] == SETTLING and hold[12] ~= E[3 * i])) then
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
local latest = {} -- for each user the cells of the latest day
local unopened, outbox = {}, {}
local newcomers = {} -- of each group, users whom the period has not seen
local hold_features = {} -- for each group with holds the records of the features that these name
local of_holds = {}
for i, pair in pairs(holds) do
  local g = U[2 * C[3 * E[3 * i - 1] - 2] - 1]
  local list = of_holds[g]
  if not list then list = {}; of_holds[g] = list end
  list[#list + 1] = pair[2]
end
local function read_hold_features(g, key)
  local records = {}
  for _, hold in ipairs(of_holds[g]) do records[hold[2]] = false end
  for _, f in ipairs(features_of[g]) do
    local name = string.sub(F[2 * f], 3)
    if records[name] == false then records[name] = features[f] end
  end
  for name, record in pairs(records) do
    if not record then
      local packed = call('HGET', key, 'f:' .. name)
      records[name] = packed and unpack_record(packed) or {0, 0}
    end
  end
  hold_features[g] = records
end
for g = 1, nG do
  local w, period, planned = G[4 * g - 3], G[4 * g - 2], G[4 * g - 1] == 1
  local key = prefix .. 'p:' .. ids[w] .. ':' .. period
  local us, fs, fields = users_of[g], features_of[g], fields_of[g]
  local n, known, names = #us, no_teams, no_teams
  fields[1] = 'p'
  if of_holds[g] or team_settings[g] ~= no_teams then
    known, names = {}, {}
    for team in pairs(team_settings[g]) do known[team] = true end
    for _, hold in ipairs(of_holds[g] or {}) do
      if hold[3] ~= '' then known[hold[3]] = true end
    end
    for team in pairs(known) do
      names[#names + 1] = team
      fields[#fields + 1] = 't:' .. team
    end
  end
  teams[g] = known
  local read = call('HMGET', key, unpack(fields))
  for i = 1, n do
    local packed, u = read[1 + i], us[i]
    local record, cells
    if packed then
      record, cells = unpack_record(packed)
    else
      record, cells = new_user()
      local list = newcomers[g]
      if not list then list = {}; newcomers[g] = list end
      list[#list + 1] = u
    end
    users[u] = record
    latest[u] = cells
  end
  for i = 1, #fs do
    local packed = read[1 + n + i]
    features[fs[i]] = packed and unpack_record(packed) or {0, 0}
  end
  for i = 1, #names do
    local packed = read[1 + n + #fs + i]
    known[names[i]] = packed and unpack_record(packed) or new_team()
  end
  if of_holds[g] then read_hold_features(g, key) end
  if read[1] then
    pools[g] = unpack_record(read[1])
  elseif planned then
    local before, last = read_opened(prefix .. 'w:' .. ids[w], period)
    if before then return pack({'rebuild', {w}}) end
    local k = #unopened
    unopened[k + 1], unopened[k + 2], unopened[k + 3] = g, last, settings[g][5]
  else
    pools[g] = false
  end
end
if #unopened > 0 then return pack({'unopened', unopened}) end

-- 6. The fold.
local cold, cold_list = {}, {} -- cells of other days than a user's latest: {cells, user, day}
local function cold_cells(u, day)
  local of_user = cold[u]
  if not of_user then of_user = {}; cold[u] = of_user end
  local cells = of_user[day]
  if not cells then
    local g = U[2 * u - 1]
    local key = prefix .. 'c:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2]
    local packed = call('HGET', key, day .. string.sub(U[2 * u], 2))
    cells = {packed and unpack_record(packed) or {}, u, day}
    of_user[day] = cells
    cold_list[#cold_list + 1] = cells
  end
  return cells[1]
end
-- Where a cell of the call lies, once it is touched: in which cells, and its place in them.
local told_in, told_at = {}, {}
local function cell_of(c)
  if told_in[c] then return told_in[c], told_at[c] end
  local u, f, day = C[3 * c - 2], C[3 * c - 1], C[3 * c]
  local user, cells = users[u], latest[u]
  if day > user[8] then -- the day turns: what was the latest is kept apart
    if #cells > 0 then
      local kept = {cells, u, user[8]}
      cold[u] = cold[u] or {}
      cold[u][user[8]] = kept
      cold_list[#cold_list + 1] = kept
    end
    user[8] = day
    cells = {}
    latest[u] = cells
  elseif day < user[8] then
    cells = cold_cells(u, day)
  end
  local name, place = string.sub(F[2 * f], 3), 1
  while cells[place] and cells[place] ~= name do place = place + 8 end
  if not cells[place] then
    cells[place] = name
    for p = place + 1, place + 7 do cells[p] = 0 end
  end
  told_in[c], told_at[c] = cells, place
  return cells, place
end

local ALLOWED, OVERAGE, DENIED = 1, 2, 3
local NOBODY, NO_POOL = new_team(), new_pool()

local dirty_users, dirty_features = {}, {}
local warm_users, warm_teams, warm_pools = {}, {}, {} -- those whose sums changed: they may want an alert
local event_teams = {} -- of events that concern a team

local function warm_team(g, name)
  local names = warm_teams[g]
  if not names then names = {}; warm_teams[g] = names end
  names[name] = true
end

-- The limit in force of each user.
local limits = {}
for u = 1, nU do
  local g, own = U[2 * u - 1], user_settings[u]
  limits[u] = effective_limit(own, own and team_settings[g][own[2]] or nil, settings[g], users[u][7])
end

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
  local c = E[3 * i - 1]
  local u, f, credits = C[3 * c - 2], C[3 * c - 1], E[3 * i]
  local g = U[2 * u - 1]
  local pool, user, feature, own = pools[g], users[u], features[f], user_settings[u]
  local team_name = hold[3]
  local team = team_name ~= '' and teams[g][team_name] or NOBODY
  if team_name ~= '' then event_teams[i] = team_name end
  local cells, place = cell_of(c)
  dirty_users[u], dirty_features[f] = true, true
  if held_by(hold) > 0 then warm_users[u], warm_pools[g] = true, true end
  if hold[7] > 0 then warm_team(g, team_name) end
  release(hold, user, team, pool, hold_features[g][hold[2]])
  local reason, blocked_limit, used, held, rest = past_largest_total(pool, credits)
  if reason then
    count_denied(cells, place, credits)
    return {5, DENIED, 0, 0, 0, 0, reason, blocked_limit, used, held, rest}
  end
  local from_user, from_team, from_pool = draw_held(hold, user, team, pool, credits)
  local part = from_user + from_team + from_pool
  local more = credits - part
  user[5] = user[5] + part
  feature[1] = feature[1] + part
  if more > 0 then
    local limit, cap, suspended = limits[u], feature_limits[f] or -1, own and own[3] == 1
    reason, blocked_limit, used, held, rest = first_failing(true, pool, user, team, feature, limit, cap, suspended, more)
    local allowed = more
    if reason and not bends(reason, settings[g][3] == 1) then
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
  if from_team > 0 then warm_team(g, team_name) end
  local drawn = from_user + from_team + from_pool
  local over = credits - drawn
  pool[8] = pool[8] + over
  count(cells, place, drawn, over, reason)
  if reason then
    return {5, OVERAGE, from_user, from_team, from_pool, over, reason, blocked_limit, used, held, rest}
  end
  return {5, ALLOWED, from_user, from_team, from_pool, 0, 0, -1, 0, 0, 0}
end

-- One event that was not seen.
local function decide(i)
  if holds[i] then return settle(i, holds[i][2]) end
  local c = E[3 * i - 1]
  local u, f, credits = C[3 * c - 2], C[3 * c - 1], E[3 * i]
  local g = U[2 * u - 1]
  local pool, user, feature, own = pools[g] or NO_POOL, users[u], features[f], user_settings[u]
  local team_name = own and own[2] or ''
  local team = team_name ~= '' and teams[g][team_name] or NOBODY
  local reason, blocked_limit, used, held, rest = first_failing(
    G[4 * g - 1] == 1, pool, user, team, feature, limits[u], feature_limits[f] or -1, own and own[3] == 1, credits)
  local cells, place = cell_of(c)
  dirty_users[u] = true
  local denied = reason and not bends(reason, settings[g][3] == 1)
  if not denied then
    local largest, a, b, d, z = past_largest_total(pool, credits)
    if largest then denied, reason, blocked_limit, used, held, rest = true, largest, a, b, d, z end
  end
  if denied then
    count_denied(cells, place, credits)
    return {2, DENIED, 0, 0, 0, 0, reason, blocked_limit, used, held, rest}
  end
  local from_user, from_team, from_pool = draw(user, team, pool, credits)
  local over = credits - from_user - from_team - from_pool
  user[5] = user[5] + credits
  pool[8] = pool[8] + over
  feature[1] = feature[1] + credits
  dirty_features[f] = true
  if credits > 0 then
    warm_users[u], warm_pools[g] = true, true
    if from_team > 0 then warm_team(g, team_name) end
  end
  count(cells, place, credits - over, over, reason)
  if reason then
    return {2, OVERAGE, from_user, from_team, from_pool, over, reason, blocked_limit, used, held, rest}
  end
  if from_pool == credits then return 1 end
  return {2, ALLOWED, from_user, from_team, from_pool, 0, 0, -1, 0, 0, 0}
end

-- What is asked for in all, by cell, user, feature and group.
local sums, counts = {}, {}
for c = 1, nC do sums[c], counts[c] = 0, 0 end
for i = 1, nE do
  if seen[i] then
    answers[i] = 3
  elseif not old[i] then
    local c, credits = E[3 * i - 1], E[3 * i]
    if not (credits >= 0 and credits <= TOTAL_MAX) then amount(credits) end
    answers[i] = 1
    sums[c] = sums[c] + credits
    counts[c] = counts[c] + 1
  end
end
local of_users, of_features, of_groups = {}, {}, {}
for c = 1, nC do
  local u, f, sum = C[3 * c - 2], C[3 * c - 1], sums[c]
  local g = U[2 * u - 1]
  of_users[u] = (of_users[u] or 0) + sum
  of_features[f] = (of_features[f] or 0) + sum
  of_groups[g] = (of_groups[g] or 0) + sum
end

-- Groups and users whose events may not all fit, or draw on more than the pool: they are asked one by one.
local tight_groups, tight_users, any_tight = {}, {}, false
for g = 1, nG do
  local pool, asked = pools[g], of_groups[g] or 0
  tight_groups[g] = of_holds[g] or G[4 * g - 1] ~= 1 or not pool or remaining(pool) < asked
    or past_largest_total(pool, asked) ~= nil
end
for f = 1, nF do
  local cap = feature_limits[f]
  if cap and cap >= 0 and features[f][1] + features[f][2] + (of_features[f] or 0) > cap then
    tight_groups[F[2 * f - 1]] = true
  end
end
for u = 1, nU do
  local own = user_settings[u]
  if own and own[3] == 1 then tight_groups[U[2 * u - 1]] = true end -- its denials tell what the pool has left
end
for u = 1, nU do
  local g, user, own, limit = U[2 * u - 1], users[u], user_settings[u], limits[u]
  local team = own and own[2] ~= '' and teams[g][own[2]] or NOBODY
  local tight = tight_groups[g] or remaining(user) ~= 0 or remaining(team) ~= 0
    or (limit >= 0 and user[5] + user[6] + (of_users[u] or 0) > limit)
  tight_users[u] = tight
  any_tight = any_tight or tight
end

for c = 1, nC do
  local u, f, n = C[3 * c - 2], C[3 * c - 1], counts[c]
  if n > 0 and not tight_users[u] then
    local g, sum = U[2 * u - 1], sums[c]
    local cells, place = cell_of(c)
    local user, feature, pool = users[u], features[f], pools[g]
    cells[place + 1] = cells[place + 1] + sum
    cells[place + 3] = cells[place + 3] + n
    user[5] = user[5] + sum
    feature[1] = feature[1] + sum
    pool[3] = pool[3] + sum
    pool[6] = pool[6] + sum
    dirty_users[u], dirty_features[f] = true, true
    if sum > 0 then warm_users[u], warm_pools[g] = true, true end
  end
end
if any_tight then
  for i = 1, nE do
    if answers[i] == 1 and not old[i] and tight_users[C[3 * E[3 * i - 1] - 2]] then answers[i] = decide(i) end
  end
end
for k = 1, #again do
  local i = again[k]
  if answers[i][1] ~= 3 and answers[i][1] ~= 4 then -- its absolutes are told again, as they stand now
    local c = E[3 * i - 1]
    cell_of(c)
    dirty_users[C[3 * c - 2]] = true
  end
end
for i = 1, next(user_settings) and nE or 0 do
  local own = not old[i] and not event_teams[i] and user_settings[C[3 * E[3 * i - 1] - 2]]
  if own and own[2] ~= '' and not holds[i] then event_teams[i] = own[2] end
end

-- Every fresh event takes the next sequence of its workspace, in their order.
local before_part = {}
for p = 1, nP do
  local head = heads[P[3 * p - 2]]
  before_part[p] = head[2]
  head[2] = head[2] + fresh_in[p]
end

-- 7. Alerts of what changed.
for g in pairs(warm_pools) do
  local w = G[4 * g - 3]
  pool_alerts(outbox, ids[w], heads[w], settings[g], pools[g], G[4 * g - 2], now)
end
for g, names in pairs(warm_teams) do
  local w = G[4 * g - 3]
  for name in pairs(names) do
    team_alerts(outbox, ids[w], heads[w], settings[g], name, teams[g][name], G[4 * g - 2], now)
  end
end
for u in pairs(warm_users) do
  if limits[u] > 0 or users[u][10] > 0 then
    local g = U[2 * u - 1]
    local w = G[4 * g - 3]
    user_alerts(outbox, ids[w], heads[w], settings[g], string.sub(U[2 * u], 3), users[u], limits[u], G[4 * g - 2], now)
  end
end

-- 8. Writes, none before this line. Heads first: the command that an out-of-memory server refuses.
local fields = {}
for w = 1, nW do
  fields[2 * w - 1] = ids[w]
  fields[2 * w] = pack(heads[w])
end
local some_fresh = #again < nE
if some_fresh then call('HSET', KEYS[1], unpack(fields)) end
-- The tail, right behind the fence: what is decided and not committed, a memo and its answers for each partition.
local function keep_tail(memo, from, to)
  local partition, first, last = P[3 * from - 1], from > 1 and P[3 * from - 3] + 1 or 1, P[3 * to]
  local given, bases, epochs, concerned, newest = {}, {}, {}, {}, 0
  for i = first, last do
    given[i - first + 1] = old[i] and 0 or answers[i]
    local team = event_teams[i]
    if team then
      concerned[#concerned + 1] = i - first + 1
      concerned[#concerned + 1] = team
    end
  end
  for p = from, to do
    bases[p - from + 1] = before_part[p]
    epochs[p - from + 1] = heads[P[3 * p - 2]][1]
    newest = most(newest, E[3 * P[3 * p] - 2])
  end
  call('RPUSH', prefix .. 'tail:' .. partition, string.format('%.0f', newest), memo, pack(given, bases, epochs, concerned))
end
local from, memo = 1, 14
for p = 1, nP do
  if p == nP or P[3 * p + 2] ~= P[3 * p - 1] then
    local any = false
    for q = from, p do any = any or fresh_in[q] > 0 end
    if any then keep_tail(ARGV[memo], from, p) end
    from, memo = p + 1, memo + 1
  end
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
local users_reply, cells_reply, users_told, cells_told = {}, {}, 0, 0
for c, cells in pairs(told_in) do
  local p = told_at[c]
  cells_told = cells_told + 1
  cells_reply[cells_told] = {
    c, cells[p + 1], cells[p + 2], cells[p + 3], cells[p + 4], cells[p + 5], cells[p + 6], cells[p + 7],
  }
end
for u in pairs(dirty_users) do
  local user, list = users[u], writes[U[2 * u - 1]]
  local n = #list
  list[n + 1] = U[2 * u]
  list[n + 2] = pack(user, latest[u])
  users_told = users_told + 1
  users_reply[users_told] = {u, user[1], user[2], user[3], user[4], user[5], limits[u]}
end
for f in pairs(dirty_features) do
  local list = writes[F[2 * f - 1]]
  local n = #list
  list[n + 1] = F[2 * f]
  list[n + 2] = pack(features[f])
end
for g, records in pairs(hold_features) do
  local list = writes[g]
  for name, record in pairs(records) do
    list[#list + 1] = 'f:' .. name
    list[#list + 1] = pack(record)
  end
end
for g = 1, nG do
  if #writes[g] > 0 then
    hset(prefix .. 'p:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2], writes[g])
  end
end
for i = 1, #cold_list do
  local cells = cold_list[i]
  local u, day = cells[2], cells[3]
  local g = U[2 * u - 1]
  call('HSET', prefix .. 'c:' .. ids[G[4 * g - 3]] .. ':' .. G[4 * g - 2], day .. string.sub(U[2 * u], 2), pack(cells[1]))
end

for g, list in pairs(newcomers) do
  local names = {}
  for i = 1, #list do
    if dirty_users[list[i]] then names[#names + 1] = string.sub(U[2 * list[i]], 3) end
  end
  if #names > 0 then call('SADD', prefix .. 'k:' .. ids[G[4 * g - 3]], unpack(names)) end
end
for i, pair in pairs(holds) do
  pair[2][12] = E[3 * i]
  end_hold(ids[G[4 * U[2 * C[3 * E[3 * i - 1] - 2] - 1] - 3]], pair[1], pair[2], SETTLED, now, times[6])
end
write_marks(seen, times[5])

-- What the caller saw committed is asked for no more.
for i = 1, #committed, 2 do
  local key = prefix .. 'tail:' .. committed[i]
  local last = call('LINDEX', key, 0)
  while last and tonumber(last) < committed[i + 1] do
    call('LPOP', key, 3)
    last = call('LINDEX', key, 0)
  end
end

local heads_reply, pools_reply, teams_answered = {}, {}, {}
for w = 1, nW do
  local n, head = 3 * w - 3, heads[w]
  heads_reply[n + 1], heads_reply[n + 2], heads_reply[n + 3] = head[1], version(head), head[2]
end
for g = 1, nG do pools_reply[g] = pools[g] or {} end
for i, team in pairs(event_teams) do
  teams_answered[#teams_answered + 1] = i
  teams_answered[#teams_answered + 1] = team
end
return pack({'ok', heads_reply, again, answers, teams_answered, pools_reply, teams_reply, users_reply, cells_reply})
