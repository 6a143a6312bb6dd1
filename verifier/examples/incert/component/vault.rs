//! What every pseudonym stands for, by layer, until the retention ends. Decides by layers and time, never by tokens.

use std::{io, path::Path};

use aws_lc_rs::error::Unspecified;
use common::{
    secret::SecretError,
    timestamp::Timestamp,
    token::claims::{TokenConfiguration, TokenMethod},
};
use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{crypto::LayerKeys, key_folder::KeyFolder, layer::Layer, pseudonym};

/// Layer → (retention end, or [`NEVER`]; whether it was severed). Kept for good: a severed layer never begins again.
const LAYERS: TableDefinition<'_, &str, (u64, bool)> = TableDefinition::new("layers");
/// (Retention end, layer) of those that are to be severed.
const DUE: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("due");
/// (Layer, pseudonym) → what it stands for, sealed; nothing, where nothing may be turned back.
const MAPPING: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("mapping");

/// The retention end of a layer that cannot be turned back.
const NEVER: u64 = u64::MAX;

/// Makes pseudonyms, and turns them back.
#[derive(Debug)]
pub(crate) struct Vault {
    database: Database,
    keys: KeyFolder,
}

impl Vault {
    /// Opens or makes both: the file with the mappings, and the folder with the keys.
    pub(crate) fn open(mappings: &Path, keys: &Path) -> Result<Self, VaultError> {
        let (database, keys) = (Database::create(mappings)?, KeyFolder::open(keys)?);
        let transaction = database.begin_write()?;
        transaction.open_table(LAYERS)?;
        transaction.open_table(DUE)?;
        transaction.open_table(MAPPING)?;
        transaction.commit()?;
        Ok(Self { database, keys })
    }

    /// The pseudonyms of `values` in `layer`, in order: all of them or none. With `below`, every value must be a
    /// pseudonym of that layer.
    pub(crate) fn add(
        &self,
        layer: &Layer,
        below: Option<&Layer>,
        rules: TokenConfiguration,
        values: &[String],
        now: Timestamp,
    ) -> Result<Vec<String>, VaultError> {
        self.sever(now)?;
        let end = match rules.method {
            TokenMethod::Reversible { retention_end } if retention_end <= now => {
                return Err(VaultError::Severed);
            }
            TokenMethod::Reversible { retention_end } => retention_end.seconds(),
            TokenMethod::NotReversible => NEVER,
        };
        let transaction = self.database.begin_write()?;
        let made = {
            let (end, keys) = self.begin(&transaction, layer, end)?;
            let mut mapping = transaction.open_table(MAPPING)?;
            let mut made = Vec::with_capacity(values.len());
            for value in values {
                if let Some(below) = below
                    && mapping.get((below.name(), value.as_str()))?.is_none()
                {
                    return Err(VaultError::Unknown);
                }
                let pseudonym = pseudonym::shaped(rules.output_format, &keys.making(rules.treatment)?, value);
                remember(&mut mapping, layer, &keys, end, &pseudonym, value)?;
                made.push(pseudonym);
            }
            made
        };
        transaction.commit()?;
        Ok(made)
    }

    /// What `pseudonyms` stand for, one step down, in order: all of them or none. Taken are those of every layer of the
    /// (project, organisation) whose first level is `own`.
    pub(crate) fn reverse(
        &self,
        own: &Layer,
        pseudonyms: &[String],
        now: Timestamp,
    ) -> Result<Vec<String>, VaultError> {
        self.sever(now)?;
        let transaction = self.database.begin_read()?;
        let layers = transaction.open_table(LAYERS)?;
        let mapping = transaction.open_table(MAPPING)?;
        let mut candidates = Vec::new();
        let (from, to) = own.seconds();
        let first = layers.get(own.name())?.map(|row| (own.clone(), row.value()));
        let seconds = layers.range(from.as_str()..to.as_str())?;
        let seconds = seconds.map(|row| row.map(|(name, row)| (Layer::named(name.value()), row.value())));
        for candidate in first.into_iter().map(Ok).chain(seconds) {
            let (layer, (end, severed)) = candidate?;
            if !severed && end != NEVER {
                // No key: destroyed a moment ago.
                let secret = self.keys.read(&layer)?.ok_or(VaultError::Severed)?;
                candidates.push((layer, LayerKeys::of(&secret)?));
            }
        }
        let one = |pseudonym: &String| {
            for (layer, keys) in &candidates {
                if let Some(sealed) = mapping.get((layer.name(), pseudonym.as_str()))? {
                    return Ok(keys.open(pseudonym, sealed.value())?);
                }
            }
            Err(VaultError::Unknown)
        };
        pseudonyms.iter().map(one).collect()
    }

    /// Destroys key and mapping of every layer whose retention has ended. How many there were.
    pub(crate) fn sever(&self, now: Timestamp) -> Result<usize, VaultError> {
        let due: Vec<(u64, Layer)> = {
            let table = self.database.begin_read()?.open_table(DUE)?;
            let rows = table.range(..(now.seconds() + 1, ""))?;
            let named = rows.map(|row| row.map(|(due, _)| (due.value().0, Layer::named(due.value().1))));
            named.collect::<Result<_, _>>()?
        };
        for (end, layer) in &due {
            // The key first: from here on the mapping cannot be read, even if this is cut short and done again.
            self.keys.destroy(layer)?;
            let transaction = self.database.begin_write()?;
            {
                let after = format!("{layer}\0");
                let mut mapping = transaction.open_table(MAPPING)?;
                mapping.retain_in((layer.name(), "")..(after.as_str(), ""), |_, _| false)?;
                transaction.open_table(LAYERS)?.insert(layer.name(), (*end, true))?;
                transaction.open_table(DUE)?.remove((*end, layer.name()))?;
            }
            transaction.commit()?;
        }
        Ok(due.len())
    }

    /// The layer's own retention end and keys; both begin with its first use.
    fn begin(
        &self,
        transaction: &WriteTransaction,
        layer: &Layer,
        end: u64,
    ) -> Result<(u64, LayerKeys), VaultError> {
        let mut layers = transaction.open_table(LAYERS)?;
        let known = layers.get(layer.name())?.map(|row| row.value());
        let held = self.keys.read(layer)?;
        let (end, secret) = match known {
            Some((_, true)) => return Err(VaultError::Severed),
            Some((end, false)) => (end, held.ok_or(VaultError::Severed)?),
            None => {
                layers.insert(layer.name(), (end, false))?;
                if end != NEVER {
                    transaction.open_table(DUE)?.insert((end, layer.name()), ())?;
                }
                // A key without a layer is what a power cut left behind.
                (end, held.map_or_else(|| self.keys.make(layer), Ok)?)
            }
        };
        Ok((end, LayerKeys::of(&secret)?))
    }
}

fn remember(
    mapping: &mut Table<'_, (&str, &str), &[u8]>,
    layer: &Layer,
    keys: &LayerKeys,
    end: u64,
    pseudonym: &str,
    value: &str,
) -> Result<(), VaultError> {
    let row = (layer.name(), pseudonym);
    let known = mapping.get(row)?.map(|sealed| sealed.value().to_vec());
    match known {
        None if end == NEVER => drop(mapping.insert(row, [].as_slice())?),
        None => drop(mapping.insert(row, keys.seal(pseudonym, value)?.as_slice())?),
        Some(_) if end == NEVER => {}
        Some(sealed) if keys.open(pseudonym, &sealed)? == value => {}
        // Two values, one pseudonym: of 122 bits, never by chance.
        Some(_) => return Err(VaultError::Key),
    }
    Ok(())
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// At least one value is no pseudonym of the layers that count.
    #[error("not a pseudonym of this layer")]
    Unknown,
    /// Key and mapping are gone, or about to go.
    #[error("severed at the end of the retention")]
    Severed,
    /// A key does not fit its mapping, or cannot be made.
    #[error("a key of a layer fails")]
    Key,
    /// A key cannot be read.
    #[error("a key of a layer: {0}")]
    Secret(#[from] SecretError),
    /// A file cannot be written.
    #[error("a file: {0}")]
    File(#[from] io::Error),
    /// The mappings cannot be read or written.
    #[error("the mappings: {0}")]
    Mappings(#[source] Box<redb::Error>),
}

impl From<Unspecified> for VaultError {
    fn from(_: Unspecified) -> Self {
        Self::Key
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for VaultError {
            fn from(error: redb::$error) -> Self {
                Self::Mappings(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);
