//! What operators call beside serving: `doctor`, `healthcheck`, completions and man pages, as the real programs print them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../common/tests/tls/pki.rs"]
mod pki;

use std::{fs, path::Path, process::Output, sync::Arc, time::Duration};

use common::{
    clock::{Clock, ManualClock, Now, SystemClock},
    runtime::{doctor::Page, settings_file::SettingsFile},
};
use harness::{
    programs::{Program, Programs, Start},
    redis::Redis,
    until,
};
use issuer::args::DoctorOptions;
use pki::{Authority, write};

/// What it printed, on both streams.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// The doctor finds exactly this, in one sentence, and says where the runbook speaks of it.
#[track_caller]
fn fails(program: &Program, variables: &[(&str, &str)], page: Page, words: &str) {
    let output = program.run_with(&["doctor"], variables);
    let told = told(&output);
    assert!(!output.status.success(), "{told}");
    let mut lines = told.lines();
    let found = lines.find(|line| line.starts_with("FAIL") && line.contains(words));
    assert!(found.is_some(), "{words} in\n{told}");
    let advice = lines.next().unwrap();
    assert!(advice.trim_start().starts_with("do: ") && advice.ends_with(page.address()), "{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_wrong_with_a_pair_that_serves_and_a_token_goes_all_the_way() {
    let pair = Programs::start().await;
    let verifier = format!("http://{}", pair.verifier.grpc());
    for (program, arguments, good) in [
        (&pair.issuer, &["doctor"][..], &["settings", "keys", "audit trail", "serving", "store"][..]),
        (&pair.issuer, &["doctor", "--round-trip", &verifier], &["serving", "store", "round trip"]),
        (&pair.verifier, &["doctor"], &["settings", "keys", "snapshot", "reachability", "clocks", "serving"]),
    ] {
        let output = program.run(arguments);
        let told = told(&output);
        assert!(output.status.success() && told.ends_with("nothing is wrong\n"), "{told}");
        for about in good {
            assert!(
                told.contains(&format!("\nok    {about}: ")) || told.starts_with("ok    settings"),
                "{told}"
            );
        }
    }
    // From anywhere, with no settings of an issuer; and what it leaves behind is a closed project.
    let issuer = format!("http://{}", pair.issuer.grpc());
    let bare = std::process::Command::new(harness::programs::path("issuer"))
        .args(["doctor", "--issuer", &issuer, "--round-trip", &verifier])
        .env_clear()
        .current_dir("/")
        .output()
        .unwrap();
    assert!(
        told(&bare).contains("ok    round trip: issued, accepted, revoked, and refused"),
        "{}",
        told(&bare)
    );
    let trail = fs::read_to_string(pair.path("audit.jsonl")).unwrap();
    let count = |event: &str| trail.lines().filter(|line| line.contains(event)).count();
    assert!(trail.matches("doctor-").count() >= 4, "{trail}");
    assert_eq!((count("\"action\":\"create\""), count("\"reason\":\"close_project\"")), (2, 2), "{trail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_an_issuer_is_a_sentence_with_its_page_of_the_runbook() {
    let mut pair = Programs::start().await;
    let wrong = pair.issuer.run_with(&["doctor"], &[("ISSUER_STORE__KIND", "file"), ("ISSUER_REALM", "A")]);
    assert_eq!(wrong.status.code(), Some(64));
    assert_eq!(told(&wrong).matches(Page::Settings.address()).count(), 2, "{}", told(&wrong));

    fails(&pair.issuer, &[("ISSUER_KEYS__DIRECTORY", "/nowhere")], Page::Keys, "keys");
    fails(&pair.issuer, &[("ISSUER_AUDIT__PATH", "/nowhere/audit.jsonl")], Page::Audit, "/nowhere");
    fs::write(pair.path("damaged"), "no store").unwrap();
    fails(&pair.issuer, &[("ISSUER_STORE__PATH", "damaged")], Page::Store, "damaged");

    // Held by somebody else, while no issuer of these settings runs.
    fails(&pair.issuer, &[("ISSUER_GRPC__LISTEN", "127.0.0.1:1")], Page::Store, "in use by another process");

    let ca = Authority::new("A");
    let soon = ca.issue(&["localhost"], 1, 2020);
    let list = ca.withdraw(1, &[]);
    let files = write(&pair.path("."), "issuer", &soon, &ca.pem, Some(&list));
    let (certificate, key, roots) = (text(&files.certificate), text(&files.key), text(&files.ca));
    let tls = [
        ("ISSUER_TLS__CERTIFICATE", &*certificate),
        ("ISSUER_TLS__KEY", &*key),
        ("ISSUER_TLS__CLIENT_CA", &*roots),
        ("ISSUER_GRPC__INSECURE_LOOPBACK", "false"),
    ];
    fails(&pair.issuer, &tls, Page::Certificates, "certificate");

    let nobody = pair.issuer.run(&["doctor", "--round-trip", "http://127.0.0.1:1"]);
    assert!(told(&nobody).contains(Page::Reachability.address()), "{}", told(&nobody));

    // Runs, and does not serve: its trail was cut while it was away.
    assert!(pair.issuer.terminate().await);
    fs::remove_file(pair.path("audit.jsonl")).unwrap();
    pair.issuer.spawn();
    until("it is alive", async || pair.issuer.run(&["healthcheck"]).status.success().then_some(())).await;
    fails(&pair.issuer, &[], Page::NotServing, "ipms.token.v1.IssuerService");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_verifier_is_a_sentence_with_its_page_of_the_runbook() {
    let tight = |key| (key, "1s".to_owned());
    let verifier = vec![
        tight("LIMITS__REVERSE__STALENESS"),
        tight("LIMITS__SECONDARY__STALENESS"),
        tight("LIMITS__PSEUDONYMISATION__STALENESS"),
    ];
    let mut pair = Programs::set_up(Start { verifier, ..Start::default() }).await;
    fails(&pair.verifier, &[("VERIFIER_ISSUER__LOG_KEYS", "/nowhere")], Page::Settings, "issuer.log_keys");
    let endpoint = [("VERIFIER_ISSUER__ENDPOINTS", "http://127.0.0.1:1")];
    fails(&pair.verifier, &endpoint, Page::Reachability, "127.0.0.1:1");

    let variables = [
        ("ISSUER__ENDPOINTS", format!("http://{}", pair.issuer.grpc())),
        ("ISSUER__LOG_KEYS", log_key(&pair)),
    ];
    let settings = verifier::settings::Settings::read(file("VERIFIER_", &variables), "host").unwrap();
    let report = verifier::doctor::examine(&settings, ahead()).await.to_string();
    assert!(report.contains("s off this machine's") && report.contains(Page::Clocks.address()), "{report}");

    assert!(pair.issuer.terminate().await);
    until("leases have run out", async || {
        let reverse = ["healthcheck", "--service", "ipms.token.v1.VerifierService/REVERSE"];
        (!pair.verifier.run(&reverse).status.success()).then_some(())
    })
    .await;
    fails(&pair.verifier, &[], Page::NotServing, "VerifierService/REVERSE");
    fails(&pair.verifier, &[], Page::Reachability, "no connection to the issuer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_redis_is_told_each_by_itself() {
    let (redis, pair) = (Redis::start(), Programs::start().await);
    let url = redis.url();
    let shared = [
        ("ISSUER_STORE__KIND", "redis"),
        ("ISSUER_STORE__URL", &*url),
        ("ISSUER_GRPC__LISTEN", "127.0.0.1:1"),
    ];
    let well = pair.issuer.run_with(&["doctor"], &shared);
    assert!(well.status.success(), "{}", told(&well));
    assert!(told(&well).contains("ok    clocks: the store's agrees"), "{}", told(&well));
    // It looked, and wrote nothing.
    assert!(redis.tell("DBSIZE").contains(":0"), "{}", redis.tell("DBSIZE"));

    let variables = [
        ("STORE__KIND", "redis".to_owned()),
        ("STORE__URL", url.clone()),
        ("KEYS__DIRECTORY", path(&pair, "keys")),
    ];
    let settings = issuer::settings::Settings::read(file("ISSUER_", &variables)).unwrap();
    let options = DoctorOptions { round_trip: None, issuer: None, ca: None, certificate: None, key: None };
    let report = issuer::commands::doctor::examine_all(&settings, &options, ahead()).await.to_string();
    assert!(report.contains("over 5 s off") && report.contains(Page::Clocks.address()), "{report}");

    redis.tell("CONFIG SET appendfsync everysec");
    redis.tell("CONFIG SET maxmemory-policy allkeys-lru");
    let wrong = told(&pair.issuer.run_with(&["doctor"], &shared));
    assert_eq!(wrong.matches(Page::Store.address()).count(), 2, "{wrong}");
    fails(&pair.issuer, &shared, Page::Store, "appendfsync is everysec and must be always");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_needs_no_shell_and_tells_each_name_by_itself() {
    let mut pair = Programs::start().await;
    for (program, names) in [
        (&pair.issuer, ["", "ipms.token.v1.IssuerService"]),
        (&pair.verifier, ["", "ipms.token.v1.VerifierService/REVERSE"]),
    ] {
        for name in names {
            let output = program.run(&["healthcheck", "--service", name]);
            assert!(output.status.success() && told(&output).is_empty(), "{name}: {}", told(&output));
        }
        let unknown = program.run(&["healthcheck", "--service", "nobody"]);
        assert_eq!(unknown.status.code(), Some(1));
        assert!(told(&unknown).contains("nobody is not served"), "{}", told(&unknown));
    }
    pair.issuer.kill();
    let dead = pair.issuer.run(&["healthcheck"]);
    assert_eq!(dead.status.code(), Some(1), "{}", told(&dead));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_load_in_bash_and_the_man_page_names_every_command() {
    for (name, commands) in [
        (
            "issuer",
            &[
                "serve",
                "check-config",
                "doctor",
                "healthcheck",
                "keys generate",
                "audit verify",
                "store check",
            ][..],
        ),
        ("verifier", &["serve", "check-config", "doctor", "healthcheck"]),
    ] {
        let program = harness::programs::path(name);
        let print = |arguments: &[&str]| {
            let output = std::process::Command::new(&program).arg("manual").args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", told(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("completions");
        fs::write(&file, print(&["completions", "bash"])).unwrap();
        let line = format!(
            "source {}; COMP_WORDS=({name} doc); COMP_CWORD=1; _{name} {name} doc {name}; echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let bash = std::process::Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
        assert_eq!(told(&bash).trim(), "doctor", "{name}");
        assert!(print(&["completions", "zsh"]).starts_with("#compdef"));
        assert!(print(&["completions", "fish"]).contains(&format!("complete -c {name}")));
        let page = print(&["man"]).replace("\\-", "-");
        assert!(page.contains(".TH") && page.contains("--config"), "{page}");
        for command in commands {
            let heading = format!(".SH \"{} {}\"", name.to_uppercase(), command.to_uppercase());
            assert!(page.contains(&heading), "{heading} in\n{page}");
        }
        assert!(!page.contains("MANUAL"), "{page}");
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn path(pair: &Programs, name: &str) -> String {
    text(&pair.path(name))
}

fn log_key(pair: &Programs) -> String {
    path(pair, "keys/log.public.pem")
}

fn file(prefix: &str, variables: &[(&str, String)]) -> SettingsFile {
    let named = variables.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone()));
    SettingsFile::new(toml::Table::new(), named, prefix)
}

/// A clock that is half a minute ahead of everybody's.
fn ahead() -> Arc<dyn Clock> {
    let now = SystemClock.now();
    Arc::new(ManualClock::new(Now { wall: now.wall.plus(Duration::from_secs(30)), ..now }))
}
