-- Makes one administrative change: checks, applies, takes the next ledger sequence and appends to the outbox, all or
-- nothing. Opens the period first when nobody touched it before, which is an entry of its own.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {workspace, calendar version, epoch seen, version seen, period, 1 when planned, now in ms,
--                  {actor, reason, idempotency key}, kind, change as JSON text, arguments}
--   arguments by kind, amounts in microcredits, -1 and '' for none:
--     plan     {new calendar version, calendar text, monthly credits, 1 when soft, default user limit}
--     user     {user, 1 when limit is set, limit, 1 when team is set, team, suspended or -1 to keep}
--     team     {team, default user limit, monthly reserve, 1 to apply now}
--     feature  {feature, limit}
--     top_up   {credits}
--     transfer, grant  {from, to, credits, 1 to raise the limit}
--
-- Reply    packed {'calendar', text} or {'rebuild'}: nothing was done, as in decide.lua
--          packed {'refused', code, account, remaining, wanted}: nothing was done
--          packed {'ok', epoch, version, pool or {}, teams, users}
--   teams    {team, credited, out, used, held, ...}
--   users    {user, credited, out, used, held, spent, limit, ...}
--
-- Example: {'acme',1,1,9,'2026-11-01',1,1795300000000,{'ann','','k1'},'grant','{..}',{'pool','user:u1',2000000000,1}}
--   -> {'ok', 1, 10, {350000000000,2000000000,...}, {}, {'u1',2000000000,0,0,0,1000000000,3000000000}}
assert(#KEYS == 1 and #ARGV == 1, 'change takes one key and one argument')
local m = unpack_record(ARGV[1])
local workspace, period, planned, now, who, kind, change, args = m[1], m[5], m[6] == 1, m[7], m[8], m[9], m[10], m[11]
local settings_key = prefix .. 'w:' .. workspace
local book_key = prefix .. 'p:' .. workspace .. ':' .. period

-- 1. Read. Nothing is written before every check has passed.
local known = call('HGET', KEYS[1], workspace)
local head = read_head(known)
local packed_settings = call('HGET', settings_key, 's')
local settings = read_settings(packed_settings)
if head[1] < m[3] or (head[1] == m[3] and version(head) < m[4])
  or (head[3] > 0 and not packed_settings) or (packed_settings and not known) then
  return pack({'rebuild'})
end
if settings[1] ~= m[2] then return pack({'calendar', call('HGET', settings_key, 'cal') or ''}) end

local function refused(code, account, left, wanted)
  return pack({'refused', code, account or '', left or 0, wanted or 0})
end

local first_plan = kind == 'plan' and settings[1] == 0
local plan_before = settings[2]
if kind == 'plan' then
  settings = {args[1], amount(args[3]), args[4], args[5]}
  planned = true
end

local function read_account(name)
  local field = string.gsub(name, '^team:', 't:')
  field = string.gsub(field, '^user:', 'u:')
  if name == 'pool' then field = 'p' end
  local packed = call('HGET', book_key, field)
  if string.sub(name, 1, 5) == 'user:' then
    local record, cells
    if packed then record, cells = unpack_record(packed) else record, cells = new_user() end
    return {field = field, record = record, cells = cells, id = string.sub(name, 6)}
  end
  local id = string.sub(name, 1, 5) == 'team:' and string.sub(name, 6) or nil
  return {field = field, record = packed and unpack_record(packed) or new_account(), found = packed, id = id}
end
local accounts, order = {}, {}
local function account(name)
  if not accounts[name] then
    accounts[name] = read_account(name)
    order[#order + 1] = name
  end
  return accounts[name]
end

-- 2. Open the period.
local outbox, opened = {}, nil
if planned then
  local pool = account('pool')
  if not pool.found then
    local before, list = was_opened(settings_key, period)
    if before then return pack({'rebuild'}) end
    local standing = call('HGET', settings_key, 'standing')
    local in_force = first_plan and settings or {0, plan_before, 0, -1}
    local postings, detail
    pool.record, postings, detail = open_period(in_force, standing and unpack_record(standing) or {}, period,
      function(name) return account(name).record end)
    outbox[1] = entry(workspace, head, 'opening', period, now, postings, detail, {'system', '', ''})
    list[#list + 1] = period
    opened = list
  end
elseif kind == 'top_up' or kind == 'transfer' or kind == 'grant' then
  return refused('no_plan')
end

-- 3. Apply.
local postings = {}
local function post(name, credits)
  local n = #postings
  postings[n + 1] = name
  postings[n + 2] = period
  postings[n + 3] = credits
end
local function move(from, to, credits, raise)
  if from == to then return refused('same_account', from) end
  local source, target = account(from).record, account(to).record
  if remaining(source) < credits then return refused('insufficient_credits', from, remaining(source), credits) end
  if target[1] + credits > TOTAL_MAX then return refused('too_many_credits') end -- sums are gross
  source[2] = source[2] + credits
  target[1] = target[1] + credits
  if string.sub(from, 1, 5) == 'user:' then source[7] = math.max(0, source[7] - credits) end
  if raise and string.sub(to, 1, 5) == 'user:' then target[7] = target[7] + credits end
  post(from, -credits)
  post(to, credits)
end
local function enter(credits) -- into the pool, or out of it when below 0
  local pool = account('pool').record
  if credits < 0 and remaining(pool) < -credits then
    return refused('insufficient_credits', 'pool', remaining(pool), -credits)
  end
  if pool[5] + credits > TOTAL_MAX or pool[1] + credits > TOTAL_MAX then return refused('too_many_credits') end
  pool[5] = pool[5] + credits
  pool[1] = pool[1] + credits
  if credits ~= 0 then post('pool', credits) end
end

local writes = {'s', pack(settings)}
local function setting(field, value)
  writes[#writes + 1] = field
  writes[#writes + 1] = value
end
local apply = {}
function apply.plan()
  setting('cal', args[2])
  if not first_plan then return enter(settings[2] - plan_before) end
end
function apply.user()
  local field = 'u:' .. args[1]
  local packed = call('HGET', settings_key, field)
  local record = packed and unpack_record(packed) or {LIMIT_INHERIT, '', 0}
  if args[2] == 1 then record[1] = args[3] end
  if args[4] == 1 then record[2] = args[5] end
  if args[6] >= 0 then record[3] = args[6] end
  setting(field, pack(record))
  account('user:' .. args[1]).own = record
end
function apply.team()
  local team, reserve = args[1], amount(args[3])
  local name = 'team:' .. team
  local packed = call('HGET', settings_key, 't:' .. team)
  local before = packed and unpack_record(packed)[2] or 0
  setting('t:' .. team, pack({args[2], reserve}))
  local standing = call('HGET', settings_key, 'standing')
  standing = standing and unpack_record(standing) or {}
  local kept, placed = {}, reserve == 0
  for i = 1, #standing, 2 do
    if not placed and name <= standing[i] then
      kept[#kept + 1] = name; kept[#kept + 1] = reserve
      placed = true
    end
    if standing[i] ~= name then kept[#kept + 1] = standing[i]; kept[#kept + 1] = standing[i + 1] end
  end
  if not placed then kept[#kept + 1] = name; kept[#kept + 1] = reserve end
  setting('standing', pack(kept))
  account(name)
  if args[4] == 1 and reserve ~= before then
    if not planned then return refused('no_plan') end
    if reserve > before then return move('pool', name, reserve - before) end
    return move(name, 'pool', before - reserve)
  end
end
function apply.feature()
  setting('f:' .. args[1], pack({args[2]}))
end
function apply.top_up()
  return enter(amount(args[1]))
end
function apply.transfer()
  return move(args[1], args[2], amount(args[3]), args[4] == 1)
end
apply.grant = apply.transfer

local refusal = apply[kind]()
if refusal then return refusal end
outbox[#outbox + 1] = entry(workspace, head, kind, period, now, postings, change, who)

-- 4. Write.
call('HSET', KEYS[1], workspace, pack(head))
for i = 1, #outbox do call('XADD', prefix .. 'outbox', '*', 'entry', outbox[i]) end
if opened then setting('opened', pack(opened)) end
call('HSET', settings_key, unpack(writes))
local books, teams, users = {}, {}, {}
for i = 1, #order do
  local a = accounts[order[i]]
  books[2 * i - 1] = a.field
  books[2 * i] = a.cells and pack(a.record, a.cells) or pack(a.record)
end
hset(book_key, books)

-- 5. Tell the absolutes.
for i = 1, #order do
  local name = order[i]
  local a = accounts[name]
  if a.cells then
    local own = a.own
    if not own then
      local packed = call('HGET', settings_key, 'u:' .. a.id)
      own = packed and unpack_record(packed)
    end
    local team = own and own[2] ~= '' and call('HGET', settings_key, 't:' .. own[2])
    local n = #users
    users[n + 1] = a.id
    for j = 1, 5 do users[n + 1 + j] = a.record[j] end
    users[n + 7] = effective_limit(own, team and unpack_record(team), settings, a.record[7])
  elseif a.id then
    local n = #teams
    teams[n + 1] = a.id
    for j = 1, 4 do teams[n + 1 + j] = a.record[j] end
  end
end
return pack({'ok', head[1], version(head), accounts.pool and accounts.pool.record or {}, teams, users})
