//! The token keys of the folder and of the device beside it, also those that come while the issuer runs. Decides nothing
//! about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use common::{key_id::KeyId, keys::SigningKey};

use super::{KeysError, Place, TOKEN_PREFIX, pem};
use crate::{adapters::pkcs11::Device, domain::ports::KeySource};

/// A folder that is looked at again and again. What was read once stays held, whatever becomes of its file.
#[derive(Debug)]
pub struct KeyFolder {
    place: Place,
    device: Option<Arc<Device>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By file name. Names begin with the instant of their making, so the newest is the last.
    held: BTreeMap<String, Arc<SigningKey>>,
    /// Files that could not be read, of which the operator was told.
    told: BTreeSet<String>,
}

impl KeyFolder {
    /// Reads every token key that is there.
    ///
    /// # Errors
    /// The first that cannot be read: at the start none may be left out.
    pub(super) fn open(place: Place) -> Result<Self, KeysError> {
        let device = place.device.clone().map(|device| Device::open(device, place.algorithm)).transpose()?;
        let mut held = BTreeMap::new();
        let passphrase = place.passphrase()?;
        for name in names(&place)? {
            let key = pem::read(&place, &name, passphrase.as_ref())?;
            held.insert(name, key);
        }
        Ok(Self { place, device, state: Mutex::new(State { held, told: BTreeSet::new() }) })
    }

    /// What is held: of the device, then of the folder, the newest first.
    pub(super) fn keys(&self) -> Vec<Arc<SigningKey>> {
        let mut keys = self.device.as_ref().map(|device| device.keys()).unwrap_or_default();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        keys.extend(state.held.values().rev().cloned());
        keys
    }

    /// The label of a key that is on the device.
    pub fn label(&self, id: KeyId) -> Option<String> {
        self.device.as_ref()?.label(id)
    }
}

impl KeySource for KeyFolder {
    fn look(&self) -> Vec<Arc<SigningKey>> {
        let mut keys = self.device.as_ref().map(Device::look).unwrap_or_default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that cannot be listed at the moment brings nothing new.
        for name in names(&self.place).unwrap_or_default() {
            if state.held.contains_key(&name) {
                continue;
            }
            let passphrase = self.place.passphrase();
            let read = passphrase.and_then(|passphrase| pem::read(&self.place, &name, passphrase.as_ref()));
            match read {
                Ok(key) => {
                    tracing::info!(key_id = %key.public().id(), "a token key was put into keys.directory");
                    state.held.insert(name, key);
                }
                // It may be half written, so it is looked at again; told once.
                Err(error) => {
                    if state.told.insert(name) {
                        tracing::warn!(%error, "a token key of keys.directory is not used");
                    }
                }
            }
        }
        keys.extend(state.held.values().rev().cloned());
        keys
    }

    fn complaint(&self) -> Option<String> {
        self.device.as_ref()?.complaint()
    }
}

fn names(place: &Place) -> Result<Vec<String>, KeysError> {
    let unreadable = |reason| KeysError::Folder { folder: place.folder.clone(), reason };
    let mut names = Vec::new();
    for entry in fs::read_dir(&place.folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let wanted = |name: &&str| {
            name.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| rest.strip_suffix(".pem").is_some())
        };
        names.extend(name.to_str().filter(wanted).map(str::to_owned));
    }
    Ok(names)
}
