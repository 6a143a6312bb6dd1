//! `deploy/envoy/edge.yaml`: tokens that are bound to a certificate, and whose word about certificates counts.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::proto::v1 as pb;
use harness::{
    orders::{self, OWNER},
    ports::free_address,
    programs::{Program, Programs},
    until,
};

use crate::{
    envoy::command,
    pki::{Authority, Proof, write},
    rig::{Answer, Gateway, bearing, curl, example, socket},
    upstream,
};

const GATEWAY: &str = "spiffe://ipms.test/gateway";

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_passes_with_the_certificate_that_envoy_saw_and_never_by_the_clients_word() {
    let programs = Programs::start().await;
    let folder = programs.path("");
    let ca = Authority::new("A");
    let holder = ca.issue(&["spiffe://ipms.test/holder"], 7, 2090);
    let other = ca.issue(&["spiffe://ipms.test/other"], 8, 2090);
    for (who, proof) in [("holder", &holder), ("other", &other)] {
        write(&folder, who, proof, &ca.pem, None);
    }
    for (who, name) in [("edge", "localhost"), ("gateway", GATEWAY), ("server", "localhost")] {
        write(&folder, who, &ca.issue(&[name], 1, 2090), &ca.pem, Some(&ca.withdraw(1, &[])));
    }
    programs.create(orders::reversible("p1")).await.unwrap();
    let hash = sha256(&holder);
    let holder_certificate_sha256 = Some(hash.to_vec().into());
    let bound = programs
        .token(pb::IssueTokenRequest { holder_certificate_sha256, ..orders::pseudonymise("p1", OWNER) })
        .await;
    let unbound = programs.token(orders::pseudonymise("p1", OWNER)).await;

    let component = upstream::http().await;
    for trusted in [true, false] {
        let mut verifier = verifier(&folder, &programs, trusted);
        verifier.spawn();
        let (edge, admin) = (free_address(), free_address());
        let path = example(
            &folder,
            "envoy/edge.yaml",
            &[
                (&socket("0.0.0.0", 8443), &socket("127.0.0.1", edge.port())),
                (&socket("127.0.0.1", 9901), &socket("127.0.0.1", admin.port())),
                (&socket("127.0.0.1", 8081), &socket("127.0.0.1", component.address.port())),
                (&socket("localhost", 50052), &socket("localhost", verifier.grpc().port())),
                ("/etc/ipms/tls", folder.to_str().unwrap()),
                ("interval: 5s", "interval: 0.2s"),
            ],
        );
        let envoy = Gateway::start(command(&path), &folder, edge).await;
        let ask = async |token: &str, who: Option<&str>, more: &[&str]| -> Answer {
            ask(edge, &folder, token, who, more).await
        };
        until("it passes", async || (ask(&unbound, None, &[]).await.status == 200).then_some(())).await;
        let expected = if trusted { 200 } else { 401 };
        let told = ask(&bound, Some("holder"), &[]).await;
        assert_eq!(told.status, expected, "{trusted}: {told:?}");
        assert_eq!(ask(&bound, Some("other"), &[]).await.status, 401);
        let word = format!("x-forwarded-client-cert: Hash={}", hex(&hash));
        for who in [None, Some("other")] {
            let forged = ask(&bound, who, &["--header", &word]).await;
            assert_eq!(forged.status, 401, "{trusted} {who:?}: {forged:?}");
        }
        drop(envoy);
        assert!(verifier.terminate().await);
    }
}

/// A second verifier, with TLS.
fn verifier(folder: &std::path::Path, programs: &Programs, trusted: bool) -> Program {
    let endpoint = format!("http://{}", programs.issuer.grpc());
    let mut verifier = Program::new(
        "verifier",
        folder,
        &[
            ("ISSUER__ENDPOINTS", &endpoint),
            ("ISSUER__LOG_KEYS", "keys/log.public.pem"),
            ("FOLLOWER__ID", "follower-b"),
            ("TLS__CERTIFICATE", "server.certificate"),
            ("TLS__KEY", "server.key"),
            ("TLS__CLIENT_CA", "server.ca"),
            ("TLS__CRL", "server.crl"),
            ("AUTHZ__TRUSTED_PEERS", if trusted { GATEWAY } else { "unix-socket,loopback" }),
        ],
    );
    verifier.set("GRPC__INSECURE_LOOPBACK", "false");
    // Names with slashes and colons are for a file.
    let settings = format!("[callers.'{GATEWAY}']\nroles = ['component']\n");
    std::fs::write(folder.join("verifier.toml"), settings).unwrap();
    verifier.read("verifier.toml");
    verifier
}

async fn ask(
    edge: SocketAddr,
    folder: &std::path::Path,
    token: &str,
    who: Option<&str>,
    more: &[&str],
) -> Answer {
    let file = |name: &str| folder.join(name).display().to_string();
    let ca = file("edge.ca");
    let mut arguments = vec!["--cacert", &*ca];
    let shown = who.map(|who| (file(&format!("{who}.certificate")), file(&format!("{who}.key"))));
    if let Some((certificate, key)) = &shown {
        arguments.extend(["--cert", certificate, "--key", key]);
    }
    arguments.extend(more);
    let url = format!("https://localhost:{}/api/request-psn", edge.port());
    if token.is_empty() { curl(&url, &arguments).await } else { bearing(token, &url, &arguments).await }
}

fn sha256(proof: &Proof) -> [u8; 32] {
    let body: String = proof.certificate.lines().filter(|line| !line.starts_with('-')).collect();
    digest(&SHA256, &STANDARD.decode(body).unwrap()).as_ref().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}
