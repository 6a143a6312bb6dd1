//! The Prometheus text format 0.0.4. Holds no metric between two scrapes.

use std::fmt::{self, Write};

/// A scrape being written. Samples of one name stand together, whatever the order they come in.
#[derive(Debug, Default)]
pub struct MetricsText {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    text: String,
}

impl MetricsText {
    /// What only grows; whole, so that no count is rounded.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.sample(name, help, "counter", labels, format_args!("{value}"));
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        // The format spells it so.
        if value.is_infinite() {
            let sign = if value > 0.0 { "+Inf" } else { "-Inf" };
            self.sample(name, help, "gauge", labels, format_args!("{sign}"));
        } else {
            self.sample(name, help, "gauge", labels, format_args!("{value}"));
        }
    }

    /// Everything written.
    pub fn finish(self) -> String {
        self.families.into_iter().map(|family| family.text).collect()
    }

    fn sample(
        &mut self,
        name: &'static str,
        help: &str,
        kind: &str,
        labels: &[(&str, &str)],
        value: fmt::Arguments<'_>,
    ) {
        let index = self.families.iter().position(|family| family.name == name).unwrap_or_else(|| {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            self.families.push(Family { name, text });
            self.families.len() - 1
        });
        let Some(Family { text, .. }) = self.families.get_mut(index) else { return };
        text.push_str(name);
        for (position, (label, value)) in labels.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // A string takes whatever is written to it.
            let _ = write!(text, "{label}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {value}");
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
