-- Duplicate marks: 64-bit hashes of events, in two families.
--
-- By the event's own time, for as long as an event may be late. A resend has the same time, so a set covers a short
-- stretch of time, the marks of a batch fall into few sets, and a set of about SET_SIZE stays a packed array of
-- integers (9 bytes an id). How short the stretches must be is not known before: a slot of time starts divided as the
-- slot before it ended, and when it grows past that, a further generation of shorter stretches is opened; marks are
-- added to the newest and looked up in all. Sets that grow too large all the same work on, at 80 bytes an id.
--
--   m:t:<slot>                          string {marks in it, stretches of generation 1, of generation 2, ...}
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

local function new_set(key, seconds)
  local set = {key = key, seconds = seconds, asked = 0, marks = {}, events = {}, count = 0, added = {}}
  touched[#touched + 1] = set
  return set
end

local function time_slot(number)
  local slot = time_slots[number]
  if not slot then
    local key = prefix .. 'm:t:' .. number
    local packed = call('GET', key)
    slot = {key = key, record = packed and unpack_record(packed), sets = {}}
    time_slots[number] = slot
  end
  return slot
end

local function time_set(slot, generation, place, seconds)
  local of_generation = slot.sets[generation]
  if not of_generation then of_generation = {}; slot.sets[generation] = of_generation end
  local stretch = floor(place * slot.record[1 + generation] / STRETCHES_MAX)
  local set = of_generation[stretch]
  if not set then
    set = new_set(slot.key .. ':' .. generation .. ':' .. stretch, seconds)
    of_generation[stretch] = set
  end
  return set
end

local function arrival_set(number, seconds)
  local set = arrival_sets[number]
  if not set then
    set = new_set(prefix .. 'm:a:' .. number, seconds)
    arrival_sets[number] = set
  end
  return set
end

local function ask(set, mark, i)
  local n = set.asked + 1
  set.asked = n
  set.marks[n] = mark
  set.events[n] = i
end

-- Asks, with all others at once, whether event i is marked: by the place of its time in a slot, 0..4095, ...
local function look_up_time(number, place, mark, i, seconds)
  local slot = time_slot(number)
  for generation = 1, slot.record and #slot.record - 1 or 0 do
    ask(time_set(slot, generation, place, seconds), mark, i)
  end
end

-- ... and by the slot of its arrival.
local function look_up_arrival(number, mark, i, seconds)
  ask(arrival_set(number, seconds), mark, i)
end

local function find(key, set, seen)
  local found = call('SMISMEMBER', key, unpack(set.marks, 1, set.asked))
  for j = 1, set.asked do
    if found[j] == 1 then seen[set.events[j]] = true end
  end
end

-- Answers what was asked: seen[i] for every event whose mark was found; of arrival also in the `slots` before.
local function find_marks(seen, slots)
  for s = 1, #touched do
    if touched[s].asked > 0 then find(touched[s].key, touched[s], seen) end
  end
  for number, set in pairs(arrival_sets) do
    for back = 1, slots do find(prefix .. 'm:a:' .. (number - back), set, seen) end
  end
end

local function add(set, mark)
  local n = set.count + 1
  set.count = n
  set.added[n] = mark
end

local function add_time(number, place, mark, seconds)
  local slot = time_slot(number)
  local record = slot.record
  if not record then
    local before = time_slot(number - 1).record
    record = {0, math.min(STRETCHES_MAX, math.max(1, before and math.ceil(before[1] / SET_SIZE) or 1))}
    slot.record = record
  end
  add(time_set(slot, #record - 1, place, seconds), mark)
  record[1] = record[1] + 1
  slot.seconds = seconds
end

local function add_arrival(number, mark, seconds)
  add(arrival_set(number, seconds), mark)
end

-- A slot of arrival that nobody looks into any more stays for `grace` seconds, for whoever lags behind.
local function write_marks(slots, grace)
  for s = 1, #touched do
    local set = touched[s]
    if set.count > 0 then
      call('SADD', set.key, unpack(set.added, 1, set.count))
      call('EXPIRE', set.key, set.seconds)
    end
  end
  for _, slot in pairs(time_slots) do
    if slot.seconds then
      local record, stretches = slot.record, 0
      for generation = 2, #record do stretches = stretches + record[generation] end
      if record[1] > stretches * SET_SIZE then
        record[#record + 1] = math.min(STRETCHES_MAX, stretches * 3)
      end
      call('SET', slot.key, pack(record), 'EX', slot.seconds)
    end
  end
  for number, set in pairs(arrival_sets) do
    if set.count > 0 then call('EXPIRE', prefix .. 'm:a:' .. (number - slots - 1), grace, 'LT') end
  end
end
