//! Stands between a verifier and its issuer, and keeps every byte of both directions. Changes none.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(super) struct Recorder {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Listens on a free port, and goes on to `issuer`.
    pub(super) fn before(issuer: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let task = tokio::spawn(pass(TcpListener::from_std(listener).unwrap(), issuer, Arc::clone(&kept)));
        Self { address, kept, task }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that went by.
    pub(super) async fn stop(self) -> Vec<u8> {
        self.task.abort();
        self.task.await.ok();
        std::mem::take(&mut *self.kept.lock().unwrap())
    }
}

async fn pass(listener: TcpListener, issuer: SocketAddr, kept: Arc<Mutex<Vec<u8>>>) {
    loop {
        let (verifier, _) = listener.accept().await.unwrap();
        // Not there yet, or no longer: the verifier tries again.
        let Ok(issuer) = TcpStream::connect(issuer).await else { continue };
        let ((from_verifier, to_verifier), (from_issuer, to_issuer)) =
            (verifier.into_split(), issuer.into_split());
        for (mut from, mut to) in [(from_verifier, to_issuer), (from_issuer, to_verifier)] {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from.read(&mut buffer).await {
                    let bytes = buffer.get(..count).unwrap();
                    kept.lock().unwrap().extend_from_slice(bytes);
                    if to.write_all(bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}
