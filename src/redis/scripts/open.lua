-- Opens one period of a workspace, unless it is open.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {workspace, calendar version, epoch seen, version seen, period, now in ms}
--
-- Reply    packed {'calendar', text}, {'rebuild'} or {'due'}: nothing was done, as in change.lua
--          packed {'ok', told}, as in books.lua; nothing is told when it was open
--
-- Example: {'acme',1,1,7,'2026-12-01',1796083200123} -> {'ok', {{'acme',1,8,'2026-12-01',{350000000000,0,0,...},{},{},{}}}}
assert(#KEYS == 1 and #ARGV == 1, 'open takes one key and one argument')
local m = unpack_record(ARGV[1])
local period, now = m[5], m[6]
local space = space_of(m[1])
if is_lost(space.head, space.known, space.planned, m[3], m[4]) then return pack({'rebuild'}) end
if space.settings[1] ~= m[2] then return pack({'calendar', call('HGET', space.key, 'cal') or ''}) end
if holds_due(now) then return pack({'due'}) end
if open_period(space, period, now) == nil then return pack({'rebuild'}) end
return pack({'ok', write_spaces(now)})
