//! One connection to a token: one login, a session for each thread that signs, and the keys by their names. When anything
//! fails it is given up whole; another one is made elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{jws::Algorithm, key_id::KeyId, keys::PublicKey, secret::Secret};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use super::{DeviceError, DeviceSettings, Name, PIN_BYTES};

/// A login.
pub(super) struct Connection {
    library: Pkcs11,
    slot: Slot,
    /// Open sessions that nobody uses. There is always one open: the login ends with the last.
    idle: Mutex<Vec<Session>>,
    keys: Mutex<BTreeMap<KeyId, ObjectHandle>>,
}

/// A key pair on the token.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) label: String,
    pub(super) public: PublicKey,
    handle: ObjectHandle,
}

impl Found {
    pub(super) fn name(&self) -> Name {
        (self.label.clone(), self.public.id())
    }
}

/// Which file it was: it has another number or time once it is written anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PinFile(u64, u64, i64, i64);

impl Connection {
    /// Starts the module anew, whatever became of it, and logs in. The PIN of a file in `refused` is not offered again.
    pub(super) fn open(
        library: &Pkcs11,
        settings: &DeviceSettings,
        algorithm: Algorithm,
        refused: &mut Option<PinFile>,
    ) -> Result<Self, DeviceError> {
        // What a module remembers of a token that was away is worth nothing. Not started yet: no mistake.
        library.clone().finalize().ok();
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let slot = slot(library, &settings.token_label)?;
        let (wanted, mechanism) = match algorithm {
            Algorithm::Ps256 => (MechanismType::SHA256_RSA_PKCS_PSS, "CKM_SHA256_RSA_PKCS_PSS"),
            Algorithm::Rs256 => (MechanismType::SHA256_RSA_PKCS, "CKM_SHA256_RSA_PKCS"),
        };
        if !library.get_mechanism_list(slot)?.contains(&wanted) {
            return Err(DeviceError::Mechanism { label: settings.token_label.clone(), mechanism });
        }
        let session = library.open_ro_session(slot)?;
        log_in(&session, &settings.pin_file, refused)?;
        let idle = Mutex::new(vec![session]);
        Ok(Self { library: library.clone(), slot, idle, keys: Mutex::default() })
    }

    /// Signs with a key that was found.
    pub(super) fn sign(
        &self,
        key: KeyId,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, DeviceError> {
        let handle = lock(&self.keys).get(&key).copied();
        let handle = handle.ok_or(Error::Pkcs11(RvError::KeyHandleInvalid, SIGN))?;
        self.with_session(|session| session.sign(&mechanism(algorithm), handle, message))
    }

    /// Every RSA key that signs and has this label, or this label with `-` and more behind it. One that is not fit is told
    /// apart.
    pub(super) fn find(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Vec<Result<Found, DeviceError>>, DeviceError> {
        let found = self.with_session(|session| {
            let template = [
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::KeyType(KeyType::RSA),
                Attribute::Sign(true),
            ];
            let mut found = Vec::new();
            for handle in session.find_objects(&template)? {
                let about = About::of(session, handle, &[AttributeType::Label, AttributeType::Id])?;
                let Ok(own) = String::from_utf8(about.label.clone()) else { continue };
                if own.strip_prefix(label).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
                    found.push((own, handle, public_half(session, handle, about)?));
                }
            }
            Ok(found)
        })?;
        let read = |(label, handle, about): (String, ObjectHandle, About)| match PublicKey::from_components(
            trimmed(&about.modulus),
            trimmed(&about.exponent),
            algorithm,
        ) {
            Ok(public) => match public.published_in() {
                Some(publication) => Err(DeviceError::Published { label, publication }),
                None => Ok(Found { label, public, handle }),
            },
            Err(reason) => Err(DeviceError::Key { label, reason }),
        };
        Ok(found.into_iter().map(read).collect())
    }

    /// From now on it may sign.
    pub(super) fn take(&self, found: &Found) {
        lock(&self.keys).insert(found.public.id(), found.handle);
    }

    /// A session that failed is not used again.
    fn with_session<T>(&self, call: impl FnOnce(&Session) -> Result<T, Error>) -> Result<T, DeviceError> {
        let idle = lock(&self.idle).pop();
        let session = match idle {
            Some(session) => session,
            None => self.library.open_ro_session(self.slot)?,
        };
        let done = call(&session)?;
        lock(&self.idle).push(session);
        Ok(done)
    }
}

fn slot(library: &Pkcs11, label: &str) -> Result<Slot, DeviceError> {
    let mut found = Vec::new();
    for slot in library.get_slots_with_token()? {
        // A slot whose token does not tell of itself is not ours.
        let ours = |slot| library.get_token_info(slot).is_ok_and(|token| token.label() == label);
        found.extend(Some(slot).filter(|slot| ours(*slot)));
    }
    match found.as_slice() {
        [] => Err(DeviceError::NoToken { label: label.to_owned() }),
        [slot] => Ok(*slot),
        [_, _, ..] => Err(DeviceError::TwoTokens { label: label.to_owned() }),
    }
}

fn log_in(session: &Session, path: &Path, refused: &mut Option<PinFile>) -> Result<(), DeviceError> {
    let unreadable = |reason| DeviceError::PinFile { path: path.to_owned(), reason };
    let about = fs::metadata(path).map_err(|reason| unreadable(reason.into()))?;
    let file = PinFile(about.dev(), about.ino(), about.mtime(), about.mtime_nsec());
    if *refused == Some(file) {
        return Err(DeviceError::PinRefused { path: path.to_owned() });
    }
    let secret = Secret::read(path).map_err(unreadable)?;
    let text = str::from_utf8(secret.expose_secret_bytes()).ok();
    // A line feed at the end is not part of it.
    let line = text.map(|text| text.strip_suffix('\n').unwrap_or(text));
    let pin = line.filter(|pin| (1..=PIN_BYTES).contains(&pin.len()));
    let pin = AuthPin::from(pin.ok_or_else(|| DeviceError::NoPin { path: path.to_owned() })?);
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            *refused = None;
            Ok(())
        }
        Err(error) if DeviceError::refuses_pin(&error) => {
            *refused = Some(file);
            Err(DeviceError::PinRefused { path: path.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

/// What an object tells of itself.
#[derive(Default)]
struct About {
    label: Vec<u8>,
    id: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl About {
    fn of(session: &Session, object: ObjectHandle, wanted: &[AttributeType]) -> Result<Self, Error> {
        let mut about = Self::default();
        for attribute in session.get_attributes(object, wanted)? {
            if let Attribute::Label(bytes) = attribute {
                about.label = bytes;
            } else if let Attribute::Id(bytes) = attribute {
                about.id = bytes;
            } else if let Attribute::Modulus(bytes) = attribute {
                about.modulus = bytes;
            } else if let Attribute::PublicExponent(bytes) = attribute {
                about.exponent = bytes;
            }
        }
        Ok(about)
    }
}

/// From the public key object beside it, or where there is none from what a private one tells of its public half.
fn public_half(session: &Session, private: ObjectHandle, about: About) -> Result<About, Error> {
    let template = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Label(about.label),
        Attribute::Id(about.id),
    ];
    let beside = session.find_objects(&template)?.first().copied();
    let components = [AttributeType::Modulus, AttributeType::PublicExponent];
    About::of(session, beside.unwrap_or(private), &components)
}

/// Some tokens write a number with zeros in front.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// RFC 7518 sections 3.3 and 3.5: the salt is as long as the hash.
fn mechanism(algorithm: Algorithm) -> Mechanism<'static> {
    match algorithm {
        Algorithm::Rs256 => Mechanism::Sha256RsaPkcs,
        Algorithm::Ps256 => Mechanism::Sha256RsaPkcsPss(PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: 32.into(),
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SIGN: cryptoki::context::Function = cryptoki::context::Function::Sign;
