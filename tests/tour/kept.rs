//! What the tour remembers while programs are restarted: demonstration tokens, in a file of the state folder.

use std::{fs, io, path::Path};

use serde_json::{Value, json};

use crate::{
    unmet::{Outcome, Unmet},
    walk::Tokens,
};

/// Two tokens.
#[derive(Debug)]
pub(crate) struct Kept {
    /// A pseudonymisation token that was revoked.
    pub(crate) revoked: String,
    /// A secondary token that was not.
    pub(crate) live: String,
}

impl Kept {
    /// Those of a walk that is done.
    pub(crate) fn of(tokens: &Tokens) -> Self {
        Self { revoked: tokens.pseudonymisation.token.clone(), live: tokens.secondary.token.clone() }
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        let text = json!({ "revoked": self.revoked, "live": self.live }).to_string();
        fs::write(path, text).map_err(unkept(path))
    }

    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = fs::read(path).map_err(unkept(path))?;
        let value: Value = serde_json::from_slice(&text).map_err(io::Error::from).map_err(unkept(path))?;
        let field = |name: &str| {
            let found = value.get(name).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| unkept(path)(io::Error::other(format!("no {name}"))))
        };
        Ok(Self { revoked: field("revoked")?, live: field("live")? })
    }
}

pub(crate) fn unkept(path: &Path) -> impl Fn(io::Error) -> Unmet {
    move |source| Unmet::Kept { path: path.display().to_string(), source }
}
