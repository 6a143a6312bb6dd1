//! Vectors, published and our own, through the code that judges tokens and a running verifier. Never a rule of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a check that cannot look must fail"
)]

mod attacks;
mod differential;
mod jose;
mod json;
mod mutations;
mod own;
mod published;
mod running;
mod signatures;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A setting of the test run.
#[expect(clippy::disallowed_methods, reason = "a test has no settings file")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The published vectors, or `None` where they are not at hand and need not be.
fn corpora() -> Option<PathBuf> {
    let folder =
        root().join(setting("IPMS_SHARED").unwrap_or_else(|| "../shared".to_owned())).join("corpora");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = setting("IPMS_REQUIRE_VECTORS").is_some_and(|wanted| wanted == "1");
    assert!(!required, "published vectors are missing: {}", folder.display());
    println!("published vectors are not at hand: {}", folder.display());
    None
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The JSON files directly in a folder, in the order of their names. Panics when there are none.
fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "no vectors in {}", folder.display());
    files
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member}"))
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().unwrap_or_else(|| panic!("no list {member}"))
}

fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// How many vectors of each file ran. A file that yields none proves nothing.
#[derive(Default)]
struct Ran(BTreeMap<String, usize>);

impl Ran {
    fn file(&mut self, path: &Path) {
        self.0.entry(path.file_name().unwrap().to_string_lossy().into_owned()).or_default();
    }

    fn one(&mut self, path: &Path) {
        self.file(path);
        *self.0.get_mut(path.file_name().unwrap().to_str().unwrap()).unwrap() += 1;
    }

    /// Tells them, and fails for each file of which none ran.
    fn told(self, what: &str) {
        println!("{what}: {} vectors of {} files ran", self.0.values().sum::<usize>(), self.0.len());
        for (file, ran) in &self.0 {
            println!("  {ran:>4}  {file}");
            assert!(*ran > 0, "no vector of {file} ran");
        }
        assert!(!self.0.is_empty(), "{what}: nothing ran");
    }

    /// As [`Ran::told`], for files that hold one vector each.
    fn summed(self, what: &str) {
        assert!(self.0.values().all(|ran| *ran == 1) && !self.0.is_empty(), "{what}: nothing ran");
        println!("{what}: {} vectors ran", self.0.len());
    }
}
