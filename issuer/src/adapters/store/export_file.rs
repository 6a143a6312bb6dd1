//! An exported store as a file: a line of JSON for each thing, and a last one that the log key signed over all of them.
//! Reads and writes lines; decides nothing.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest::{Context, SHA256};
use common::{
    encoding,
    keys::{PublicKey, SigningKey},
    project::Project,
    revocation::head::Head,
    trust::{LogKeys, Signed, signed::SignError},
};
use serde::{Deserialize, Serialize};

use super::records::{
    EndForm, IssuedForm, PolicyForm, ProjectForm, Record as _, RowForm, kept_form, read_kept,
};
use crate::domain::{
    followers::Row,
    policy_record::PolicyRecord,
    ports::{AuditMark, LogEnd, StoreError},
    transfer::{Finish, Kept, Sealed},
};

/// A line, but the last.
#[derive(Debug)]
pub enum Line {
    /// A project.
    Project(Box<Project>),
    /// A record of the ledger.
    Token(Box<Kept>),
    /// A run of the log: the number of its first entry, and the entries, packed.
    Run(u64, Vec<u8>),
    /// A row of the register.
    Row(Box<Row>),
    /// What makes it a store.
    Finish(Box<Finish>),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum LineForm {
    Format(String),
    Project(ProjectForm),
    Token(Box<IssuedForm>),
    Run(u64, String),
    Row(RowForm),
    Finish(Box<FinishForm>),
    Signature(SignatureForm),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FinishForm {
    end: EndForm,
    policy: Option<PolicyForm>,
    audit: Option<(u64, [u8; 32])>,
    newest: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SignatureForm {
    statement: String,
    signature: String,
    key: String,
}

/// Writes lines, and the signature at the end.
pub struct Writing<W> {
    out: W,
    digest: Context,
}

impl<W: Write> Writing<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writing = Self { out, digest: Context::new(&SHA256) };
        writing.form(&LineForm::Format(FORMAT.to_owned()))?;
        Ok(writing)
    }

    /// Writes a line.
    ///
    /// # Errors
    /// The file system's.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let form = match line {
            Line::Project(project) => LineForm::Project(project.form()),
            Line::Token(kept) => LineForm::Token(Box::new(kept_form(kept))),
            Line::Run(first, run) => LineForm::Run(*first, encoding::encode(run)),
            Line::Row(row) => LineForm::Row(row.form()),
            Line::Finish(finish) => LineForm::Finish(Box::new(FinishForm {
                end: finish.end.form(),
                policy: finish.policy.as_ref().map(PolicyRecord::form),
                audit: finish.audit.map(|mark| mark.form()),
                newest: finish.newest,
            })),
        };
        self.form(&form)
    }

    /// Signs all of it, and gives the file back.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn sign(mut self, head: Head, key: &SigningKey) -> Result<W, ExportError> {
        let digest = finished(&self.digest);
        let signed = Signed::sign(Sealed { head, digest }, key)?;
        let signed = signed.signed();
        self.form(&LineForm::Signature(SignatureForm {
            statement: encoding::encode(&signed.bytes),
            signature: encoding::encode(&signed.signature),
            key: signed.key.to_string(),
        }))?;
        Ok(self.out)
    }

    fn form(&mut self, form: &LineForm) -> io::Result<()> {
        let mut line = serde_json::to_vec(form)?;
        line.push(b'\n');
        self.digest.update(&line);
        self.out.write_all(&line)
    }
}

/// Reads a whole file: each line goes to `take`, and what the log key signed over all of them is answered. What `take` does
/// with a line must be worth nothing until then.
///
/// # Errors
/// [`Unfit`].
pub fn read(
    file: impl BufRead,
    log_key: &PublicKey,
    mut take: impl FnMut(Line) -> Result<(), Unfit>,
) -> Result<Sealed, Unfit> {
    let mut digest = Context::new(&SHA256);
    let mut lines = file.split(b'\n');
    let mut begun = false;
    while let Some(line) = lines.next().transpose()? {
        let form = serde_json::from_slice(&line);
        let form = form.map_err(|_no_line| if begun { Unfit::Damaged } else { Unfit::Foreign })?;
        let taken = match form {
            LineForm::Format(format) if !begun && format == FORMAT => None,
            LineForm::Format(format) if !begun => return Err(Unfit::Format(format)),
            _ if !begun => return Err(Unfit::Foreign),
            LineForm::Format(_) => return Err(Unfit::Damaged),
            LineForm::Signature(form) => {
                let sealed = check(&form, log_key, &finished(&digest))?;
                return if lines.next().is_none() { Ok(sealed) } else { Err(Unfit::Damaged) };
            }
            LineForm::Project(form) => Project::read(form).map(Box::new).map(Line::Project),
            LineForm::Token(form) => read_kept(*form).map(Box::new).map(Line::Token),
            LineForm::Run(first, run) => encoding::decode(run).map(|run| Line::Run(first, run)),
            LineForm::Row(form) => Row::read(form).map(Box::new).map(Line::Row),
            LineForm::Finish(form) => read_finish(*form).map(Box::new).map(Line::Finish),
        };
        if begun {
            take(taken.ok_or(Unfit::Damaged)?)?;
        }
        begun = true;
        digest.update(&line);
        digest.update(b"\n");
    }
    Err(if begun { Unfit::Damaged } else { Unfit::Foreign })
}

fn read_finish(form: FinishForm) -> Option<Finish> {
    let policy = match form.policy {
        Some(policy) => Some(PolicyRecord::read(policy)?),
        None => None,
    };
    let audit = form.audit.map(|(number, hash)| AuditMark { number, hash });
    Some(Finish { end: LogEnd::read(form.end)?, policy, audit, newest: form.newest })
}

fn check(form: &SignatureForm, log_key: &PublicKey, digest: &[u8; 32]) -> Result<Sealed, Unfit> {
    let parts = encoding::decode(&form.statement).zip(encoding::decode(&form.signature));
    let ((bytes, signature), key) = parts.zip(form.key.parse().ok()).ok_or(Unfit::Damaged)?;
    let keys = LogKeys::new(vec![log_key.clone()]).map_err(|_never| Unfit::Damaged)?;
    if key != log_key.id() {
        return Err(Unfit::OtherKey);
    }
    let sealed = keys.check::<Sealed>(&Signed { bytes, signature, key }).map_err(|_forged| Unfit::Damaged)?;
    if sealed.statement().digest == *digest { Ok(sealed.statement().clone()) } else { Err(Unfit::Damaged) }
}

fn finished(digest: &Context) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest.clone().finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file.
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The signature.
    #[error("the log key cannot sign it")]
    Signing(#[from] SignError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds nothing that could be exported.
    #[error("the store holds no log")]
    Empty,
    /// It was changed meanwhile.
    #[error("the store was changed meanwhile; stop every issuer of the realm first")]
    Moved,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file system.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// No export.
    #[error("the file is no exported store")]
    Foreign,
    /// Of a version that this build does not know.
    #[error("the file is of the format {0}, which this build does not read")]
    Format(String),
    /// Changed, cut, or not signed as it stands.
    #[error("the file is damaged, or was changed after it was signed")]
    Damaged,
    /// Another realm's log key signed it.
    #[error("the file was signed by another log key than the one in keys.directory")]
    OtherKey,
    /// Another realm's.
    #[error("the file is of another realm or issuer")]
    OtherRealm,
    /// The trail of this issuer knows of more.
    #[error("the file is older than the audit trail, which holds entries of the log that are not in it")]
    Older,
    /// It does not hold what its end says.
    #[error("the entries in the file do not lead to the log's end")]
    Broken,
    /// The store is in use.
    #[error("the store is not empty")]
    NotEmpty,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const FORMAT: &str = "ipms-store-export/v1";
