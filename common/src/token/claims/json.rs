//! The JSON of the claims: written in one way, read strictly. Never a default for something missing.

use serde::{Deserialize, Serialize};

use super::{Claims, InvalidClaims, SCHEMA, Source, TokenConfiguration, TokenMethod};
use crate::{
    encoding,
    project::{Alphabet, OutputFormat, Treatment},
    revocation::cursor::Cursor,
    strict_json::{Object, present, read},
    timestamp::Timestamp,
    token::kind::TokenType,
};

impl Claims {
    /// The JSON that a token carries.
    ///
    /// # Errors
    /// Never in practice: strings and whole numbers only.
    pub fn to_json(&self) -> Result<Vec<u8>, InvalidClaims> {
        serde_json::to_vec(&WireClaims::from(self)).ok().ok_or(InvalidClaims::Malformed)
    }

    /// Reads what [`Claims::to_json`] writes, in any order of members, and nothing else.
    ///
    /// # Errors
    /// [`InvalidClaims`]. Another version is told apart even if it holds members unknown here.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidClaims> {
        match read::<WireClaims>(json) {
            Some(wire) if wire.schema == SCHEMA => wire.parse().ok_or(InvalidClaims::Malformed),
            Some(wire) => Err(InvalidClaims::UnsupportedSchema(wire.schema)),
            None => match read::<AnyVersion>(json) {
                Some(other) if other.schema != SCHEMA => Err(InvalidClaims::UnsupportedSchema(other.schema)),
                _ => Err(InvalidClaims::Malformed),
            },
        }
    }
}

#[derive(Deserialize)]
struct AnyVersion {
    schema: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireClaims {
    iss: String,
    aud: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    sub: String,
    token_type: String,
    organisation: String,
    project: Object<WireProject>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    source: Option<Object<WireSource>>,
    recorded: Object<WireCursor>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    cnf: Option<Object<WireConfirmation>>,
    schema: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireProject {
    method: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    retention_end: Option<u64>,
    treatment: String,
    output_format: Object<WireFormat>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireFormat {
    alphabet: String,
    length: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireSource {
    project: String,
    organisation: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireCursor {
    epoch: u64,
    sequence: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireConfirmation {
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

impl From<&Claims> for WireClaims {
    fn from(claims: &Claims) -> Self {
        let configuration = &claims.configuration;
        Self {
            iss: claims.issuer.clone(),
            aud: claims.audience.clone(),
            jti: claims.id.to_string(),
            iat: claims.issued_at.seconds(),
            nbf: claims.not_before.seconds(),
            exp: claims.expires_at.seconds(),
            sub: claims.project.to_string(),
            token_type: claims.kind.as_str().to_owned(),
            organisation: claims.organisation.to_string(),
            project: Object(WireProject {
                method: match configuration.method {
                    TokenMethod::Reversible { .. } => REVERSIBLE.to_owned(),
                    TokenMethod::NotReversible => NOT_REVERSIBLE.to_owned(),
                },
                retention_end: configuration.method.retention_end().map(Timestamp::seconds),
                treatment: configuration.treatment.as_str().to_owned(),
                output_format: Object(WireFormat {
                    alphabet: configuration.output_format.alphabet().as_str().to_owned(),
                    length: configuration.output_format.length(),
                }),
            }),
            source: claims.source.as_ref().map(|source| {
                Object(WireSource {
                    project: source.project.to_string(),
                    organisation: source.organisation.to_string(),
                })
            }),
            recorded: Object(WireCursor { epoch: claims.recorded.epoch, sequence: claims.recorded.sequence }),
            cnf: claims
                .holder
                .map(|holder| Object(WireConfirmation { certificate: encoding::encode(&holder) })),
            schema: SCHEMA,
        }
    }
}

impl WireClaims {
    fn parse(self) -> Option<Claims> {
        let Object(project) = self.project;
        let Object(recorded) = self.recorded;
        Some(Claims {
            issuer: self.iss,
            audience: self.aud,
            id: self.jti.parse().ok()?,
            issued_at: Timestamp::from_seconds(self.iat)?,
            not_before: Timestamp::from_seconds(self.nbf)?,
            expires_at: Timestamp::from_seconds(self.exp)?,
            project: self.sub.parse().ok()?,
            kind: TokenType::parse(&self.token_type)?,
            organisation: self.organisation.parse().ok()?,
            configuration: project.parse()?,
            source: match self.source {
                Some(Object(source)) => Some(Source {
                    project: source.project.parse().ok()?,
                    organisation: source.organisation.parse().ok()?,
                }),
                None => None,
            },
            recorded: Cursor::new(recorded.epoch, recorded.sequence),
            holder: match self.cnf {
                Some(Object(cnf)) => Some(encoding::decode_array(cnf.certificate)?),
                None => None,
            },
        })
    }
}

impl WireProject {
    fn parse(self) -> Option<TokenConfiguration> {
        let Object(format) = self.output_format;
        Some(TokenConfiguration {
            method: match (self.method.as_str(), self.retention_end) {
                (REVERSIBLE, Some(end)) => {
                    TokenMethod::Reversible { retention_end: Timestamp::from_seconds(end)? }
                }
                (NOT_REVERSIBLE, None) => TokenMethod::NotReversible,
                _ => return None,
            },
            treatment: Treatment::parse(&self.treatment)?,
            output_format: OutputFormat::new(Alphabet::parse(&format.alphabet)?, format.length).ok()?,
        })
    }
}

const REVERSIBLE: &str = "REVERSIBLE";
const NOT_REVERSIBLE: &str = "NOT_REVERSIBLE";
