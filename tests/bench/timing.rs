//! Whether the time of a signature tells what was signed: one message against random ones, in random order, by the thread's
//! own processor time, compared with Welch's t-test.

use std::time::Duration;

use common::{jws::Algorithm, keys::SigningKey};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::time::{ClockId, clock_gettime};

use crate::{cost::key_of, report::told_number, stand::Failure};

/// `each` signatures of each class, for each algorithm.
pub(crate) fn run(each: usize) -> Result<(), Failure> {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let key = key_of(aws_lc_rs::rsa::KeySize::Rsa2048, algorithm)?;
        let t = leak(&key, each)?;
        let name = format!("signing time by message, {}, {each} of each class, |t|", algorithm.as_str());
        told_number(&name, t, 4.5);
    }
    Ok(())
}

/// The highest |t| over all spans and without the slowest ones: what the system did meanwhile is in those.
fn leak(key: &SigningKey, each: usize) -> Result<f64, Failure> {
    let mut random = StdRng::seed_from_u64(11);
    let fixed = [0x55; 700];
    let mut classes = [Vec::with_capacity(each), Vec::with_capacity(each)];
    while classes.iter().any(|class| class.len() < each) {
        let mut other = [0; 700];
        // Drawn for both classes, so that both are signed after the same work.
        random.fill(&mut other);
        let (class, message) = if random.random() { (0, &fixed) } else { (1, &other) };
        let before = computed();
        key.sign(b"bench\0", message)?;
        let span = computed().saturating_sub(before);
        if let Some(class) = classes.get_mut(class).filter(|class| class.len() < each) {
            class.push(span.as_secs_f64());
        }
    }
    let mut all: Vec<f64> = classes.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let mut highest: f64 = 0.0;
    for kept in [100, 99, 95, 90] {
        let limit = all.get((all.len() * kept / 100).saturating_sub(1)).copied().unwrap_or(f64::MAX);
        let [one, other] = classes.each_ref().map(|class| {
            let kept: Vec<f64> = class.iter().copied().filter(|span| *span <= limit).collect();
            moments(&kept)
        });
        highest = highest.max(welch(one, other).abs());
    }
    Ok(highest)
}

/// Processor time of this thread.
fn computed() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

/// Mean, and variance of the mean.
fn moments(spans: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(spans.len()).unwrap_or(u32::MAX)).max(2.0);
    let mean = spans.iter().sum::<f64>() / count;
    let variance = spans.iter().map(|span| (span - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

fn welch((mean, variance): (f64, f64), (other_mean, other_variance): (f64, f64)) -> f64 {
    (mean - other_mean) / (variance + other_variance).sqrt().max(f64::MIN_POSITIVE)
}
