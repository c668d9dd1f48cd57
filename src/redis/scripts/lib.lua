-- What decide.lua and change.lua share: the records, their packed forms, limits, the opening of a period.
--
-- Every key of a shard begins with the same prefix, `<name>:{sNN}:`, so that one slot of a cluster holds them all.
-- Only heads is named in KEYS (it routes the call); the others are made here from the same prefix:
--
--   heads                      hash  workspace -> {epoch, sequence, ledger sequence, fences {partition, offset, ...}}
--   w:<workspace>              hash  settings:
--       s          {calendar version, monthly credits, 1 when soft, default user limit}
--       cal        the calendar, as text
--       opened     {period, ...} that were ever opened, newest last
--       standing   {account, credits, ...} transferred out of the pool when a period opens, in order
--       u:<user>   {limit, team, 1 when suspended}          limit: LIMIT_INHERIT, LIMIT_NONE or an amount
--       t:<team>   {default user limit, monthly reserve}
--       f:<feature> {limit}
--   p:<workspace>:<period>     hash  the books of a period:
--       p          {credited, out, used, held | total, used, held, overage of the whole workspace}
--       t:<team>   {credited, out, used, held}
--       u:<user>   {credited, out, used, held | spent, holding, granted, day}, cells of that day
--       f:<feature> {spent, holding}
--   c:<workspace>:<period>     hash  <day>:<user> -> cells of a day that is not the user's latest
--   m:<family>:<slot>          string, how a slot of duplicate marks is divided (see marks.lua)
--   tail:<partition>           list of last offset, {offset, answer, place, day, ...} {period, planned, end, ...}, ...
--                              of what is decided and not committed
--   m:a:<slot>                 set of marks by arrival (see marks.lua)
--   relay                      string, which process relays the outbox
--   outbox                     stream of ledger entries that Kafka has not acknowledged yet
--
-- Amounts are whole microcredits below 2^53, which a double holds exactly; a limit of -1 is none.
-- Cells are {feature, credits, overage, events, overage events, denied events, denied credits, denied micro, ...}:
-- denied sums have no largest total, so whole credits and the rest are counted apart.
local call, pack, unpack_record, floor = redis.call, cmsgpack.pack, cmsgpack.unpack, math.floor
local TOTAL_MAX = 8000000000000000
local LIMIT_INHERIT, LIMIT_NONE = -1, -2
local MICRO = 1000000
local prefix = string.sub(KEYS[1], 1, -6)

local function amount(x)
  assert(type(x) == 'number' and x == x and x >= 0 and x <= TOTAL_MAX and x % 1 == 0, 'not an amount')
  return x
end

local function remaining(account)
  return account[1] - account[2] - account[3] - account[4]
end

-- The base limit: own > team's default > workspace's default > none.
local function base_limit(user, team, settings)
  local limit = user and user[1] or LIMIT_INHERIT
  if limit == LIMIT_NONE then return -1 end
  if limit >= 0 then return limit end
  if team and team[1] >= 0 then return team[1] end
  return settings[4]
end

local function effective_limit(user, team, settings, granted)
  local base = base_limit(user, team, settings)
  return base < 0 and -1 or math.min(base + granted, TOTAL_MAX)
end

-- HSET of {field, value, ...}, in parts: unpack fails at 8,000 values.
local function hset(key, flat)
  for i = 1, #flat, 4000 do call('HSET', key, unpack(flat, i, math.min(i + 3999, #flat))) end
end

local function read_head(packed)
  return packed and unpack_record(packed) or {1, 0, 0, {}}
end

local function read_settings(packed)
  return packed and unpack_record(packed) or {0, 0, 0, -1}
end

local function new_account()
  return {0, 0, 0, 0}
end

local function new_user()
  return {0, 0, 0, 0, 0, 0, 0, -1}, {}
end

-- The state's version inside its epoch: every decision and every ledger entry raises it by one.
local function version(head)
  return head[2] + head[3]
end

-- An entry of the ledger for the outbox. `change` is JSON text, or for an opening {monthly credits, {account, shortfall, ...}}.
local function entry(workspace, head, kind, period, at, postings, change, who)
  head[3] = head[3] + 1
  return pack({workspace, head[1], head[3], kind, period, at, who[1], who[2], who[3], postings, change})
end

local function was_opened(settings_key, period)
  local opened = call('HGET', settings_key, 'opened')
  opened = opened and unpack_record(opened) or {}
  for i = 1, #opened do
    if opened[i] == period then return true, opened end
  end
  return false, opened
end

-- Opens a period: the plan enters the pool, then standing amounts leave it in order; the first that does not fit gets
-- what is left. Nothing is written here. `account_of(name)` answers the record of `team:<id>`.
local function open_period(settings, standing, period, account_of)
  local credits = settings[2]
  local pool = {credits, 0, 0, 0, credits, 0, 0, 0}
  local postings = {}
  if credits > 0 then postings = {'pool', period, credits} end
  local short = {}
  for i = 1, #standing, 2 do
    local name, wanted = standing[i], standing[i + 1]
    local moved = math.min(wanted, remaining(pool))
    if moved < wanted then short[#short + 1] = name; short[#short + 1] = wanted - moved end
    if moved > 0 then
      local account = account_of(name)
      pool[2] = pool[2] + moved
      account[1] = account[1] + moved
      local n = #postings
      postings[n + 1] = 'pool'; postings[n + 2] = period; postings[n + 3] = -moved
      postings[n + 4] = name; postings[n + 5] = period; postings[n + 6] = moved
    end
  end
  return pool, postings, {credits, short}
end
