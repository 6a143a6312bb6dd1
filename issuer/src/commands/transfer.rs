//! `store export` and `store import`: a whole store out to a signed file, and in from one. Every issuer is stopped meanwhile.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use common::{
    clock::{Clock, SystemClock},
    keys::PublicKey,
    revocation::{entry::unpack, head::Head},
};

use crate::{
    adapters::{
        audit_file,
        key_directory::{self, Keys, KeysError},
        store::{
            export_file::{ExportError, Line, Unfit, Writing, read},
            seal::Seal,
        },
    },
    domain::{
        chain::Chain,
        mending::{Finding, compare},
        ports::{Loaded, Store, StoreError},
        transfer::{Finish, Part, Sealed},
    },
    settings::Settings,
    wiring::{self, StartError},
};

/// `store export FILE`. A crash leaves no file of that name.
///
/// # Errors
/// [`TransferError`].
pub async fn export(settings: &Settings, path: &Path) -> Result<String, TransferError> {
    let keys = key_directory::read(&settings.keys)?;
    let store = wiring::open_store(settings, Seal::new(keys.seal.expose_secret_bytes())).await?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = folder.join(name);
    if path.exists() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let counts = write(&*store, settings, &keys, BufWriter::new(file)).await?;
    std::fs::rename(&part, path)?;
    File::open(folder)?.sync_all()?;
    Ok(format!("exported {counts} to {}\n", path.display()))
}

async fn write(
    store: &dyn Store,
    settings: &Settings,
    keys: &Keys,
    file: BufWriter<File>,
) -> Result<String, TransferError> {
    let Loaded { end, runs, policy, followers, audit } = store.load().await.map_err(ExportError::from)?;
    let end = end.ok_or(ExportError::Empty)?;
    let mut chain = Chain::new(end.epoch, end.base);
    let mut file = Writing::begin(file)?;
    let (_, newest) = store.ledger(u64::MAX, 0).await.map_err(ExportError::from)?;
    file.line(&Line::Finish(Box::new(Finish { end, policy, audit, newest })))?;
    for run in runs {
        let first = chain.end().sequence + 1;
        chain.extend(&run).map_err(|_broken| ExportError::Store(StoreError::LostData))?;
        file.line(&Line::Run(first, run))?;
    }
    if chain.end() != end.end {
        return Err(ExportError::Store(StoreError::LostData).into());
    }
    let (mut projects, mut after) = (0, None);
    loop {
        let page = store.projects(None, after, PAGE).await.map_err(ExportError::from)?;
        projects += page.len();
        after = page.last().map(|project| project.id.clone());
        let last = page.len() < PAGE;
        for project in page {
            file.line(&Line::Project(Box::new(project)))?;
        }
        if last {
            break;
        }
    }
    let (mut tokens, mut after) = (0, 0);
    loop {
        let (page, stands) = store.ledger(after, PAGE).await.map_err(ExportError::from)?;
        if stands != newest {
            return Err(ExportError::Moved.into());
        }
        tokens += page.len();
        after = page.last().map_or(after, |kept| kept.number);
        let last = page.len() < PAGE;
        for kept in page {
            file.line(&Line::Token(Box::new(kept)))?;
        }
        if last {
            break;
        }
    }
    for row in followers {
        file.line(&Line::Row(Box::new(row)))?;
    }
    if store.confirmed_end().await.map_err(ExportError::from)? != Some(end) {
        return Err(ExportError::Moved.into());
    }
    let head = Head {
        issuer: settings.issuer.clone(),
        realm: settings.realm.clone(),
        epoch: end.epoch,
        base: end.base,
        end: end.end,
        log_time: end.log_time,
    };
    let mut file = file.sign(head, &keys.log)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    let entries = chain.entries().len();
    Ok(format!("{projects} projects, {tokens} tokens, {entries} entries of the log up to {}", end.cursor()))
}

/// `store import FILE`. A crash leaves a store that says so, and into which the file can be imported again.
///
/// # Errors
/// [`TransferError`].
pub async fn import(settings: &Settings, path: &Path) -> Result<String, TransferError> {
    let keys = key_directory::read(&settings.keys)?;
    let log_key = keys.log.public().clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (_journal, recovered) = wiring::open_journal(settings, &keys, &clock, None).await?;
    let sealed = believed(settings, path, &log_key, recovered.chain.as_ref())?;
    let store = wiring::open_store(settings, Seal::new(keys.seal.expose_secret_bytes())).await?;
    if !store.take_in(Part::Begin).await.map_err(Unfit::from)? {
        return Err(Unfit::NotEmpty.into());
    }
    let (path, told) = (path.to_owned(), path.display().to_string());
    let handle = tokio::runtime::Handle::current();
    let taking = move || {
        let take = |part| match handle.block_on(store.take_in(part)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unfit::NotEmpty),
            Err(error) => Err(error.into()),
        };
        take_all(&path, &log_key, &sealed, take)
    };
    let counts = tokio::task::spawn_blocking(taking).await.map_err(io::Error::other)??;
    Ok(format!("imported {counts} from {told}\n"))
}

/// Reads the file once, before anything is touched: whose it is, whether it is whole, and that nothing newer is known here.
fn believed(
    settings: &Settings,
    path: &Path,
    log_key: &PublicKey,
    journal: Option<&Chain>,
) -> Result<Sealed, Unfit> {
    let mut chain = None;
    let sealed = read(BufReader::new(File::open(path)?), log_key, |line| {
        match (line, &mut chain) {
            (Line::Finish(finish), None) => chain = Some(Chain::new(finish.end.epoch, finish.end.base)),
            (Line::Run(_, run), Some(chain)) => chain.extend(&run).map_err(|_broken| Unfit::Broken)?,
            (Line::Run(..) | Line::Finish(_), _) => return Err(Unfit::Broken),
            (Line::Project(_) | Line::Token(_) | Line::Row(_), _) => {}
        }
        Ok(())
    })?;
    let head = &sealed.head;
    if (&head.realm, &head.issuer) != (&settings.realm, &settings.issuer) {
        return Err(Unfit::OtherRealm);
    }
    let chain = chain.filter(|chain| (chain.epoch(), chain.end()) == (head.epoch, head.end));
    let chain = chain.ok_or(Unfit::Broken)?;
    match compare(Some(&chain), false, journal, SystemClock.now().wall) {
        Finding::Agree | Finding::JournalBehind(_) => Ok(sealed),
        Finding::New | Finding::StoreLost(_) | Finding::Unmendable => Err(Unfit::Older),
    }
}

/// Reads it again, and takes it in. The last part goes in only when the file was the same as before.
fn take_all(
    path: &Path,
    log_key: &PublicKey,
    before: &Sealed,
    take: impl Fn(Part) -> Result<(), Unfit>,
) -> Result<String, Unfit> {
    let (mut finish, mut projects, mut tokens, mut entries) = (None, 0, 0, 0);
    let mut waiting = Vec::new();
    let sealed = read(BufReader::new(File::open(path)?), log_key, |line| {
        if !matches!(line, Line::Token(_)) && !waiting.is_empty() {
            take(Part::Tokens(std::mem::take(&mut waiting)))?;
        }
        match line {
            Line::Finish(found) => finish = Some(found),
            Line::Project(project) => {
                projects += 1;
                take(Part::Projects(vec![*project]))?;
            }
            Line::Token(kept) => {
                tokens += 1;
                waiting.push(*kept);
                if waiting.len() == PAGE {
                    take(Part::Tokens(std::mem::take(&mut waiting)))?;
                }
            }
            Line::Run(first, run) => {
                entries += unpack(&run).map_err(|_unreadable| Unfit::Broken)?.len();
                take(Part::Runs(vec![(first, run)]))?;
            }
            Line::Row(row) => take(Part::Rows(vec![*row]))?,
        }
        Ok(())
    })?;
    if !waiting.is_empty() {
        take(Part::Tokens(waiting))?;
    }
    let finish = finish.filter(|_| sealed == *before).ok_or(Unfit::Damaged)?;
    let cursor = finish.end.cursor();
    take(Part::Finish(finish))?;
    Ok(format!("{projects} projects, {tokens} tokens, {entries} entries of the log up to {cursor}"))
}

/// Why nothing was carried over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The store was not opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The audit file: this issuer runs, or it is damaged.
    #[error("{0}")]
    Audit(#[from] audit_file::OpenError),
    /// Nothing was exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file was not taken.
    #[error(transparent)]
    Import(#[from] Unfit),
    /// The file's folder.
    #[error("the file: {0}")]
    Io(#[from] io::Error),
}

const PAGE: usize = 500;
