//! What `doctor` tells: a line for each thing looked at; for each failure what to do, and where the runbook says more.
//! Reads settings and asks listeners; changes nothing.

mod serving;

use std::{fmt, path::Path, sync::Arc};

pub use self::serving::{healthcheck, own_health};
use super::{
    service_settings::ServiceSettings,
    tls::{ClientTls, ServerTls, TlsFiles},
};
use crate::clock::Clock;

/// Where the runbook speaks of it. Each is a heading of `deploy/RUNBOOK.md`; a test compares them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Page {
    /// A setting is not taken.
    Settings,
    /// A key cannot be read, or there is none.
    Keys,
    /// A certificate is bad, or ends soon.
    Certificates,
    /// Two clocks differ.
    Clocks,
    /// The store cannot be used.
    Store,
    /// The folder of the audit trail.
    Audit,
    /// An issuer cannot be reached.
    Reachability,
    /// The other end does not let this caller do it.
    Callers,
    /// The program runs and does not serve.
    NotServing,
    /// A token was not issued, not accepted or not refused.
    RoundTrip,
}

impl Page {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Settings,
        Self::Keys,
        Self::Certificates,
        Self::Clocks,
        Self::Store,
        Self::Audit,
        Self::Reachability,
        Self::Callers,
        Self::NotServing,
        Self::RoundTrip,
    ];

    /// As an address within the project.
    pub const fn address(self) -> &'static str {
        match self {
            Self::Settings => "deploy/RUNBOOK.md#doctor-settings",
            Self::Keys => "deploy/RUNBOOK.md#doctor-keys",
            Self::Certificates => "deploy/RUNBOOK.md#doctor-certificates",
            Self::Clocks => "deploy/RUNBOOK.md#doctor-clocks",
            Self::Store => "deploy/RUNBOOK.md#doctor-store",
            Self::Audit => "deploy/RUNBOOK.md#doctor-audit-trail",
            Self::Reachability => "deploy/RUNBOOK.md#doctor-reachability",
            Self::Callers => "deploy/RUNBOOK.md#doctor-callers",
            Self::NotServing => "deploy/RUNBOOK.md#doctor-not-serving",
            Self::RoundTrip => "deploy/RUNBOOK.md#doctor-round-trip",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Settings => "correct the setting; `check-config` tells when all are good",
            Self::Keys => {
                "put the key there, readable by its owner alone, or make one with `issuer keys generate`"
            }
            Self::Certificates => "renew the files; the running program takes good ones by itself",
            Self::Clocks => "let both machines follow the same time service",
            Self::Store => "mend the server or the file as the sentence says; the issuer goes on by itself",
            Self::Audit => "give the program a folder of its own that it may write to",
            Self::Reachability => "check address, network policy and whether the other program runs",
            Self::Callers => {
                "give this certificate's name the role in `callers` of the program that was called"
            }
            Self::NotServing => "mend what /readyz names; restarting cures none of it",
            Self::RoundTrip => "run `doctor` on the program that gave this answer",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Finding {
    Good { about: &'static str, told: String },
    Bad { about: &'static str, told: String, page: Page },
    Left { about: &'static str, told: String },
}

/// All that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report(Vec<Finding>);

impl Report {
    /// It is as it must be.
    pub fn good(&mut self, about: &'static str, told: impl Into<String>) {
        self.0.push(Finding::Good { about, told: told.into() });
    }

    /// It is not: one sentence, which quotes no secret.
    pub fn bad(&mut self, about: &'static str, page: Page, told: impl Into<String>) {
        self.0.push(Finding::Bad { about, told: told.into(), page });
    }

    /// It was not looked at, and why.
    pub fn left(&mut self, about: &'static str, told: impl Into<String>) {
        self.0.push(Finding::Left { about, told: told.into() });
    }

    /// How many things are bad.
    pub fn failures(&self) -> usize {
        self.0.iter().filter(|finding| matches!(finding, Finding::Bad { .. })).count()
    }

    /// For settings that are not taken: nothing else can be looked at.
    pub fn of_mistakes(mistakes: &str) -> Self {
        let mut report = Self::default();
        for line in mistakes.lines() {
            report.bad("settings", Page::Settings, line);
        }
        report
    }

    /// The files of the program's own listeners.
    pub fn own_certificate(&mut self, service: &ServiceSettings, clock: Arc<dyn Clock>) {
        match service.tls.clone() {
            None => self.left("certificate", "the listeners speak plaintext on loopback"),
            Some(files) => {
                let opened = ServerTls::open(files, clock);
                self.certificate(
                    "certificate",
                    opened.map(|tls| tls.notes()).map_err(|error| error.to_string()),
                );
            }
        }
    }

    /// The files with which another program is called, opened if they are good.
    pub fn client_certificate(
        &mut self,
        about: &'static str,
        files: TlsFiles,
        clock: Arc<dyn Clock>,
    ) -> Option<Arc<ClientTls>> {
        let opened = ClientTls::open(files, clock).map_err(|error| error.to_string());
        self.certificate(about, opened.as_ref().map(ClientTls::notes).map_err(Clone::clone));
        opened.ok().map(Arc::new)
    }

    fn certificate(&mut self, about: &'static str, notes: Result<Vec<String>, String>) {
        match notes {
            Err(error) => self.bad(about, Page::Certificates, error),
            Ok(notes) if notes.is_empty() => self.good(about, "files are good for 7 days and more"),
            Ok(notes) => notes.into_iter().for_each(|note| self.bad(about, Page::Certificates, note)),
        }
    }

    /// A file in this folder can be made and replaced.
    pub fn writable_folder(&mut self, about: &'static str, page: Page, file: &Path) {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
            Ok(()) => self.good(about, format!("{} can be written to", folder.display())),
            Err(error) => {
                self.bad(about, page, format!("{} cannot be written to: {error}", folder.display()));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            match finding {
                Finding::Good { about, told } => writeln!(f, "ok    {about}: {told}")?,
                Finding::Left { about, told } => writeln!(f, "-     {about}: {told}")?,
                Finding::Bad { about, told, page } => {
                    // One sentence, whatever a library put into its error.
                    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
                    writeln!(f, "FAIL  {about}: {told}")?;
                    writeln!(f, "      do: {}; see {}", page.remedy(), page.address())?;
                }
            }
        }
        match self.failures() {
            0 => writeln!(f, "nothing is wrong"),
            1 => writeln!(f, "1 check failed"),
            more => writeln!(f, "{more} checks failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_with_what_to_do_and_where_to_read_on() {
        let mut report = Report::default();
        report.good("settings", "good");
        report.left("round trip", "not asked for");
        assert!(report.to_string().ends_with("nothing is wrong\n"));
        report.bad("store", Page::Store, "Redis does\n not answer");
        let told = report.to_string();
        let expected = format!(
            "ok    settings: good\n-     round trip: not asked for\nFAIL  store: Redis does not answer\n      do: {}; see {}\n1 check failed\n",
            Page::Store.remedy(),
            Page::Store.address()
        );
        assert_eq!((told, report.failures()), (expected, 1));
    }

    #[test]
    fn every_mistake_in_the_settings_is_a_failure_of_its_own() {
        let report = Report::of_mistakes("a must be given\nb must be left out");
        assert_eq!(report.failures(), 2);
    }
}
