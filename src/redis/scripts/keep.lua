-- Keeps a refusal that was found outside of the ledger under its idempotency key, unless something was answered before.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV[1]  packed {workspace, who as in change.lua, code}
--
-- Reply    packed {'refused', code, '', 0, 0}, this one or another that was kept before
--          any other answer that was given before, as in change.lua
--
-- Example: {'acme',{'ann','','k1','5f..','a0..'},'unknown_event'} -> {'refused','unknown_event','',0,0}
assert(#KEYS == 1 and #ARGV == 1, 'keep takes one key and one argument')
local m = unpack_record(ARGV[1])
return answered(m[1], m[2]) or remember(m[1], m[2], pack({'refused', m[3], '', 0, 0}))
