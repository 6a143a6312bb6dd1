//! Files that are looked at again and again: good new ones replace the old, bad ones change nothing and are told. What is
//! made of the files is given.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::files::{Contents, Material, TlsError, TlsFiles};
use crate::{
    clock::{BootInstant, Clock},
    runtime::metrics_text::MetricsText,
    timestamp::Timestamp,
};

/// Below this, the certificate's end is a warning.
const WARN_BELOW: Duration = Duration::from_hours(7 * 24);
const WARN_EVERY: Duration = Duration::from_hours(1);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Open connections are judged again at least so often: certificates end, too.
const RENEW_EVERY: u32 = 60;

/// What was last made of good files.
pub struct Reloading<C> {
    /// Whose files they are, in logs and metrics.
    side: &'static str,
    files: TlsFiles,
    make: fn(&Material) -> Result<C, TlsError>,
    held: ArcSwap<Held<C>>,
    progress: Mutex<Progress>,
    generation: AtomicU64,
    reloads: AtomicU64,
    clock: Arc<dyn Clock>,
}

struct Held<C> {
    made: Arc<C>,
    fingerprint: [u8; 32],
    not_after: Timestamp,
    next_update: Option<Timestamp>,
}

#[derive(Default)]
struct Progress {
    /// Seen once: whoever writes the files may not be done.
    pending: Option<Seen>,
    /// Judged and not taken.
    refused: Option<(Seen, TlsError)>,
    warned: Option<BootInstant>,
}

/// Contents, or that there are none to read.
type Seen = Option<[u8; 32]>;

impl<C> Reloading<C> {
    pub(super) fn with(
        side: &'static str,
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        make: fn(&Material) -> Result<C, TlsError>,
    ) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let held = held(&contents, clock.now().wall, make)?;
        let reloading = Self {
            side,
            files,
            make,
            held: ArcSwap::from_pointee(held),
            progress: Mutex::default(),
            generation: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            clock,
        };
        reloading.warn();
        Ok(reloading)
    }

    /// What counts now.
    pub(super) fn current(&self) -> Arc<C> {
        Arc::clone(&self.held.load().made)
    }

    /// Changes whenever those let in before must be judged again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Looks at the files, blocking. New contents are taken at the second look that finds them alike.
    pub fn look(&self) {
        self.warn();
        let contents = Contents::read(&self.files);
        let seen: Seen = contents.as_ref().ok().map(Contents::fingerprint);
        let mut progress = self.progress();
        if seen == Some(self.held.load().fingerprint) {
            if progress.refused.take().is_some() {
                tracing::info!(side = self.side, "the TLS files in use are back");
            }
            progress.pending = None;
            return;
        }
        // What was refused is judged again: a certificate may be good from now on.
        let again = progress.refused.as_ref().is_some_and(|(refused, _)| *refused == seen);
        if !again && progress.pending != Some(seen) {
            progress.pending = Some(seen);
            return;
        }
        progress.pending = None;
        match contents.and_then(|contents| held(&contents, self.now(), self.make)) {
            Ok(held) => {
                tracing::info!(side = self.side, expires = %held.not_after, "new TLS files are in use");
                self.held.store(Arc::new(held));
                self.reloads.fetch_add(1, Ordering::Relaxed);
                progress.refused = None;
                self.renew();
            }
            Err(error) => {
                if !again {
                    tracing::error!(side = self.side, %error, "new TLS files are refused: the earlier ones stay");
                }
                progress.refused = Some((seen, error));
            }
        }
    }

    /// Looks each second, for as long as it is polled.
    pub async fn keep(self: Arc<Self>)
    where
        C: Send + Sync + 'static,
    {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number: u32 = 0;
        loop {
            tick.tick().await;
            number = number.wrapping_add(1);
            let looking = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
                tracing::error!(side = self.side, "a look at the TLS files ended before its time");
            }
            if number.is_multiple_of(RENEW_EVERY) {
                self.renew();
            }
        }
    }

    /// What an operator should know: files that are refused, a certificate that ends soon.
    pub fn notes(&self) -> Vec<String> {
        let refused = self.progress().refused.as_ref().map(|(_, error)| {
            format!("{} TLS: new files are refused: {error}; the earlier ones stay in use", self.side)
        });
        let not_after = self.held.load().not_after;
        let soon = (not_after.since(self.now()) < WARN_BELOW)
            .then(|| format!("{} TLS: the certificate ends at {not_after}", self.side));
        refused.into_iter().chain(soon).collect()
    }

    /// The same in figures.
    pub fn write(&self, text: &mut MetricsText) {
        let labels = [("side", self.side)];
        let used = self.held.load();
        let instant = |at: Timestamp| Duration::from_secs(at.seconds()).as_secs_f64();
        let help = "Unix time at which our own certificate ends.";
        text.gauge("ipms_tls_certificate_not_after_seconds", help, &labels, instant(used.not_after));
        if let Some(due) = used.next_update {
            let help = "Unix time after which a revocation list counts no more, and nobody is let in.";
            text.gauge("ipms_tls_crl_next_update_seconds", help, &labels, instant(due));
        }
        let refused = f64::from(u8::from(self.progress().refused.is_some()));
        text.gauge(
            "ipms_tls_files_refused",
            "1 while new files are bad and old ones stay.",
            &labels,
            refused,
        );
        let reloads = self.reloads.load(Ordering::Relaxed);
        text.counter("ipms_tls_reloads_total", "New files taken.", &labels, reloads);
    }

    fn renew(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn warn(&self) {
        let now = self.clock.now();
        let not_after = self.held.load().not_after;
        let mut progress = self.progress();
        let due = progress.warned.is_none_or(|warned| now.boot.since(warned) >= WARN_EVERY);
        if not_after.since(now.wall) < WARN_BELOW && due {
            progress.warned = Some(now.boot);
            tracing::warn!(side = self.side, expires = %not_after, "the TLS certificate ends soon");
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held<C>(
    contents: &Contents,
    now: Timestamp,
    build: fn(&Material) -> Result<C, TlsError>,
) -> Result<Held<C>, TlsError> {
    let material = contents.parse(now)?;
    let made = build(&material)?;
    let Material { not_after, next_update, .. } = material;
    Ok(Held { made: Arc::new(made), fingerprint: contents.fingerprint(), not_after, next_update })
}

impl<C> fmt::Debug for Reloading<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("side", &self.side)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
