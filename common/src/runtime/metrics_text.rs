//! What a program measures, at one moment, and the Prometheus text format 0.0.4 of it. Holds no metric between two scrapes.

use std::fmt::Write as _;

/// A scrape being written. Samples of one name stand together, whatever the order they come in.
#[derive(Debug, Default)]
pub struct MetricsText {
    families: Vec<Family>,
}

/// All samples of one name.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

/// A value under its labels.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: Value,
}

/// What was measured. A family has values of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// Only grows; whole, so that no count is rounded.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
}

impl MetricsText {
    /// What only grows; whole, so that no count is rounded.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.sample(name, help, labels, Value::Counter(value));
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.sample(name, help, labels, Value::Gauge(value));
    }

    /// Everything written, as text.
    pub fn finish(self) -> String {
        self.families.iter().map(Family::text).collect()
    }

    /// Everything written.
    pub(super) fn into_families(self) -> Vec<Family> {
        self.families
    }

    fn sample(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: Value) {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        let sample = Sample { labels: labels.collect(), value };
        match self.families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.families.push(Family { name, help: help.to_owned(), samples: vec![sample] }),
        }
    }
}

impl Family {
    fn text(&self) -> String {
        let Self { name, help, samples } = self;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let kind = match samples.first().map(|sample| sample.value) {
            Some(Value::Counter(_)) => "counter",
            Some(Value::Gauge(_)) | None => "gauge",
        };
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for Sample { labels, value } in samples {
            text.push_str(name);
            for (position, (label, value)) in labels.iter().enumerate() {
                text.push(if position == 0 { '{' } else { ',' });
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                // A string takes whatever is written to it.
                let _ = write!(text, "{label}=\"{value}\"");
            }
            let end = if labels.is_empty() { "" } else { "}" };
            let _ = match *value {
                Value::Counter(value) => writeln!(text, "{end} {value}"),
                // The format spells it so.
                Value::Gauge(f64::INFINITY) => writeln!(text, "{end} +Inf"),
                Value::Gauge(f64::NEG_INFINITY) => writeln!(text, "{end} -Inf"),
                Value::Gauge(value) => writeln!(text, "{end} {value}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_name_stand_together_under_one_head() {
        let mut text = MetricsText::default();
        text.counter("a_total", "Of a.", &[("k", "1")], u64::MAX);
        text.gauge("b", "Of b.", &[], 0.5);
        text.counter("a_total", "Of a.", &[("k", "2"), ("l", "3")], 0);
        assert_eq!(
            text.finish(),
            "# HELP a_total Of a.\n\
             # TYPE a_total counter\n\
             a_total{k=\"1\"} 18446744073709551615\n\
             a_total{k=\"2\",l=\"3\"} 0\n\
             # HELP b Of b.\n\
             # TYPE b gauge\n\
             b 0.5\n"
        );
    }

    #[test]
    fn no_label_and_no_help_breaks_out_of_its_line() {
        let mut text = MetricsText::default();
        text.gauge("a", "one\ntwo \\ \"", &[("k", "x\"} 1\ny\\")], f64::INFINITY);
        assert_eq!(
            text.finish(),
            "# HELP a one\\ntwo \\\\ \"\n# TYPE a gauge\na{k=\"x\\\"} 1\\ny\\\\\"} +Inf\n"
        );
    }
}
