//! Token keys on a PKCS#11 token: found by label, used through one login. Never a role, and never a private key: it stays
//! where it is.

mod connection;
mod error;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError},
};

use common::{
    jws::Algorithm,
    key_id::KeyId,
    keys::{CannotSignNow, Holder, SigningFailed, SigningKey},
};
use cryptoki::context::Pkcs11;

use self::connection::{Connection, Found, PinFile};
pub use self::error::DeviceError;

/// Where keys are that never leave it.
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// `keys.pkcs11.module`: the library, an absolute path.
    pub module: PathBuf,
    /// `keys.pkcs11.token_label`: the token, by its label. Slot numbers change, labels do not.
    pub token_label: String,
    /// `keys.pkcs11.key_label`: keys with this label, or with this label, `-` and more.
    pub key_label: String,
    /// `keys.pkcs11.pin_file`: the user's PIN.
    pub pin_file: PathBuf,
}

/// A token, there or away. What it was found to hold once stays held; whether it signs is another matter.
pub struct Device {
    settings: DeviceSettings,
    algorithm: Algorithm,
    library: Pkcs11,
    /// Read to call the module, written to start it anew: that is never done beneath a call.
    line: RwLock<Line>,
    /// By label: the last is the newest. A key keeps its device alive, and the device its keys: both live as long as the
    /// process.
    held: Mutex<BTreeMap<Name, Arc<SigningKey>>>,
    /// Of the keys that are not used an operator was told.
    looking: Mutex<BTreeSet<String>>,
    /// What came of the last look, and of the last signature.
    looked: Standing,
    signed: Standing,
}

/// A label, and the key that has it: another one may have it too.
type Name = (String, KeyId);

/// What an operator is told, while it stands.
#[derive(Default)]
struct Standing(Mutex<Option<String>>);

struct Line {
    connection: Option<Connection>,
    /// How often it was tried to connect.
    tries: u64,
    refused: Option<PinFile>,
}

/// One key of it.
struct Key {
    device: Arc<Device>,
    id: KeyId,
}

impl Device {
    /// Loads the module, logs in, and finds the keys. A token that is away may come back: it is no mistake.
    ///
    /// # Errors
    /// [`DeviceError`]: what would not get better by waiting.
    pub fn open(settings: DeviceSettings, algorithm: Algorithm) -> Result<Arc<Self>, DeviceError> {
        let path = &settings.module;
        let library =
            Pkcs11::new(path).map_err(|reason| DeviceError::Module { path: path.clone(), reason })?;
        let line = RwLock::new(Line { connection: None, tries: 0, refused: None });
        let device = Arc::new(Self {
            settings,
            algorithm,
            library,
            line,
            held: Mutex::default(),
            looking: Mutex::default(),
            looked: Standing::default(),
            signed: Standing::default(),
        });
        match device
            .connect(0)
            .and_then(|()| device.find()?.into_iter().try_for_each(|key| device.adopt(&key?)))
        {
            Ok(()) if device.keys().is_empty() => {
                Err(DeviceError::NoKey { label: device.settings.key_label.clone() })
            }
            Ok(()) => Ok(device),
            Err(error) if error.is_away() => {
                device.looked.tell(Err(&error));
                Ok(device)
            }
            Err(error) => Err(error),
        }
    }

    /// Every key that was found since the start, the newest first.
    pub fn keys(&self) -> Vec<Arc<SigningKey>> {
        lock(&self.held).values().rev().cloned().collect()
    }

    /// The label of a key that was found.
    pub fn label(&self, id: KeyId) -> Option<String> {
        lock(&self.held).keys().find(|(_, held)| *held == id).map(|(label, _)| label.clone())
    }

    /// What is wrong with the token, for people; nothing while it serves.
    pub fn complaint(&self) -> Option<String> {
        self.looked.now().or_else(|| self.signed.now())
    }

    /// Looks whether the token is there and what is on it; connects anew if need be. A look that begins while another one
    /// is under way finds nothing new.
    pub fn look(self: &Arc<Self>) -> Vec<Arc<SigningKey>> {
        let mut warned = match self.looking.try_lock() {
            Ok(looking) => looking,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.keys(),
        };
        let tries = self.tries();
        let seen = match self.seen(&mut warned) {
            Ok(missing) if missing.is_empty() => Ok(missing),
            // A module may remember a token that is away, or find nothing on it.
            Ok(_) | Err(_) => self.connect(tries).and_then(|()| self.seen(&mut warned)),
        };
        for name in seen.iter().flatten() {
            tracing::warn!(key_id = %name.1, label = name.0, "a token key is gone from the PKCS#11 token");
            lock(&self.held).remove(name);
        }
        self.looked.tell(seen.as_ref().map(drop));
        self.keys()
    }

    /// Takes what is new, and tells what was held and is not there.
    fn seen(self: &Arc<Self>, warned: &mut BTreeSet<String>) -> Result<BTreeSet<Name>, DeviceError> {
        let mut missing: BTreeSet<Name> = lock(&self.held).keys().cloned().collect();
        for found in self.find()? {
            let adopted = found.and_then(|found| {
                missing.remove(&found.name());
                self.adopt(&found)
            });
            match adopted {
                Ok(()) => {}
                Err(error) if error.is_away() => return Err(error),
                Err(error) => {
                    if warned.insert(error.to_string()) {
                        tracing::warn!(%error, "a key of the PKCS#11 token is not used");
                    }
                }
            }
        }
        Ok(missing)
    }

    fn find(&self) -> Result<Vec<Result<Found, DeviceError>>, DeviceError> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        let away = || DeviceError::NoToken { label: self.settings.token_label.clone() };
        let connection = line.connection.as_ref().ok_or_else(away)?;
        connection.find(&self.settings.key_label, self.algorithm)
    }

    /// A key that is new signs once on trial, before anybody hears of it.
    fn adopt(self: &Arc<Self>, found: &Found) -> Result<(), DeviceError> {
        {
            let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = &line.connection {
                connection.take(found);
            }
        }
        if lock(&self.held).contains_key(&found.name()) {
            return Ok(());
        }
        let id = found.public.id();
        let holder = Key { device: Arc::clone(self), id };
        let key = SigningKey::held_by(Box::new(holder), found.public.clone());
        key.sign(TRIAL, b"").map_err(|why| match why {
            SigningFailed::Faulty => DeviceError::Mismatch { label: found.label.clone() },
            SigningFailed::Unavailable(_) => {
                DeviceError::NoToken { label: self.settings.token_label.clone() }
            }
        })?;
        tracing::info!(key_id = %id, label = found.label, "a token key was found on the PKCS#11 token");
        lock(&self.held).insert(found.name(), Arc::new(key));
        Ok(())
    }

    /// Connects, unless somebody did since `tries`.
    fn connect(&self, tries: u64) -> Result<(), DeviceError> {
        let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
        let line = &mut *line;
        if line.tries != tries && line.connection.is_some() {
            return Ok(());
        }
        line.tries += 1;
        // Its sessions go before the module is started anew.
        line.connection = None;
        let connection = Connection::open(&self.library, &self.settings, self.algorithm, &mut line.refused)?;
        let found = connection.find(&self.settings.key_label, self.algorithm)?;
        // Those that are new sign after their trial; the others now.
        let known = |found: &&Found| lock(&self.held).contains_key(&found.name());
        found.iter().flatten().filter(known).for_each(|found| connection.take(found));
        line.connection = Some(connection);
        Ok(())
    }

    fn sign(self: &Arc<Self>, key: KeyId, message: &[u8]) -> Result<Vec<u8>, DeviceError> {
        let tries = self.tries();
        let once = || {
            let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
            let away = || DeviceError::NoToken { label: self.settings.token_label.clone() };
            line.connection.as_ref().ok_or_else(away)?.sign(key, self.algorithm, message)
        };
        // A session may be lost and the token be there: once anew before anybody is told.
        once().or_else(|_lost| self.connect(tries).and_then(|()| once()))
    }

    fn tries(&self) -> u64 {
        self.line.read().unwrap_or_else(PoisonError::into_inner).tries
    }
}

impl Standing {
    fn now(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    /// In the log once, and again when it changes.
    fn tell(&self, outcome: Result<(), &DeviceError>) {
        let trouble = outcome.err().map(ToString::to_string);
        let mut told = lock(&self.0);
        if *told != trouble {
            if let Some(why) = &trouble {
                tracing::warn!(why, "the PKCS#11 token does not serve");
            } else {
                tracing::info!("the PKCS#11 token serves again");
            }
            *told = trouble;
        }
    }
}

impl Holder for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow> {
        let signed = self.device.sign(self.id, message);
        self.device.signed.tell(signed.as_ref().map(drop));
        signed.map_err(|_told| CannotSignNow)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More is no PIN.
const PIN_BYTES: usize = 256;
/// What a signature on trial begins with: it is one over nothing else.
const TRIAL: &[u8] = b"ipms-trial/v1\0";
