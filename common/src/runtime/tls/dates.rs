//! The dates in certificates and revocation lists (RFC 5280), which the TLS library checks and does not tell. Judges
//! nothing else.

use pkcs8::der::{
    self, Decode, Header, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, GeneralizedTime, UtcTime},
};

use crate::timestamp::Timestamp;

/// From when to when a certificate is good, both inclusive.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    within(certificate, |signed| {
        let explicit = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
        if Header::peek(signed)?.tag() == explicit {
            skip(signed)?;
        }
        // Serial number, signature algorithm, issuer.
        (0..3).try_for_each(|_| skip(signed))?;
        let validity = AnyRef::decode(signed)?;
        let mut inner = SliceReader::new(validity.value())?;
        Ok((time(&mut inner)?, time(&mut inner)?))
    })
}

/// When the next list is due: after it, this one no longer counts. A list without it is not taken.
pub(super) fn next_update(list: &[u8]) -> Option<Timestamp> {
    within(list, |signed| {
        if Header::peek(signed)?.tag() == Tag::Integer {
            skip(signed)?;
        }
        // Signature algorithm, issuer, this update.
        (0..3).try_for_each(|_| skip(signed))?;
        time(signed)
    })
}

/// The first part of the outer sequence, which is what was signed.
fn within<T>(bytes: &[u8], read: impl FnOnce(&mut SliceReader<'_>) -> der::Result<T>) -> Option<T> {
    let outer = AnyRef::from_der(bytes).ok().filter(|outer| outer.header().tag() == Tag::Sequence)?;
    let mut parts = SliceReader::new(outer.value()).ok()?;
    let signed = AnyRef::decode(&mut parts).ok()?;
    read(&mut SliceReader::new(signed.value()).ok()?).ok()
}

fn skip(reader: &mut SliceReader<'_>) -> der::Result<()> {
    AnyRef::decode(reader).map(drop)
}

fn time(reader: &mut SliceReader<'_>) -> der::Result<Timestamp> {
    let since_epoch = if Header::peek(reader)?.tag() == Tag::UtcTime {
        UtcTime::decode(reader)?.to_unix_duration()
    } else {
        GeneralizedTime::decode(reader)?.to_unix_duration()
    };
    let seconds = Timestamp::from_seconds(since_epoch.as_secs());
    seconds.ok_or_else(|| reader.error(der::ErrorKind::Overflow))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod,
        KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    use super::*;

    #[test]
    fn the_dates_of_certificates_and_lists_are_read_on_both_sides_of_2050() {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 2), date_time_ymd(2051, 3, 4));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let told = validity(certificate.der()).map(|(from, to)| (from.to_string(), to.to_string()));
        assert_eq!(told, Some(("2024-01-02T00:00:00Z".to_owned(), "2051-03-04T00:00:00Z".to_owned())));

        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 2),
            next_update: date_time_ymd(2025, 6, 7),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&Issuer::new(params, key)).unwrap();
        let told = next_update(list.der()).map(|due| due.to_string());
        assert_eq!(told.as_deref(), Some("2025-06-07T00:00:00Z"));
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        for bytes in
            [&b""[..], b"\x30\x00", b"\x30\x02\x30\x00", b"\x04\x02\x30\x00", &[0x30, 0x84, 255, 255]]
        {
            assert_eq!((validity(bytes), next_update(bytes)), (None, None), "{bytes:?}");
        }
    }
}
