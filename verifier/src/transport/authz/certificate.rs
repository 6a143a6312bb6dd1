//! Which certificate a proxy says that it was shown: `x-forwarded-client-cert`, as Envoy writes it. Whether the proxy is
//! believed is decided elsewhere.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The SHA-256 of the one certificate. More than one header, element or value names nobody: the first of a list is what
/// the client itself could have said.
pub(super) fn forwarded<'a>(mut headers: impl Iterator<Item = &'a str>) -> Option<[u8; 32]> {
    let only = headers.next().filter(|_| headers.next().is_none())?;
    let (mut hash, mut certificate) = (None, None);
    for pair in pairs(only)? {
        let (name, value) = pair.split_once('=')?;
        let value = value.strip_prefix('"').map_or(Some(value), |quoted| quoted.strip_suffix('"'))?;
        let slot = match &*name.to_ascii_lowercase() {
            "hash" => &mut hash,
            "cert" => &mut certificate,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let hash = hash.map(of_hex);
    let certificate = certificate.map(of_escaped_pem);
    match (hash, certificate) {
        (Some(one), None) | (None, Some(one)) => one,
        (Some(hash), Some(certificate)) => hash.filter(|hash| certificate == Some(*hash)),
        (None, None) => None,
    }
}

/// The parts of one element; `None` if there are more elements. What is quoted may hold the marks between them.
fn pairs(element: &str) -> Option<Vec<&str>> {
    let (mut pairs, mut rest) = (Vec::new(), element);
    loop {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.char_indices().find(|(_, mark)| {
            let plain = !escaped;
            escaped = quoted && plain && *mark == '\\';
            quoted ^= plain && *mark == '"';
            !quoted && matches!(mark, ';' | ',')
        });
        if quoted {
            return None;
        }
        let Some((end, mark)) = end else {
            pairs.push(rest);
            return Some(pairs);
        };
        if mark == ',' {
            return None;
        }
        pairs.push(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
    }
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// PEM, with what a header cannot hold as `%0A`.
fn of_escaped_pem(text: &str) -> Option<[u8; 32]> {
    let mut pem = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        pem.push_str(before);
        let code = u8::from_str_radix(after.get(..2)?, 16).ok().filter(u8::is_ascii)?;
        pem.push(char::from(code));
        rest = after.get(2..)?;
    }
    pem.push_str(rest);
    let body = pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----")?;
    // One: of a chain, which one counts would be anybody's guess.
    let body = body.strip_suffix("-----END CERTIFICATE-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).ok().filter(|der| !der.is_empty())?;
    digest(&SHA256, &der).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn of(values: &[&str]) -> Option<[u8; 32]> {
        forwarded(values.iter().copied())
    }

    fn pem(body: &str) -> String {
        format!("-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END%20CERTIFICATE-----%0A")
    }

    #[test]
    fn one_certificate_is_read_however_it_is_told() {
        // SHA-256 of "hello".
        let hello = digest(&SHA256, b"hello").as_ref().try_into().ok();
        for told in [
            format!("Hash={HEX}"),
            format!("hash={}", HEX.to_ascii_uppercase()),
            format!("By=spiffe://a/b;Hash={HEX};Subject=\"CN=a, O=\\\"b;c\\\"\";URI=spiffe://a/c"),
            format!("Cert=\"{}\"", pem("aGVsbG8%3D")),
            format!("Hash={HEX};Cert=\"{}\"", pem("aGVs%0AbG8=")),
        ] {
            assert_eq!(of(&[&told]), hello, "{told}");
        }
    }

    #[test]
    fn what_names_none_or_more_than_one_names_nobody() {
        let good = format!("Hash={HEX}");
        let of_other = format!("Hash={HEX};Cert=\"{}\"", pem("aGVsbG8h"));
        let chain = format!("Cert=\"{}{}\"", pem("aGVsbG8="), pem("aGVsbG8="));
        for values in [
            &[][..],
            &[""],
            &["By=spiffe://a/b"],
            &["Hash="],
            &["Hash=00"],
            &[&good, &good],
            &[&format!("{good},{good}")],
            &[&format!("{good};{good}")],
            &[&format!("{good};Subject=\"open")],
            &[&of_other],
            &[&chain],
            &["Cert=\"%\""],
            &["Cert=\"%C3%A9\""],
        ] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
