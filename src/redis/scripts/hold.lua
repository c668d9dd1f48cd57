-- Makes, settles and voids holds: many requests of one shard in one call, each decided after the one before it.
-- The same again under the same idempotency key changes nothing and gives the first answer.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {now in ms, {request, ...}}
--   request  {kind, workspace, calendar version, epoch seen, version seen,
--             {period, start ms, end ms, 1 when planned, first day, last day}, who as in change.lua, arguments}
--   arguments by kind, amounts in microcredits:
--     make     {user, feature, credits, hold, expires ms}
--     settle   {hold, credits, change as JSON text, owner}  puts its event and its ledger entry into the outbox
--     void     {hold, owner, seconds}                      its name stays taken for so long; owner: the only user
--                                                          whose holds the caller may know, or ''
--
-- Reply    packed {'due'}: nothing was done, as in decide.lua
--          packed {'ok', answers, told}: told as in books.lua
--   answers  one for each request:
--     {'calendar', text}, {'rebuild'}, {'unopened', last period opened before, carry-over}: as in change.lua
--     {'refused', code, amount}                               amount: microcredits of a settle, ms of an expiry
--     {'denied', {period, start ms, end ms}, rule}
--     {'ok', hold, record as in holds.lua, at ms, rule, 1 when it was done before}
--   rule     {} or {reason, limit, used, held, remaining} of the first that fails
--
-- Example: {1795300000000, {{'make','acme',1,1,9,{'2026-11-01',1793491200000,1796083200000,1,20758,20787},
--            {'app','','','',''},{'ann','ai_chat',2000000,'h1',1795300300000}}}}
--   -> {'ok', {{'ok','h1',{'ann','ai_chat','','2026-11-01',2000000,0,0,2000000,...},1795300000000,{},0}}, {{'acme',1,10,...}}}
assert(#KEYS == 1 and #ARGV == 1, 'hold takes one key and one argument')
local m = unpack_record(ARGV[1])
local now, requests = m[1], m[2]
if holds_due(now) then return pack({'due'}) end

-- What the rule looks at, for a wish of a user on a feature.
local function accounts_of(book, user, feature)
  local own = setting_of(book.space, 'u:' .. user)
  local team = own and own[2] or ''
  local cap = setting_of(book.space, 'f:' .. feature)
  return {
    user = record_of(book, 'u:' .. user), team = team ~= '' and record_of(book, 't:' .. team) or new_team(),
    pool = record_of(book, 'p'), feature = record_of(book, 'f:' .. feature), name = team,
    limit = limit_of_user(book, user), cap = cap and cap[1] or -1, suspended = own and own[3] == 1,
  }
end

-- Whether a wish would pass, and the rule that fails.
local function ask(space, placing, book, user, feature, credits)
  local a = accounts_of(book, user, feature)
  local soft = space.settings[3] == 1
  local passes, rule =
    judge(placing[4] == 1, a.pool, a.user, a.team, a.feature, a.limit, a.cap, a.suspended, amount(credits), soft)
  return passes, rule, a
end

local function refused(code, number)
  return {'refused', code, number or 0}
end

local kinds = {}
local function is_taken(workspace, id)
  return call('HEXISTS', prefix .. 'h:' .. workspace, id) == 1 or call('EXISTS', prefix .. 'e:' .. workspace .. '|' .. id) == 1
end

local function changed(space)
  space.head[5] = space.head[5] + 1
  space.dirty = true
end

function kinds.make(space, placing, book, args)
  local user, feature, credits, id, expires = args[1], args[2], args[3], args[4], args[5]
  if is_taken(space.id, id) then return refused('hold_exists') end
  local passes, rule, a = ask(space, placing, book, user, feature, credits)
  if not passes then return {'denied', {placing[1], placing[2], placing[3]}, rule} end
  local from_user = math.min(credits, remaining(a.user))
  local from_team = math.min(credits - from_user, remaining(a.team))
  local from_pool = math.min(credits - from_user - from_team, remaining(a.pool))
  local held = from_user + from_team + from_pool
  a.user[4] = a.user[4] + from_user
  a.team[4] = a.team[4] + from_team
  a.pool[4] = a.pool[4] + from_pool
  a.pool[7] = a.pool[7] + held
  a.user[6] = a.user[6] + held
  a.feature[2] = a.feature[2] + held
  changed(space)
  local hold = {user, feature, a.name, placing[1], credits, from_user, from_team, from_pool, now, expires, OPEN, -1,
    placing[3], placing[5], placing[6], placing[2], -1}
  call('HSET', prefix .. 'h:' .. space.id, id, pack(hold))
  call('ZADD', due_key, string.format('%.0f', expires), space.id .. ' ' .. id)
  return {'ok', id, hold, now, rule, 0}
end

-- The record of a hold, open or ended; a caller who is bound to a user learns of no other's.
local function known_hold(space, id, owner)
  local packed = call('HGET', prefix .. 'h:' .. space.id, id) or call('GET', prefix .. 'e:' .. space.id .. '|' .. id)
  local hold = packed and unpack_record(packed)
  return hold and (owner == '' or owner == hold[1]) and hold or nil
end

-- Why a hold that is not open any more cannot end in another way.
local function refused_end(hold)
  if hold[11] == EXPIRED then return refused('hold_expired', hold[10]) end
  if hold[11] == VOIDED then return refused('hold_voided') end
  return refused('hold_settled', hold[12])
end

-- The answer is the same however often it is asked, and whatever became of the event.
function kinds.settle(space, _, _, args, who)
  local id, credits = args[1], amount(args[2])
  local hold = known_hold(space, id, args[4])
  if not hold then return refused('unknown_hold') end
  if hold[12] == credits and (hold[11] == SETTLING or hold[11] == SETTLED) then
    hold[11] = SETTLING
    return {'ok', id, hold, hold[17], {}, 1}
  end
  if hold[11] ~= OPEN then return refused_end(hold) end
  hold[11], hold[12], hold[17] = SETTLING, credits, now
  space.dirty = true
  space.outbox[#space.outbox + 1] = pack({'settle', space.id, id, hold[1], hold[2], credits, now})
  add_entry(space, 'settle', hold[4], now, {}, args[3], who)
  call('HSET', prefix .. 'h:' .. space.id, id, pack(hold))
  call('ZREM', due_key, space.id .. ' ' .. id)
  return {'ok', id, hold, now, {}, 0}
end

function kinds.void(space, _, _, args)
  local id = args[1]
  local hold = known_hold(space, id, args[2])
  if not hold then return refused('unknown_hold') end
  if hold[11] == VOIDED then return {'ok', id, hold, hold[17], {}, 1} end
  if hold[11] ~= OPEN then return refused_end(hold) end
  local book = book_of(space, hold[4])
  if not entry_of(book, 'p').found then return {'rebuild'} end
  local team = hold[3] ~= '' and record_of(book, 't:' .. hold[3]) or new_team()
  release(hold, record_of(book, 'u:' .. hold[1]), team, record_of(book, 'p'), record_of(book, 'f:' .. hold[2]))
  changed(space)
  end_hold(space.id, id, hold, VOIDED, now, args[3])
  return {'ok', id, hold, now, {}, 0}
end

-- Nothing of this request is done when it answers.
local function unready(space, request, placing, book)
  if is_lost(space.head, space.known, space.planned, request[4], request[5]) then return {'rebuild'} end
  if space.settings[1] ~= request[3] then return {'calendar', call('HGET', space.key, 'cal') or ''} end
  if book and placing[4] == 1 and not entry_of(book, 'p').found then
    local found, last = read_opened(space.key, placing[1])
    return found and {'rebuild'} or {'unopened', last, space.settings[5]}
  end
end

local function answer(request)
  local kind, placing, who, args = request[1], request[6], request[7], request[8]
  local before = answered(request[2], who)
  if before then
    local reply = unpack_record(before)
    if reply[1] == 'ok' then reply[6] = 1 end
    return reply
  end
  local space = space_of(request[2])
  local book = kind == 'make' and book_of(space, placing[1]) or nil
  local reply = unready(space, request, placing, book)
  if reply then return reply end
  reply = kinds[kind](space, placing, book, args, who)
  if reply[1] ~= 'rebuild' then remember(space.id, who, pack(reply)) end
  return reply
end

local answers = {}
for i = 1, #requests do answers[i] = answer(requests[i]) end
return pack({'ok', answers, write_spaces(now)})
