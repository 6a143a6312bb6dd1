//! The strict compact form of a token (RFC 7515 section 7.1). Never the meaning of its claims.

use serde::{Deserialize, Serialize};

use crate::{
    encoding,
    key_id::KeyId,
    keys::{SigningFailed, SigningKey},
    strict_json,
    token::claims::Claims,
};

/// The most bytes a token may have, checked before any decoding.
pub const MAX_LEN: usize = 4_096;

/// The `typ` of every token.
pub const TYP: &str = "ipms-token+jwt";

/// How a key signs (RFC 7518 section 3.1). Pinned to the key, never believed from a header.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes; the default.
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for consumers without PSS.
    Rs256,
}

impl Algorithm {
    /// The `alg` of the header and of the JWK.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    /// The inverse of [`Algorithm::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ps256, Self::Rs256].into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

/// Signs `claims`, which are consumed: one token for one set of claims.
///
/// # Errors
/// [`CannotSign`].
pub fn sign(claims: Claims, key: &SigningKey) -> Result<String, CannotSign> {
    let payload = claims.to_json().ok().ok_or(CannotSign::TooLong)?;
    drop(claims);
    let header = Header {
        alg: key.public().algorithm().as_str().to_owned(),
        typ: TYP.to_owned(),
        kid: key.public().id().to_string(),
    };
    let header = serde_json::to_vec(&header).ok().ok_or(CannotSign::TooLong)?;
    let mut token = encoding::encode(&header);
    token.push('.');
    token.push_str(&encoding::encode(&payload));
    let signature = key.sign_bytes(token.as_bytes())?;
    token.push('.');
    token.push_str(&encoding::encode(&signature));
    if token.len() > MAX_LEN { Err(CannotSign::TooLong) } else { Ok(token) }
}

/// A token taken apart. Nothing in it is proven.
#[derive(Clone)]
pub(crate) struct Compact<'a> {
    /// The bytes that the signature is over.
    pub(crate) signing_input: &'a str,
    /// The claims, undecoded.
    pub(crate) payload: Vec<u8>,
    /// The signature.
    pub(crate) signature: Vec<u8>,
    /// What the header says; to be compared with the key's own.
    pub(crate) algorithm: Algorithm,
    /// Which key it names.
    pub(crate) key_id: KeyId,
}

impl<'a> Compact<'a> {
    /// At most [`MAX_LEN`] bytes, exactly three parts of canonical base64url, a header of exactly `alg`, `typ`, `kid`.
    pub(crate) fn parse(token: &'a str) -> Result<Self, NotCompact> {
        if token.len() > MAX_LEN {
            return Err(NotCompact::Malformed);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(NotCompact::Malformed)?;
        // A fourth part would leave a dot in the payload, which is not base64url.
        let (header, payload) = signing_input.split_once('.').ok_or(NotCompact::Malformed)?;
        let part = |text: &str| encoding::decode(text).ok_or(NotCompact::Malformed);
        let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
        let header: Header = strict_json::read(&header).ok_or(NotCompact::Malformed)?;
        if header.typ != TYP {
            return Err(NotCompact::Malformed);
        }
        let algorithm = Algorithm::parse(&header.alg).ok_or(NotCompact::UnsupportedAlgorithm)?;
        let key_id = header.kid.parse().ok().ok_or(NotCompact::Malformed)?;
        Ok(Self { signing_input, payload, signature, algorithm, key_id })
    }
}

/// The text is no token in the compact form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotCompact {
    /// Size, parts, encoding or header.
    Malformed,
    /// An `alg` that no key of ours has.
    UnsupportedAlgorithm,
}

/// A token could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotSign {
    /// It would have more than [`MAX_LEN`] bytes: issuer or audience are too long.
    #[error("the token would be longer than {MAX_LEN} bytes")]
    TooLong,
    /// The library could not sign.
    #[error(transparent)]
    Failed(#[from] SigningFailed),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}
