-- Duplicate marks: 64-bit hashes of events, in two families.
--
-- By the event's own time, for as long as an event may be late. A resend has the same time, so a set covers a short
-- stretch of time, the marks of a batch fall into few sets, and a set of about SET_SIZE stays a packed array of
-- integers (9 bytes an id). How short the stretches must be is not known before: a slot of time starts divided as the
-- slot before it ended, and when marks come denser than that, a further generation of shorter stretches is opened; marks
-- are added to the newest and looked up in all. Sets that grow too large all the same work on, at 80 bytes an id.
--
--   m:t:<slot>                          string {marks in it, first place marked, stretches of generation 1, last place
--                                       marked in it, those of generation 2, ...}: what lies behind the last place is
--                                       not looked for there
--   m:t:<slot>:<generation>:<stretch>   set of marks
--
-- By arrival, for a short window: a resend with another time arrives at another time too, so a slot is one set.
--
--   m:a:<slot>                          set of marks
-- Each epoch of a workspace has slots of its own: a rebuild marks what is recorded, and what was marked before but lost
-- with its debit must not pass for a duplicate of nothing.
local SET_SIZE, STRETCHES_MAX, ERA_SLOTS = 380, 4096, 1000000000
local time_slots, arrival_sets = {}, {}
local touched = {} -- sets in the order of their first use

-- How far the slots of an epoch lie behind those of the first.
local function era_of(epoch) return (epoch - 1) * ERA_SLOTS end

-- A set that marks are looked up in when it may have some, and added to when it is their `home`.
local function new_set(key, seconds, known, home, slot, lasts)
  local set = {
    key = key, seconds = seconds, known = known, home = home, n = 0, marks = {}, events = {},
    slot = slot, first = STRETCHES_MAX, last = -1, lasts = lasts,
  }
  touched[#touched + 1] = set
  return set
end

local function ask(set, mark, i)
  local n = set.n + 1
  set.n = n
  set.marks[n] = mark
  set.events[n] = i
end

local function read_slot(number)
  local packed = call('GET', prefix .. 'm:t:' .. number)
  return packed and unpack_record(packed)
end

local function open_slot(number)
  local record = read_slot(number)
  local known = record and true or false
  if not record then
    local before = read_slot(number - 1)
    record = {0, STRETCHES_MAX, math.min(STRETCHES_MAX, math.max(1, before and math.ceil(before[1] / SET_SIZE) or 1)), -1}
  end
  local slot = {key = prefix .. 'm:t:' .. number, record = record, known = known, generations = #record / 2 - 1,
    sets = {}}
  for generation = 1, slot.generations do slot.sets[generation] = {} end
  time_slots[number] = slot
  return slot
end

local function time_set(slot, generation, stretch, seconds)
  -- What the last mark fell into is there and has its time to live, which reaches past all of the slot.
  local last = slot.record[2 * generation + 2]
  local lasts = last >= 0 and stretch == floor(last * slot.record[2 * generation + 1] / STRETCHES_MAX)
  local key, newest = slot.key .. ':' .. generation .. ':' .. stretch, generation == slot.generations
  local set = new_set(key, seconds, slot.known, newest, slot, lasts)
  slot.sets[generation][stretch] = set
  return set
end

-- Notes that event i is to be looked for by the place of its time in a slot, 0..4095.
local function look_up_time(number, place, mark, i, seconds)
  local slot = time_slots[number] or open_slot(number)
  local record, newest, sets = slot.record, slot.generations, slot.sets
  for generation = 1, newest - 1 do
    if place <= record[2 * generation + 2] then
      local stretch = floor(place * record[2 * generation + 1] / STRETCHES_MAX)
      ask(sets[generation][stretch] or time_set(slot, generation, stretch, seconds), mark, i)
    end
  end
  local stretch = floor(place * record[2 * newest + 1] / STRETCHES_MAX)
  local set = sets[newest][stretch] or time_set(slot, newest, stretch, seconds)
  local n = set.n + 1
  set.n, set.marks[n], set.events[n] = n, mark, i
  if place > set.last then set.last = place end
  if place < set.first then set.first = place end
end

-- The set of a slot of arrivals.
local function arrival_set(number, seconds, slots)
  local set = arrival_sets[number]
  if not set then
    set = new_set(prefix .. 'm:a:' .. number, seconds, true, true)
    set.passed = prefix .. 'm:a:' .. (number - slots - 1)
    arrival_sets[number] = set
  end
  return set
end

local function find(key, set, seen)
  local found = call('SMISMEMBER', key, unpack(set.marks, 1, set.n))
  for j = 1, set.n do
    if found[j] == 1 then seen[set.events[j]] = true end
  end
end

-- Looks for all that was noted, at once: seen[i] for every event whose mark is there; of arrival also in the `slots`
-- before.
local function find_marks(seen, slots)
  for s = 1, #touched do
    if touched[s].known then find(touched[s].key, touched[s], seen) end
  end
  for number, set in pairs(arrival_sets) do
    for back = 1, slots do find(prefix .. 'm:a:' .. (number - back), set, seen) end
  end
end

-- The marks of a set without those of events that were seen.
local function unseen(set, seen)
  local j = 1
  while j <= set.n and not seen[set.events[j]] do j = j + 1 end
  if j > set.n then return set.marks, set.n end
  local left, n = {}, 0
  for k = 1, set.n do
    if not seen[set.events[k]] then
      n = n + 1
      left[n] = set.marks[k]
    end
  end
  return left, n
end

-- Marks what was looked for and not seen. The first mark of a slot of arrival says that nobody looks any more into the
-- one behind the `slots` before: it stays for `grace` seconds, for whoever lags behind.
local function write_marks(seen, grace)
  for s = 1, #touched do
    local set = touched[s]
    local marks, n = {}, 0
    if set.home then marks, n = unseen(set, seen) end
    if n > 0 then
      call('SADD', set.key, unpack(marks, 1, n))
      if set.slot then
        if not set.lasts then call('EXPIRE', set.key, set.seconds) end
        local slot, record = set.slot, set.slot.record
        slot.seconds = set.seconds
        record[1], record[2] = record[1] + n, math.min(record[2], set.first)
        record[#record] = math.max(record[#record], set.last)
      elseif call('SCARD', set.key) <= n then
        call('EXPIRE', set.key, set.seconds)
        call('EXPIRE', set.passed, grace, 'LT')
      end
    end
  end
  for _, slot in pairs(time_slots) do
    if slot.seconds then
      local record, stretches = slot.record, slot.record[#slot.record - 1]
      -- As many as the whole slot will need when the rest of it brings what this part of it brought.
      local wanted = math.ceil(record[1] * STRETCHES_MAX / (record[#record] - record[2] + 1) / SET_SIZE)
      if record[1] > SET_SIZE and wanted > stretches * 1.3 and stretches < STRETCHES_MAX then
        record[#record + 1] = math.min(STRETCHES_MAX, math.max(stretches * 2, wanted))
        record[#record + 1] = -1
      end
      call('SET', slot.key, pack(record), 'EX', slot.seconds)
    end
  end
end
