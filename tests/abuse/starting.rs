//! What the programs refuse to start with, and what check-config says of it. Real binaries; nothing serves.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use common::{jws::Algorithm, keys::SigningKey};
use harness::{keys, programs};

use crate::pki::{Authority, write};

fn run(program: &str, folder: &Path, word: &str, settings: &str) -> Output {
    let file = folder.join("settings.toml");
    fs::write(&file, settings).unwrap();
    let mut command = Command::new(programs::path(program));
    command.env_clear().current_dir(folder).stdin(Stdio::null()).args([word, "--config"]).arg(file);
    command.output().unwrap()
}

#[test]
fn a_listener_without_tls_off_loopback_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    keys::copy_into(&folder.path().join("keys"), 1);
    let log_key = "[issuer]\nlog_keys = ['keys/log.public.pem']\n";
    for (program, more) in [("issuer", ""), ("verifier", log_key)] {
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
            let settings = format!("grpc.listen = '{listen}'\nadmin.listen = '127.0.0.1:0'\n{more}");
            let ended = run(program, folder.path(), "serve", &settings);
            let told = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(64), "{program} {listen}: {told}");
            assert!(told.contains("grpc.listen") && told.contains("tls.certificate"), "{told}");
        }
    }
}

#[test]
fn check_config_reads_the_tls_files_as_a_start_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    keys::copy_into(&path.join("keys"), 1);
    let ca = Authority::new("A");
    let list = ca.withdraw(1, &[]);
    write(path, "own", &ca.issue(&["localhost"], 1, 2090), &ca.pem, Some(&list));
    write(path, "towards", &ca.issue(&["verifier.ipms.test"], 2, 2090), &ca.pem, None);
    let tls =
        "[tls]\ncertificate = 'own.certificate'\nkey = 'own.key'\nclient_ca = 'own.ca'\ncrl = 'own.crl'\n";
    let following = "[issuer]\nlog_keys = ['keys/log.public.pem']\nendpoints = ['https://localhost:1']\n\
                     certificate = 'towards.certificate'\nkey = 'towards.key'\nca = 'towards.ca'\n";
    let check = |program: &str| {
        let more = if program == "verifier" { following } else { "" };
        let ended = run(program, path, "check-config", &format!("{tls}{more}"));
        (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    for program in ["issuer", "verifier"] {
        assert_eq!(check(program), (0, String::new()), "{program}");
    }
    let broken = |file: &str, how: &dyn Fn(&Path), told: &[(&str, &str)]| {
        let file = path.join(file);
        let good = fs::read(&file).unwrap();
        how(&file);
        for (program, words) in told {
            let (code, text) = check(program);
            assert!(code == 64 && text.contains(words), "{program}, {}: {code} {text}", file.display());
        }
        fs::write(&file, good).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let both = |words| [("issuer", words), ("verifier", words)];
    let garbage = |file: &Path| fs::write(file, "garbage").unwrap();
    broken("own.certificate", &garbage, &both("tls: the certificate's file is not the PEM"));
    broken("own.ca", &|file| fs::remove_file(file).unwrap(), &both("tls: the CA's file cannot be read"));
    broken("own.crl", &garbage, &both("tls: the revocation list's file is not the PEM"));
    let open = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    broken("own.key", &open, &both("tls: the key's file"));
    let other = ca.issue(&["localhost"], 3, 2090).key;
    broken(
        "own.key",
        &|file| fs::write(file, &other).unwrap(),
        &both("tls: certificate and key do not belong"),
    );
    let old = ca.issue(&["localhost"], 4, 2025).certificate;
    broken(
        "own.certificate",
        &|file| fs::write(file, &old).unwrap(),
        &both("tls: the certificate is not valid now"),
    );
    broken("towards.certificate", &garbage, &[("verifier", "issuer: the certificate's file is not the PEM")]);
}

#[test]
fn a_key_that_anybody_can_read_is_refused_by_name_outside_of_development() {
    const PRIVATE: &str = include_str!("../vectors/keys/test_only_ps256.pem");
    let public = SigningKey::from_pem(PRIVATE, Algorithm::Ps256).unwrap().public().to_pem().unwrap();
    let published = "tests/vectors of this project";
    for (program, file, pem, mode) in [
        ("issuer", "token-000000000009-x.pem", PRIVATE, 0o600),
        ("issuer", "log.pem", PRIVATE, 0o600),
        ("verifier", "log.public.pem", &*public, 0o644),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        keys::copy_into(&path.join("keys"), 1);
        let serving = |word: &str, development: bool| {
            let settings = format!(
                "grpc.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\ngrpc.insecure_loopback = {development}\n"
            );
            let ended = run(program, path, word, &settings);
            (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
        };
        assert_eq!(serving("check-config", false), (0, String::new()), "{program}: a key of its own");
        let key = path.join("keys").join(file);
        fs::remove_file(&key).ok();
        fs::write(&key, pem).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        // A verifier's is a setting, an issuer's is a file that it finds.
        let served = if program == "verifier" { 64 } else { 1 };
        for (word, code) in [("check-config", 64), ("serve", served)] {
            let (ended, told) = serving(word, false);
            assert_eq!(ended, code, "{program} {file} {word}: {told}");
            assert!(told.contains(file) && told.contains(published), "{program} {file} {word}: {told}");
        }
        let (ended, told) = serving("check-config", true);
        assert_eq!((ended, &*told), (0, ""), "{program} {file}: for development");
    }
}
