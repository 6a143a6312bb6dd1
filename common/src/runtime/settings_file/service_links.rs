//! Which variables Kubernetes sets for its services, by name and value. Knows no setting of ours.

use std::net::IpAddr;

/// Kubernetes sets variables for every service of a namespace, so for one named `issuer` or `issuer-admin` some that begin
/// like ours: `ISSUER_SERVICE_HOST`, `ISSUER_ADMIN_PORT_9_TCP=tcp://…`. Those, and nothing that only resembles them: a
/// port that an operator meant to set is a mistake to be told.
pub(super) fn is_service_link(rest: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let url = || PROTOCOLS.iter().any(|one| value.starts_with(&format!("{}://", one.to_ascii_lowercase())));
    let address = || value.parse::<IpAddr>().is_ok();
    let number_of_port = || value.parse::<u16>().is_ok();
    // Levels of ours are divided by two underscores, which no name of a service makes.
    if rest.contains("__") {
        return false;
    }
    let words: Vec<&str> = rest.split('_').collect();
    if words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]) {
        return number_of_port();
    }
    match words.as_slice() {
        [.., "SERVICE", "HOST"] => address(),
        [.., "PORT", number, protocol] if PROTOCOLS.contains(protocol) => {
            number.parse::<u16>().is_ok() && url()
        }
        [.., "PORT", number, protocol, part] if PROTOCOLS.contains(protocol) => {
            let fits = match *part {
                "PROTO" => value == protocol.to_ascii_lowercase(),
                "PORT" => value == *number,
                "ADDR" => address(),
                _ => false,
            };
            number.parse::<u16>().is_ok() && fits
        }
        [.., "PORT"] => url(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_service_link as ignored;

    #[test]
    fn the_variables_of_kubernetes_services_are_no_settings() {
        for service in ["", "ADMIN_"] {
            let links = [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_HOST", "fd00::1"),
                ("SERVICE_PORT", "50051"),
                ("SERVICE_PORT_GRPC_TLS", "50051"),
                ("PORT", "tcp://10.0.0.1:50051"),
                ("PORT_50051_TCP", "tcp://[fd00::1]:50051"),
                ("PORT_50051_TCP_PROTO", "tcp"),
                ("PORT_50051_TCP_PORT", "50051"),
                ("PORT_50051_TCP_ADDR", "10.0.0.1"),
                ("PORT_53_UDP", "udp://10.0.0.1:53"),
            ];
            for (link, value) in links {
                let link = format!("{service}{link}");
                assert!(ignored(&link, value), "{link}");
            }
        }
        for (near, value) in [
            ("PORT", "50051"),
            ("PORT_50051", "tcp://10.0.0.1:50051"),
            ("PORT_GRPC_TCP", "tcp://10.0.0.1:50051"),
            ("PORT_50051_TCP_NAME", "tcp"),
            ("PORT_50051_TCP_PORT", "50052"),
            ("SERVICE_HOST", "localhost"),
            ("SERVICE_PORT", "grpc"),
            ("SERVICE__HOST", "10.0.0.1"),
            ("PORTAL", "tcp://10.0.0.1:50051"),
            ("port", "tcp://10.0.0.1:50051"),
        ] {
            assert!(!ignored(near, value), "{near}={value}");
        }
    }
}
