//! What issuing costs inside the process: with the real audit trail against one that answers at once, and with a key in
//! a PKCS#11 token against one of the same kind in this process. In turns, over the embedded store on a disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::{
    clock::{Clock, SystemClock},
    jws::Algorithm,
    organisation_id::OrganisationId,
    project::{Alphabet, Method, OutputFormat, Project, ProjectConfiguration, Treatment},
    runtime::settings_file::SettingsFile,
};
use harness::softhsm::Token;
use issuer::{
    adapters::{
        audit_file::AuditFile,
        journal::Recovered,
        key_directory::{self, Keys},
        pkcs11::{Device, DeviceSettings},
        store::seal::Seal,
        system_entropy::SystemEntropy,
    },
    application::{issue::issue, projects, realm::Realm},
    domain::{
        approval::{Approval, Decision, Reference},
        event::Event,
        order::{Operation, Order},
        ports::{AuditMark, Journal, Written},
    },
    settings::Settings,
    wiring,
};
use tempfile::TempDir;

use crate::{
    floors::{Disk, awaited},
    report::{Spans, Target, told},
    stand::{Failure, beside_us},
};

/// Issues `rounds` times `AT_ONCE` tokens with each trail, and writes as many lines.
pub(crate) async fn audit(rounds: usize) -> Result<(), Failure> {
    let (real_folder, instant_folder) = (Folder::new()?, Folder::new()?);
    let real = real_folder.realm(false, Ok).await?;
    let instant = instant_folder.realm(true, Ok).await?;
    let [with, without] = in_turns([&real, &instant], rounds).await?;
    told(
        &format!("issuing, {AT_ONCE} at once, each (floor: a trail that answers at once)"),
        with.together.median(),
        Some(without.together.median()),
        Target::Ratio(1.05),
    );
    let (one, floor) = (with.alone.median(), Some(without.alone.median()));
    told("issuing, one at a time (floor: a trail that answers at once)", one, floor, Target::None);
    lines(rounds).await
}

/// What issuing took.
#[derive(Default)]
struct Taken {
    /// For each, of many at once.
    together: Spans,
    alone: Spans,
}

/// In each of two realms, in turns.
async fn in_turns(realms: [&Arc<Realm>; 2], rounds: usize) -> Result<[Taken; 2], Failure> {
    let mut taken = <[Taken; 2]>::default();
    for round in 0..=rounds {
        for (realm, taken) in realms.into_iter().zip(&mut taken) {
            let span = together(realm).await?;
            let (issued, one) = awaited(issue(realm, &order(), "bench")).await;
            issued?;
            // The first round warms up.
            if round > 0 {
                taken.together.add(span);
                taken.alone.add(one);
            }
        }
    }
    Ok(taken)
}

/// Issues with a key on a `SoftHSM` token and with the same kind of key in this process, in turns. The module finds its token
/// by `SOFTHSM2_CONF`, which `tests/bench/run` sets.
pub(crate) async fn hardware(rounds: usize) -> Result<(), Failure> {
    let about = std::env::var_os("SOFTHSM2_CONF").map(PathBuf::from);
    let room = about.as_deref().and_then(Path::parent).and_then(Path::parent);
    let room = room.ok_or("SOFTHSM2_CONF is not set: tests/bench/run does that")?;
    let (here_folder, there_folder) = (Folder::new()?, Folder::new()?);
    let here = here_folder.realm(false, Ok).await?;
    let there =
        there_folder.realm(false, |keys| on_token(keys, room, &there_folder.path().join("keys"))).await?;
    let [with, without] = in_turns([&there, &here], rounds).await?;
    let name = |how: &str| format!("issuing with SoftHSM, {how} (floor: the key in this process)");
    let (all, floor) = (with.together.median(), Some(without.together.median()));
    told(&name(&format!("{AT_ONCE} at once, each")), all, floor, Target::None);
    told(&name("one at a time"), with.alone.median(), Some(without.alone.median()), Target::None);
    Ok(())
}

/// The token key of the folder, put on a token and used there.
fn on_token(keys: Keys, room: &Path, folder: &Path) -> Result<Keys, Failure> {
    let mut token = Token::new(room);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("token-")) {
            token.put("ipms", &path);
        }
    }
    let [module, token_label, pin_file] = token.settings().map(|(_, value)| value);
    let settings = DeviceSettings {
        module: module.into(),
        token_label,
        key_label: "ipms".to_owned(),
        pin_file: pin_file.into(),
    };
    Ok(Keys { token: Device::open(settings, Algorithm::Ps256)?.keys(), ..keys })
}

/// Lines, many at once: group commit makes one write of what has queued up.
async fn lines(rounds: usize) -> Result<(), Failure> {
    let folder = Folder::new()?;
    let seal = Box::new(|_| None);
    let (file, _) = AuditFile::open(&folder.path().join("lines"), u64::MAX, seal, |_, _| ())?;
    let mut disk = Disk::new(folder.path())?;
    let [mut each, mut page] = [(); 2].map(|()| Spans::default());
    let event = serde_json::json!({ "what": "issue", "order": "x".repeat(300) });
    for _ in 0..rounds {
        let tasks: Vec<_> = (0..256)
            .map(|_| {
                let (file, event) = (file.clone(), event.clone());
                tokio::spawn(async move { file.append(&[event]).await })
            })
            .collect();
        let all = async {
            for task in tasks {
                task.await??;
            }
            Ok::<_, Failure>(())
        };
        let (done, span) = awaited(all).await;
        done?;
        each.add(span / 256);
        page.add(disk.write()?);
    }
    told(
        "audit line, 256 at once, each (floor: one write and fsync)",
        each.median(),
        Some(page.median()),
        Target::None,
    );
    Ok(())
}

/// A folder beside the programs: a temporary folder of the system may be no disk at all.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(tempfile::tempdir_in(beside_us()?)?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// An issuer but for its sockets; its trail is real, or answers at once.
    pub(crate) async fn realm(
        &self,
        instant: bool,
        keys: impl FnOnce(Keys) -> Result<Keys, Failure>,
    ) -> Result<Arc<Realm>, Failure> {
        let path = |name: &str| self.path().join(name).display().to_string();
        let variables = [
            (String::from("ISSUER_KEYS__DIRECTORY"), path("keys")),
            (String::from("ISSUER_STORE__PATH"), path("issuer.redb")),
            (String::from("ISSUER_AUDIT__PATH"), path("audit.jsonl")),
        ];
        let settings = SettingsFile::new(toml::Table::new(), variables, "ISSUER_");
        let settings = Settings::read(settings).map_err(|mistakes| mistakes.to_string())?;
        key_directory::add(&settings.keys, &SystemEntropy::default(), SystemClock.now())?;
        let keys = keys(key_directory::read(&settings.keys)?)?;
        let store = wiring::open_store(&settings, Seal::new(keys.seal.expose_secret_bytes())).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let realm = if instant {
            let loaded = store.load().await?;
            let journal = (Arc::new(AtOnce) as Arc<dyn Journal>, Recovered::default());
            wiring::open_over(&settings, keys, (store, loaded), journal, clock, false).await?
        } else {
            wiring::open(&settings, keys, store, clock, false).await?
        };
        projects::create(&realm, project()?, "bench").await?;
        Ok(realm)
    }
}

/// How long a token takes when so many are asked for at once.
pub(crate) async fn together(realm: &Arc<Realm>) -> Result<Duration, Failure> {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let realm = Arc::clone(realm);
            tokio::spawn(async move { issue(&realm, &order(), "bench").await.map(drop) })
        })
        .collect();
    let all = async {
        for task in tasks {
            task.await??;
        }
        Ok::<_, Failure>(())
    };
    let (done, span) = awaited(all).await;
    done?;
    Ok(span / AT_ONCE)
}

/// A trail that answers at once, and keeps nothing.
#[derive(Debug)]
struct AtOnce;

impl Journal for AtOnce {
    fn write<'a>(&'a self, _events: &'a [Event<'a>]) -> Written<'a> {
        Box::pin(std::future::ready(Ok(AuditMark { number: 1, hash: [0; 32] })))
    }

    fn seal(&self) -> Written<'_> {
        self.write(&[])
    }

    fn idle(&self) -> bool {
        true
    }
}

fn project() -> Result<Project, Failure> {
    Ok(Project {
        id: "bench".parse()?,
        owner: OrganisationId::from_bytes([1; 16]),
        collaborators: Vec::new(),
        configuration: ProjectConfiguration {
            method: Method::NotReversible,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Numeric, 39)?,
        },
        created: SystemClock.now().wall,
        closed: None,
        version: 1,
    })
}

fn order() -> Order {
    let name = |text| Reference::new(text).ok();
    Order {
        #[expect(clippy::unwrap_used, reason = "a project id by example")]
        project: "bench".parse().unwrap(),
        organisation: OrganisationId::from_bytes([1; 16]),
        operation: Operation::Pseudonymise,
        lifetime: None,
        approval: name("request").zip(name("somebody")).map(|(request, requested_by)| Approval {
            request,
            requested_by,
            decision: Decision::Automatic,
            purpose: None,
        }),
        holder: None,
        idempotency_key: None,
    }
}

const AT_ONCE: u32 = 64;
