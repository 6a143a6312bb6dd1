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

use crate::adapters::{
    key_directory::Place,
    pkcs11::DeviceSettings,
    store::redis::{RedisSettings, RedisUrl, Risk, StoreTls},
};

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
    /// The types whose tokens must be bound to a holder's certificate. Default none.
    pub holder_required: PerType<bool>,
    /// Where the state is kept. Default: the embedded store in `issuer.redb`.
    pub store: StoreSettings,
    /// Where the keys are, default `keys`; what they are encrypted with, default nothing; and the PKCS#11 token that has
    /// token keys, default none.
    pub keys: Place,
    /// How long each key signs, 1 h to 3650 d and at least a 29th of the longest lifetime, before the next one takes over.
    /// Default: for ever.
    pub rotate_every: Option<Duration>,
    /// How long a copy of the JWKS may be used: 0 s to 1 d. Default 60 s. No key signs before every copy can have it.
    pub jwks_max_age: Duration,
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
    /// `store.kind = "redis"`: these servers, for any number of issuers.
    Redis(Box<RedisSettings>),
}

impl StoreSettings {
    /// The name of this issuer among those of the realm.
    pub fn issuer(&self) -> &str {
        match self {
            Self::Embedded(_) => "1",
            Self::Redis(redis) => &redis.issuer,
        }
    }
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
        let folder = file_ref.optional_path("keys.directory").unwrap_or_else(|| "keys".into());
        let passphrase_file = file_ref.optional_path("keys.passphrase_file");
        let (device, published_keys) = (device(file_ref), service.insecure_loopback);
        let keys = Place { folder, algorithm, passphrase_file, device, published_keys };
        let rotate_every = file_ref.optional_duration("keys.rotate_every", HOUR..=3_650 * DAY);
        let jwks_max_age =
            file_ref.duration_or("keys.jwks_max_age", Duration::from_mins(1), Duration::ZERO..=DAY);
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
        // Each key is published until the last token that it signed has expired.
        let least = limits.longest_lifetime() / RETIRED_AT_ONCE;
        if rotate_every.is_some_and(|every| every < least) {
            let must = format!(
                "be at least {least:?} where tokens live for {:?}: no more keys can be published at once",
                limits.longest_lifetime()
            );
            file_ref.refuse("keys.rotate_every", &must);
        }
        file.finish()?;
        Ok(Self {
            service,
            realm,
            issuer,
            audience,
            holder_required,
            store,
            keys,
            rotate_every,
            jwks_max_age,
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

/// The PKCS#11 token: `keys.pkcs11.module` says that there is one.
fn device(file: &mut SettingsFile) -> Option<DeviceSettings> {
    let module = file.optional_path("keys.pkcs11.module");
    let token = file.optional_string("keys.pkcs11.token_label");
    let key = file.optional_string("keys.pkcs11.key_label");
    let pin = file.optional_path("keys.pkcs11.pin_file");
    let Some(module) = module else {
        if token.is_some() || key.is_some() || pin.is_some() {
            file.refuse("keys.pkcs11.module", "be given with the other settings of keys.pkcs11");
        }
        return None;
    };
    // A name alone would be looked for in the folders of the system, and in whatever the environment adds to them.
    if !module.is_absolute() {
        file.refuse("keys.pkcs11.module", "be an absolute path");
    }
    // PKCS#11 keeps 32 bytes for a token's label, blanks at its end not counted.
    let fits = |label: &str, most| (1..=most).contains(&label.len()) && label.trim_end() == label;
    if !token.as_deref().is_some_and(|label| fits(label, 32)) {
        file.refuse("keys.pkcs11.token_label", "be 1 to 32 bytes, no blank at the end");
    }
    if !key.as_deref().is_none_or(|label| fits(label, 255)) {
        file.refuse("keys.pkcs11.key_label", "be 1 to 255 bytes, no blank at the end");
    }
    if pin.is_none() {
        file.refuse("keys.pkcs11.pin_file", "be given with keys.pkcs11.module");
    }
    Some(DeviceSettings {
        module,
        token_label: token?,
        key_label: key.unwrap_or_else(|| "ipms".to_owned()),
        pin_file: pin?,
    })
}

fn store(file: &mut SettingsFile) -> StoreSettings {
    let redis = file.choice_or("store.kind", false, &[("embedded", false), ("redis", true)]);
    let path = file.optional_path("store.path").unwrap_or_else(|| "issuer.redb".into());
    let url: Result<RedisUrl, _> = file.string_or("store.url", DEFAULT_URL).parse();
    if url.is_err() {
        file.refuse("store.url", URL_FORMS);
    }
    let Some(url) = url.ok().or_else(|| DEFAULT_URL.parse().ok()) else {
        return StoreSettings::Embedded(path);
    };
    let settings = RedisSettings {
        tls: store_tls(file, url.tls()),
        url,
        password_file: file.optional_path("store.password_file"),
        copies: file.number_or("store.copies", 1, 1..=9),
        deadline: file.duration_or("store.deadline", DEADLINE, 50 * MILLISECOND..=Duration::from_secs(10)),
        issuer: file.string_or("store.issuer", "1"),
        accept_risks: accepted_risks(file),
    };
    let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !(1..=64).contains(&settings.issuer.len()) || !settings.issuer.bytes().all(letters) {
        file.refuse("store.issuer", "be 1 to 64 characters of [a-z0-9-]");
    }
    if redis { StoreSettings::Redis(Box::new(settings)) } else { StoreSettings::Embedded(path) }
}

/// The files behind TLS towards Redis: given with an address that asks for it, and only then.
fn store_tls(file: &mut SettingsFile, wanted: bool) -> Option<StoreTls> {
    let ca = file.optional_path("store.ca");
    let (certificate, key) = (file.optional_path("store.certificate"), file.optional_path("store.key"));
    if certificate.is_some() != key.is_some() {
        file.refuse("store.certificate", "be given together with store.key");
    }
    if wanted && ca.is_none() {
        file.refuse("store.ca", "be given with a store.url that begins with rediss");
    }
    if !wanted && (ca.is_some() || certificate.is_some() || key.is_some()) {
        file.refuse("store.url", "begin with rediss when store.ca, store.certificate or store.key is given");
    }
    Some(StoreTls { ca: ca?, own: certificate.zip(key) })
}

fn accepted_risks(file: &mut SettingsFile) -> Vec<Risk> {
    let names = file.list("store.accept_risks");
    let known: Vec<_> =
        names.iter().filter_map(|name| Risk::ALL.into_iter().find(|risk| risk.name() == name)).collect();
    if known.len() != names.len() {
        let all = Risk::ALL.map(Risk::name).join(", ");
        file.refuse("store.accept_risks", &format!("name no other risks than {all}"));
    }
    known
}

/// A claim that every token carries: it must leave room for the rest of the 4 KiB.
fn claim(file: &mut SettingsFile, key: &str, default: &str) -> String {
    let text = file.string_or(key, default);
    if text.len() > 512 {
        file.refuse(key, "be at most 512 bytes");
    }
    text
}

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
const URL_FORMS: &str = "be redis://[user@]host[:port][/db], unix:///path, \
    redis-sentinel://[user@]host[:port],…/service[/db] or redis-cluster://[user@]host[:port],… \
    (or the same with rediss), without a password";
/// How long a call to Redis may take, unless told otherwise.
const DEADLINE: Duration = Duration::from_millis(500);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Of the 32 keys that can be published one signs, one stands by, and one retires just now.
const RETIRED_AT_ONCE: u32 = 29;
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
        for plain in ["redis://user@host:1/2", "unix:///run/redis.sock", "redis-cluster://a,b"] {
            assert!(matches!(url(plain).unwrap().store, StoreSettings::Redis(_)), "{plain}");
        }
        for refused in ["redis://user:secret@host", "unix:///s?pass=secret", "redis-sentinel://a"] {
            let mistakes = url(refused).unwrap_err().to_string();
            assert!(mistakes.contains("store.url") && !mistakes.contains("secret@"), "{mistakes}");
        }
    }

    #[test]
    fn encryption_towards_the_store_and_its_files_go_together() {
        let store = |toml: &str| read(&format!("[store]\nkind = 'redis'\n{toml}"));
        let whole = "url = 'rediss://host'\nca = 'ca'\ncertificate = 'c'\nkey = 'k'";
        let StoreSettings::Redis(settings) = store(whole).unwrap().store else { panic!("no Redis") };
        let own = Some(("c".into(), "k".into()));
        assert_eq!(settings.tls, Some(StoreTls { ca: "ca".into(), own }));
        for (toml, key) in [
            ("url = 'rediss://host'", "store.ca"),
            ("url = 'rediss://host'\nca = 'ca'\nkey = 'k'", "store.certificate"),
            ("url = 'redis://host'\nca = 'ca'", "store.url"),
        ] {
            let mistakes = store(toml).unwrap_err().to_string();
            assert!(mistakes.contains(key), "{mistakes}");
        }
    }

    #[test]
    fn a_risk_that_has_no_name_cannot_be_accepted() {
        let store = |toml: &str| read(&format!("[store]\nkind = 'redis'\naccept_risks = {toml}"));
        let accepted = "['appendfsync', 'config']";
        let StoreSettings::Redis(settings) = store(accepted).unwrap().store else { panic!("no Redis") };
        assert_eq!(settings.accept_risks, [Risk::AppendFsync, Risk::Config]);
        for refused in ["['everything']", "['maxmemory-policy']", "'appendfsync'"] {
            let mistakes = store(refused).unwrap_err().to_string();
            assert!(mistakes.contains("store.accept_risks"), "{mistakes}");
        }
    }

    #[test]
    fn a_rotation_is_neither_too_slow_nor_faster_than_keys_can_be_published() {
        let every = |every: &str, longest: &str| {
            let limits =
                ["pseudonymisation", "secondary"].map(|kind| format!("limits.{kind}.lifetime = '{longest}'"));
            read(&format!("keys.rotate_every = '{every}'\n{}", limits.join("\n")))
        };
        for (good, longest) in [("3650d", "30d"), ("25h", "30d"), ("1h", "29h")] {
            assert!(every(good, longest).is_ok(), "{good}");
        }
        for (bad, longest, told) in [
            (
                "3651d",
                "30d",
                "keys.rotate_every (file) must be a duration such as 15m, from 3600s to 315360000s",
            ),
            ("59m", "1h", "keys.rotate_every (file) must be a duration"),
            ("24h", "30d", "keys.rotate_every must be at least 89379"),
            ("1h", "30h", "keys.rotate_every must be at least"),
        ] {
            let mistakes = every(bad, longest).unwrap_err().to_string();
            assert!(mistakes.contains(told), "{mistakes}");
        }
    }

    #[test]
    fn a_token_is_named_whole_or_not_at_all() {
        let device = |toml: &str| read(&format!("[keys.pkcs11]\n{toml}"));
        let whole = "module = '/lib/p11.so'\ntoken_label = 'hsm'\npin_file = 'pin'";
        let settings = device(whole).unwrap().keys.device.unwrap();
        assert_eq!((&*settings.token_label, &*settings.key_label), ("hsm", "ipms"));
        assert!(device("").unwrap().keys.device.is_none());
        for (toml, keys) in [
            ("token_label = 'hsm'", &["keys.pkcs11.module"][..]),
            ("module = '/lib/p11.so'", &["keys.pkcs11.token_label", "keys.pkcs11.pin_file"]),
            ("module = 'p11.so'\ntoken_label = 'hsm'\npin_file = 'pin'", &["keys.pkcs11.module"]),
            (&format!("{whole}\nkey_label = ''"), &["keys.pkcs11.key_label"]),
            (&whole.replace("hsm", &"h".repeat(33)), &["keys.pkcs11.token_label"]),
        ] {
            let mistakes = device(toml).unwrap_err().to_string();
            for key in keys {
                assert!(mistakes.contains(key), "{key} in {mistakes}");
            }
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
