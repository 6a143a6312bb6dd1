//! Pseudonyms by format: 122 bits at the least, evenly drawn from the alphabet. Keeps nothing.

use aws_lc_rs::hmac;
use common::project::{Alphabet, OutputFormat};

/// The pseudonym of `value` under `key`: the same each time. Under a key that is drawn for one use: another each time.
pub(crate) fn shaped(format: OutputFormat, key: &hmac::Key, value: &str) -> String {
    let bytes = (0_u32..).flat_map(|block| {
        let mut context = hmac::Context::with_key(key);
        context.update(&block.to_be_bytes());
        context.update(value.as_bytes());
        <[u8; 32]>::try_from(context.sign().as_ref()).unwrap_or_default()
    });
    let length = usize::try_from(format.length()).unwrap_or(usize::MAX);
    match format.alphabet() {
        Alphabet::Alphanumeric => drawn(bytes, ALPHANUMERIC, length),
        Alphabet::Numeric => drawn(bytes, b"0123456789", length),
        Alphabet::Hexadecimal => drawn(bytes, b"0123456789abcdef", length),
        Alphabet::Uuid => uuid(&drawn(bytes, b"0123456789abcdef", 32)),
    }
}

const ALPHANUMERIC: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Each character is as likely as any other: bytes of an uneven rest are thrown away.
fn drawn(bytes: impl Iterator<Item = u8>, alphabet: &[u8], length: usize) -> String {
    let even = 256 - 256 % alphabet.len();
    let fair = bytes.map(usize::from).filter(|byte| *byte < even);
    fair.filter_map(|byte| alphabet.get(byte % alphabet.len()).copied().map(char::from))
        .take(length)
        .collect()
}

/// Version 4, variant 10 (RFC 9562 section 5.4).
fn uuid(digits: &str) -> String {
    let at = |(position, digit): (usize, char)| {
        let digit = match (position, digit) {
            (12, _) => '4',
            (16, '0' | '4' | '8' | 'c') => '8',
            (16, '1' | '5' | '9' | 'd') => '9',
            (16, '2' | '6' | 'a' | 'e') => 'a',
            (16, _) => 'b',
            (_, digit) => digit,
        };
        let dash = matches!(position, 8 | 12 | 16 | 20).then_some('-');
        dash.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(at).collect()
}
