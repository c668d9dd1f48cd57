-- What every script shares: the records, their packed forms, limits, the rule.
--
-- Every key of a shard begins with the same prefix, `<name>:{sNN}:`, so that one slot of a cluster holds them all.
-- Only heads is named in KEYS (it routes the call); the others are made here from the same prefix:
--
--   heads                      hash  workspace -> {epoch, decisions, ledger entries, fences {partition, offset, ...},
--                                    other changes, after a rebuild {partition, last offset in b, ...}}
--                              A workspace with settings and no head is being rebuilt: nobody may use it.
--   w:<workspace>              hash  settings:
--       s          {calendar version, monthly credits, 1 when soft, default user limit, carry-over (0 none, 1 top-ups,
--                  2 all), {threshold in percent, ...}, seats or -1, credits per seat, accounts in standing}
--       cal        the calendar, as text
--       opened     {period, ...} that were ever opened, rising
--       u:<user>   {limit, team, 1 when suspended, monthly allocation}       limit: LIMIT_INHERIT, LIMIT_NONE or an amount
--       t:<team>   {default user limit, monthly reserve}
--       f:<feature> {limit}
--   s:<workspace>              hash  account -> credits transferred out of the pool when a period opens
--   k:<workspace>              set   every user that an event or a write ever named
--   p:<workspace>:<period>     hash  the books of a period:
--       p          {credited, out, used, held | total, used, held, overage of the whole workspace | top-ups, alerted}
--       t:<team>   {credited, out, used, held | standing, alerted}
--       u:<user>   {credited, out, used, held | spent, holding, granted | day, standing, alerted}, cells of that day
--       f:<feature> {spent, holding}
--   c:<workspace>:<period>     hash  <day>:<user> -> cells of a day that is not the user's latest
--   r:<workspace>:<period>     set   events of the period whose credits went back
--   h:<workspace>              hash  hold -> record of one that has not ended (see holds.lua)
--   e:<workspace>|<hold>       string, record of one that has ended, for as long as its name is taken
--   holds                      sorted set of `<workspace> <hold>` by the millisecond in which it expires
--   i:<workspace>|<place>      string {request, answer}, what was answered under an idempotency key
--   m:<family>:<slot>          string, how a slot of duplicate marks is divided (see marks.lua)
--   m:a:<slot>                 set of marks by arrival (see marks.lua)
--   b:<workspace>:<partition>  set of offsets above the fence that a rebuild found recorded
--   x:<workspace>              string, which process rebuilds it
--   tail:<partition>           list of last offset, memo as in decide.lua, {answer or 0, ...} {sequence before each part, ...}
--                              {epoch of each part, ...} {event, team, ...}, ... of what is decided and not committed
--   relay                      string, which process relays the outbox
--   outbox                     stream of what Kafka has not acknowledged yet: ledger entries, alerts, settles
--   rows                       stream of those of them that Kafka has and no table yet
--
-- Amounts are whole microcredits below 2^53, which a double holds exactly; a limit of -1 is none.
-- Cells are {feature, credits, overage, events, overage events, denied events, denied credits, denied micro, ...}:
-- denied sums have no largest total, so whole credits and the rest are counted apart.
-- `alerted` is the highest threshold that an alert was raised for, in percent; `standing` is what of an account came as
-- its standing amount.
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

local function read_head(packed)
  return packed and unpack_record(packed) or {1, 0, 0, {}, 0}
end

local function read_settings(packed)
  return packed and unpack_record(packed) or {0, 0, 0, -1, 1, {50, 80, 100}, -1, 0, 0}
end

local function new_pool()
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
end

local function new_team()
  return {0, 0, 0, 0, 0, 0}
end

local function new_user()
  return {0, 0, 0, 0, 0, 0, 0, -1, 0, 0}, {}
end

-- The state's version inside its epoch: every decision, ledger entry and other change of balances raises it by one.
local function version(head)
  return head[2] + head[3] + head[5]
end

-- Whether state is missing that must be there: the caller has seen more, or one of the two records is gone.
local function is_lost(head, known, settings, epoch_seen, version_seen)
  return head[1] < epoch_seen or (head[1] == epoch_seen and version(head) < version_seen)
    or (head[3] > 0 and not settings) or (settings and not known)
end

-- The periods that were ever opened, and whether this one was.
local function read_opened(settings_key, period)
  local opened = call('HGET', settings_key, 'opened')
  opened = opened and unpack_record(opened) or {}
  local found, before = false, ''
  for i = 1, #opened do
    if opened[i] == period then found = true end
    if opened[i] < period then before = opened[i] end
  end
  return found, before, opened
end

local NO_PLAN, SUSPENDED, FEATURE_LIMIT, USER_LIMIT, INSUFFICIENT, OVERAGE_LIMIT = 1, 2, 3, 4, 5, 6
local function most(a, b) return a > b and a or b end

-- The first rule that fails, with limit, used, held and remaining of its level.
local function first_failing(planned, pool, user, team, feature, limit, feature_limit, suspended, credits)
  if not planned then return NO_PLAN, -1, 0, 0, 0 end
  local left = remaining(user) + remaining(team) + remaining(pool)
  local spent, holding = user[5], user[6]
  if suspended then
    return SUSPENDED, limit, spent, holding, limit < 0 and left or most(0, limit - spent - holding)
  end
  if feature_limit >= 0 and feature[1] + feature[2] + credits > feature_limit then
    return FEATURE_LIMIT, feature_limit, feature[1], feature[2], most(0, feature_limit - feature[1] - feature[2])
  end
  if limit >= 0 and spent + holding + credits > limit then
    return USER_LIMIT, limit, spent, holding, most(0, limit - spent - holding)
  end
  if left < credits then
    return INSUFFICIENT, -1, user[3] + team[3] + pool[3], user[4] + team[4] + pool[4], left
  end
end

-- The last word on every spend, overage included: no total passes the largest.
local function past_largest_total(pool, credits)
  local used, held = pool[6] + pool[8], pool[7]
  if used + held + credits > TOTAL_MAX then
    return OVERAGE_LIMIT, TOTAL_MAX, used, held, most(0, TOTAL_MAX - used - held)
  end
end

-- Whether a rule that fails lets an event through as overage.
local function bends(reason, soft)
  return soft and reason ~= NO_PLAN and reason ~= SUSPENDED
end

-- Whether a wish would pass, and the rule that fails: {} for none.
local function judge(planned, pool, user, team, feature, limit, feature_limit, suspended, credits, soft)
  local rule = {first_failing(planned, pool, user, team, feature, limit, feature_limit, suspended, credits)}
  if not rule[1] or bends(rule[1], soft) then
    local largest = {past_largest_total(pool, credits)}
    if largest[1] then rule = largest end
  end
  return not rule[1] or (rule[1] ~= OVERAGE_LIMIT and bends(rule[1], soft)), rule
end

local due_key = prefix .. 'holds'

-- Whether a hold of this shard has expired and still sets credits aside.
local function holds_due(now)
  local first = call('ZRANGE', due_key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) <= now
end
