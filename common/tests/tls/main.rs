//! Who gets in over TLS, who does not, and that files change under way. Real sockets; certificates made here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod pki;
mod rig;
mod wire;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{
    clock::{BootInstant, ManualClock, Now, SystemClock},
    runtime::{
        listener::BindError,
        metrics_text::MetricsText,
        tls::{ClientTls, TlsError},
    },
    timestamp::Timestamp,
};
use pki::{Authority, write};
use rig::{HOST, ISSUE, PORTAL, World, answers, ask, health};
use rustls::{
    ClientConfig, NamedGroup, ProtocolVersion, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Code;
use tonic_types::StatusExt as _;

/// Shows no certificate.
async fn anonymous(
    ca: &Authority,
    address: (&str, u16),
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), stream).await
}

#[tokio::test]
async fn the_key_exchange_is_hybrid_and_the_role_is_the_certificates() {
    let world = World::new();
    let server = world.serve().await;
    let portal = world.named(PORTAL);
    let stream = portal.connect(&server.target).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(ask(&server.channel(&portal), ISSUE).await.code(), Code::Unimplemented);
    for stranger in ["spiffe://ipms.test/portal2", "spiffe://ipms.test/portal/a", "portal.ipms.test"] {
        let refused = ask(&server.channel(&world.named(stranger)), ISSUE).await;
        assert_eq!(refused.code(), Code::PermissionDenied, "{stranger}");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "NO_ROLE");
    }
    server.end().await;
}

#[tokio::test]
async fn who_shows_nothing_good_is_not_spoken_to() {
    let world = World::new();
    let withdrawn = world.ca.withdraw(2, &[77]);
    fs::write(world.files.crl.as_ref().unwrap(), withdrawn).unwrap();
    let server = world.serve().await;
    let port = server.target.port_u16().unwrap();
    let silent = match anonymous(&world.ca, (HOST, port), b"h2").await {
        Ok(stream) => !answers(stream).await,
        Err(_refused) => true,
    };
    assert!(silent, "no certificate");
    let stranger = Authority::new("A");
    for (why, proof) in [
        ("another authority of the same name", stranger.issue(&[PORTAL], 2, 2090)),
        ("withdrawn", world.ca.issue(&[PORTAL], 77, 2090)),
        ("two URIs", world.ca.issue(&[PORTAL, "spiffe://ipms.test/b"], 3, 2090)),
        ("a pattern", world.ca.issue(&["*.ipms.test"], 4, 2090)),
        ("no name", world.ca.issue(&[], 5, 2090)),
    ] {
        assert!(!server.admits(&world.client("bad", &proof)).await, "{why}");
    }
    assert!(server.admits(&world.named(PORTAL)).await);
    server.end().await;
}

#[tokio::test]
async fn an_expired_certificate_opens_nothing_on_either_side() {
    let world = World::new();
    let server = world.serve().await;
    let old = world.ca.issue(&[PORTAL], 9, 2025);
    let files = write(world.folder.path(), "old", &old, &world.ca.pem, None);
    // Our own client does not even begin with it, so it is shown by one that looks at no date.
    let clock = ManualClock::new(Now {
        wall: Timestamp::from_seconds(1_700_000_000).unwrap(),
        boot: BootInstant::default(),
    });
    let backdated = ClientTls::open(files.clone(), Arc::new(clock)).unwrap();
    assert!(!server.admits(&backdated).await);
    let system = Arc::new(SystemClock);
    let refused = ClientTls::open(files, system).err().unwrap();
    assert!(matches!(refused, TlsError::NotValidNow));
    server.end().await;
}

/// A hello as a client makes it that knows TLS 1.2 and nothing later.
#[tokio::test]
async fn tls_1_2_is_refused_by_alert() {
    let world = World::new();
    let server = world.serve().await;
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session; two suites of TLS 1.2; no compression; groups and signature schemes.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let extensions = [0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, 16]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    let mut stream = TcpStream::connect((HOST, server.target.port_u16().unwrap())).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    // Fatal, protocol_version.
    assert_eq!(answer.get(5..), Some(&[2, 70][..]), "{answer:?}");
    server.end().await;
}

#[tokio::test]
async fn slow_handshakes_do_not_stand_in_the_way() {
    let world = World::new();
    let server = world.serve().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect((HOST, server.target.port_u16().unwrap())).await.unwrap();
        stream.write_all(&[22, 3, 1]).await.unwrap();
        slow.push(stream);
    }
    assert!(server.admits(&world.named(PORTAL)).await);
    drop(slow);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_authorities_and_lists_change_100_times_under_calls_and_no_call_fails() {
    const ROTATIONS: u64 = 100;
    let world = World::new();
    let server = world.serve().await;
    let put = |who: &str, authority: &Authority, name: &str, serial: u64, cas: &str, lists: Option<&str>| {
        write(world.folder.path(), who, &authority.issue(&[name], serial, 2090), cas, lists)
    };
    let files = put("client", &world.ca, PORTAL, 2, &world.ca.pem, None);
    let system = Arc::new(SystemClock);
    let client = Arc::new(ClientTls::open(files, system).unwrap());
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let kept = server.channel(&client);
    // Opened now, under the first authority: it would connect at its first call only, in the middle of a change.
    health(kept.clone()).await.unwrap();
    let calling = {
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                health(kept.clone()).await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let look = || (0..2).for_each(|_| client.look());
    let mut before = Authority::new("0");
    for number in 0..ROTATIONS {
        // A new authority each time. The first one stays: the connection that is kept was opened under it.
        let next = Authority::new(&(number + 1).to_string());
        let cas = format!("{}{}{}", world.ca.pem, before.pem, next.pem);
        let lists =
            [&world.ca, &before, &next].map(|one| one.withdraw(number + 2, &[9_000 + number])).concat();
        let shown = if number == 0 { &world.ca } else { &before };
        // Both believe in it before either shows it.
        put("client", shown, PORTAL, 200 + number, &cas, None);
        look();
        put("server", &next, HOST, 400 + number, &cas, Some(&lists));
        server.look_twice();
        put("client", &next, PORTAL, 600 + number, &cas, None);
        look();
        assert!(server.tls.notes().is_empty() && client.notes().is_empty());
        // One that connects now, and one more on the connection that was there from the beginning.
        health(server.channel(&client)).await.unwrap();
        let counted = calls.load(Ordering::Relaxed);
        while calls.load(Ordering::Relaxed) == counted && !calling.is_finished() {
            tokio::task::yield_now().await;
        }
        before = next;
    }
    stop.store(true, Ordering::Relaxed);
    calling.await.unwrap();
    let mut text = MetricsText::default();
    server.tls.write(&mut text);
    client.write(&mut text);
    let text = text.finish();
    for (side, reloads) in [("server", ROTATIONS), ("client", 2 * ROTATIONS)] {
        let line = format!("ipms_tls_reloads_total{{side=\"{side}\"}} {reloads}\n");
        assert!(text.contains(&line), "{text}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_withdrawn_certificate_ends_the_connection_it_opened() {
    let world = World::new();
    let server = world.serve().await;
    let kept = server.channel(&world.client("kept", &world.ca.issue(&[PORTAL], 77, 2090)));
    let stays = server.channel(&world.named(PORTAL));
    for channel in [&kept, &stays] {
        health(channel.clone()).await.unwrap();
    }
    fs::write(world.files.crl.as_ref().unwrap(), world.ca.withdraw(2, &[77])).unwrap();
    server.look_twice();
    assert!(health(kept).await.is_err());
    health(stays).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn bad_new_files_are_told_and_the_old_ones_stay() {
    let world = World::new();
    let server = world.serve().await;
    let portal = world.named(PORTAL);
    let good = fs::read(&world.files.certificate).unwrap();
    let expired = world.ca.issue(&[HOST], 1, 2025).certificate;
    let another = world.ca.issue(&[HOST], 1, 2090).certificate;
    for (bad, told) in [
        ("garbage", "the certificate's file is not the PEM that it should be"),
        (&*expired, "the certificate is not valid now"),
        (&*another, "certificate and key do not belong together"),
    ] {
        fs::write(&world.files.certificate, bad).unwrap();
        server.look_twice();
        let notes = server.tls.notes().concat();
        assert!(notes.contains(told), "{notes}");
        assert!(server.admits(&portal).await);
        let admin = |path| admin(&world.ca, server.admin.port(), path);
        let ready = admin("/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(told), "{ready}");
        assert!(admin("/metrics").await.contains("ipms_tls_files_refused{side=\"server\"} 1\n"));
    }
    fs::write(&world.files.certificate, good).unwrap();
    server.look_twice();
    assert!(server.tls.notes().is_empty());
    server.end().await;
}

/// The admin port over TLS, without a certificate.
async fn admin(ca: &Authority, port: u16, path: &str) -> String {
    let mut stream = anonymous(ca, (HOST, port), b"http/1.1").await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Not every server says goodbye before it closes.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_try_again() {
    let world = World::new();
    let server = world.serve().await;
    let channel = server.channel(&world.named(PORTAL));
    for _ in 0..3 {
        assert_eq!(ask(&channel, ISSUE).await.code(), Code::Unimplemented);
    }
    // On a slow machine a place may be free again by now.
    let mut refused = ask(&channel, ISSUE).await;
    while refused.code() == Code::Unimplemented {
        refused = ask(&channel, ISSUE).await;
    }
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "RATE_LIMITED");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    health(channel).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn what_cannot_be_used_does_not_start() {
    let world = World::new();
    fs::write(&world.files.ca, "").unwrap();
    let refused = world.bind().await.err().unwrap();
    assert!(matches!(refused, BindError::Tls(TlsError::NotPem(_))), "{refused}");
    fs::write(&world.files.ca, &world.ca.pem).unwrap();
    fs::set_permissions(&world.files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(world.bind().await.err().unwrap(), BindError::Tls(TlsError::Key(_))));
}
