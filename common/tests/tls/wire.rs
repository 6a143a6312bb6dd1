//! What is not TLS 1.3 with HTTP/2 above it, or is not the server that was asked for. Both sides of the wire.

use std::sync::Arc;

use common::{
    clock::SystemClock,
    runtime::tls::{ClientTls, TlsFiles},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    pki::{Authority, Proof, write},
    rig::{HOST, PORTAL, World, answers},
};

/// Whether a client with a good certificate is spoken to, when it offers these protocols.
async fn offered(ca: &Authority, proof: &Proof, port: u16, protocols: &[&[u8]]) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(proof.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(proof.key.as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect((HOST, port)).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => answers(stream).await,
        Err(_refused) => false,
    }
}

#[tokio::test]
async fn only_http_2_is_spoken_above_tls() {
    let world = World::new();
    let server = world.serve().await;
    let port = server.target.port_u16().unwrap();
    let proof = world.ca.issue(&[PORTAL], 2, 2090);
    assert!(offered(&world.ca, &proof, port, &[b"http/1.1", b"h2"]).await);
    for protocols in [&[&b"http/1.1"[..]][..], &[b"h2c"], &[b"h3"], &[]] {
        assert!(!offered(&world.ca, &proof, port, protocols).await, "{protocols:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn plaintext_on_a_tls_port_gets_an_alert_at_most() {
    let world = World::new();
    let server = world.serve().await;
    for hello in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\n\r\n",
        &[0xff; 5_000],
        b"\x16\x03\x01\xff\xff garbage that says it is a hello",
    ] {
        let mut stream = TcpStream::connect((HOST, server.target.port_u16().unwrap())).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        // A record of type alert, or nothing.
        assert!(answer.first().is_none_or(|kind| *kind == 21) && answer.len() <= 7, "{answer:?}");
    }
    assert!(server.admits(&world.named(PORTAL)).await);
    server.end().await;
}

#[tokio::test]
async fn a_server_that_is_not_the_one_asked_for_is_not_spoken_to() {
    let world = World::new();
    let other = Authority::new("A");
    let good = world.ca.issue(&[HOST], 1, 2090);
    for (why, shown, believed, admitted) in [
        ("itself", world.ca.issue(&[HOST], 1, 2090), &world.ca, true),
        ("another name", world.ca.issue(&["other.test"], 1, 2090), &world.ca, false),
        ("a pattern", world.ca.issue(&["*.localhost"], 1, 2090), &world.ca, false),
        ("a longer name", world.ca.issue(&["localhost.ipms.test"], 1, 2090), &world.ca, false),
        ("a URI only", world.ca.issue(&["spiffe://ipms.test/localhost"], 1, 2090), &world.ca, false),
        ("another authority", good, &other, false),
    ] {
        let TlsFiles { certificate, key, .. } = &world.files;
        std::fs::write(certificate, &shown.certificate).unwrap();
        std::fs::write(key, &shown.key).unwrap();
        let server = world.serve().await;
        let proof = world.ca.issue(&[PORTAL], 2, 2090);
        let files = write(world.folder.path(), "believer", &proof, &believed.pem, None);
        let client = ClientTls::open(files, Arc::new(SystemClock)).unwrap();
        assert_eq!(server.admits(&client).await, admitted, "{why}");
        server.end().await;
    }
}
