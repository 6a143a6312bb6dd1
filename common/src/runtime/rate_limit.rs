//! How often each identity may call each method. In memory, of a size that the settings fix; knows no service.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    caller::{Caller, Callers},
    methods::{Methods, Rate},
};
use crate::clock::BootInstant;

/// One bucket for each identity in the settings and each method, so that no method uses up another's. Strangers hold no
/// role and need none; callers without a certificate have no identity to be limited by.
#[derive(Debug)]
pub(super) struct RateLimits {
    methods: &'static Methods,
    buckets: BTreeMap<Arc<str>, Vec<Bucket>>,
}

/// When it will be full again, in nanoseconds since boot.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU64);

impl RateLimits {
    pub(super) fn new(methods: &'static Methods, callers: &Callers) -> Self {
        let row = || methods.0.iter().map(|_| Bucket::default()).collect();
        Self { methods, buckets: callers.identities().map(|name| (Arc::clone(name), row())).collect() }
    }

    /// Takes one call out of the caller's bucket; or tells how long to wait.
    pub(super) fn take(&self, caller: &Caller, method: usize, now: BootInstant) -> Result<(), Duration> {
        let limit = self.methods.0.get(method).map(|method| method.rate);
        let bucket = self.buckets.get(caller.actor()).and_then(|row| row.get(method));
        match limit.zip(bucket) {
            Some((rate, bucket)) if matches!(caller, Caller::Certified(_)) => bucket.take(rate, now),
            Some(_) | None => Ok(()),
        }
    }
}

impl Bucket {
    /// Whether nothing is left for now.
    pub(super) fn is_empty(&self, rate: Rate, now: BootInstant) -> bool {
        // Most never owed anything.
        let full_at = self.0.load(Ordering::Relaxed);
        full_at
            > nanoseconds(now.since_boot()).saturating_add(each(rate).saturating_mul(u64::from(rate.burst)))
    }

    /// Takes out what was used already, whether or not there was so much; never more than twice the burst is owed.
    pub(super) fn owe(&self, rate: Rate, many: NonZeroU32, now: BootInstant) {
        let now = nanoseconds(now.since_boot());
        let most = now.saturating_add(2 * each(rate) * u64::from(rate.burst));
        let more = each(rate).saturating_mul(u64::from(many.get()));
        let owed = |full_at: u64| Some(full_at.max(now).saturating_add(more).min(most));
        // It always changes.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, owed);
    }

    fn take(&self, rate: Rate, now: BootInstant) -> Result<(), Duration> {
        let now = nanoseconds(now.since_boot());
        let each = each(rate);
        let room = each.saturating_mul(u64::from(rate.burst));
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now).saturating_add(each);
            (next.saturating_sub(now) <= room).then_some(next)
        });
        taken.map(drop).map_err(|full_at| {
            Duration::from_nanos(full_at.saturating_add(each).saturating_sub(now).saturating_sub(room))
        })
    }
}

/// Nanoseconds between two, at the rate.
fn each(rate: Rate) -> u64 {
    1_000_000_000 / u64::from(rate.per_second.max(1))
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{
        caller::Grant,
        methods::{Method, Role},
    };

    const RATE: Rate = Rate { per_second: 10, burst: 3 };
    static TABLE: Methods = Methods(&[
        Method { path: "/a/B", role: Role::Anyone, rate: RATE },
        Method { path: "/a/C", role: Role::Anyone, rate: RATE },
    ]);

    fn at(milliseconds: u64) -> BootInstant {
        BootInstant::from_duration(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_burst_is_let_through_then_the_rate_and_the_wait_is_told() {
        let callers =
            Callers::new([("a.test".into(), Grant::default()), ("b.test".into(), Grant::default())]);
        let limits = RateLimits::new(&TABLE, &callers);
        let (a, b) = (callers.of(&"a.test".into()), callers.of(&"b.test".into()));
        for _ in 0..3 {
            assert_eq!(limits.take(&a, 0, at(5_000)), Ok(()));
        }
        assert_eq!(limits.take(&a, 0, at(5_000)), Err(Duration::from_millis(100)));
        assert_eq!(limits.take(&a, 0, at(5_060)), Err(Duration::from_millis(40)));
        assert_eq!(limits.take(&a, 0, at(5_100)), Ok(()));
        assert!(limits.take(&a, 0, at(5_100)).is_err());
        // Neither another method's bucket nor another caller's is touched.
        assert_eq!((limits.take(&a, 1, at(5_100)), limits.take(&b, 0, at(5_100))), (Ok(()), Ok(())));
        for _ in 0..100 {
            assert_eq!(limits.take(&Caller::UnixSocket, 0, at(0)), Ok(()));
        }
    }
}
