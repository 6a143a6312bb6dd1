//! Whether the program of these settings runs, and what it says of itself. Asks its own listeners only.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Page, Report};
use crate::runtime::{
    dial::{Endpoint, deepest},
    service_settings::ServiceSettings,
};

/// What `grpc.health.v1` said of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Serving {
    /// It is served.
    Yes,
    /// It is not, or the name is not known.
    No,
    /// Nobody answers there in time.
    Nobody(String),
}

/// Where the program of these settings tells its health in plaintext: `health.listen`, the Unix socket, or gRPC itself.
pub fn own_health(service: &ServiceSettings) -> Option<Endpoint> {
    let http = |address: SocketAddr| format!("http://{}", reachable(address)).parse().ok();
    match (&service.health_listen, &service.unix_socket) {
        (Some(address), _) => http(*address),
        (None, Some(path)) => Some(Endpoint::Unix(std::path::absolute(path).ok()?)),
        (None, None) => service.tls.is_none().then(|| http(service.grpc_listen)).flatten(),
    }
}

/// `healthcheck`: whether the running program serves this name.
///
/// # Errors
/// Why not, in words.
pub async fn healthcheck(service: &ServiceSettings, name: &str) -> Result<(), String> {
    let endpoint =
        own_health(service).ok_or("set health.listen: gRPC speaks TLS, and probes have no certificate")?;
    match serving(&endpoint, name).await {
        Serving::Yes => Ok(()),
        Serving::No if name.is_empty() => Err("draining".to_owned()),
        Serving::No => Err(format!("{name} is not served")),
        Serving::Nobody(why) => Err(format!("{endpoint}: {why}")),
    }
}

/// Asks for one name (`""` is the process), within two seconds.
async fn serving(endpoint: &Endpoint, name: &str) -> Serving {
    let asked = async {
        let channel = endpoint
            .connect(None, |target| target.connect_timeout(WAIT))
            .await
            .map_err(|error| deepest(&error).to_string())?;
        let request = HealthCheckRequest { service: name.to_owned() };
        match HealthClient::new(channel).check(request).await {
            Ok(answer) => Ok(answer.get_ref().status() == ServingStatus::Serving),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(false),
            Err(status) => Err(status.message().to_owned()),
        }
    };
    match timeout(WAIT, asked).await {
        Ok(Ok(true)) => Serving::Yes,
        Ok(Ok(false)) => Serving::No,
        Ok(Err(why)) => Serving::Nobody(why),
        Err(_elapsed) => Serving::Nobody("no answer within 2 s".to_owned()),
    }
}

impl Report {
    /// Asks the running program, if it runs, for each of its services; tells what `/readyz` says of those not served.
    /// Returns whether it runs.
    pub async fn serving(&mut self, service: &ServiceSettings, names: &[&str]) -> bool {
        let Some(endpoint) = own_health(service) else {
            self.left("serving", "health cannot be asked in plaintext: set health.listen");
            return false;
        };
        if let Serving::Nobody(why) = serving(&endpoint, "").await {
            self.left("serving", format!("the program does not run at {endpoint} ({why})"));
            return false;
        }
        let mut idle = Vec::new();
        for name in names {
            if serving(&endpoint, name).await != Serving::Yes {
                idle.push(*name);
            }
        }
        if idle.is_empty() {
            self.good("serving", format!("all services are served at {endpoint}"));
        } else {
            let words = readiness(service).await.unwrap_or_else(|| "/readyz tells why".to_owned());
            self.bad("serving", Page::NotServing, format!("not served: {} ({words})", idle.join(", ")));
        }
        true
    }
}

/// The words of `/readyz`, where the admin port speaks plaintext.
async fn readiness(service: &ServiceSettings) -> Option<String> {
    if service.tls.is_some() {
        return None;
    }
    let asked = async {
        let mut stream = TcpStream::connect(reachable(service.admin_listen)).await.ok()?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut answer = String::new();
        stream.take(MOST).read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(body.trim().replace('\n', "; "))
    };
    timeout(WAIT, asked).await.ok().flatten()
}

/// Every interface is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

const WAIT: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const MOST: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{service_settings::Defaults, settings_file::SettingsFile};

    fn asked_at(toml: &str) -> Option<String> {
        let mut file = SettingsFile::new(toml.parse().unwrap(), [], "VERIFIER_");
        let settings = ServiceSettings::read(&mut file, Defaults::VERIFIER);
        file.finish().unwrap();
        own_health(&settings).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn health_is_asked_where_it_is_told_in_plaintext() {
        assert_eq!(asked_at("").as_deref(), Some("http://127.0.0.1:50052"));
        assert_eq!(asked_at("grpc.unix_socket = '/run/s'").as_deref(), Some("unix:/run/s"));
        let both = "health.listen = '0.0.0.0:5'\ngrpc.unix_socket = '/run/s'";
        assert_eq!(asked_at(both).as_deref(), Some("http://127.0.0.1:5"));
        let tls = "[tls]\ncertificate = 'c'\nkey = 'k'\nclient_ca = 'a'\n[grpc]\nlisten = '0.0.0.0:1'";
        assert_eq!(asked_at(tls), None);
        assert_eq!(asked_at(&format!("health.listen = '[::]:5'\n{tls}")).as_deref(), Some("http://[::1]:5"));
    }
}
