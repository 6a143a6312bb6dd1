//! `docs/PROXIES.md` and the examples know the same headers as the verifier. Starts nothing.

use std::{fs, path::Path};

use verifier::transport::authz::HEADERS;

use crate::rig::deploy;

#[test]
fn the_document_and_every_example_name_the_headers_that_are_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("docs/PROXIES.md")).unwrap();
    let listed: Vec<_> =
        document.lines().filter_map(|line| line.strip_prefix("| `x-ipms-")?.split_once('`')).collect();
    let listed: Vec<_> = listed.iter().map(|(name, _)| format!("x-ipms-{name}")).collect();
    assert_eq!(listed, HEADERS);
    // The proxies that copy headers by name.
    for file in [
        "nginx/told.conf",
        "nginx/pass.conf",
        "nginx/pass-grpc.conf",
        "caddy/Caddyfile",
        "traefik/dynamic.yaml",
    ] {
        let text = fs::read_to_string(deploy().join(file)).unwrap().to_ascii_lowercase().replace('_', "-");
        for name in HEADERS {
            assert!(text.contains(name), "{name} in {file}");
        }
    }
}
