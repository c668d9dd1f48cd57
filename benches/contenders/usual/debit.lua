-- One event against its user's limit and its workspace's pool.
-- KEYS: mark of the id, user, pool, the user's features.
-- ARGV: microcredits, feature, seconds for which the id is remembered.
-- Answers 0 duplicate, 1 debited, 2 over the user's limit, 3 the pool has too little left.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[3]) then
  return 0
end
local micro = tonumber(ARGV[1])
local user = redis.call('HMGET', KEYS[2], 'spent', 'limit')
if user[2] and (tonumber(user[1]) or 0) + micro > tonumber(user[2]) then
  return 2
end
if micro > (tonumber(redis.call('HGET', KEYS[3], 'left')) or 0) then
  return 3
end
redis.call('HINCRBY', KEYS[2], 'spent', ARGV[1])
redis.call('HINCRBY', KEYS[3], 'left', string.format('%d', -micro))
redis.call('HINCRBY', KEYS[4], ARGV[2], ARGV[1])
return 1
