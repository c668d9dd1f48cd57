-- Asks whether wishes would pass now, many of one shard in one call. Nothing is changed.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {now in ms, {request, ...}}
--   request  {workspace, calendar version, epoch seen, version seen, period, 1 when planned, user, feature, microcredits}
--
-- Reply    packed {'due'}: nothing was asked, as in decide.lua
--          packed {'ok', answers, {}}
--   answers  one for each request:
--     {'calendar', text}, {'rebuild'}, {'unopened', last period opened before, carry-over}: as in change.lua
--     {'check', 1 when it would pass, rule}: rule as in hold.lua
--
-- Example: {1795300000000, {{'acme',1,1,9,'2026-11-01',1,'ann','ai_chat',2000000}}} -> {'ok', {{'check',1,{}}}, {}}
assert(#KEYS == 1 and #ARGV == 1, 'check takes one key and one argument')
local m = unpack_record(ARGV[1])
if holds_due(m[1]) then return pack({'due'}) end
local requests, answers, first_of = m[2], {}, cmsgpack.unpack_one

for i = 1, #requests do
  local request = requests[i]
  local workspace, period, user, feature = request[1], request[5], 'u:' .. request[7], 'f:' .. request[8]
  local key, known = prefix .. 'w:' .. workspace, call('HGET', KEYS[1], workspace)
  local of = call('HMGET', key, 's', user, feature)
  local settings, own = read_settings(of[1]), of[2] and unpack_record(of[2])
  local team = 't:' .. (own and own[2] or '')
  local books = call('HMGET', prefix .. 'p:' .. workspace .. ':' .. period, 'p', user, feature, team)
  if is_lost(read_head(known), known, of[1], request[3], request[4]) then
    answers[i] = {'rebuild'}
  elseif settings[1] ~= request[2] then
    answers[i] = {'calendar', call('HGET', key, 'cal') or ''}
  elseif request[6] == 1 and not books[1] then
    local found, last = read_opened(key, period)
    answers[i] = found and {'rebuild'} or {'unopened', last, settings[5]}
  else
    local pool = books[1] and unpack_record(books[1]) or new_pool()
    local account = books[2] and select(2, first_of(books[2])) or new_user() -- without its cells
    local reserve = books[4] and unpack_record(books[4]) or new_team()
    local defaults = team ~= 't:' and call('HGET', key, team)
    local limit = effective_limit(own, defaults and unpack_record(defaults), settings, account[7])
    local used = books[3] and unpack_record(books[3]) or {0, 0}
    local cap = of[3] and unpack_record(of[3])[1] or -1
    local passes, rule = judge(request[6] == 1, pool, account, reserve, used, limit, cap, own and own[3] == 1,
      amount(request[9]), settings[3] == 1)
    answers[i] = {'check', passes and 1 or 0, rule}
  end
end
return pack({'ok', answers, {}})
