//! What was measured, kept as JSON and as a table, with the machine and the command; and beside it an older record, if one
//! is given. Measures nothing.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::{
    report::{Row, rows, verdict},
    stand::Failure,
};

/// Where records go, and which older one they are held against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    /// A folder, in which `bench.json` and `bench.md` are written.
    pub(crate) folder: Option<PathBuf>,
    /// A `bench.json` of another run.
    pub(crate) older: Option<PathBuf>,
}

impl Records {
    /// Writes all that was told.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let older = match &self.older {
            Some(path) => serde_json::from_slice(&fs::read(path)?)?,
            None => Value::Null,
        };
        let (rows, machine) = (rows(), machine());
        let figures: Vec<Value> = rows.iter().map(figure).collect();
        fs::create_dir_all(folder)?;
        let record = json!({ "machine": machine, "figures": figures });
        fs::write(folder.join("bench.json"), serde_json::to_vec_pretty(&record)?)?;
        fs::write(folder.join("bench.md"), table(&rows, &machine, &older)?)?;
        Ok(())
    }
}

fn figure(row: &Row) -> Value {
    json!({
        "name": row.name, "value": row.value, "unit": row.unit, "floor": row.floor, "ratio": row.ratio,
        "target": row.target, "met": row.met,
    })
}

fn machine() -> Value {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8(text).ok()?.lines().next().map(str::to_owned)
    };
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let command: Vec<String> = std::env::args().skip(1).collect();
    json!({
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "model": model.map(|(_, model)| model),
        "kernel": rustix::system::uname().release().to_str().ok(),
        "load": read("/proc/loadavg").trim(),
        "rustc": said("rustc", &["--version"]),
        "h2load": said("h2load", &["--version"]),
        "redis": said("redis-server", &["--version"]),
        "node": said("node", &["--version"]),
        "commit": said("git", &["describe", "--always", "--dirty"]),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "command": format!("tests/bench/run {}", command.join(" ")),
        "unix_time": SystemClock.now().wall.seconds(),
    })
}

fn table(rows: &[Row], machine: &Value, older: &Value) -> Result<String, Failure> {
    let mut text = String::from("# Measured\n\n");
    for (name, value) in machine.as_object().into_iter().flatten() {
        writeln!(text, "- {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
    }
    text.push_str("\n| Figure | Measured | Floor | Ratio | Target | | Before | Change |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows {
        let dash = || String::from("–");
        let before = before(older, &row.name);
        let floor = row.floor.map_or_else(dash, |floor| row.shown(floor));
        let ratio = row.ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let change = before.map_or_else(dash, |old| format!("{:+.0} %", (row.value / old - 1.0) * 100.0));
        let before = before.map_or_else(dash, |old| row.shown(old));
        let (name, figure, met) = (&row.name, row.shown(row.value), verdict(row.met));
        writeln!(
            text,
            "| {name} | {figure} | {floor} | {ratio} | {} | {met} | {before} | {change} |",
            row.target
        )?;
    }
    Ok(text)
}

/// The figure of that name in an older record.
fn before(older: &Value, name: &str) -> Option<f64> {
    let figures = older.get("figures")?.as_array()?;
    figures
        .iter()
        .find(|figure| figure.get("name").and_then(Value::as_str) == Some(name))?
        .get("value")?
        .as_f64()
}
