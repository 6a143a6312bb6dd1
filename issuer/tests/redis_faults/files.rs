//! Programs around a server's start: a shell that limits it, a clock that is shifted. And copies of its files.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// A program that runs these lines of shell and then becomes redis-server.
pub(crate) fn wrapped(folder: &Path, lines: &str) -> PathBuf {
    let path = folder.join("redis");
    fs::write(&path, format!("#!/bin/sh\n{lines}\nexec redis-server \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The hands of a server's wall clock.
pub(crate) struct Hands(PathBuf);

impl Hands {
    /// And the program that goes by them.
    pub(crate) fn new(folder: &Path) -> (Self, PathBuf) {
        let (library, hands) = (folder.join("clockshift.so"), folder.join("hands"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis_faults/clockshift.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
        assert!(compiler.status().unwrap().success(), "the shim is compiled");
        fs::write(&hands, 0_i64.to_ne_bytes()).unwrap();
        let (library, file) = (library.display(), hands.display());
        let program = wrapped(folder, &format!("export LD_PRELOAD={library} CLOCKSHIFT_FILE={file}"));
        (Self(hands), program)
    }

    pub(crate) fn shift(&self, seconds: i64) {
        // In place: the server has the page mapped.
        let file = fs::OpenOptions::new().write(true).open(&self.0).unwrap();
        file.write_all_at(&(seconds * 1_000).to_ne_bytes(), 0).unwrap();
    }
}

/// The append-only files of a server.
pub(crate) fn appended_files(folder: &Path) -> PathBuf {
    folder.join("appendonlydir")
}

/// The one that grows.
pub(crate) fn growing_file(folder: &Path) -> PathBuf {
    let named = |entry: fs::DirEntry| entry.path();
    let mut files: Vec<_> = fs::read_dir(appended_files(folder)).unwrap().flatten().map(named).collect();
    files.retain(|path| {
        path.extension().is_some_and(|end| end == "aof") && path.display().to_string().contains(".incr.")
    });
    files.pop().expect("a growing file")
}

/// A copy of the append-only files.
pub(crate) fn copy(folder: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(appended_files(folder)).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Puts such a copy in place of what is there.
pub(crate) fn put_back(from: &Path, folder: &Path) {
    fs::remove_dir_all(appended_files(folder)).unwrap();
    fs::create_dir(appended_files(folder)).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), appended_files(folder).join(entry.file_name())).unwrap();
    }
}
