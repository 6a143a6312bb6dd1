//! One file of a program whose disk blocks or fails, by a library that is loaded before all others. Needs `cc`, as building
//! does. Touches nothing else of the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::programs::Program;

/// Stands between a program and one of its files.
#[derive(Debug)]
pub struct Fault {
    library: PathBuf,
    control: PathBuf,
}

impl Fault {
    /// Built in this folder; does nothing yet.
    pub fn new(folder: &Path) -> Self {
        let fault = Self { library: folder.join("fault.so"), control: folder.join("fault.control") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fault.c");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&fault.library).arg(source);
        assert!(command.status().unwrap().success(), "the library is not built");
        fault.lift();
        fault
    }

    /// From its next start on the program asks it about this file.
    pub fn before(&self, program: &mut Program, file: &Path) {
        for (name, path) in
            [("LD_PRELOAD", &*self.library), ("FAULT_FILE", file), ("FAULT_CONTROL", &*self.control)]
        {
            program.environment((name, path.display().to_string()));
        }
    }

    /// Whoever writes or syncs waits.
    pub fn block(&self) {
        self.say("b");
    }

    /// Every sync fails with `EIO`.
    pub fn fail_syncs(&self) {
        self.say("f");
    }

    /// All is well again.
    pub fn lift(&self) {
        self.say("-");
    }

    fn say(&self, word: &str) {
        // Whole or not at all: it is read at any moment.
        let part = self.control.with_extension("part");
        fs::write(&part, word).unwrap();
        fs::rename(part, &self.control).unwrap();
    }
}
