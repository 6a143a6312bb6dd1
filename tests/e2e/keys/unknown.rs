//! A token of a key that nobody announced asks nothing of anybody: keys come by the feed alone.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use common::{
    encoding,
    proto::v1::{self as pb, RefusalReason, verify_token_response::Verdict},
};
use harness::{
    calls::question,
    orders::{self, OWNER},
    pair::{Pair, Setup},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Carries bytes to the issuer, once there is one, and counts them.
async fn counting(issuer: Arc<OnceLock<SocketAddr>>, sent: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Some(issuer) = issuer.get() else { continue };
            let (mut from, mut back) = client.into_split();
            let (mut answers, mut to) = TcpStream::connect(issuer).await.unwrap().into_split();
            let sent = Arc::clone(&sent);
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    sent.fetch_add(read as u64, Ordering::SeqCst);
                    if to.write_all(buffer.get(..read).unwrap()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A good token but for its key's name.
fn under_another_name(token: &str, number: u64) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let header = String::from_utf8(encoding::decode(header).unwrap()).unwrap();
    let at = header.find("\"kid\":\"").unwrap() + 7;
    let mut name = [0; 32];
    name[..8].copy_from_slice(&number.to_be_bytes());
    let header = format!("{}{}{}", &header[..at], encoding::encode(&name), &header[at + 43..]);
    format!("{}.{rest}", encoding::encode(header.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tokens_of_unknown_keys_cause_no_traffic() {
    let (issuer, sent) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
    let proxy = counting(Arc::clone(&issuer), Arc::clone(&sent)).await;
    let endpoint: &'static str = Box::leak(format!("http://{proxy}").into_boxed_str());
    let verifier = vec![("ISSUER__ENDPOINTS", endpoint)];
    let pair = Pair::unheard(Setup { verifier, ..Setup::default() }).await;
    issuer.set(pair.issuer_address()).unwrap();
    pair.fresh().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    pair.accepted(&token).await;
    // No second passes on the pair's clocks, so no probe is due.
    let before = sent.load(Ordering::SeqCst);
    assert!(before > 0, "the verifier follows through the counter");
    for batch in 0..10_000_u64.div_ceil(64) {
        let requests = (0..64).map(|n| question(&under_another_name(&token, batch * 64 + n))).collect();
        let answer = pair.verifying().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap();
        for response in answer.into_inner().responses {
            let Some(Verdict::Refused(refused)) = response.verdict else { panic!("{response:?}") };
            assert_eq!(refused.reason(), RefusalReason::UnknownKey);
        }
    }
    let caused = sent.load(Ordering::SeqCst) - before;
    // HTTP/2 looks after its connection with 17 bytes now and then; a request has a hundred at least.
    assert!(caused < 10_000, "{caused} bytes went to the issuer");
}
