//! One TOML file overlaid with an environment, read key by key. Never opens a file or asks the process for variables.

mod service_links;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use toml::{Table, Value};

use self::service_links::is_service_link;

/// Settings not yet taken, and every mistake met so far.
///
/// Each taker removes its key and answers even when the value is bad (with the default, or an empty value), so that
/// one run finds all mistakes. What it answered may be used only after [`SettingsFile::finish`] said `Ok`.
pub struct SettingsFile {
    found: BTreeMap<String, Found>,
    asked: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl SettingsFile {
    /// Lays the variables whose name begins with `prefix` (`ISSUER_`) over the file; `__` stands between levels, so
    /// `ISSUER_GRPC__LISTEN` is `grpc.listen`. Other variables are none of our business.
    pub fn new(file: Table, environment: impl IntoIterator<Item = (String, String)>, prefix: &str) -> Self {
        let mut settings = Self { found: BTreeMap::new(), asked: BTreeSet::new(), mistakes: Vec::new() };
        settings.flatten("", file);
        for (name, text) in environment {
            let Some(rest) = name.strip_prefix(prefix).filter(|rest| !is_service_link(rest, &text)) else {
                continue;
            };
            let key = rest.replace("__", ".").to_ascii_lowercase();
            if rest.bytes().any(|byte| byte.is_ascii_lowercase()) {
                settings.mistakes.push(Mistake {
                    key,
                    origin: Origin::Variable(name),
                    must: "be upper case".into(),
                });
            } else {
                settings
                    .found
                    .insert(key, Found { origin: Origin::Variable(name), given: Given::Text(text) });
            }
        }
        settings
    }

    /// A string that has to be given and may not be empty.
    pub fn string(&mut self, key: &str) -> String {
        self.required(key, "be a string that is not empty", text).unwrap_or_default()
    }

    /// A string, or the default.
    pub fn string_or(&mut self, key: &str, default: &str) -> String {
        self.optional_string(key).unwrap_or_else(|| default.to_owned())
    }

    /// A string that may be absent, but not empty.
    pub fn optional_string(&mut self, key: &str) -> Option<String> {
        self.take(key, "be a string that is not empty", text)
    }

    /// `true` or `false`.
    pub fn bool_or(&mut self, key: &str, default: bool) -> bool {
        let read = |given| match given {
            Given::Value(Value::Boolean(value)) => Some(value),
            Given::Text(text) => text.parse().ok(),
            Given::Value(_) => None,
        };
        self.take(key, "be true or false", read).unwrap_or(default)
    }

    /// A path that has to be given.
    pub fn path(&mut self, key: &str) -> PathBuf {
        self.string(key).into()
    }

    /// A path that may be absent.
    pub fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        self.optional_string(key).map(PathBuf::from)
    }

    /// A duration such as `250ms`, `10s`, `15m`, `1h` or `30d`; both bounds are inclusive.
    pub fn duration_or(
        &mut self,
        key: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let must = format!("be a duration such as 15m, from {:?} to {:?}", bounds.start(), bounds.end());
        let read =
            |given| text(given).and_then(|text| duration(&text)).filter(|value| bounds.contains(value));
        self.take(key, &must, read).unwrap_or(default)
    }

    /// A duration that may be absent; both bounds are inclusive.
    pub fn optional_duration(&mut self, key: &str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let must = format!("be a duration such as 15m, from {:?} to {:?}", bounds.start(), bounds.end());
        self.take(key, &must, |given| {
            text(given).and_then(|text| duration(&text)).filter(|value| bounds.contains(value))
        })
    }

    /// A whole number; both bounds are inclusive.
    pub fn number_or(&mut self, key: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let must = format!("be a whole number from {} to {}", bounds.start(), bounds.end());
        let read = |given| match given {
            Given::Value(Value::Integer(value)) => u32::try_from(value).ok(),
            Given::Text(text) => text.parse().ok(),
            Given::Value(_) => None,
        };
        self.take(key, &must, |given| read(given).filter(|value| bounds.contains(value))).unwrap_or(default)
    }

    /// Strings, none of them empty: an array in the file, commas in the environment. Absent is the empty list.
    pub fn list(&mut self, key: &str) -> Vec<String> {
        self.optional_list(key).unwrap_or_default()
    }

    /// As [`Self::list`], telling an absent list from an empty one.
    pub fn optional_list(&mut self, key: &str) -> Option<Vec<String>> {
        let read = |given| match given {
            Given::Value(Value::Array(items)) => {
                items.into_iter().map(|item| text(Given::Value(item))).collect()
            }
            Given::Text(text) if text.is_empty() => Some(Vec::new()),
            Given::Text(line) => {
                line.split(',').map(|item| text(Given::Text(item.trim().to_owned()))).collect()
            }
            Given::Value(_) => None,
        };
        self.take(key, "be a list of strings that are not empty", read)
    }

    /// The names in a section whose members are sections of the operator's own naming: `[section.'any name']`.
    pub fn names_below(&mut self, section: &str) -> BTreeSet<String> {
        let above = format!("{section}.");
        self.asked.insert(above.clone());
        let below = self.found.keys().filter_map(|key| key.strip_prefix(&above));
        below.filter_map(|rest| rest.rsplit_once('.')).map(|(name, _field)| name.to_owned()).collect()
    }

    /// One of the named choices.
    pub fn choice_or<T: Copy>(&mut self, key: &str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let read = |given| {
            let text = text(given)?;
            choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice)
        };
        self.take(key, &format!("be one of: {}", names.join(", ")), read).unwrap_or(default)
    }

    /// Adds a mistake that only the caller can see; `must` completes the sentence "… must".
    pub fn refuse(&mut self, key: &str, must: &str) {
        self.mistakes.push(Mistake { key: key.to_owned(), origin: Origin::Settings, must: must.to_owned() });
    }

    /// Ends the reading: whatever nobody asked for is a mistake too.
    ///
    /// # Errors
    ///
    /// All mistakes, in the order of their keys.
    pub fn finish(self) -> Result<(), Mistakes> {
        let Self { found, asked, mut mistakes } = self;
        for (key, Found { origin, given }) in found {
            let section = format!("{key}.");
            let empty = matches!(given, Given::Value(Value::Table(_)));
            // An empty section is harmless, but only one we know.
            if !(empty && asked.iter().any(|known| known.starts_with(&section))) {
                mistakes.push(Mistake { key, origin, must: "be left out: no such setting".to_owned() });
            }
        }
        mistakes.sort_by(|one, other| one.key.cmp(&other.key));
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
    }

    fn flatten(&mut self, above: &str, table: Table) {
        for (name, value) in table {
            let key = if above.is_empty() { name } else { format!("{above}.{name}") };
            if let Value::Table(inner) = &value
                && !inner.is_empty()
            {
                self.flatten(&key, inner.clone());
                continue;
            }
            let found = Found { origin: Origin::File, given: Given::Value(value) };
            if self.found.insert(key.clone(), found).is_some() {
                self.mistakes.push(Mistake { key, origin: Origin::File, must: "be given once".to_owned() });
            }
        }
    }

    fn take<T>(&mut self, key: &str, must: &str, read: impl FnOnce(Given) -> Option<T>) -> Option<T> {
        self.asked.insert(key.to_owned());
        let Found { origin, given } = self.found.remove(key)?;
        let value = read(given);
        if value.is_none() {
            self.mistakes.push(Mistake { key: key.to_owned(), origin, must: must.to_owned() });
        }
        value
    }

    fn required<T>(&mut self, key: &str, must: &str, read: impl FnOnce(Given) -> Option<T>) -> Option<T> {
        if !self.found.contains_key(key) {
            self.refuse(key, "be given");
        }
        self.take(key, must, read)
    }
}

/// Every mistake in the settings, one a line. Tells keys, sources and bounds, never a value: it might be a secret.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { key, origin, must }) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            match origin {
                Origin::File => write!(f, "{line}{key} (file) must {must}")?,
                Origin::Variable(name) => write!(f, "{line}{key} (environment, {name}) must {must}")?,
                Origin::Settings => write!(f, "{line}{key} must {must}")?,
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Mistake {
    key: String,
    origin: Origin,
    must: String,
}

struct Found {
    origin: Origin,
    given: Given,
}

#[derive(Debug)]
enum Origin {
    File,
    Variable(String),
    Settings,
}

enum Given {
    Value(Value),
    Text(String),
}

fn text(given: Given) -> Option<String> {
    match given {
        Given::Value(Value::String(text)) | Given::Text(text) => Some(text).filter(|text| !text.is_empty()),
        Given::Value(_) => None,
    }
}

/// Digits, then one unit; no sign, no fraction, no space.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let number: u64 = digits.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str, variables: &[(&str, &str)]) -> SettingsFile {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SettingsFile::new(file.parse().unwrap(), variables, "ISSUER_")
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let mut read = settings("[grpc]\nlisten = 'a'", &[("ISSUER_GRPC__LISTEN", "b"), ("PATH", "/bin")]);
        assert_eq!(read.string("grpc.listen"), "b");
        assert!(read.finish().is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once_without_their_values() {
        let mut read =
            settings("a = 0\nb = 'hidden'\nz = 1\n[empty]", &[("ISSUER_C", "9"), ("ISSUER_Y", "1")]);
        read.bool_or("a", true);
        read.duration_or("b", Duration::from_secs(1), Duration::ZERO..=Duration::from_secs(10));
        read.number_or("c", 1, 1..=8);
        read.string("d");
        assert_eq!(
            read.finish().unwrap_err().to_string(),
            "a (file) must be true or false\n\
             b (file) must be a duration such as 15m, from 0ns to 10s\n\
             c (environment, ISSUER_C) must be a whole number from 1 to 8\n\
             d must be given\n\
             empty (file) must be left out: no such setting\n\
             y (environment, ISSUER_Y) must be left out: no such setting\n\
             z (file) must be left out: no such setting"
        );
    }

    #[test]
    fn lists_and_choices_read_alike_from_file_and_environment() {
        for mut read in [
            settings("l = ['a', 'b']\nc = 'two'", &[]),
            settings("", &[("ISSUER_L", "a, b"), ("ISSUER_C", "two")]),
        ] {
            assert_eq!(read.list("l"), ["a", "b"]);
            assert_eq!(read.choice_or("c", 1, &[("one", 1), ("two", 2)]), 2);
            assert!(read.finish().is_ok());
        }
    }

    #[test]
    fn a_duration_is_digits_and_one_unit() {
        for (text, millis) in [("250ms", 250), ("10s", 10_000), ("15m", 900_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("30d"), Some(Duration::from_hours(720)));
        for text in ["", "10", "s", "-1s", "1.5h", "1 h", "1w", "1h30m", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
