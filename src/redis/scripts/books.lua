-- The books as the rarer scripts work on them: every record read at its first use, all written at the end, and the
-- absolutes told. decide.lua has its own way, made for speed.
--
-- Told is a list of {workspace, epoch, version, period, pool, teams, users, cells}, one for each book that was touched:
--   pool   {credited, out, used, held, total, used, held, overage} or {}
--   teams  {team, credited, out, used, held, ...}
--   users  {user, credited, out, used, held, spent, holding, granted, standing, limit in force,
--           own limit, team, 1 when suspended, monthly allocation, ...}
--   cells  {user, feature, day, credits, overage, events, overage events, denied events, denied credits, denied micro, ...}
local spaces, space_order = {}, {}

-- A workspace in this call.
local function space_of(id)
  local space = spaces[id]
  if not space then
    local known = call('HGET', KEYS[1], id)
    local key = prefix .. 'w:' .. id
    local packed = call('HGET', key, 's')
    space = {
      id = id, known = known, key = key, planned = packed, head = read_head(known), settings = read_settings(packed),
      fields = {}, writes = {}, books = {}, book_order = {}, outbox = {}, dirty = false,
    }
    spaces[id] = space
    space_order[#space_order + 1] = space
  end
  return space
end

local function setting_of(space, field)
  local record = space.fields[field]
  if record == nil then
    local packed = call('HGET', space.key, field)
    record = packed and unpack_record(packed) or false
    space.fields[field] = record
  end
  return record or nil
end

local function write_setting(space, field, value)
  local n = #space.writes
  space.writes[n + 1] = field
  space.writes[n + 2] = value
end

local function set_setting(space, field, record)
  space.fields[field] = record
  write_setting(space, field, pack(record))
end

local function book_of(space, period)
  local book = space.books[period]
  if not book then
    book = {space = space, period = period, key = prefix .. 'p:' .. space.id .. ':' .. period, entries = {}, order = {},
      cells = {}}
    space.books[period] = book
    space.book_order[#space.book_order + 1] = book
  end
  return book
end

local function copy(list)
  local other = {}
  for i = 1, #list do other[i] = list[i] end
  return other
end

local function differs(a, b, fields)
  for i = 1, fields do
    if a[i] ~= b[i] then return true end
  end
  return false
end

-- A record of the books, by its field: 'p', 't:<team>', 'u:<user>' or 'f:<feature>'.
local function entry_of(book, field)
  local found = book.entries[field]
  if not found then
    local packed = call('HGET', book.key, field)
    local kind = string.sub(field, 1, 1)
    found = {field = field, kind = kind, id = string.sub(field, 3), found = packed}
    if packed then
      found.record, found.cells = unpack_record(packed)
    elseif kind == 'u' then
      found.record, found.cells = new_user()
    else
      found.record = kind == 'p' and new_pool() or kind == 't' and new_team() or {0, 0}
    end
    found.before = copy(found.record)
    book.entries[field] = found
    book.order[#book.order + 1] = found
  end
  return found
end

local function record_of(book, field)
  return entry_of(book, field).record
end

-- The record of an account by its name in the contract: pool, team:<id> or user:<id>.
local function field_of(account)
  if account == 'pool' then return 'p' end
  return string.sub(account, 1, 1) .. ':' .. string.sub(account, 6)
end

local function limit_of_user(book, id)
  local own = setting_of(book.space, 'u:' .. id)
  local team = own and own[2] ~= '' and setting_of(book.space, 't:' .. own[2]) or nil
  return effective_limit(own, team, book.space.settings, record_of(book, 'u:' .. id)[7])
end

-- Takes the next ledger sequence; answers the entry, which leave_answer may add to. `change` is JSON text, for an opening {monthly credits, carried, {account, shortfall, ...}}.
-- `who` is {actor, reason, idempotency key, place, request}.
local function add_entry(space, kind, period, at, postings, change, who)
  local head = space.head
  head[3] = head[3] + 1
  space.dirty = true
  local entry = {'ledger', space.id, head[1], head[3], kind, period, at,
    who[1], who[2], who[3], who[4], who[5], postings, change, ''}
  space.outbox[#space.outbox + 1] = pack(entry)
  return entry
end

-- Adds the answer to the entry that was added last: a rebuild answers the same request from it.
local function leave_answer(space, entry, answer)
  entry[15] = answer
  space.outbox[#space.outbox] = pack(entry)
end

local function post(postings, account, period, credits)
  local n = #postings
  postings[n + 1] = account
  postings[n + 2] = period
  postings[n + 3] = credits
end

-- What of the pool of the last opened period moves into the one that is opened; nil when its books are lost.
local function carry(space, before, postings)
  local settings = space.settings
  if settings[5] == 0 or before == '' then return 0 end
  local old = entry_of(book_of(space, before), 'p')
  if not old.found then return nil end
  local pool = old.record
  local carried = settings[5] == 1 and math.min(pool[9], remaining(pool)) or remaining(pool)
  carried = math.min(carried, TOTAL_MAX - settings[2])
  pool[2] = pool[2] + carried
  pool[5] = pool[5] - carried
  old.before = copy(pool) -- the period is over: nobody is warned of what moved on
  if carried > 0 then post(postings, 'pool', before, -carried) end
  return carried
end

-- Moves the standing amounts out of the pool, teams before users, each in order of id; the first that does not fit gets
-- what is left. Answers {account, shortfall, ...}, or nil when the list is lost.
local function move_standing(space, book, postings, now)
  local short, names, amounts = {}, {}, {}
  if space.settings[9] == 0 then return short end
  local flat = call('HGETALL', prefix .. 's:' .. space.id)
  if #flat ~= 2 * space.settings[9] then return nil end
  for i = 1, #flat, 2 do
    names[#names + 1] = flat[i]
    amounts[flat[i]] = tonumber(flat[i + 1])
  end
  table.sort(names)
  local pool, sum = record_of(book, 'p'), 0
  for i = 1, #names do
    local name = names[i]
    local wanted = amounts[name]
    local moved = math.min(wanted, remaining(pool))
    local entry = entry_of(book, field_of(name))
    local account, place = entry.record, entry.kind == 't' and 5 or 9
    if moved > 0 then
      pool[2] = pool[2] + moved
      account[1] = account[1] + moved
      account[place] = account[place] + moved
      sum = sum + moved
      post(postings, name, book.period, moved)
    end
    if moved < wanted then
      short[#short + 1] = name
      short[#short + 1] = wanted - moved
      space.outbox[#space.outbox + 1] = pack({'alert', space.id, space.head[1], version(space.head) + 1,
        entry.kind == 't' and TEAM or USER, entry.id, 100, moved, wanted, book.period, now, 2})
    end
    if moved > 0 then entry.before, entry.found = copy(account), true end
  end
  if sum > 0 then post(postings, 'pool', book.period, -sum) end
  return short
end

-- Opens a period of a planned workspace: plan and carry-over enter the pool, standing amounts leave it. Answers false
-- when it is open, nil when state is lost.
local function open_period(space, period, now)
  local found, before, opened = read_opened(space.key, period)
  local book = book_of(space, period)
  local entry = entry_of(book, 'p')
  if entry.found then return false end
  if found then return nil end
  local pool, postings, monthly = entry.record, {}, space.settings[2]
  local moved = {}
  local carried = carry(space, before, moved)
  if not carried then return nil end
  pool[1], pool[5], pool[9] = monthly + carried, monthly + carried, carried
  if monthly > 0 then post(postings, 'pool', period, monthly) end
  for i = 1, #moved do postings[#postings + 1] = moved[i] end
  if carried > 0 then post(postings, 'pool', period, carried) end
  local short = move_standing(space, book, postings, now)
  if not short then return nil end
  entry.before = copy(pool)
  entry.found = true
  local place = 1
  while opened[place] and opened[place] < period do place = place + 1 end
  table.insert(opened, place, period)
  write_setting(space, 'opened', pack(opened))
  add_entry(space, 'opening', period, now, postings, {monthly, carried, short}, {'system', '', '', '', ''})
  return true
end

-- Alerts of a record that changed.
local function warn(book, entry, now)
  local space = book.space
  if entry.kind == 'p' then
    if differs(entry.record, entry.before, 8) then
      pool_alerts(space.outbox, space.id, space.head, space.settings, entry.record, book.period, now)
    end
  elseif entry.kind == 't' then
    if differs(entry.record, entry.before, 4) then
      team_alerts(space.outbox, space.id, space.head, space.settings, entry.id, entry.record, book.period, now)
    end
  elseif entry.kind == 'u' then
    if entry.limited or differs(entry.record, entry.before, 7) then
      local limit = limit_of_user(book, entry.id)
      user_alerts(space.outbox, space.id, space.head, space.settings, entry.id, entry.record, limit, book.period, now)
    end
  end
end

-- Whether a record is more than what reading found: a read never creates one.
local function is_touched(entry)
  return entry.found or entry.limited or differs(entry.record, entry.before, #entry.record)
end

local function write_book(book)
  local flat = {}
  for i = 1, #book.order do
    local entry = book.order[i]
    if is_touched(entry) then
      flat[#flat + 1] = entry.field
      flat[#flat + 1] = entry.cells and pack(entry.record, entry.cells) or pack(entry.record)
    end
  end
  hset(book.key, flat)
  for i = 1, #book.order do
    local entry = book.order[i]
    if entry.kind == 'u' and not entry.found and is_touched(entry) then
      call('SADD', prefix .. 'k:' .. book.space.id, entry.id)
    end
  end
end

local function tell_book(book)
  local space = book.space
  local pool, teams, users = {}, {}, {}
  for i = 1, #book.order do
    local entry = book.order[i]
    local record = entry.record
    if not is_touched(entry) then
      -- it was only looked at
    elseif entry.kind == 'p' then
      for j = 1, 8 do pool[j] = record[j] end
    elseif entry.kind == 't' then
      local n = #teams
      teams[n + 1] = entry.id
      for j = 1, 4 do teams[n + 1 + j] = record[j] end
    elseif entry.kind == 'u' then
      local own = setting_of(space, 'u:' .. entry.id) or {LIMIT_INHERIT, '', 0, 0}
      local n = #users
      users[n + 1] = entry.id
      for j = 1, 7 do users[n + 1 + j] = record[j] end
      users[n + 9] = record[9]
      users[n + 10] = limit_of_user(book, entry.id)
      for j = 1, 4 do users[n + 10 + j] = own[j] end
    end
  end
  return {space.id, space.head[1], version(space.head), book.period, pool, teams, users, book.cells}
end

local function tell_space(space)
  local told = {}
  for i = 1, #space.book_order do told[i] = tell_book(space.book_order[i]) end
  return told
end

-- Writes every workspace that was changed, heads first: the command that an out-of-memory server refuses. Answers what
-- is told.
local function write_spaces(now)
  local told = {}
  for i = 1, #space_order do
    local space = space_order[i]
    if space.dirty then
      for j = 1, #space.book_order do
        local book = space.book_order[j]
        for k = 1, #book.order do warn(book, book.order[k], now) end
      end
      call('HSET', KEYS[1], space.id, pack(space.head))
      send(space.outbox)
      hset(space.key, space.writes)
      for j = 1, #space.book_order do
        write_book(space.book_order[j])
        told[#told + 1] = tell_book(space.book_order[j])
      end
    end
  end
  return told
end

-- What was answered under an idempotency key: the answer, or the refusal of another request under the same key.
local function answered(workspace, who)
  if who[4] == '' then return nil end
  local packed = call('GET', prefix .. 'i:' .. workspace .. '|' .. who[4])
  if not packed then return nil end
  local request, answer = unpack_record(packed)
  if request ~= who[5] then return pack({'refused', 'idempotency_conflict', '', 0, 0}) end
  return answer
end

local function remember(workspace, who, answer)
  if who[4] ~= '' then
    call('SET', prefix .. 'i:' .. workspace .. '|' .. who[4], pack(who[5], answer), 'EX', 86400)
  end
  return answer
end
