//! Following over real sockets, against an issuer that says what the test says. Real clocks are only ever waited for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

#[path = "../../src/domain/written.rs"]
mod written;

mod issuer;

use std::{path::Path, sync::Arc};

use common::{
    clock::{Clock as _, SystemClock},
    proto::v1::{self as pb, follow_request::Message},
    revocation::{cursor::Cursor, lease::BootId},
    token::{Limits, kind::PerType},
};
use tokio::{sync::oneshot, task::JoinHandle};
use verifier::{
    adapters::{
        follow_client::{Endpoint, FollowClient, Introduction},
        snapshot::{Identity, Snapshot},
    },
    application::{
        alarms::Alarms,
        following::{FollowConfig, follow},
        shared_view::SharedView,
    },
    domain::{alarm::Alarm, session::Expected, view::View},
};

use self::{
    issuer::{Conversation, Issuer},
    written::{ISSUER, REALM, Written},
};

const BOOT: BootId = BootId([1; 16]);

/// A verifier that follows, and what can be seen of it.
struct Verifier {
    shared: Arc<SharedView>,
    alarms: Arc<Alarms>,
    stop: oneshot::Sender<()>,
    following: JoinHandle<()>,
}

impl Verifier {
    fn start(written: &Written, endpoints: &[&str], file: Option<&Path>) -> Self {
        let identity = Identity {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            log_keys: vec![written.key.public().id()],
        };
        let opened = file.map(|path| {
            Snapshot::open(path, &identity, &written.log_keys(), BOOT, SystemClock.now()).unwrap()
        });
        let (book, initial) =
            opened.map_or((None, View::empty()), |opened| (Some(opened.snapshot), opened.view));
        let expected = Expected {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            log_keys: written.log_keys(),
            own_staleness: PerType::from_fn(|_| None),
            boot: BOOT,
            keeps_file: book.is_some(),
        };
        let introduction =
            Introduction { follower_id: "v".into(), instance: 7, replaces: None, realm: REALM.into() };
        let endpoints = endpoints.iter().map(|text| text.parse::<Endpoint>().unwrap()).collect();
        let client = FollowClient::new(endpoints, introduction, 7).unwrap();
        let (shared, alarms) = (Arc::new(SharedView::new(View::empty())), Arc::new(Alarms::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let following = tokio::spawn(follow(
            FollowConfig { expected, book, initial },
            client,
            Arc::clone(&shared),
            Arc::new(SystemClock),
            Arc::clone(&alarms),
            async {
                let _dropped = stopped.await;
            },
        ));
        Self { shared, alarms, stop, following }
    }

    /// Stops it while it follows `conversation`.
    async fn stop(self, mut conversation: Conversation) {
        self.stop.send(()).unwrap();
        while !matches!(conversation.next().await.unwrap(), Message::Goodbye(_)) {}
        assert_eq!(conversation.next().await, None, "nothing follows a goodbye");
        drop(conversation);
        self.following.await.unwrap();
    }
}

fn cursor(sequence: u64) -> Cursor {
    Cursor::new(1, sequence)
}

/// Now, as log time: heads must not be from the future.
fn log_time() -> u64 {
    SystemClock.now().wall.seconds()
}

#[tokio::test]
async fn what_the_issuer_sends_is_published_and_acknowledged_and_answers_renew_the_lease() {
    let written = Written::new(3);
    let mut issuer = Issuer::start().await;
    let verifier = Verifier::start(&written, &[&issuer.endpoint], None);
    let (hello, mut conversation) = issuer.accept().await;
    assert_eq!((hello.follower_id.as_str(), hello.instance, hello.realm.as_str()), ("v", 7, REALM));
    assert_eq!((hello.head, hello.entry_kinds, hello.schema), (None, 1, 1));
    assert_eq!(hello.limits.len(), 3);
    conversation.trust(&written.trust(1, Limits::default()));
    conversation.log(&written, 1, 3, log_time());
    conversation.acknowledged(cursor(3)).await;
    assert_eq!(verifier.shared.load().log.end(), written.link(3));
    let probe = conversation.probe().await;
    conversation.answer(probe, cursor(3));
    conversation.log(&written, 4, 4, log_time());
    conversation.acknowledged(cursor(4)).await;
    let view = verifier.shared.load().as_ref().clone();
    assert_eq!(view.log.end(), written.link(4));
    assert!(view.lease.is_some() && view.trust.is_some());
    assert!(verifier.alarms.standing().is_empty());
    verifier.stop(conversation).await;
}

#[tokio::test]
async fn a_lost_stream_is_followed_by_another_from_where_it_stood() {
    let written = Written::new(3);
    let mut issuer = Issuer::start().await;
    let verifier = Verifier::start(&written, &["unix:/nowhere/issuer.sock", &issuer.endpoint], None);
    let (_, mut first) = issuer.accept().await;
    first.trust(&written.trust(1, Limits::default()));
    first.log(&written, 1, 3, log_time());
    first.acknowledged(cursor(3)).await;
    first.end(tonic::Status::unavailable("SHUTTING_DOWN"));
    let (hello, mut second) = issuer.accept().await;
    let held = common::revocation::head::Head::decode(&hello.head.unwrap().head).unwrap();
    assert_eq!((held.cursor(), hello.instance), (cursor(3), 7));
    second.acknowledged(cursor(3)).await;
    second.trust(&written.trust(1, Limits::default()));
    second.log(&written, 4, 4, log_time());
    second.acknowledged(cursor(4)).await;
    verifier.stop(second).await;
}

#[tokio::test]
async fn an_issuer_with_another_log_key_is_left_with_an_alarm_that_ends_when_a_true_one_answers() {
    let (written, stranger) = (Written::new(1), Written::new(1));
    let folder = tempfile::tempdir().unwrap();
    let mut issuer = Issuer::start_unix(&folder.path().join("issuer.sock"));
    let verifier = Verifier::start(&written, &[&issuer.endpoint], None);
    let (_, first) = issuer.accept().await;
    first.trust(&stranger.trust(1, Limits::default()));
    let (_, mut second) = issuer.accept().await;
    assert_eq!(verifier.alarms.standing(), [Alarm::NotTrusted]);
    second.trust(&written.trust(1, Limits::default()));
    second.log(&written, 1, 2, log_time());
    second.acknowledged(cursor(2)).await;
    assert!(verifier.alarms.standing().is_empty());
    verifier.stop(second).await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_file_and_offers_what_the_issuer_lost() {
    let written = Written::new(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let mut issuer = Issuer::start().await;
    let verifier = Verifier::start(&written, &[&issuer.endpoint], Some(&path));
    let (_, mut conversation) = issuer.accept().await;
    conversation.trust(&written.trust(1, Limits::default()));
    conversation.log(&written, 1, 4, log_time());
    conversation.acknowledged(cursor(4)).await;
    verifier.stop(conversation).await;

    let verifier = Verifier::start(&written, &[&issuer.endpoint], Some(&path));
    let (hello, mut conversation) = issuer.accept().await;
    assert!(hello.head.is_some());
    conversation.acknowledged(cursor(4)).await;
    conversation.trust(&written.trust(1, Limits::default()));
    conversation.head(&written, 2, log_time());
    conversation.wanted(1, 2);
    let offer = conversation.offer().await;
    let (epoch, first, previous, entries) = written.run(1, 4);
    assert_eq!((epoch, offer.first_sequence, offer.last), (1, first, true));
    assert_eq!((offer.previous_hash.as_ref(), offer.entries.as_ref()), (previous.as_slice(), &entries[..]));
    assert_eq!(verifier.alarms.standing(), [Alarm::IssuerLostEntries]);
    assert_eq!(verifier.shared.load().lease, None);
    verifier.stop(conversation).await;
}

#[tokio::test]
async fn a_message_out_of_bounds_ends_the_stream() {
    let written = Written::new(1);
    let mut issuer = Issuer::start().await;
    let verifier = Verifier::start(&written, &[&issuer.endpoint], None);
    let (_, first) = issuer.accept().await;
    first.trust(&written.trust(1, Limits::default()));
    let long = pb::FollowEntries { entries: vec![0; (1 << 20) + 1].into(), ..Default::default() };
    first.send(pb::follow_response::Message::Entries(long));
    let (_, second) = issuer.accept().await;
    verifier.stop(second).await;
}

#[test]
fn an_endpoint_is_a_host_with_a_port_or_an_absolute_socket() {
    for good in ["https://issuer:8443", "http://issuer:8443", "http://[::1]:1", "unix:/run/issuer.sock"] {
        assert!(good.parse::<Endpoint>().is_ok(), "{good}");
    }
    for bad in ["https://issuer", "http://issuer", "http://issuer:1/path", "unix:relative", "issuer:1", ""] {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
}
