//! What Envoy makes of each answer of an authorizer, in three settings. Our own answers are chosen by this table.

use std::{fs, process::Command};

use harness::ports::free_address;

use crate::{
    rig::{Gateway, curl, tool},
    upstream,
};

/// What the authorizer does; what the client gets by default, with `status_on_error: 503`, and with
/// `failure_mode_allow: true` besides.
const TABLE: [(&str, [u16; 3]); 9] = [
    ("ok", [200, 200, 200]),
    // A denial without a `denied_response` is 403, whatever its code: so ours has one.
    ("status-7", [403, 403, 403]),
    ("status-14", [403, 403, 403]),
    ("status-16", [403, 403, 403]),
    ("error-response", [403, 503, 200]),
    // So what cannot be decided is an error, the examples set the status, and none of them fails open.
    ("unavailable", [403, 503, 200]),
    ("internal", [403, 503, 200]),
    ("exhausted", [403, 503, 200]),
    ("slow", [403, 503, 200]),
];

#[tokio::test(flavor = "multi_thread")]
async fn envoy_makes_of_each_answer_what_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, authorizer) = (upstream::http().await, upstream::authorizer().await);
    let settings = ["", "status_on_error: { code: ServiceUnavailable }", STATUS_AND_OPEN];
    let listeners = settings.map(|more| (free_address(), more));
    let mut text = "static_resources:\n  listeners:\n".to_owned();
    for (address, more) in listeners {
        let port = address.port();
        text.push_str(&LISTENER.replace("PORT", &port.to_string()).replace("MORE", more));
    }
    text.push_str("  clusters:\n");
    for (name, port, more) in
        [("upstream", upstream.address.port(), ""), ("authorizer", authorizer.address.port(), HTTP2)]
    {
        let cluster = CLUSTER.replace("NAME", name).replace("PORT", &port.to_string()).replace("MORE", more);
        text.push_str(&cluster);
    }
    let path = folder.path().join("outcomes.yaml");
    fs::write(&path, text).unwrap();
    let mut command = Command::new(tool("envoy/bin/envoy"));
    command.arg("-c").arg(path).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    let _envoy = Gateway::start(command, folder.path(), listeners[2].0).await;
    for (word, expected) in TABLE {
        let mut found = [0; 3];
        for (found, (address, _)) in found.iter_mut().zip(listeners) {
            *found = curl(&format!("http://{address}/{word}"), &[]).await.status;
        }
        assert_eq!(found, expected, "{word}");
    }
}

const STATUS_AND_OPEN: &str = "status_on_error: { code: ServiceUnavailable }, failure_mode_allow: true";

const LISTENER: &str = r#"
    - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: a
                route_config:
                  virtual_hosts:
                    - { name: a, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: upstream } }] }
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config: {
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz,
                      grpc_service: { timeout: 1s, envoy_grpc: { cluster_name: authorizer } },
                      MORE
                    }
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#;

const CLUSTER: &str = r"
    - name: NAME
      load_assignment:
        cluster_name: NAME
        endpoints:
          - lb_endpoints: [endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT } } }]
MORE
";

const HTTP2: &str = r#"
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
"#;
