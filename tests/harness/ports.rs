//! Ports for servers of a test. No server lives here.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram},
    },
};

/// An address of loopback that nobody listens on. While this process lives, no other caller of this function is given it,
/// in whichever process, and no outgoing connection either.
pub fn free_address() -> SocketAddr {
    loop {
        let chance = RandomState::new().build_hasher().finish() % (END - FIRST);
        let Ok(port) = u16::try_from(FIRST + chance) else { continue };
        let name = UnixAddr::from_abstract_name(format!("a test's port {port}"));
        let Ok(claim) = name.and_then(|name| UnixDatagram::bind_addr(&name)) else { continue };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            // The name is held until the process ends, however it ends.
            std::mem::forget(claim);
            return address;
        }
    }
}

const FIRST: u64 = 10_240;
/// Linux gives outgoing connections ports from here on (`net.ipv4.ip_local_port_range`). Exclusive.
const END: u64 = 32_768;
