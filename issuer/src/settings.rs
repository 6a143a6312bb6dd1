//! The issuer's settings: every key with its default and bound, all mistakes at once. Reads files at start only.

use std::{path::PathBuf, time::Duration};

use common::{
    jws::Algorithm,
    runtime::{
        service_settings::{Defaults, ServiceSettings, holder_required},
        settings_file::{Mistakes, SettingsFile},
    },
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
};

use crate::adapters::store::redis::RedisSettings;

/// What an issuer runs with.
#[derive(Debug)]
pub struct Settings {
    /// Listeners and logs.
    pub service: ServiceSettings,
    /// The realm's name: 1 to 64 of `[a-z0-9-]`. Default `default`.
    pub realm: String,
    /// The `iss` of tokens. Default `ipms`.
    pub issuer: String,
    /// The `aud` of tokens. Default `incert`.
    pub audience: String,
    /// What tokens are signed with. Default `PS256`.
    pub algorithm: Algorithm,
    /// The types whose tokens must be bound to a holder's certificate. Default none.
    pub holder_required: PerType<bool>,
    /// Where the state is kept. Default: the embedded store in `issuer.redb`.
    pub store: StoreSettings,
    /// Where the keys are. Default `keys`.
    pub keys: PathBuf,
    /// The audit file. Default `audit.jsonl`.
    pub audit: PathBuf,
    /// `audit.rotate_mib`: an audit file is finished before it is longer than so many bytes. Default 256 MiB, 1 to 65536.
    pub audit_rotate_at: u64,
    /// How long a token's record is kept after its expiry: 1 h to 3650 d. Default 90 d.
    pub keep_after_expiry: Duration,
    /// Lifetimes 1 s to 90 d, staleness 1 s to 1 h, of each token type.
    pub limits: Limits,
}

/// Which store.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// `store.kind = "embedded"`: this file, for one issuer.
    Embedded(PathBuf),
    /// `store.kind = "redis"`: this server, for any number of issuers.
    Redis(RedisSettings),
}

impl Settings {
    /// Reads all of them.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(mut file: SettingsFile) -> Result<Self, Mistakes> {
        let file_ref = &mut file;
        let service = ServiceSettings::read(file_ref, Defaults::ISSUER);
        let realm = file_ref.string_or("realm", "default");
        let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=64).contains(&realm.len()) || !realm.bytes().all(letters) {
            file_ref.refuse("realm", "be 1 to 64 characters of [a-z0-9-]");
        }
        let issuer = claim(file_ref, "token.issuer", "ipms");
        let audience = claim(file_ref, "token.audience", "incert");
        let algorithms = [("PS256", Algorithm::Ps256), ("RS256", Algorithm::Rs256)];
        let algorithm = file_ref.choice_or("token.algorithm", Algorithm::Ps256, &algorithms);
        let holder_required = holder_required(file_ref);
        let store = store(file_ref);
        let keys = file_ref.optional_path("keys.directory").unwrap_or_else(|| "keys".into());
        let audit = file_ref.optional_path("audit.path").unwrap_or_else(|| "audit.jsonl".into());
        let audit_rotate_at = u64::from(file_ref.number_or("audit.rotate_mib", 256, 1..=65_536)) << 20;
        let keep_after_expiry =
            file_ref.duration_or("ledger.keep_after_expiry", 90 * DAY, HOUR..=3_650 * DAY);
        let defaults = Limits::default();
        let limits = Limits(PerType::from_fn(|kind| {
            let name = match kind {
                TokenType::Pseudonymisation => "pseudonymisation",
                TokenType::Reverse => "reverse",
                TokenType::Secondary => "secondary",
            };
            let TypeLimit { lifetime, staleness } = *defaults.get(kind);
            let second = Duration::from_secs(1);
            TypeLimit {
                lifetime: file_ref.duration_or(
                    &format!("limits.{name}.lifetime"),
                    lifetime,
                    second..=90 * DAY,
                ),
                staleness: file_ref.duration_or(
                    &format!("limits.{name}.staleness"),
                    staleness,
                    second..=HOUR,
                ),
            }
        }));
        file.finish()?;
        Ok(Self {
            service,
            realm,
            issuer,
            audience,
            algorithm,
            holder_required,
            store,
            keys,
            audit,
            audit_rotate_at,
            keep_after_expiry,
            limits,
        })
    }
}

impl Settings {
    /// The name of this issuer among those of the realm.
    pub fn issuer_name(&self) -> &str {
        match &self.store {
            StoreSettings::Embedded(_) => "1",
            StoreSettings::Redis(redis) => &redis.issuer,
        }
    }
}

fn store(file: &mut SettingsFile) -> StoreSettings {
    let redis = file.choice_or("store.kind", false, &[("embedded", false), ("redis", true)]);
    let path = file.optional_path("store.path").unwrap_or_else(|| "issuer.redb".into());
    let settings = RedisSettings {
        url: file.string_or("store.url", "redis://127.0.0.1:6379"),
        password_file: file.optional_path("store.password_file"),
        copies: file.number_or("store.copies", 1, 1..=9),
        deadline: file.duration_or("store.deadline", DEADLINE, 50 * MILLISECOND..=Duration::from_secs(10)),
        issuer: file.string_or("store.issuer", "1"),
        accept_weaker_durability: file.bool_or("store.accept_weaker_durability", false),
    };
    let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !(1..=64).contains(&settings.issuer.len()) || !settings.issuer.bytes().all(letters) {
        file.refuse("store.issuer", "be 1 to 64 characters of [a-z0-9-]");
    }
    if !settings.url_is_plain() {
        file.refuse("store.url", "be redis://[user@]host[:port][/db] or unix:///path, without a password");
    }
    if redis { StoreSettings::Redis(settings) } else { StoreSettings::Embedded(path) }
}

/// A claim that every token carries: it must leave room for the rest of the 4 KiB.
fn claim(file: &mut SettingsFile, key: &str, default: &str) -> String {
    let text = file.string_or(key, default);
    if text.len() > 512 {
        file.refuse(key, "be at most 512 bytes");
    }
    text
}

/// How long a call to Redis may take, unless told otherwise.
const DEADLINE: Duration = Duration::from_millis(500);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Settings, Mistakes> {
        Settings::read(SettingsFile::new(toml.parse().unwrap(), [], "ISSUER_"))
    }

    #[test]
    fn defaults_need_no_file() {
        let settings = read("").unwrap();
        assert_eq!(settings.limits, Limits::default());
        assert_eq!(settings.service.grpc_listen.to_string(), "127.0.0.1:50051");
    }

    #[test]
    fn a_password_in_the_address_of_the_store_is_a_mistake() {
        let url = |url: &str| read(&format!("[store]\nkind = 'redis'\nurl = '{url}'"));
        for plain in ["redis://host", "redis://user@host:1/2", "redis://[::1]:6379", "unix:///run/redis.sock"]
        {
            assert!(matches!(url(plain).unwrap().store, StoreSettings::Redis(_)), "{plain}");
        }
        for refused in [
            "redis://user:secret@host",
            "redis://:secret@host",
            "unix:///s?pass=secret",
            "http://host",
            "",
            "rediss://host",
        ] {
            let mistakes = url(refused).unwrap_err().to_string();
            assert!(mistakes.contains("store.url") && !mistakes.contains("secret@"), "{mistakes}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let toml =
            "realm = 'A'\n[store]\nkind = 'file'\n[limits.reverse]\nlifetime = '91d'\nstaleness = '10'";
        let mistakes = read(toml).unwrap_err().to_string();
        for key in ["realm", "store.kind", "limits.reverse.lifetime", "limits.reverse.staleness"] {
            assert!(mistakes.contains(key), "{key} in {mistakes}");
        }
    }
}
