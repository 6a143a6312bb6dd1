//! Figures: one line for each as it is known, and all of them kept for the record. Measures nothing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Spans of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<Duration>);

impl Spans {
    pub(crate) fn add(&mut self, span: Duration) {
        self.0.push(span);
    }

    /// The span that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.permille(percent * 10)
    }

    /// The same in thousandths.
    pub(crate) fn permille(&self, permille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * permille).div_ceil(1_000).saturating_sub(1);
        sorted.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
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

impl FromIterator<Duration> for Spans {
    fn from_iter<T: IntoIterator<Item = Duration>>(spans: T) -> Self {
        Self(spans.into_iter().collect())
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// It is only told.
    None,
    AtMost(Duration),
    /// At most so many times the floor.
    Ratio(f64),
    /// The floor is at least so many times the figure: work per processor second.
    Worth(f64),
}

/// One figure, in seconds, bytes, or calls a second.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) floor: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) target: String,
    pub(crate) met: Option<bool>,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Everything told so far.
pub(crate) fn rows() -> Vec<Row> {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// One line: name, figure, floor, ratio, target, and whether it is met.
pub(crate) fn told(name: &str, figure: Duration, floor: Option<Duration>, target: Target) {
    let times = floor.filter(|floor| !floor.is_zero()).map(|floor| figure.div_duration_f64(floor));
    let worth = floor.filter(|_| !figure.is_zero()).map(|floor| floor.div_duration_f64(figure));
    let (ratio, target, met) = match target {
        Target::None => (times, String::from("-"), None),
        Target::AtMost(most) => (times, format!("<= {most:?}"), Some(figure <= most)),
        Target::Ratio(most) => {
            (times, format!("<= {most} x floor"), Some(times.is_some_and(|ratio| ratio <= most)))
        }
        Target::Worth(least) => {
            (worth, format!(">= {least} of floor"), Some(worth.is_some_and(|ratio| ratio >= least)))
        }
    };
    add(Row {
        name: name.to_owned(),
        value: figure.as_secs_f64(),
        unit: "s",
        floor: floor.map(|floor| floor.as_secs_f64()),
        ratio,
        target,
        met,
    });
}

/// The same for bytes.
pub(crate) fn told_bytes(name: &str, bytes: u64, most: Option<u64>) {
    add(Row {
        name: name.to_owned(),
        value: whole(bytes),
        unit: "B",
        floor: None,
        ratio: None,
        target: most.map_or_else(|| String::from("-"), |most| format!("<= {}", mebibytes(whole(most)))),
        met: most.map(|most| bytes <= most),
    });
}

/// The same for a number that has no unit.
pub(crate) fn told_number(name: &str, number: f64, most: f64) {
    add(Row {
        name: name.to_owned(),
        value: number,
        unit: "",
        floor: None,
        ratio: None,
        target: format!("<= {most}"),
        met: Some(number <= most),
    });
}

/// The same for calls a second.
pub(crate) fn told_rate(name: &str, rate: f64, least: Option<f64>) {
    add(Row {
        name: name.to_owned(),
        value: rate,
        unit: PER_SECOND,
        floor: None,
        ratio: None,
        target: least.map_or_else(|| String::from("-"), |least| format!(">= {least:.0}/s")),
        met: least.map(|least| rate >= least),
    });
}

const PER_SECOND: &str = "/s";

impl Row {
    /// The figure for people.
    pub(crate) fn shown(&self, value: f64) -> String {
        match self.unit {
            "B" => mebibytes(value),
            "" => format!("{value:.2}"),
            PER_SECOND => format!("{value:.0}/s"),
            _ => format!("{:.3?}", Duration::from_secs_f64(value)),
        }
    }
}

fn add(row: Row) {
    let dash = || String::from("-");
    let floor = row.floor.map_or_else(dash, |floor| row.shown(floor));
    let ratio = row.ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"));
    let Row { name, target, .. } = &row;
    let (figure, met) = (row.shown(row.value), verdict(row.met));
    println!("{name:<64} | {figure:>11} | {floor:>10} | {ratio:>7} | {target:>16} | {met}");
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// Whether a target is met, for people.
pub(crate) const fn verdict(met: Option<bool>) -> &'static str {
    match met {
        None => "-",
        Some(true) => "ok",
        Some(false) => "NOT MET",
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1_048_576.0)
}

/// Exact up to 4 GiB and cut above, where nothing of ours is.
fn whole(bytes: u64) -> f64 {
    u32::try_from(bytes).map_or(f64::from(u32::MAX), f64::from)
}

/// The line above all others.
pub(crate) fn heading() {
    println!("{:<64} | {:>11} | {:>10} | {:>7} | {:>16} |", "name", "figure", "floor", "ratio", "target");
}
