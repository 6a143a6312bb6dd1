//! Looks for any 16 bytes in a row of what must be nowhere, however they are spelled. Knows no program.

use std::collections::HashSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

const RUN: usize = 16;

/// All runs of 16 bytes of all that is looked for.
#[derive(Default)]
pub(super) struct Needles {
    runs: HashSet<[u8; RUN]>,
}

impl Needles {
    /// As it is.
    pub(super) fn add(&mut self, text: &[u8]) {
        assert!(text.len() >= RUN);
        self.runs.extend(text.windows(RUN).map(|run| <[u8; RUN]>::try_from(run).unwrap()));
    }

    /// As bytes, hexadecimal of both cases, base64 of both alphabets from wherever it begins, and as `Debug` shows bytes.
    pub(super) fn add_binary(&mut self, bytes: &[u8]) {
        self.add(bytes);
        let hex = hexadecimal(bytes);
        self.add(hex.as_bytes());
        self.add(hex.to_uppercase().as_bytes());
        self.add(format!("{bytes:?}").as_bytes());
        for shift in 0..3 {
            let from = bytes.get(shift..).unwrap();
            self.add(STANDARD_NO_PAD.encode(from).as_bytes());
            self.add(URL_SAFE_NO_PAD.encode(from).as_bytes());
        }
    }

    /// The first of them that is there.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Option<String> {
        let run = bytes.windows(RUN).find(|run| self.runs.contains(*run))?;
        Some(String::from_utf8_lossy(run).into_owned())
    }

    pub(super) fn any(&self) -> &[u8] {
        self.runs.iter().next().unwrap()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The secret numbers of a `PRIVATE KEY` PEM: d, p, q, dp, dq and qinv. The modulus is public.
pub(super) fn private_parts(pem: &str) -> Vec<Vec<u8>> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text).unwrap();
    // PKCS#8: version, algorithm, and in an octet string the RSAPrivateKey (RFC 8017, A.1.2).
    let key = members(inside(&der)).nth(2).unwrap().to_vec();
    let numbers: Vec<_> = members(inside(&key)).map(<[u8]>::to_vec).collect();
    assert_eq!(numbers.len(), 9);
    numbers
        .into_iter()
        .skip(3)
        .map(|number| number.into_iter().skip_while(|byte| *byte == 0).collect())
        .collect()
}

fn inside(der: &[u8]) -> &[u8] {
    members(der).next().unwrap()
}

/// The contents of DER values in a row.
fn members(mut der: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[_tag, first], mut rest) = der.split_first_chunk::<2>()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (long, after) = rest.split_at(usize::from(first & 0x7F));
            length = long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, after) = rest.split_at(length);
        der = after;
        Some(content)
    })
}

#[test]
fn sixteen_characters_are_found_in_any_spelling_and_fifteen_are_not() {
    let secret: Vec<u8> = (100..200).collect();
    let mut needles = Needles::default();
    needles.add_binary(&secret);
    let spelled = [
        STANDARD.encode(&secret[5..70]),
        URL_SAFE_NO_PAD.encode(&secret[6..70]),
        format!("{:?}", &secret[7..70]),
        hexadecimal(&secret[8..70]).to_uppercase(),
    ];
    for text in spelled {
        assert!(needles.found_in(format!("before {text} behind").as_bytes()).is_some(), "{text}");
    }
    assert!(needles.found_in(&secret[20..36]).is_some());
    assert_eq!(needles.found_in(&secret[20..35]), None);
    let folder = tempfile::tempdir().unwrap();
    harness::keys::copy_into(folder.path(), 1);
    let parts = private_parts(&std::fs::read_to_string(folder.path().join("log.pem")).unwrap());
    assert!(
        parts.iter().all(|part| part.len() >= 120),
        "{:?}",
        parts.iter().map(Vec::len).collect::<Vec<_>>()
    );
}
