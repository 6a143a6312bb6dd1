//! A PKCS#11 token made of software (`SoftHSM` 2): initialised, filled, pulled out and put back. Claims nothing.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A token of its own, in a folder of its own.
#[derive(Debug)]
pub struct Token {
    folder: PathBuf,
    keys: u32,
}

impl Token {
    /// Initialises it below `folder`.
    pub fn new(folder: &Path) -> Self {
        let folder = folder.join("softhsm");
        let slots = folder.join("slots");
        fs::create_dir_all(&slots).unwrap();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", slots.display());
        fs::write(folder.join("softhsm2.conf"), text).unwrap();
        let token = Self { folder, keys: 0 };
        token.pin(PIN);
        token.twin();
        token
    }

    /// Puts a key pair of a `PRIVATE KEY` PEM on it.
    pub fn put(&mut self, label: &str, pem: &Path) {
        self.keys += 1;
        let id = format!("{:08x}", self.keys);
        let pem = pem.display().to_string();
        self.tool(&["--import", &pem, "--token", LABEL, "--label", label, "--id", &id, "--pin", PIN]);
    }

    /// Initialises one more token with the same label, beside any others.
    pub fn twin(&self) {
        self.tool(&["--init-token", "--free", "--label", LABEL, "--so-pin", "officer-pin", "--pin", PIN]);
    }

    /// Takes every public key object off it; the private ones stay.
    pub fn drop_public_halves(&self) {
        for path in self.public_halves() {
            fs::remove_file(path).unwrap();
        }
    }

    /// Its one public key object becomes that of another token, name and all.
    pub fn swap_public_half(&self, of: &Self) {
        let ([own], [other]) = (&*self.public_halves(), &*of.public_halves()) else { panic!("not one each") };
        fs::copy(other, own).unwrap();
    }

    /// The files of the public key objects. A file begins with its generation and `CKA_CLASS`, 0, a number: `CKO_PUBLIC_KEY`
    /// is 2.
    fn public_halves(&self) -> Vec<PathBuf> {
        let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = inside(self.folder.join("slots")).flat_map(inside);
        let public = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            bytes.get(8..16) == Some(&[0; 8]) && bytes.get(24..32) == Some(&[0, 0, 0, 0, 0, 0, 0, 2])
        };
        files.filter(|path| path.extension().is_some_and(|end| end == "object")).filter(public).collect()
    }

    /// What the issuer's PIN file holds from now on.
    pub fn pin(&self, pin: &str) {
        let part = self.folder.join("part");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).unwrap();
        writeln!(file, "{pin}").unwrap();
        fs::rename(part, self.folder.join("pin")).unwrap();
    }

    /// As [`Token::pin`], but the file has the number and the time that it had.
    pub fn pin_unseen(&self, pin: &str) {
        let path = self.folder.join("pin");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
        writeln!(file, "{pin}").unwrap();
        file.set_modified(modified).unwrap();
    }

    /// Nobody finds it any more, and what is on it is gone with it.
    pub fn pull_out(&self) {
        fs::rename(self.folder.join("slots"), self.folder.join("away")).unwrap();
        fs::create_dir(self.folder.join("slots")).unwrap();
    }

    /// It is back.
    pub fn put_back(&self) {
        fs::remove_dir_all(self.folder.join("slots")).unwrap();
        fs::rename(self.folder.join("away"), self.folder.join("slots")).unwrap();
    }

    /// The issuer's settings for it, as environment without its prefix.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("KEYS__PKCS11__MODULE", MODULE.to_owned()),
            ("KEYS__PKCS11__TOKEN_LABEL", LABEL.to_owned()),
            ("KEYS__PKCS11__PIN_FILE", self.folder.join("pin").display().to_string()),
        ]
    }

    /// What the module itself reads from its environment.
    pub fn environment(&self) -> (&'static str, String) {
        ("SOFTHSM2_CONF", self.folder.join("softhsm2.conf").display().to_string())
    }

    fn tool(&self, arguments: &[&str]) {
        let (name, value) = self.environment();
        let done = Command::new("softhsm2-util").args(arguments).env(name, value).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// The PIN of every token.
pub const PIN: &str = "pin-of-the-token";
const LABEL: &str = "ipms test";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
