//! Claims about the log of calls and their counts. Opens no socket.

use std::{
    convert::Infallible,
    future,
    io::{self, Write},
    sync::Mutex,
    time::Duration,
};

use tonic::{Status, body::Body};

use super::*;
use crate::{
    clock::{ManualClock, Now},
    runtime::methods::{Method, Rate, Role},
    timestamp::Timestamp,
};

const TABLE: Methods =
    Methods(&[Method { path: "/a.B/C", role: Role::Anyone, rate: Rate { per_second: 1, burst: 1 } }]);

fn layer() -> RpcLogLayer {
    let now = Now { wall: Timestamp::EPOCH, boot: BootInstant::from_duration(Duration::ZERO) };
    RpcLogLayer::new(Arc::new(RpcCounts::new(&TABLE)), Arc::new(ManualClock::new(now)), None)
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

/// Ends with trailers that say `ABORTED`.
struct Trailers(bool);

impl HttpBody for Trailers {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "10".parse().unwrap())]);
        Poll::Ready(std::mem::take(&mut self.0).then(|| Ok(Frame::trailers(trailers))))
    }
}

#[tokio::test]
async fn an_answer_without_messages_is_counted_by_its_headers() {
    let log = layer();
    let answer = || future::ready(Ok::<_, Infallible>(Status::not_found("").into_http::<Body>()));
    let mut service = log.layer(tower::service_fn(|_: Request<()>| answer()));
    drop(service.call(request("/a.B/C")).await);
    assert_eq!(log.0.counts.of("/a.B/C", Code::NotFound), 1);
    assert_eq!(log.0.counts.of("/a.B/C", Code::Cancelled), 0);
}

#[tokio::test]
async fn a_stream_is_counted_once_by_its_trailers() {
    let log = layer();
    let answer = || future::ready(Ok::<_, Infallible>(Response::new(Trailers(true))));
    let mut service = log.layer(tower::service_fn(|_: Request<()>| answer()));
    let mut body = service.call(request("/a.B/C")).await.unwrap().into_body();
    assert_eq!(log.0.counts.of("/a.B/C", Code::Aborted), 0);
    while future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_some() {}
    drop(body);
    assert_eq!(log.0.counts.of("/a.B/C", Code::Aborted), 1);
    assert_eq!(log.0.counts.of("/a.B/C", Code::Cancelled), 0);
}

#[tokio::test]
async fn a_call_that_the_caller_gave_up_is_cancelled() {
    let log = layer();
    let pending = |_: Request<()>| future::pending::<Result<Response<Body>, Infallible>>();
    let mut service = log.layer(tower::service_fn(pending));
    drop(service.call(request("/a.B/C")));
    assert_eq!(log.0.counts.of("/a.B/C", Code::Cancelled), 1);
}

#[test]
fn a_path_that_is_not_ours_never_becomes_a_label() {
    let log = layer();
    log.0.counts.count(TABLE.find("/evil\"path"), Code::Unimplemented);
    log.0.counts.count(TABLE.find("/a.B/C"), Code::Ok);
    let mut text = MetricsText::default();
    log.0.counts.write(&mut text);
    assert_eq!(
        text.finish(),
        "# HELP ipms_rpc_total Calls that ended, by gRPC code.\n\
         # TYPE ipms_rpc_total counter\n\
         ipms_rpc_total{method=\"/a.B/C\",code=\"OK\"} 1\n\
         ipms_rpc_total{method=\"other\",code=\"UNIMPLEMENTED\"} 1\n"
    );
}

#[tokio::test]
async fn the_line_of_a_call_tells_method_caller_and_code_and_no_metadata() {
    let page = Page::default();
    let copy = page.clone();
    let lines = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || copy.clone())
        .finish();
    let log = layer();
    let answer = || future::ready(Ok::<_, Infallible>(Status::aborted("hidden").into_http::<Body>()));
    let mut service = log.layer(tower::service_fn(|_: Request<()>| answer()));
    let mut asked = request("/a.B/C");
    asked.headers_mut().insert("authorization", "hidden".parse().unwrap());
    asked.extensions_mut().insert(Caller::UnixSocket);
    let guard = tracing::subscriber::set_default(lines);
    drop(service.call(asked).await);
    drop(guard);
    let line = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    for part in ["method=\"/a.B/C\"", "actor=\"unix-socket\"", "code=\"ABORTED\"", "milliseconds=0"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("hidden"), "{line}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_codes_stand_where_their_numbers_say() {
    for (index, (code, _)) in CODES.iter().enumerate() {
        assert_eq!(usize::try_from(i32::from(*code)), Ok(index));
    }
}
