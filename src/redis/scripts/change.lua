-- Makes one administrative change: checks, applies, takes the next ledger sequence and appends to the outbox, all or
-- nothing. The same again under the same idempotency key changes nothing and gives the first answer.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {workspace, calendar version, epoch seen, version seen, {period, start ms, end ms, 1 when planned},
--                  now in ms, {actor, reason, idempotency key, place, request}, kind, change as JSON text, arguments}
--   place and request are digests, '' without a key; arguments by kind, amounts in microcredits, -1 and '' for none:
--     plan     {new calendar version, calendar text, {monthly credits, 1 when soft, default user limit, carry-over,
--               {threshold, ...}, seats, credits per seat}, effective from ms,
--               1 to open the period, when it begins with this plan}
--     user, users  {user, 1 when limit is set, limit, 1 when team is set, team, suspended or -1 to keep,
--               allocation or -1 to keep, 1 to apply now, ...}
--     team     {team, default user limit, monthly reserve, 1 to apply now}
--     feature  {feature, limit}
--     top_up   {credits}
--     transfer, grant  {from, to, credits, 1 to raise the limit}
--     reversal {event, user, feature, team, day, from user, from team, from pool, overage}
--
-- Reply    packed {'calendar', text}, {'rebuild'} or {'due'}: nothing was done, as in decide.lua
--          packed {'unopened', last period opened before, carry-over}: nothing was done, the period must be opened first
--          packed {'refused', code, account, remaining, wanted}: nothing was done
--          packed {'ok', {period, start ms, end ms, at ms, epoch, ledger sequence, effective from ms}, told}
--            told as in books.lua
--
-- Example: {'acme',1,1,9,{'2026-11-01',1793491200000,1796083200000,1},1795300000000,{'ann','','','',''},'grant','{..}',
--           {'pool','user:u1',2000000000,1}}
--   -> {'ok', {'2026-11-01',1793491200000,1796083200000,1795300000000,1,4,-1}, {{'acme',1,10,'2026-11-01',{...},{},{...},{}}}}
assert(#KEYS == 1 and #ARGV == 1, 'change takes one key and one argument')
local m = unpack_record(ARGV[1])
local placing, now, who, kind, change, args = m[5], m[6], m[7], m[8], m[9], m[10]
local period, planned = placing[1], placing[4] == 1

-- 1. Is it known already, and is this state whole? Nothing is written before every check has passed.
local before = answered(m[1], who)
if before then return before end
local space = space_of(m[1])
local settings = space.settings
if is_lost(space.head, space.known, space.planned, m[3], m[4]) then return pack({'rebuild'}) end
if settings[1] ~= m[2] then return pack({'calendar', call('HGET', space.key, 'cal') or ''}) end
if holds_due(now) then return pack({'due'}) end

local function refused(code, account, left, wanted)
  local answer = pack({'refused', code, account or '', left or 0, wanted or 0})
  if code == 'too_many_credits' then return answer end -- the request is wrong, whenever it comes
  return remember(space.id, who, answer)
end

-- 2. The period: a first plan opens it, and one that ends the wait for another, every other change finds it open.
local book = book_of(space, period)
local first_plan = kind == 'plan' and settings[1] == 0
local monthly_before = settings[2]
if kind == 'plan' then
  local plan = args[3]
  local standing = settings[9]
  if first_plan then
    settings = {args[1], amount(plan[1]), plan[2], plan[3], plan[4], plan[5], plan[6], plan[7], standing}
    space.settings = settings
    planned = true
    if open_period(space, period, now) == nil then return pack({'rebuild'}) end
  elseif args[5] == 1 and open_period(space, period, now) == nil then -- with the plan that was in force so far
    return pack({'rebuild'})
  end
elseif not planned and (kind == 'top_up' or kind == 'transfer' or kind == 'grant') then
  return refused('no_plan')
end
if planned and not entry_of(book, 'p').found then
  local found, last = read_opened(space.key, period)
  if found then return pack({'rebuild'}) end
  return pack({'unopened', last, settings[5]})
end

-- 3. Apply.
local postings, effective_from = {}, -1
local function move(from, to, credits, raise)
  if from == to then return refused('same_account', from) end
  local source, target = record_of(book, field_of(from)), record_of(book, field_of(to))
  local user = string.sub(from, 1, 5) == 'user:'
  if remaining(source) < credits then
    local capped = user and source[1] == 0 and limit_of_user(book, string.sub(from, 6)) >= 0
    return refused(capped and 'limit_without_credits' or 'insufficient_credits', from, remaining(source), credits)
  end
  if target[1] + credits > TOTAL_MAX then return refused('too_many_credits') end -- sums are gross
  source[2] = source[2] + credits
  target[1] = target[1] + credits
  if user then source[7] = most(0, source[7] - credits) end
  if raise and string.sub(to, 1, 5) == 'user:' then target[7] = target[7] + credits end
  post(postings, from, period, -credits)
  post(postings, to, period, credits)
end
local function enter(credits) -- into the pool, or out of it when below 0
  local pool = record_of(book, 'p')
  if credits < 0 and remaining(pool) < -credits then
    return refused('insufficient_credits', 'pool', remaining(pool), -credits)
  end
  if pool[5] + credits > TOTAL_MAX or pool[1] + credits > TOTAL_MAX then return refused('too_many_credits') end
  pool[5] = pool[5] + credits
  pool[1] = pool[1] + credits
  if credits ~= 0 then post(postings, 'pool', period, credits) end
end

-- Writes a standing amount down, and moves what the period lacks of it or has too much.
local standing_writes = {}
local function set_standing(name, was, credits, apply_now, place)
  if credits ~= was then standing_writes[#standing_writes + 1] = {name, credits} end
  settings[9] = settings[9] + (credits > 0 and 1 or 0) - (was > 0 and 1 or 0)
  if not apply_now then return end
  if not planned then return refused('no_plan') end
  local account = record_of(book, field_of(name))
  local lacking = credits - account[place]
  account[place] = credits
  if lacking > 0 then return move('pool', name, lacking) end
  if lacking < 0 then return move(name, 'pool', -lacking) end
end

local apply = {}
function apply.plan()
  write_setting(space, 'cal', args[2])
  effective_from = args[4]
  if first_plan then return end
  local plan = args[3]
  settings = {args[1], amount(plan[1]), plan[2], plan[3], plan[4], plan[5], plan[6], plan[7], settings[9]}
  space.settings = settings
  return enter(settings[2] - monthly_before)
end
function apply.user()
  for i = 1, #args, 8 do
    local user = args[i]
    local record = copy(setting_of(space, 'u:' .. user) or {LIMIT_INHERIT, '', 0, 0})
    local was = record[4]
    if args[i + 1] == 1 then record[1] = args[i + 2] end
    if args[i + 3] == 1 then record[2] = args[i + 4] end
    if args[i + 5] >= 0 then record[3] = args[i + 5] end
    if args[i + 6] >= 0 then record[4] = amount(args[i + 6]) end
    set_setting(space, 'u:' .. user, record)
    entry_of(book, 'u:' .. user).limited = true
    local refusal = set_standing('user:' .. user, was, record[4], args[i + 7] == 1, 9)
    if refusal then return refusal end
  end
end
apply.users = apply.user
function apply.team()
  local team, reserve = args[1], amount(args[3])
  local own = setting_of(space, 't:' .. team)
  set_setting(space, 't:' .. team, {args[2], reserve})
  entry_of(book, 't:' .. team).limited = true
  return set_standing('team:' .. team, own and own[2] or 0, reserve, args[4] == 1, 5)
end
function apply.feature()
  set_setting(space, 'f:' .. args[1], {args[2]})
end
function apply.top_up()
  local credits = amount(args[1])
  local refusal = enter(credits)
  local pool = record_of(book, 'p')
  if not refusal then pool[9] = pool[9] + credits end
  return refusal
end
function apply.transfer()
  return move(args[1], args[2], amount(args[3]), args[4] == 1)
end
apply.grant = apply.transfer

-- The cells of a day, and a function that writes them when they are not the user's latest.
local function cells_of(user, day)
  local entry = entry_of(book, 'u:' .. user)
  if entry.record[8] == day then return entry.cells, function() end end
  local key = prefix .. 'c:' .. space.id .. ':' .. period
  local packed = call('HGET', key, day .. ':' .. user)
  local cells = packed and unpack_record(packed) or {}
  return cells, function() call('HSET', key, day .. ':' .. user, pack(cells)) end
end
local reversed_key = prefix .. 'r:' .. space.id .. ':' .. period
local write_cells
function apply.reversal()
  local user_id, feature_id, team_id, day = args[2], args[3], args[4], args[5]
  local from_user, from_team, from_pool, over = args[6], args[7], args[8], args[9]
  local drawn = from_user + from_team + from_pool
  if drawn + over == 0 then return refused('nothing_to_reverse') end
  if call('SISMEMBER', reversed_key, args[1]) == 1 then return refused('already_reversed') end
  local user, pool = record_of(book, 'u:' .. user_id), record_of(book, 'p')
  local team = team_id ~= '' and record_of(book, 't:' .. team_id) or new_team()
  local feature = record_of(book, 'f:' .. feature_id)
  assert(user[3] >= from_user and team[3] >= from_team and pool[3] >= from_pool, 'more than was used')
  user[3] = user[3] - from_user
  team[3] = team[3] - from_team
  pool[3] = pool[3] - from_pool
  pool[6] = pool[6] - drawn
  pool[8] = pool[8] - over
  user[5] = user[5] - drawn - over
  feature[1] = feature[1] - drawn - over
  local cells
  cells, write_cells = cells_of(user_id, day)
  for i = 1, #cells, 8 do
    if cells[i] == feature_id then
      cells[i + 1] = cells[i + 1] - drawn
      cells[i + 2] = cells[i + 2] - over
      book.cells = {user_id, feature_id, day, unpack(cells, i + 1, i + 7)}
      return
    end
  end
  error('no usage of that day, user and feature')
end

local refusal = apply[kind]()
if refusal then return refusal end

-- 4. Write and tell.
write_setting(space, 's', pack(settings))
local entry = add_entry(space, kind, period, now, postings, change, who)
local done = {period, placing[2], placing[3], now, space.head[1], space.head[3], effective_from}
if who[4] ~= '' then leave_answer(space, entry, pack({'ok', done, tell_space(space)})) end
local told = write_spaces(now)
for i = 1, #standing_writes do
  local name, credits = standing_writes[i][1], standing_writes[i][2]
  local key = prefix .. 's:' .. space.id
  if credits > 0 then call('HSET', key, name, string.format('%.0f', credits)) else call('HDEL', key, name) end
end
if kind == 'reversal' then
  write_cells()
  call('SADD', reversed_key, args[1])
end
return remember(space.id, who, pack({'ok', done, told}))
