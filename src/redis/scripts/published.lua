-- Kafka has these: they leave the outbox. What has a row in a table goes on to `rows`, where it waits for that.
--
-- KEYS[1]  <name>:{sNN}:heads
-- ARGV     ids of the outbox, ...
--
-- Reply    an empty text
--
-- Example: 1795300000000-0 1795300000000-1 -> ''
local prefix = string.sub(KEYS[1], 1, -6)
for i = 1, #ARGV do
  local found = redis.call('XRANGE', prefix .. 'outbox', ARGV[i], ARGV[i])[1]
  if found then
    local entry = found[2][2]
    if cmsgpack.unpack(entry)[1] ~= 'settle' then redis.call('XADD', prefix .. 'rows', '*', 'entry', entry) end
    redis.call('XDEL', prefix .. 'outbox', ARGV[i])
  end
end
return ''
