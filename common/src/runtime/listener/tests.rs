//! Claims about Unix sockets and the cap on TCP connections.

use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_stream::StreamExt;

use super::*;
use crate::runtime::arrivals::TcpArrivals;

#[tokio::test]
async fn a_stale_socket_is_replaced_with_mode_0660_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    // The standard listener leaves its file behind, as a dead process does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let bound = UnixArrivals::bind(&path, 1).await.unwrap();
    let mode = fs::metadata(bound.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, SOCKET_MODE);
    UnixStream::connect(&path).await.unwrap();
    drop(bound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_live_socket_is_refused_by_name_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let first = UnixArrivals::bind(&path, 1).await.unwrap();
    let told = UnixArrivals::bind(&path, 1).await.err().unwrap().to_string();
    assert_eq!(told, format!("cannot listen on {}: a running process does", path.display()));
    UnixStream::connect(first.path()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "kept").unwrap();
    assert!(matches!(UnixArrivals::bind(&path, 1).await, Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
}

#[tokio::test]
async fn the_socket_of_a_successor_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let first = UnixArrivals::bind(&path, 1).await.unwrap();
    fs::remove_file(&path).unwrap();
    let second = UnixArrivals::bind(&path, 1).await.unwrap();
    drop(first);
    UnixStream::connect(second.path()).await.unwrap();
}

#[tokio::test]
async fn a_connection_above_the_most_is_closed_until_another_has_gone() {
    let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut connections = Connections::new(TcpArrivals::new(listener, 1), Caller::Nobody);
    let kept = TcpStream::connect(address).await.unwrap();
    let first = connections.next().await.unwrap().unwrap();
    assert!(first.stream.nodelay().unwrap());
    let mut refused = TcpStream::connect(address).await.unwrap();
    let waiting = tokio::spawn(async move { connections.next().await.map(|next| (next, connections)) });
    assert_eq!(read_to_end(&mut refused).await, 0);
    drop((first, kept));
    let welcome = TcpStream::connect(address).await.unwrap();
    let (next, _connections) = waiting.await.unwrap().unwrap();
    assert_eq!(next.unwrap().stream.peer_addr().unwrap(), welcome.local_addr().unwrap());
}

#[tokio::test]
async fn the_socket_has_no_more_connections_than_it_may_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let mut connections = Connections::new(UnixArrivals::bind(&path, 1).await.unwrap(), Caller::UnixSocket);
    let _kept = UnixStream::connect(&path).await.unwrap();
    let _first = connections.next().await.unwrap().unwrap();
    let mut refused = UnixStream::connect(&path).await.unwrap();
    let _waiting = tokio::spawn(async move { connections.next().await });
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap(), 0);
}

/// Zero, when the other side closed without a word.
async fn read_to_end(stream: &mut TcpStream) -> usize {
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut [0; 1]) {
            Ok(count) => return count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}
