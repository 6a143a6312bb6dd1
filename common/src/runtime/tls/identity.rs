//! Whom a certificate names: one SPIFFE id or, without any URI, one DNS name. Never the subject, never a pattern.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A certificate that names nobody, or more than one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoIdentity {
    /// Not a certificate of an end entity.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Two of them: which one counts is anybody's guess.
    #[error("the certificate names more than one URI, or more than one host and no URI")]
    Ambiguous,
    /// Neither URI nor DNS name.
    #[error("the certificate names no URI and no host")]
    Nameless,
    /// The name is no SPIFFE id or plain host name.
    #[error("the certificate's name is no SPIFFE id and no plain host name")]
    Form,
}

/// Reads it. The certificate must have been verified before.
pub(super) fn identity(certificate: &CertificateDer<'_>) -> Result<Arc<str>, NoIdentity> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_unreadable| NoIdentity::Unreadable)?;
    let one = match only(certificate.valid_uri_names())? {
        Some(uri) => uri.to_owned(),
        None => only(certificate.valid_dns_names())?.ok_or(NoIdentity::Nameless)?.to_ascii_lowercase(),
    };
    if is_identity(&one) { Ok(one.into()) } else { Err(NoIdentity::Form) }
}

/// Whether a certificate could name a caller so: `spiffe://trust-domain/path`, or a host name of at least two labels.
pub fn is_identity(name: &str) -> bool {
    match name.strip_prefix("spiffe://") {
        Some(rest) => name.len() <= 2_048 && is_spiffe(rest),
        // Two labels: no host is called as a caller without a certificate is audited.
        None => name.len() <= 253 && name.contains('.') && name.split('.').all(is_label),
    }
}

fn only<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, NoIdentity> {
    let first = names.next();
    if names.next().is_some() { Err(NoIdentity::Ambiguous) } else { Ok(first) }
}

/// As the SPIFFE standard has it: no port, user, query, fragment, percent sign, empty or dotted segment.
fn is_spiffe(rest: &str) -> bool {
    let Some((domain, path)) = rest.split_once('/') else { return false };
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let segment = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
    };
    (1..=255).contains(&domain.len()) && domain.bytes().all(lower) && path.split('/').all(segment)
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn of(names: &[(&str, bool)]) -> Result<String, NoIdentity> {
        let mut params = CertificateParams::default();
        for (name, is_uri) in names {
            let name = (*name).try_into().unwrap();
            params.subject_alt_names.push(if *is_uri { SanType::URI(name) } else { SanType::DnsName(name) });
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        identity(certificate.der()).map(|name| name.to_string())
    }

    #[test]
    fn the_one_uri_counts_and_without_it_the_one_host() {
        let spiffe = "spiffe://ipms.test/Portal_1";
        assert_eq!(of(&[("portal.test", false), (spiffe, true)]).unwrap(), spiffe);
        assert_eq!(of(&[("Portal.Test", false)]).unwrap(), "portal.test");
        assert_eq!(of(&[(spiffe, true), ("spiffe://ipms.test/b", true)]), Err(NoIdentity::Ambiguous));
        assert_eq!(of(&[("a.test", false), ("b.test", false)]), Err(NoIdentity::Ambiguous));
        assert_eq!(of(&[]), Err(NoIdentity::Nameless));
    }

    #[test]
    fn a_name_that_is_not_exact_is_none() {
        for bad in
            ["https://ipms.test/a", "spiffe://ipms.test", "SPIFFE://ipms.test/a", "spiffe://ipms.test/a/"]
        {
            assert_eq!(of(&[("portal.test", false), (bad, true)]), Err(NoIdentity::Form), "{bad}");
        }
        for bad in [
            "",
            "a",
            "loopback",
            "nobody",
            "unix-socket",
            "*.a.test",
            "a..test",
            "a_b.test",
            "spiffe:///a",
            "spiffe://a/./b",
            "spiffe://a/../b",
            "spiffe://a/%2e",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://A/b",
            "spiffe://a//b",
        ] {
            assert!(!is_identity(bad), "{bad}");
        }
    }
}
