//! Authorities and certificates made for one test. No claim lives here.
#![expect(clippy::unwrap_used, reason = "a certificate that cannot be made must fail its test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::runtime::tls::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// Signs certificates and withdraws them.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Of an end entity; a name with a colon is a URI.
    pub(crate) fn issue(&self, names: &[&str], serial: u64, last_year: i32) -> Proof {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(last_year, 1, 1);
        for name in names {
            let san = (*name).try_into().unwrap();
            let uri = name.contains(':');
            params.subject_alt_names.push(if uri { SanType::URI(san) } else { SanType::DnsName(san) });
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Proof { certificate, key: key.serialize_pem() }
    }

    /// A list of what is withdrawn.
    pub(crate) fn withdraw(&self, number: u64, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Writes them below `folder`, named by `who`.
pub(crate) fn write(folder: &Path, who: &str, proof: &Proof, ca: &str, lists: Option<&str>) -> TlsFiles {
    let put = |what: &str, text: &str| -> PathBuf {
        let path = folder.join(format!("{who}.{what}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    TlsFiles {
        certificate: put("certificate", &proof.certificate),
        key: put("key", &proof.key),
        ca: put("ca", ca),
        crl: lists.map(|lists| put("crl", lists)),
    }
}
