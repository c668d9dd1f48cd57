-- Marks events that were recorded, so that they are recognised when they come again.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {seconds that a mark lives, seconds that an arrival mark lives, arrival slots looked back,
--                  seconds that a passed one stays, {mark, slot, place, arrival mark, arrival slot or -1, epoch, ...}},
--                  marks as in decide.lua
--
-- Reply    an empty text
--
-- Example: {432000,27000,2,900,{'-91',2992176,9,'17',-1,1}} -> ''
assert(#KEYS == 1 and #ARGV == 1, 'restore takes one key and one argument')
local m = unpack_record(ARGV[1])
local events, seen = m[5], {}
for i = 1, #events, 6 do look_up_time(era_of(events[i + 5]) + events[i + 1], events[i + 2], events[i], i, m[1]) end
find_marks(seen, m[3])
-- Marks by arrival are added whether they are there or not, and whatever was seen: event 0 never is.
for i = 1, #events, 6 do
  if events[i + 4] >= 0 then ask(arrival_set(era_of(events[i + 5]) + events[i + 4], m[2], m[3]), events[i + 3], 0) end
end
write_marks(seen, m[4])
return ''
