//! The PEM files behind TLS: read whole, checked, never quoted. Makes no configuration.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{dates, provider};
use crate::{
    secret::{Secret, SecretError},
    timestamp::Timestamp,
};

/// Where the files are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// Our own certificate, and the intermediate ones behind it.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8 and not encrypted.
    pub key: PathBuf,
    /// Whoever these signed is let in, or believed.
    pub ca: PathBuf,
    /// What those withdrew: one list of each.
    pub crl: Option<PathBuf>,
}

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsFile {
    /// [`TlsFiles::certificate`].
    Certificate,
    /// [`TlsFiles::key`].
    Key,
    /// [`TlsFiles::ca`].
    Ca,
    /// [`TlsFiles::crl`].
    Crl,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "the certificate's file",
            Self::Key => "the key's file",
            Self::Ca => "the CA's file",
            Self::Crl => "the revocation list's file",
        })
    }
}

/// Why files are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system said no.
    #[error("{0} cannot be read: {1}")]
    Unreadable(TlsFile, #[source] io::Error),
    /// The private key is not there, or not private.
    #[error("the key's file {0}")]
    Key(#[from] SecretError),
    /// Above 4 MiB.
    #[error("{0} is too large")]
    TooLarge(TlsFile),
    /// Nothing in it, or something else.
    #[error("{0} is not the PEM that it should be")]
    NotPem(TlsFile),
    /// Certificate and key are no pair, or of a kind that is not used.
    #[error("certificate and key do not belong together, or are of a kind that is not used")]
    NoPair,
    /// The certificate is good later, or was good before.
    #[error("the certificate is not valid now")]
    NotValidNow,
    /// A list without a date, or after it.
    #[error("a revocation list is out of date")]
    OldList,
    /// The TLS library does not take them.
    #[error("CA and revocation lists are not usable together")]
    NotUsable,
}

/// The files as they were at one moment.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Secret,
    ca: Vec<u8>,
    crl: Option<Vec<u8>>,
}

/// What they say.
pub(super) struct Material {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) not_after: Timestamp,
    /// The first list to go out of date.
    pub(super) next_update: Option<Timestamp>,
}

impl Contents {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate, TlsFile::Certificate)?,
            key: Secret::read(&files.key)?,
            ca: read(&files.ca, TlsFile::Ca)?,
            crl: files.crl.as_deref().map(|path| read(path, TlsFile::Crl)).transpose()?,
        })
    }

    /// Tells other contents apart, and nothing about these.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let list = self.crl.as_deref().unwrap_or_default();
        for part in [&self.certificate, self.key.expose_secret_bytes(), &self.ca, list] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }

    pub(super) fn parse(&self, now: Timestamp) -> Result<Material, TlsError> {
        let chain = certificates(&self.certificate, TlsFile::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret_bytes());
        let key = key.map_err(|_not_pem| TlsError::NotPem(TlsFile::Key))?;
        let (not_before, not_after) = chain
            .first()
            .and_then(|own| dates::validity(own))
            .ok_or(TlsError::NotPem(TlsFile::Certificate))?;
        if now < not_before || not_after < now {
            return Err(TlsError::NotValidNow);
        }
        let own = CertifiedKey::from_der(chain, key, &provider()).map_err(|_no_pair| TlsError::NoPair)?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca, TlsFile::Ca)? {
            roots.add(root).map_err(|_unusable| TlsError::NotPem(TlsFile::Ca))?;
        }
        let lists = match &self.crl {
            Some(pem) => all(CertificateRevocationListDer::pem_slice_iter(pem), TlsFile::Crl)?,
            None => Vec::new(),
        };
        let due: Option<Vec<_>> = lists.iter().map(|list| dates::next_update(list)).collect();
        let next_update = due.ok_or(TlsError::OldList)?.into_iter().min();
        if next_update.is_some_and(|due| due < now) {
            return Err(TlsError::OldList);
        }
        Ok(Material { own: Arc::new(own), roots: Arc::new(roots), lists, not_after, next_update })
    }
}

fn certificates(pem: &[u8], file: TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(CertificateDer::pem_slice_iter(pem), file)
}

/// At least one, and each of them good.
fn all<T, E>(items: impl Iterator<Item = Result<T, E>>, file: TlsFile) -> Result<Vec<T>, TlsError> {
    let items: Vec<T> = items.collect::<Result<_, E>>().map_err(|_not_pem| TlsError::NotPem(file))?;
    if items.is_empty() { Err(TlsError::NotPem(file)) } else { Ok(items) }
}

fn read(path: &Path, file: TlsFile) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(file, error);
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT { Err(TlsError::TooLarge(file)) } else { Ok(bytes) }
}

const LIMIT: u64 = 4 << 20;
