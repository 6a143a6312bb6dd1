//! `deploy/caddy/Caddyfile` in a real Caddy.

use std::process::Command;

use harness::ports::free_address;

use crate::{
    flow::{what_is_refused_or_not_known_stops, with_http},
    rig::{Gateway, Tokens, example},
    upstream,
};

#[tokio::test(flavor = "multi_thread")]
async fn caddy_passes_on_what_the_token_says_and_stops_what_is_refused_or_not_known() {
    let mut programs = with_http().await;
    let component = upstream::http().await;
    let (gateway, folder) = (free_address(), programs.path(""));
    let path = example(
        &folder,
        "caddy/Caddyfile",
        &[
            ("127.0.0.1:8080", &gateway.to_string()),
            ("127.0.0.1:8081", &component.address.to_string()),
            ("/run/ipms/authz.sock", programs.path("authz.sock").to_str().unwrap()),
        ],
    );
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
    command.env("HOME", &folder).env("XDG_DATA_HOME", &folder).env("XDG_CONFIG_HOME", &folder);
    let _caddy = Gateway::start(command, &folder, gateway).await;
    let issued = Tokens::issue(&programs).await;
    what_is_refused_or_not_known_stops(&mut programs, &issued, gateway).await;
}
