-- Ends the holds of a shard that have expired: their credits are free.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {now in ms, holds at most, seconds that an ended hold's name stays taken}
--
-- Reply    packed {found, told, ended}: told as in books.lua; as many found as asked for says that more may be due
--
-- Example: {1795300000000, 200, 262800} -> {1, {{'acme',1,9,'2026-11-01',{...},{},{'ann',...},{}}}, 1}
assert(#KEYS == 1 and #ARGV == 1, 'sweep takes one key and one argument')
local m = unpack_record(ARGV[1])
local now, seconds = m[1], m[3]
local due = call('ZRANGEBYSCORE', due_key, '-inf', string.format('%.0f', now), 'LIMIT', 0, m[2])
local ended = {}
for i = 1, #due do
  local workspace, id = string.match(due[i], '^(%S+) (%S+)$')
  local space = space_of(workspace)
  local packed = call('HGET', prefix .. 'h:' .. workspace, id)
  local hold = packed and unpack_record(packed)
  local lost = is_lost(space.head, space.known, space.planned, 0, 0)
  local book = hold and not lost and book_of(space, hold[4])
  if book and entry_of(book, 'p').found then
    local team = hold[3] ~= '' and record_of(book, 't:' .. hold[3]) or new_team()
    release(hold, record_of(book, 'u:' .. hold[1]), team, record_of(book, 'p'), record_of(book, 'f:' .. hold[2]))
    space.head[5] = space.head[5] + 1
    space.dirty = true
    ended[#ended + 1] = {workspace, id, hold}
  else
    call('ZREM', due_key, due[i]) -- what it set aside is lost with the books, and a rebuild starts without holds
  end
end
local told = write_spaces(now)
for i = 1, #ended do end_hold(ended[i][1], ended[i][2], ended[i][3], EXPIRED, ended[i][3][10], seconds) end
return pack({#due, told, #ended})
