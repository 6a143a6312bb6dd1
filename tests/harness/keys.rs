//! Keys for tests: made once, copied into every folder that needs some. Never used outside of tests.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::{BootInstant, Now},
    jws::Algorithm,
    keys::SigningKey,
    timestamp::Timestamp,
};
use issuer::adapters::{
    key_directory::{self, Place},
    system_entropy::SystemEntropy,
};

/// Copies the keys of an issuer into `folder`: the log key, the sealing key and `token_keys` token keys, 1 or 2.
pub fn copy_into(folder: &Path, token_keys: usize) {
    fs::create_dir_all(folder).unwrap();
    let mut names: Vec<_> = fs::read_dir(made()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // Token keys are named by the instant of their making.
    names.sort_unstable();
    let is_token = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("token-");
    let (tokens, others): (Vec<_>, Vec<_>) = names.into_iter().partition(is_token);
    for name in others.iter().chain(tokens.iter().take(token_keys)) {
        fs::copy(made().join(name), folder.join(name)).unwrap();
    }
}

/// Adds a token key, newer than those of [`copy_into`].
pub fn add(folder: &Path, pem: &str) {
    let path = folder.join("token-000000000003-own.pem");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap()
        .write_all(pem.as_bytes())
        .unwrap();
}

/// Puts a new token key of 2048 bits into `folder`, newer than all that are there by its `number`. Tells its id.
pub fn put_new(folder: &Path, number: usize) -> String {
    let (id, pem) = new();
    // Under another name first: whoever looks meanwhile finds it whole.
    let (part, path) = (folder.join("part"), folder.join(format!("token-9{number:011}-{id}.pem")));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    fs::rename(part, path).unwrap();
    id
}

/// A new key of 2048 bits: its id and its `PRIVATE KEY` PEM.
pub fn new() -> (String, String) {
    let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let text = STANDARD.encode(der.as_ref()).into_bytes();
    let lines: Vec<_> = text.chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    (SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap().public().id().to_string(), pem)
}

/// Making RSA keys takes seconds, and every test may be a process: they are kept beside the test programs.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let programs = std::env::current_exe().unwrap();
        let home = programs.parent().unwrap().join("test-keys");
        if !home.exists() {
            let folder = tempfile::tempdir_in(programs.parent().unwrap()).unwrap();
            for seconds in [1, 2] {
                let wall = Timestamp::EPOCH.plus(Duration::from_secs(seconds));
                let now = Now { wall, boot: BootInstant::default() };
                key_directory::add(&Place::plain(folder.path()), &SystemEntropy::default(), now).unwrap();
            }
            let folder = folder.keep();
            // Another process may have been faster: then its keys are used.
            if fs::rename(&folder, &home).is_err() {
                fs::remove_dir_all(&folder).unwrap();
            }
        }
        home
    })
}
