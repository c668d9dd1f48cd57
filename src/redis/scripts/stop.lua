-- Takes a workspace out of use and forgets it: from here on every script answers that it must be rebuilt, until a head is
-- written again. Answers under idempotency keys, names of ended holds, duplicate marks and the outbox stay.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {workspace, period, ...}: periods that may have books, besides those that it knows it opened
--
-- Reply    packed {epoch it had, or 0, its fences {partition, offset, ...}}
--
-- Example: {'acme','2026-10-01'} -> {3,{0,4711}}
assert(#KEYS == 1 and #ARGV == 1, 'stop takes one key and one argument')
local m = unpack_record(ARGV[1])
local id = m[1]
local key = prefix .. 'w:' .. id
local known = call('HGET', KEYS[1], id)
local periods, opened = {}, call('HGET', key, 'opened')
for i = 2, #m do periods[m[i]] = true end
for _, period in ipairs(opened and unpack_record(opened) or {}) do periods[period] = true end
-- The one write that an out-of-memory server refuses comes first.
call('HSET', key, 's', pack(read_settings()))
call('HDEL', KEYS[1], id)
call('UNLINK', key)
call('HSET', key, 's', pack(read_settings()))
for _, hold in ipairs(call('HKEYS', prefix .. 'h:' .. id)) do call('ZREM', due_key, id .. ' ' .. hold) end
call('UNLINK', prefix .. 'h:' .. id, prefix .. 's:' .. id, prefix .. 'k:' .. id)
for period in pairs(periods) do
  local name = id .. ':' .. period
  call('UNLINK', prefix .. 'p:' .. name, prefix .. 'c:' .. name, prefix .. 'r:' .. name)
end
local head = known and read_head(known)
return pack({head and head[1] or 0, head and head[4] or {}})
