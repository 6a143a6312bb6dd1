//! A disk that fails and loses what it had not yet written: nothing acknowledged is lost with it.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize},
};

use common::project::{Alphabet, Method, OutputFormat, ProjectConfiguration, Treatment};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// A disk whose writes are safe once it was told to sync. It fails at a given access and ever after.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    bytes: Mutex<Bytes>,
    accesses: AtomicUsize,
    failing_from: AtomicU64,
}

#[derive(Debug, Default)]
struct Bytes {
    safe: Vec<u8>,
    /// What a reader of the running system sees.
    seen: Vec<u8>,
    /// What was written since the last sync.
    since: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    /// The disk after a power cut: what was safe, and of the rest whatever had reached it.
    fn after_power_cut(&self, random: &mut StdRng) -> Self {
        let bytes = self.bytes();
        let mut safe = bytes.safe.clone();
        for change in &bytes.since {
            match change {
                Change::Length(_) => change.apply(&mut safe),
                Change::Write(..) if random.random() => change.apply(&mut safe),
                Change::Write(..) => {}
            }
        }
        let bytes = Bytes { seen: safe.clone(), safe, since: Vec::new() };
        Self(Arc::new(Inside { bytes: Mutex::new(bytes), ..Inside::default() }))
    }

    /// It fails at the access with this number from now.
    fn fail_after(&self, accesses: u64) {
        self.0.accesses.store(0, Ordering::SeqCst);
        self.0.failing_from.store(accesses, Ordering::SeqCst);
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.0.bytes.lock().unwrap()
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.access()?;
        let mut bytes = self.bytes();
        change.apply(&mut bytes.seen);
        bytes.since.push(change);
        Ok(())
    }

    fn access(&self) -> io::Result<()> {
        let failing_from = self.0.failing_from.load(Ordering::SeqCst);
        let access = self.0.accesses.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        if failing_from > 0 && access >= failing_from { Err(io::Error::other("the disk")) } else { Ok(()) }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(at, written) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let bytes = self.bytes();
        out.copy_from_slice(bytes.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(usize::try_from(length).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.access()?;
        let mut bytes = self.bytes();
        bytes.safe = bytes.seen.clone();
        bytes.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

fn project(number: u32) -> Project {
    Project {
        id: format!("p-{number}").parse().unwrap(),
        owner: OrganisationId::from_bytes([1; 16]),
        collaborators: Vec::new(),
        configuration: ProjectConfiguration {
            method: Method::NotReversible,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Numeric, 39).unwrap(),
        },
        created: Timestamp::EPOCH,
        closed: None,
        version: 1,
    }
}

fn open(disk: &Disk) -> EmbeddedStore {
    EmbeddedStore::over(disk.clone(), Seal::new(&[1; 32])).unwrap()
}

#[tokio::test]
async fn after_a_failure_of_the_disk_nothing_is_answered_until_the_store_is_opened_anew() {
    let disk = Disk::default();
    let store = open(&disk);
    assert_eq!(store.create_project(project(1)).await, Ok(Created::New));
    disk.fail_after(1);
    let (one, other) = tokio::join!(store.create_project(project(2)), store.create_project(project(3)));
    assert_eq!((one, other), (Err(StoreError::Unreachable), Err(StoreError::Unreachable)));
    disk.fail_after(0);
    assert_eq!(store.create_project(project(4)).await, Err(StoreError::Unreachable));
    assert_eq!(store.project(project(1).id).await, Err(StoreError::Unreachable));
    assert_eq!(store.load().await, Err(StoreError::Unreachable));
    drop(store);
    let store = open(&disk.after_power_cut(&mut StdRng::seed_from_u64(1)));
    assert_eq!(store.project(project(1).id).await, Ok(Some(project(1))));
    assert_eq!(store.project(project(4).id).await, Ok(None));
    assert_eq!(store.create_project(project(5)).await, Ok(Created::New));
}

#[tokio::test]
async fn whatever_access_fails_and_whatever_reaches_the_disk_nothing_acknowledged_is_lost() {
    for seed in 1..=300 {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let store = open(&disk);
        disk.fail_after(random.random_range(1..=120));
        let mut acknowledged = 0;
        while store.create_project(project(acknowledged + 1)).await == Ok(Created::New) {
            acknowledged += 1;
        }
        drop(store);
        let store = open(&disk.after_power_cut(&mut random));
        let stand = store.projects(None, None, usize::MAX).await.unwrap().len();
        for number in 1..=acknowledged {
            assert_eq!(store.project(project(number).id).await, Ok(Some(project(number))), "seed {seed}");
        }
        assert!(stand <= acknowledged as usize + 1, "no more than what was asked for");
    }
}
