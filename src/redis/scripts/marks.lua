-- Duplicate marks: 64-bit hashes of events, in sets of about SET_SIZE that stay packed arrays of integers (9 bytes an
-- id). A family has slots of time; how many sets a slot needs is not known before, so it starts with what the slot
-- before it held, and when it grows past that, a further generation of more sets is opened: marks are added to the
-- newest and looked up in all.
--
--   m:<family>:<slot>                            string {marks in it, sets of generation 1, of generation 2, ...}
--   m:<family>:<slot>:<generation>:<spread>      set of marks
--
-- Names are made once a slot and once a set: turning a number into text costs more than looking a mark up.
local SET_SIZE, SETS_MAX = 380, 4096
local slots = {}
local touched = {} -- sets in the order of their first use

local function slot_of(family, number)
  local of_family = slots[family]
  if not of_family then of_family = {}; slots[family] = of_family end
  local slot = of_family[number]
  if not slot then
    local key = prefix .. 'm:' .. family .. ':' .. number
    local packed = call('GET', key)
    slot = {key = key, record = packed and unpack_record(packed), sets = {}}
    of_family[number] = slot
  end
  return slot
end

local function set_of(slot, generation, spread)
  local of_generation = slot.sets[generation]
  if not of_generation then of_generation = {}; slot.sets[generation] = of_generation end
  local at = spread % slot.record[1 + generation]
  local set = of_generation[at]
  if not set then
    set = {key = slot.key .. ':' .. generation .. ':' .. at, marks = {}, events = {}, added = {}}
    of_generation[at] = set
    touched[#touched + 1] = set
  end
  return set
end

-- Asks later, with all others, whether the slot holds the mark of event i.
local function look_up(family, number, spread, mark, i)
  local slot = slot_of(family, number)
  local record = slot.record
  if not record then return end
  for generation = 1, #record - 1 do
    local set = set_of(slot, generation, spread)
    local n = #set.marks + 1
    set.marks[n] = mark
    set.events[n] = i
  end
end

-- Answers what was asked: seen[i] for every event whose mark was found.
local function find_marks(seen)
  for s = 1, #touched do
    local set = touched[s]
    local found = call('SMISMEMBER', set.key, unpack(set.marks))
    for j = 1, #found do
      if found[j] == 1 then seen[set.events[j]] = true end
    end
  end
end

local function add_mark(family, number, spread, mark, seconds)
  local slot = slot_of(family, number)
  local record = slot.record
  if not record then
    local before = slot_of(family, number - 1).record
    record = {0, math.min(SETS_MAX, math.max(1, before and math.ceil(before[1] / SET_SIZE) or 1))}
    slot.record = record
  end
  local added = set_of(slot, #record - 1, spread).added
  added[#added + 1] = mark
  record[1] = record[1] + 1
  slot.seconds = seconds
end

local function write_marks()
  for s = 1, #touched do
    local set = touched[s]
    if #set.added > 0 then call('SADD', set.key, unpack(set.added)) end
  end
  for _, of_family in pairs(slots) do
    for _, slot in pairs(of_family) do
      if slot.seconds then
        for _, of_generation in pairs(slot.sets) do
          for _, set in pairs(of_generation) do
            if #set.added > 0 then call('EXPIRE', set.key, slot.seconds) end
          end
        end
        local record, sets = slot.record, 0
        for generation = 2, #record do sets = sets + record[generation] end
        if record[1] > sets * SET_SIZE then record[#record + 1] = math.min(SETS_MAX, sets * 3) end
        call('SET', slot.key, pack(record), 'EX', slot.seconds)
      end
    end
  end
end
