//! The register in Redis: rows of followers and of issuers, and the scripts that keep them. Knows no row's inside.

use redis::Value;

use super::{
    RedisStore,
    connections::{Call, Parts},
    keys::digits,
    reads,
    refusal::Refusal,
    steps::said,
};
use crate::{
    adapters::store::records::Record as _,
    domain::{
        followers::{Follower, Row, Tenure},
        ports::StoreError,
        rounds::{Entry, IssuerRow, Round, Rounded, Standing},
    },
};

impl RedisStore {
    /// A row that stands counts in the new one, so it is looked at first; somebody may come in between.
    pub(super) async fn take_join(&self, row: Row) -> Result<Row, StoreError> {
        let (mut stands, mut next) = (Vec::new(), row.clone());
        for _ in 0..ATTEMPTS {
            let call = Call::new(JOIN)
                .key(self.keys.meta.as_str())
                .key(self.keys.followers.as_str())
                .arg(name(&next.follower))
                .arg(stands)
                .arg(value(&next));
            let answer = self.step(call).await?;
            if said(&answer)? == b"done" {
                return Ok(next);
            }
            stands = answer.get(1).cloned().flatten().unwrap_or_default();
            next = if stands.is_empty() { row.clone() } else { row.clone().over(&self::row(&stands)?) };
        }
        Err(StoreError::Unreachable)
    }

    pub(super) async fn take_leave(
        &self,
        followers: Vec<(Follower, Option<Tenure>)>,
    ) -> Result<(), StoreError> {
        let mut call = Call::new(LEAVE).key(self.keys.meta.as_str()).key(self.keys.followers.as_str());
        for (follower, tenure) in &followers {
            call = call.arg(name(follower)).arg(tenure.map_or(String::new(), held));
        }
        self.step(call).await.map(drop)
    }

    pub(super) async fn take_round(&self, round: Round) -> Result<Rounded, StoreError> {
        let (entry, least) = match round.entry {
            Entry::Stands(least) => ("stands", least.to_string()),
            Entry::New => ("new", String::new()),
            Entry::AfterLoss => ("loss", String::new()),
        };
        let mut call = Call::new(ROUND)
            .key(self.keys.meta.as_str())
            .key(self.keys.followers.as_str())
            .key(self.keys.issuers.as_str())
            .key(self.keys.log.as_str())
            .key(self.keys.firsts.as_str())
            .arg(digits(round.issuer.id))
            .arg(entry)
            .arg(least)
            .arg([digits(round.number).as_bytes(), &round.issuer.to_bytes()].concat())
            .arg(round.known.map_or(String::new(), |known| known.to_string()));
        for row in &round.acknowledged {
            call = call.arg(name(&row.follower)).arg(held(row.tenure)).arg(value(row));
        }
        let answer: Vec<Value> = self.nested(&call).await?;
        let [standing, meta, server, issuers, rows, gaps] =
            <[Value; 6]>::try_from(answer).map_err(|_other| Refusal::Foreign.told())?;
        let meta: Parts = parsed(meta)?;
        let number = |index: usize| match meta.get(index).and_then(Option::as_deref) {
            Some(text) => reads::number(text),
            None => Ok(0),
        };
        let issuers: Parts = parsed(issuers)?;
        let mut issuers =
            issuers.iter().flatten().map(|value| issuer(value)).collect::<Result<Vec<_>, _>>()?;
        issuers.sort_unstable_by_key(|(row, _)| row.id);
        let rows: Option<Parts> = parsed(rows)?;
        let rows = rows.map(|rows| {
            let rows = rows.iter().flatten().map(|value| row(value));
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            rows.sort_unstable_by(|one: &Row, other: &Row| one.follower.cmp(&other.follower));
            Ok::<_, StoreError>(rows)
        });
        let rows = rows.transpose()?;
        Ok(Rounded {
            end: reads::end(&meta)?,
            gaps: gaps != Value::Nil,
            standing: match parsed::<Vec<u8>>(standing)?.as_slice() {
                b"kept" => Standing::Kept,
                b"absent" => Standing::Absent,
                b"behind" => Standing::Behind,
                _ => return Err(Refusal::Foreign.told()),
            },
            policy_version: number(6)?,
            register: number(7)?,
            losses: number(8)?,
            server: String::from_utf8_lossy(&parsed::<Vec<u8>>(server)?).into_owned(),
            issuers,
            rows,
        })
    }

    pub(super) async fn take_expel(&self, issuer: u64, number: Option<u64>) -> Result<bool, StoreError> {
        let call = Call::new(EXPEL)
            .key(self.keys.meta.as_str())
            .key(self.keys.followers.as_str())
            .key(self.keys.issuers.as_str())
            .arg(digits(issuer))
            .arg(number.map_or(String::new(), digits));
        Ok(said(&self.step(call).await?)? == b"done")
    }

    async fn nested(&self, call: &Call) -> Result<Vec<Value>, StoreError> {
        self.connections.write(call).await.map_err(Refusal::told)
    }
}

/// A row out of its value. One of a store of before the register was shared names nobody who answers it.
pub(super) fn row(value: &[u8]) -> Result<Row, StoreError> {
    let json = if value.first() == Some(&b'{') { value } else { value.get(2 * DIGITS..).unwrap_or_default() };
    Row::from_bytes(json)
}

fn issuer(value: &[u8]) -> Result<(IssuerRow, u64), StoreError> {
    let (number, row) = value.split_at_checked(DIGITS).ok_or_else(|| Refusal::Foreign.told())?;
    Ok((IssuerRow::from_bytes(row)?, reads::number(number)?))
}

fn parsed<T: redis::FromRedisValue>(value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value).map_err(|_of_another_form| Refusal::Foreign.told())
}

fn name(follower: &Follower) -> String {
    format!("{}{}", digits(follower.instance), follower.id)
}

fn held(tenure: Tenure) -> String {
    format!("{}{}", digits(tenure.issuer), digits(tenure.session))
}

fn value(row: &Row) -> Vec<u8> {
    [held(row.tenure).as_bytes(), &row.to_bytes()].concat()
}

/// Keys: meta, followers. Arguments: the row's name, the value that must stand (or empty), the value.
const JOIN: &str = r"
local stands = redis.call('HGET', KEYS[2], ARGV[1])
if (stands or '') ~= ARGV[2] then
  return {'stood', stands}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'register', 1)
redis.call('HSET', KEYS[1], 'rows', redis.call('HLEN', KEYS[2]))
return {'done'}
";

/// Keys: meta, followers. Arguments: of each row its name and who must answer it (or empty).
const LEAVE: &str = r"
local gone = 0
for i = 1, #ARGV, 2 do
  local stands = redis.call('HGET', KEYS[2], ARGV[i])
  if stands and (ARGV[i + 1] == '' or string.sub(stands, 1, 40) == ARGV[i + 1]) then
    redis.call('HDEL', KEYS[2], ARGV[i])
    gone = gone + 1
  end
end
if gone > 0 then
  redis.call('HINCRBY', KEYS[1], 'register', 1)
  redis.call('HINCRBY', KEYS[1], 'rows', -gone)
end
return {'done'}
";

/// Keys: meta, followers, issuers, log, firsts. Arguments: issuer, `stands`, `new` or `loss`, the number that must stand at least (or
/// empty), its value, the register's version that is known (or empty), then of each row its name, who must answer it, and
/// its value. Answers what stood of the issuer, meta, the server's run, issuers, rows unless they are known, and whether runs of
/// the log are gone.
const ROUND: &str = r"
local held = redis.call('HGET', KEYS[3], ARGV[1])
local before = redis.call('HMGET', KEYS[1], 'register', 'rows')
local runs = redis.call('HLEN', KEYS[4])
local counted = tonumber(redis.call('HGET', KEYS[1], 'runs') or runs)
local gaps = runs ~= counted or redis.call('ZCARD', KEYS[5]) ~= counted
local standing = 'kept'
if ARGV[2] == 'stands' then
  if not held then
    standing = 'absent'
  elseif tonumber(string.sub(held, 1, 20)) < tonumber(ARGV[3])
    or redis.call('HLEN', KEYS[2]) ~= tonumber(before[2] or '0') then
    standing = 'behind'
  end
end
local known = ARGV[5] ~= '' and (before[1] or '0') == ARGV[5] and standing == 'kept'
if standing == 'kept' then
  if ARGV[2] == 'loss' then
    redis.call('HINCRBY', KEYS[1], 'losses', 1)
    redis.call('HINCRBY', KEYS[1], 'register', 1)
    redis.call('HSET', KEYS[1], 'rows', redis.call('HLEN', KEYS[2]))
  elseif not before[1] then
    redis.call('HSET', KEYS[1], 'register', 0, 'rows', redis.call('HLEN', KEYS[2]))
  end
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
  local changed = false
  for i = 6, #ARGV, 3 do
    local stands = redis.call('HGET', KEYS[2], ARGV[i])
    if stands and string.sub(stands, 1, 40) == ARGV[i + 1] then
      redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
      changed = true
    end
  end
  if changed then
    redis.call('HINCRBY', KEYS[1], 'register', 1)
  end
end
local rows = false
if not known then
  rows = redis.call('HVALS', KEYS[2])
end
return {
  standing,
  redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'hash', 'base', 'base_hash', 'time', 'policy_version', 'register',
    'losses'),
  string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '',
  redis.call('HVALS', KEYS[3]),
  rows,
  gaps
}
";

/// Keys: meta, followers, issuers. Arguments: issuer, the number that must stand in 20 digits (empty: no row).
const EXPEL: &str = r"
local held = redis.call('HGET', KEYS[3], ARGV[1])
if string.sub(held or '', 1, 20) ~= ARGV[2] then
  return {'stood'}
end
redis.call('HDEL', KEYS[3], ARGV[1])
local rows = redis.call('HGETALL', KEYS[2])
for i = 1, #rows, 2 do
  local holder = string.sub(rows[i + 1], 1, 20)
  if string.sub(holder, 1, 1) == '{' then
    holder = string.rep('0', 20)
  end
  if holder == ARGV[1] then
    redis.call('HDEL', KEYS[2], rows[i])
  end
end
redis.call('HINCRBY', KEYS[1], 'register', 1)
redis.call('HSET', KEYS[1], 'rows', redis.call('HLEN', KEYS[2]))
return {'done'}
";

/// A row that others keep changing is not entered after so many attempts.
const ATTEMPTS: usize = 8;
/// Digits of a number in a value.
const DIGITS: usize = 20;
