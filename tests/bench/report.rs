//! Spans that were measured, and the one line for each figure. Measures nothing.

use std::time::Duration;

/// Spans of one kind.
#[derive(Debug, Default)]
pub(crate) struct Spans(Vec<Duration>);

impl Spans {
    pub(crate) fn add(&mut self, span: Duration) {
        self.0.push(span);
    }

    /// The span that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }
}

impl Extend<Duration> for Spans {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, spans: T) {
        self.0.extend(spans);
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// It is only told.
    None,
    AtMost(Duration),
    /// So many times the floor.
    Ratio(f64),
}

/// One line: name, figure, floor, ratio, target, and whether it is met.
pub(crate) fn told(name: &str, figure: Duration, floor: Option<Duration>, target: Target) {
    let ratio = floor.filter(|floor| !floor.is_zero()).map(|floor| figure.div_duration_f64(floor));
    let (wanted, met) = match target {
        Target::None => (String::from("-"), None),
        Target::AtMost(most) => (format!("<= {most:?}"), Some(figure <= most)),
        Target::Ratio(most) => (format!("<= {most} x floor"), Some(ratio.is_some_and(|ratio| ratio <= most))),
    };
    let floor = floor.map_or_else(|| String::from("-"), |floor| format!("{floor:.3?}"));
    let ratio = ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}"));
    line(name, &format!("{figure:.3?}"), &floor, &ratio, &wanted, met);
}

/// The same for bytes.
pub(crate) fn told_bytes(name: &str, bytes: u64, most: Option<u64>) {
    let mebibytes = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20);
    let wanted = most.map_or_else(|| String::from("-"), |most| format!("<= {}", mebibytes(most)));
    line(name, &mebibytes(bytes), "-", "-", &wanted, most.map(|most| bytes <= most));
}

fn line(name: &str, figure: &str, floor: &str, ratio: &str, target: &str, met: Option<bool>) {
    let met = match met {
        None => "-",
        Some(true) => "ok",
        Some(false) => "NOT MET",
    };
    println!("{name:<64} | {figure:>11} | {floor:>10} | {ratio:>7} | {target:>14} | {met}");
}

/// The line above all others.
pub(crate) fn heading() {
    println!("{:<64} | {:>11} | {:>10} | {:>7} | {:>14} |", "name", "figure", "floor", "ratio", "target");
}
