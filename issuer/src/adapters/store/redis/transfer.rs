//! The Redis store as a whole, out to a file and in from one. Each part is one script; until the last one the store says
//! that it is half imported.

use super::{
    RedisStore,
    connections::Call,
    keys::digits,
    reads,
    refusal::Refusal,
    steps::{mark, organisations, said},
};
use crate::{
    adapters::store::records::Record as _,
    domain::{
        ports::{Idempotency, StoreError},
        transfer::{Finish, Kept, Part},
    },
};

impl RedisStore {
    pub(super) async fn see_ledger(&self, after: u64, most: usize) -> Result<(Vec<Kept>, u64), StoreError> {
        let foreign = || Refusal::Foreign.told();
        let (mut kept, mut after) = (Vec::new(), after);
        loop {
            let count = AT_ONCE.min(most - kept.len());
            let call = Call::new(LEDGER)
                .key(self.keys.meta.as_str())
                .key(self.keys.ledger.as_str())
                .key(self.keys.tokens.as_str())
                .key(self.keys.idempotency.as_str())
                .key(self.keys.idempotency_of.as_str())
                .arg(format!("({after}"))
                .arg(count.to_string());
            let answer = self.look(call).await?;
            let (newest, rows) = answer.split_first().ok_or_else(foreign)?;
            for row in rows.chunks(4) {
                let [Some(number), Some(record), key, used] = row else { return Err(foreign()) };
                let idempotency = match (key.as_deref(), used.as_deref()) {
                    (Some(key), Some(used)) if !key.is_empty() => {
                        let content = used.get(16..).and_then(|content| content.try_into().ok());
                        let key = key.try_into().ok();
                        let (key, content) = key.zip(content).ok_or_else(foreign)?;
                        Some(Idempotency { key, content })
                    }
                    _ => None,
                };
                after = reads::number(number)?;
                kept.push(Kept { number: after, record: reads::token(record)?, idempotency });
            }
            if rows.len() < 4 * count || kept.len() == most {
                let newest = newest.as_deref().map_or(Ok(0), reads::number)?;
                return Ok((kept, newest));
            }
        }
    }

    pub(super) async fn take_part(&self, part: Part) -> Result<bool, StoreError> {
        let importing = |script| Call::new(script).key(self.keys.meta.as_str());
        match part {
            Part::Begin => {
                let call = importing(BEGIN)
                    .key(self.keys.projects.as_str())
                    .key(self.keys.ledger.as_str())
                    .key(self.keys.followers.as_str())
                    .arg(format!("{}*", self.keys.prefix()));
                self.taken(call).await
            }
            Part::Projects(projects) => {
                for project in projects {
                    let mut call = importing(PROJECT)
                        .key(self.keys.projects.as_str())
                        .key(self.keys.project_ids.as_str())
                        .arg(project.id.as_str())
                        .arg(self.sealed(&project));
                    for organisation in organisations(&project) {
                        call = call.key(self.keys.projects_of(organisation));
                    }
                    if !self.taken(call).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Part::Tokens(tokens) => {
                for tokens in tokens.chunks(AT_ONCE) {
                    if !self.taken(self.tokens_call(tokens)).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Part::Runs(runs) => {
                for (first, run) in runs {
                    let call = importing(RUN)
                        .key(self.keys.log.as_str())
                        .key(self.keys.firsts.as_str())
                        .arg(digits(first))
                        .arg(run);
                    if !self.taken(call).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Part::Rows(rows) => {
                for row in rows {
                    self.take_join(row).await?;
                }
                Ok(true)
            }
            Part::Finish(finish) => {
                let Finish { end, policy, audit, newest } = *finish;
                let (version, policy) = match policy {
                    Some(policy) => {
                        let sealed = self.seal.close("policy", "policy", &policy.to_bytes());
                        (policy.version.to_string(), sealed)
                    }
                    None => (String::new(), Vec::new()),
                };
                let call = importing(FINISH)
                    .key(self.keys.log.as_str())
                    .arg(end.epoch.to_string())
                    .arg(end.end.sequence.to_string())
                    .arg(end.end.hash)
                    .arg(end.base.sequence.to_string())
                    .arg(end.base.hash)
                    .arg(end.log_time.seconds().to_string())
                    .arg(version)
                    .arg(policy)
                    .arg(newest.to_string())
                    .arg(self.audit.as_str())
                    .arg(mark(audit));
                self.taken(call).await
            }
        }
    }

    fn tokens_call(&self, tokens: &[Kept]) -> Call {
        let mut call = Call::new(TOKENS)
            .key(self.keys.meta.as_str())
            .key(self.keys.ledger.as_str())
            .key(self.keys.numbers.as_str())
            .key(self.keys.idempotency.as_str())
            .key(self.keys.idempotency_of.as_str())
            .key(self.keys.tokens.as_str())
            .key(self.keys.by_expiry.as_str());
        for Kept { number, record, idempotency } in tokens {
            for index in self.indexes(record) {
                call = call.key(index);
            }
            let number = reads::token_number(*number);
            let at = format!("{}:{}:", record.recorded.epoch, record.recorded.sequence);
            let (key, used) = idempotency.map_or((Vec::new(), Vec::new()), |one| {
                (one.key.to_vec(), [number.as_bytes(), &one.content].concat())
            });
            call = call
                .arg(number)
                .arg(*record.id.as_bytes())
                .arg([at.as_bytes(), &record.to_bytes()].concat())
                .arg(record.expires_at.seconds().to_string())
                .arg(key)
                .arg(used);
        }
        call
    }

    async fn taken(&self, call: Call) -> Result<bool, StoreError> {
        Ok(said(&self.step(call).await?)? == b"done")
    }
}

/// Keys: meta, ledger, tokens, idempotency, `idempotency_of`. Arguments: where to begin, how many. Answers the highest number
/// given, then of each record its number, itself, its idempotency key and what is kept under that (or empty).
const LEDGER: &str = r"
local answer = {redis.call('HGET', KEYS[1], 'newest')}
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = number
  answer[#answer + 1] = redis.call('HGET', KEYS[2], number)
  local key = redis.call('HGET', KEYS[5], number) or ''
  answer[#answer + 1] = key
  answer[#answer + 1] = key ~= '' and redis.call('HGET', KEYS[4], key) or ''
end
return answer
";

/// Keys: meta, projects, ledger, followers. Arguments: a pattern of all keys of the realm.
const BEGIN: &str = r"
if redis.call('HEXISTS', KEYS[1], 'importing') == 1 then
  for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    redis.call('UNLINK', key)
  end
elseif redis.call('HEXISTS', KEYS[1], 'epoch') == 1 or redis.call('HEXISTS', KEYS[1], 'policy') == 1
  or redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) > 0 then
  return {'stood'}
end
redis.call('HSET', KEYS[1], 'importing', 1)
return {'done'}
";

/// Keys: meta, projects, ids, then an organisation's projects each. Arguments: id, value.
const PROJECT: &str = r"
if redis.call('HEXISTS', KEYS[1], 'importing') == 0 then
  return {'stood'}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for i = 3, #KEYS do
  redis.call('ZADD', KEYS[i], 0, ARGV[1])
end
return {'done'}
";

/// Keys: meta, ledger, numbers, idempotency, `idempotency_of`, tokens, by expiry, then three indexes of each record.
/// Arguments: of each record its number, its token's id, itself, its expiry, its idempotency key and what is kept under that.
const TOKENS: &str = r"
if redis.call('HEXISTS', KEYS[1], 'importing') == 0 then
  return {'stood'}
end
for i = 1, #ARGV, 6 do
  local number = ARGV[i]
  redis.call('HSET', KEYS[2], number, ARGV[i + 2])
  redis.call('HSET', KEYS[3], ARGV[i + 1], number)
  redis.call('ZADD', KEYS[6], number, number)
  redis.call('ZADD', KEYS[7], ARGV[i + 3], number)
  local index = 7 + (i - 1) / 2
  for j = 1, 3 do
    redis.call('ZADD', KEYS[index + j], number, number)
  end
  if ARGV[i + 4] ~= '' then
    redis.call('HSET', KEYS[4], ARGV[i + 4], ARGV[i + 5])
    redis.call('HSET', KEYS[5], number, ARGV[i + 4])
  end
end
return {'done'}
";

/// Keys: meta, log, firsts. Arguments: the first sequence, the run.
const RUN: &str = r"
if redis.call('HEXISTS', KEYS[1], 'importing') == 0 then
  return {'stood'}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return {'done'}
";

/// Keys: meta, log. Arguments: epoch, sequence, hash, base, its hash, log time; the version of limits and key roles and the sealed
/// record (or empty); the ledger's newest number; the audit mark's name, the audit mark (or empty).
const FINISH: &str = r"
if redis.call('HEXISTS', KEYS[1], 'importing') == 0 then
  return {'stood'}
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'sequence', ARGV[2], 'hash', ARGV[3], 'base', ARGV[4],
  'base_hash', ARGV[5], 'time', ARGV[6], 'newest', ARGV[9])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], 'policy_version', ARGV[7], 'policy', ARGV[8])
end
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[10], ARGV[11])
end
redis.call('HSET', KEYS[1], 'runs', redis.call('HLEN', KEYS[2]))
redis.call('HDEL', KEYS[1], 'importing')
return {'done'}
";

/// Records that are read or written at once.
const AT_ONCE: usize = 500;
