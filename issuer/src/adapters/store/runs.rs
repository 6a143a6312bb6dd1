//! Runs of packed entries as stores keep them. Knows no store.

use common::revocation::entry::{pack, unpack};

use crate::domain::ports::StoreError;

/// What of a run lies behind `base`; `None` when nothing does.
pub(super) fn behind(run: &[u8], base: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let entries = unpack(run).map_err(|_unreadable| StoreError::LostData)?;
    match entries.first().map(|first| first.cursor.sequence <= base) {
        Some(true) => {
            let rest: Vec<_> = entries.into_iter().filter(|entry| entry.cursor.sequence > base).collect();
            Ok((!rest.is_empty()).then(|| pack(&rest)))
        }
        Some(false) => Ok(Some(run.to_vec())),
        None => Ok(None),
    }
}
