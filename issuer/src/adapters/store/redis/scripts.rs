//! The steps that run inside Redis, each as a whole or not at all: they compare and write, and know no record's inside.
//!
//! Every script looks first and writes last. Numbers stay below 2^53, up to which Lua counts exactly.

/// Keys: meta, projects, log, firsts, the next epoch's log and firsts, then an organisation's projects each. Arguments: epoch, sequence, hash that must
/// stand (empty: no log); `back` for a step that would take the log back; epoch, sequence, hash, base, its hash, log time
/// afterwards; the first sequence and the run; the audit mark; project, version that must stand, project's next value (or empty);
/// the audit mark's name; whether the next epoch's entries were laid ready.
pub(super) const APPEND: &str = r"
local stands = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'hash', 'base', 'base_hash', 'time', 'runs')
local runs = tonumber(stands[7] or redis.call('HLEN', KEYS[3]))
local same = ARGV[1] == ''
if stands[1] then
  same = stands[1] == ARGV[1] and stands[2] == ARGV[2] and stands[3] == ARGV[3]
end
if not same or ARGV[4] ~= '' then
  return {'elsewhere', unpack(stands, 1, 6)}
end
if ARGV[14] ~= '' then
  local held = redis.call('HGET', KEYS[2], ARGV[14])
  if not held or string.sub(held, 1, 20) ~= ARGV[15] then
    return {'project'}
  end
end
local base, base_hash, time = ARGV[8], ARGV[9], ARGV[10]
if stands[6] and tonumber(stands[6]) > tonumber(time) then
  time = stands[6]
end
if stands[1] == ARGV[5] then
  base, base_hash = stands[4], stands[5]
else
  redis.call('UNLINK', KEYS[3], KEYS[4])
  runs = 0
  if ARGV[18] ~= '' then
    redis.call('RENAME', KEYS[5], KEYS[3])
    redis.call('RENAME', KEYS[6], KEYS[4])
    runs = redis.call('HLEN', KEYS[3])
  end
end
if ARGV[14] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[14], ARGV[16])
  for i = 7, #KEYS do
    redis.call('ZADD', KEYS[i], 0, ARGV[14])
  end
end
if ARGV[12] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[11], ARGV[12])
  redis.call('ZADD', KEYS[4], 0, ARGV[11])
  runs = runs + 1
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'sequence', ARGV[6], 'hash', ARGV[7], 'base', base,
  'base_hash', base_hash, 'time', time, 'runs', runs)
if ARGV[13] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[17], ARGV[13])
end
return {'done'}
";

/// Keys: the next epoch's log and firsts. Arguments: whether what lies there goes first (or empty), then of each run its
/// first sequence and itself.
pub(super) const LAY_READY: &str = r"
if ARGV[1] ~= '' then
  redis.call('UNLINK', KEYS[1], KEYS[2])
end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], 0, ARGV[i])
end
return {'done'}
";

/// Keys: meta, projects, ledger, numbers, idempotency, `idempotency_of`, tokens, by expiry, by project, by organisation, by
/// request. Arguments: token id, record, expiry, idempotency key and content (or empty), the audit mark and its name, then each
/// project that was looked at with its version.
pub(super) const RECORD: &str = r"
if ARGV[4] ~= '' then
  local used = redis.call('HGET', KEYS[5], ARGV[4])
  if used then
    return {'before', redis.call('HGET', KEYS[3], string.sub(used, 1, 16)), string.sub(used, 17)}
  end
end
local stands = redis.call('HGET', KEYS[4], ARGV[1])
if stands then
  return {'before', redis.call('HGET', KEYS[3], stands)}
end
local at = redis.call('HMGET', KEYS[1], 'epoch', 'sequence')
if not at[1] then
  return {'no_log'}
end
for i = 8, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[2], ARGV[i])
  if not held or string.sub(held, 1, 20) ~= ARGV[i + 1] then
    return {'project'}
  end
end
local number = string.format('%016.0f', redis.call('HINCRBY', KEYS[1], 'newest', 1))
redis.call('HSET', KEYS[3], number, at[1] .. ':' .. at[2] .. ':' .. ARGV[2])
redis.call('HSET', KEYS[4], ARGV[1], number)
redis.call('ZADD', KEYS[8], ARGV[3], number)
for _, i in ipairs({7, 9, 10, 11}) do
  redis.call('ZADD', KEYS[i], number, number)
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[4], number .. ARGV[5])
  redis.call('HSET', KEYS[6], number, ARGV[4])
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[7], ARGV[6])
end
return {'at', at[1], at[2]}
";

/// Keys: ledger, numbers, idempotency, `idempotency_of`, tokens, by expiry, then three indexes of each record. Arguments: of
/// each record its number and its token's id.
pub(super) const FORGET: &str = r"
local forgotten = 0
for i = 1, #ARGV, 2 do
  local number = ARGV[i]
  if redis.call('ZREM', KEYS[6], number) == 1 then
    forgotten = forgotten + 1
    redis.call('HDEL', KEYS[1], number)
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
    redis.call('ZREM', KEYS[5], number)
    local index = 6 + 3 * (i - 1) / 2
    for j = 1, 3 do
      redis.call('ZREM', KEYS[index + j], number)
    end
    local key = redis.call('HGET', KEYS[4], number)
    if key then
      redis.call('HDEL', KEYS[3], key)
      redis.call('HDEL', KEYS[4], number)
    end
  end
end
return {tostring(forgotten)}
";

/// Keys: meta, log, firsts. Arguments: epoch, base, its hash, the sequence behind it in 20 digits. A run ends where the
/// next one begins: all but the last of those found lie wholly at or before the base.
pub(super) const TRIM: &str = r"
local stands = redis.call('HMGET', KEYS[1], 'epoch', 'base', 'sequence')
local base = tonumber(ARGV[2])
if stands[1] ~= ARGV[1] or base <= tonumber(stands[2]) or base > tonumber(stands[3]) then
  return {'stood'}
end
local firsts = redis.call('ZRANGEBYLEX', KEYS[3], '-', '[' .. ARGV[4], 'LIMIT', 0, 10000)
local gone = 0
for i = 1, #firsts - 1 do
  gone = gone + redis.call('HDEL', KEYS[2], firsts[i])
  redis.call('ZREM', KEYS[3], firsts[i])
end
redis.call('HSET', KEYS[1], 'base', ARGV[2], 'base_hash', ARGV[3])
if gone > 0 and redis.call('HEXISTS', KEYS[1], 'runs') == 1 then
  redis.call('HINCRBY', KEYS[1], 'runs', -gone)
end
return {'done'}
";

/// Keys: projects, ids, then an organisation's projects each. Arguments: id, value.
pub(super) const CREATE: &str = r"
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  return {'stood', held}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], 0, ARGV[1])
end
return {'new'}
";

/// Keys: meta. Arguments: the version that must stand, the next one, the sealed record.
pub(super) const POLICY: &str = r"
if (redis.call('HGET', KEYS[1], 'policy_version') or '0') ~= ARGV[1] then
  return {'stood'}
end
redis.call('HSET', KEYS[1], 'policy_version', ARGV[2], 'policy', ARGV[3])
return {'done'}
";

/// Keys: key holders. Arguments: an instance, what it tells.
pub(super) const HOLD: &str = r"
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {'done'}
";

/// Keys: key holders. Arguments: instances.
pub(super) const LET_GO: &str = r"
for _, name in ipairs(ARGV) do
  redis.call('HDEL', KEYS[1], name)
end
return {'done'}
";

/// Keys: meta. Answers limits and key roles, and their version.
pub(super) const STANDING_POLICY: &str = r"
return redis.call('HMGET', KEYS[1], 'policy', 'policy_version')
";

/// Keys: key holders. Answers instances with what they tell.
pub(super) const HOLDERS: &str = r"
return redis.call('HGETALL', KEYS[1])
";

/// Keys: meta, followers. Arguments: the audit mark's name.
pub(super) const LOAD: &str = r"
return {
  redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'hash', 'base', 'base_hash', 'time', 'policy', 'policy_version',
    ARGV[1], 'importing'),
  redis.call('HVALS', KEYS[2])
}
";

/// Keys: meta.
pub(super) const END: &str = r"
return redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'hash', 'base', 'base_hash', 'time')
";

/// Keys: meta, log, firsts. Arguments: the epoch that must stand, where to begin, the last sequence to begin at, bytes at
/// most. Answers the base, where to go on (false: at the end), and runs; nothing if the epoch is another one.
pub(super) const RUNS: &str = r"
local stands = redis.call('HMGET', KEYS[1], 'epoch', 'base')
if stands[1] ~= ARGV[1] then
  return {}
end
local answer = {stands[2], false}
local bytes = 0
for _, first in ipairs(redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], '[' .. ARGV[3], 'LIMIT', 0, 1000)) do
  local run = redis.call('HGET', KEYS[2], first)
  answer[#answer + 1] = run
  answer[2] = first
  bytes = bytes + #(run or '')
  if bytes >= tonumber(ARGV[4]) then
    break
  end
end
return answer
";

/// Keys: projects, ids of all or of an organisation. Arguments: where to begin, how many. Answers ids with their values.
pub(super) const PROJECTS: &str = r"
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', KEYS[1], id)
end
return answer
";

/// Keys: ledger, numbers. Arguments: a token's id. Answers its record, if there is one.
pub(super) const TOKEN: &str = r"
local number = redis.call('HGET', KEYS[2], ARGV[1])
if not number then
  return {}
end
return {redis.call('HGET', KEYS[1], number)}
";

/// Keys: ledger, an index. Arguments: the score to begin at, how many. Answers numbers with their records, newest first.
pub(super) const TOKENS: &str = r"
local answer = {}
for _, number in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = number
  answer[#answer + 1] = redis.call('HGET', KEYS[1], number)
end
return answer
";

/// Keys: ledger, by expiry. Arguments: the score to end before, how many. Answers numbers with their records, first expiry
/// first.
pub(super) const EXPIRED: &str = r"
local answer = {}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = number
  answer[#answer + 1] = redis.call('HGET', KEYS[1], number)
end
return answer
";
