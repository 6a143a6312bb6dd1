//! Claims about calling verifiers: over a real socket, to verifiers that answer as they are told.

use tokio_stream::{StreamExt as _, wrappers::UnixListenerStream};
use tonic::{Request, Response, transport::Endpoint};

use super::*;
use crate::proto::v1::{
    self as pb, verifier_service_client::VerifierServiceClient, verifier_service_server as server,
    verify_token_response::Verdict,
};

type Answer = Result<Verdict, Status>;

/// A verifier that says the same each time, and counts.
#[derive(Clone)]
struct Fake(Answer, Arc<AtomicUsize>);

/// A verifier that takes the question and never says anything.
struct Silent(Arc<AtomicUsize>);

#[tonic::async_trait]
impl server::VerifierService for Silent {
    async fn verify_token(
        &self,
        _request: Request<pb::VerifyTokenRequest>,
    ) -> Result<Response<pb::VerifyTokenResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn verify_tokens(
        &self,
        _request: Request<pb::VerifyTokensRequest>,
    ) -> Result<Response<pb::VerifyTokensResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_trust_view(
        &self,
        _request: Request<pb::GetTrustViewRequest>,
    ) -> Result<Response<pb::GetTrustViewResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Serves on a socket of that name; counts the connections that it takes.
fn served<S: server::VerifierService>(path: &std::path::Path, service: S) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let incoming = UnixListenerStream::new(tokio::net::UnixListener::bind(path).unwrap());
    let incoming = incoming.map(move |connection| {
        counted.fetch_add(1, Ordering::SeqCst);
        connection
    });
    let service = server::VerifierServiceServer::new(service);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    connections
}

/// Over the first `count` sockets of a folder.
fn over(folder: &tempfile::TempDir, count: usize, patience: Patience) -> Verifiers {
    let name = |index: usize| format!("unix:{}", folder.path().join(index.to_string()).display());
    let names: Vec<_> = (0..count).map(name).collect();
    Verifiers::connect(&names.iter().map(String::as_str).collect::<Vec<_>>(), patience).unwrap()
}

const SHOWN: Shown<'_> = Shown { token: "a.b.c", accepted_types: &[TokenType::Secondary], holder: None };

#[tonic::async_trait]
impl server::VerifierService for Fake {
    async fn verify_token(
        &self,
        _request: Request<pb::VerifyTokenRequest>,
    ) -> Result<Response<pb::VerifyTokenResponse>, Status> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let verdict = Some(self.0.clone()?);
        Ok(Response::new(pb::VerifyTokenResponse { verdict, view: None }))
    }

    async fn verify_tokens(
        &self,
        _request: Request<pb::VerifyTokensRequest>,
    ) -> Result<Response<pb::VerifyTokensResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_trust_view(
        &self,
        _request: Request<pb::GetTrustViewRequest>,
    ) -> Result<Response<pb::GetTrustViewResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn accepted() -> Verdict {
    let seconds = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Verdict::Accepted(pb::AcceptedToken {
        token_id: TokenId::from_bytes([7; 16]).to_string(),
        token_type: pb::TokenType::Secondary.into(),
        organisation_id: OrganisationId::from_bytes([1; 16]).to_string(),
        project: Some(pb::AcceptedProject {
            project_id: "study".to_owned(),
            configuration: Some(pb::ProjectConfiguration {
                method: Some(pb::project_configuration::Method::Reversible(pb::Reversible {
                    retention: None,
                    retention_end: seconds(90),
                })),
                treatment: pb::Treatment::AlwaysSame.into(),
                output_format: Some(pb::OutputFormat { alphabet: pb::Alphabet::Uuid.into(), length: 36 }),
            }),
        }),
        source: Some(pb::Source {
            project_id: "other".to_owned(),
            organisation_id: OrganisationId::from_bytes([2; 16]).to_string(),
        }),
        usable_until: seconds(60),
        ..pb::AcceptedToken::default()
    })
}

/// Serves each answer on a socket of its own, and asks all of them, `times` over.
async fn judged(answers: Vec<Answer>, times: usize) -> (Vec<Result<Admission, NotAdmitted>>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut endpoints, mut counts, mut serving) = (Vec::new(), Vec::new(), Vec::new());
    for (index, answer) in answers.into_iter().enumerate() {
        let path = folder.path().join(index.to_string());
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let service = server::VerifierServiceServer::new(Fake(answer, Arc::clone(&count)));
        let routes = tonic::transport::Server::builder().add_service(service);
        serving.push(tokio::spawn(routes.serve_with_incoming(UnixListenerStream::new(listener))));
        endpoints.push(format!("unix:{}", path.display()));
        counts.push(count);
    }
    // One that is not there.
    endpoints.push(format!("unix:{}", folder.path().join("none").display()));
    let names: Vec<_> = endpoints.iter().map(String::as_str).collect();
    let patience =
        Patience { attempt: Duration::from_secs(10), total: Duration::from_mins(1), connections: 2 };
    let verifiers = Verifiers::connect(&names, patience).unwrap();
    let mut results = Vec::new();
    for _ in 0..times {
        results.push(verifiers.judge(SHOWN).await);
    }
    for task in serving {
        task.abort();
    }
    (results, counts.iter().map(|count| count.load(Ordering::SeqCst)).collect())
}

#[tokio::test]
async fn an_answer_is_read_whole_into_our_own_types() {
    let (results, _) = judged(vec![Ok(accepted())], 1).await;
    let source =
        Source { project: "other".parse().unwrap(), organisation: OrganisationId::from_bytes([2; 16]) };
    let retention_end = Timestamp::from_seconds(90).unwrap();
    let mut expected = admission(TokenType::Secondary);
    expected.configuration.method = TokenMethod::Reversible { retention_end };
    expected.source = Some(source);
    expected.usable_until = Timestamp::from_seconds(60).unwrap();
    assert_eq!(results, [Ok(expected)]);
}

#[tokio::test]
async fn what_is_unavailable_is_asked_for_elsewhere() {
    let stale = Err(Status::unavailable("stale"));
    let (results, counts) = judged(vec![stale, Ok(accepted())], 6).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(counts[1], 6);
}

#[tokio::test]
async fn a_verifier_that_says_nothing_is_left_after_one_try_and_another_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    served(&folder.path().join("0"), Silent(Arc::clone(&asked)));
    served(&folder.path().join("1"), Fake(Ok(accepted()), Arc::clone(&answered)));
    // Long enough for the one that answers, however busy this machine is.
    let patience =
        Patience { attempt: Duration::from_secs(3), total: Duration::from_mins(1), connections: 1 };
    let verifiers = over(&folder, 2, patience);
    for _ in 0..2 {
        assert!(verifiers.judge(SHOWN).await.is_ok());
    }
    let counts = [&asked, &answered].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 2], "the silent one is asked first by one of two");
}

#[tokio::test]
async fn when_nobody_says_anything_the_deadline_of_all_tries_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    for index in ["0", "1"] {
        served(&folder.path().join(index), Silent(Arc::clone(&asked)));
    }
    let patience =
        Patience { attempt: Duration::from_hours(1), total: Duration::from_millis(500), connections: 1 };
    let verifiers = over(&folder, 2, patience);
    let judged = tokio::time::timeout(Duration::from_mins(1), verifiers.judge(SHOWN)).await;
    assert_eq!(judged.unwrap(), Err(NotAdmitted::Undecided { retry_after: RETRY }));
    assert!(asked.load(Ordering::SeqCst) <= 1, "the first try has an hour: there was no time for another");
}

#[tokio::test]
async fn each_endpoint_has_as_many_connections_as_were_wanted_and_all_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let connections = ["0", "1"]
        .map(|index| served(&folder.path().join(index), Fake(Ok(accepted()), Arc::clone(&answered))));
    let patience =
        Patience { attempt: Duration::from_secs(10), total: Duration::from_mins(1), connections: 3 };
    let verifiers = over(&folder, 2, patience);
    for _ in 0..12 {
        assert!(verifiers.judge(SHOWN).await.is_ok());
    }
    assert_eq!(connections.map(|count| count.load(Ordering::SeqCst)), [3, 3]);
    assert_eq!(answered.load(Ordering::SeqCst), 12, "nobody is asked twice who answered");
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_is_not_asked_for_again() {
    let refused = Verdict::Refused(pb::RefusedToken::default());
    let (results, counts) = judged(vec![Ok(refused.clone()), Ok(refused)], 6).await;
    assert_eq!(results, [const { Err(NotAdmitted::Refused) }; 6]);
    assert_eq!(counts.iter().sum::<usize>(), 6);
}

#[tokio::test]
async fn nobody_there_no_role_and_an_answer_that_cannot_be_read_are_not_knowing() {
    let Verdict::Accepted(whole) = accepted() else { panic!() };
    let spoilt = |change: fn(&mut pb::AcceptedToken)| {
        let mut token = whole.clone();
        change(&mut token);
        vec![Ok(Verdict::Accepted(token))]
    };
    let retry = Duration::from_secs(9);
    let later = crate::runtime::status::unavailable("REVOCATIONS_STALE", "", retry);
    for (answers, retry_after) in [
        (vec![], RETRY),
        (vec![Err(Status::permission_denied(""))], RETRY),
        (vec![Ok(Verdict::Undecided(pb::UndecidedToken::default()))], RETRY),
        (spoilt(|token| token.project = None), RETRY),
        (spoilt(|token| token.usable_until = None), RETRY),
        (spoilt(|token| token.token_type = 9), RETRY),
    ] {
        let (results, _) = judged(answers, 1).await;
        assert_eq!(results, [Err(NotAdmitted::Undecided { retry_after })]);
    }
    // The endpoint that is not there is asked first or last: what the other said counts when it came last.
    let (results, _) = judged(vec![Err(later)], 2).await;
    assert!(results.contains(&Err(NotAdmitted::Undecided { retry_after: retry })), "{results:?}");
}

#[tokio::test]
async fn a_tonic_server_is_guarded_by_the_same_layer() {
    let folder = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    for (answer, code) in
        [(Ok(admission(TokenType::Reverse)), Code::Ok), (Err(NotAdmitted::Refused), Code::Unauthenticated)]
    {
        let path = folder.path().join(code.to_string());
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let service = server::VerifierServiceServer::new(Fake(Ok(accepted()), Arc::clone(&count)));
        let guard = Guard::new(told(answer), [TokenType::Reverse]);
        let routes = tonic::transport::Server::builder().layer(guard).add_service(service);
        let serving = tokio::spawn(routes.serve_with_incoming(UnixListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
        let mut client = VerifierServiceClient::new(endpoint.connect().await.unwrap());
        let bare = client.verify_token(pb::VerifyTokenRequest::default()).await;
        assert_eq!(bare.unwrap_err().code(), Code::Unauthenticated);
        let mut request = Request::new(pb::VerifyTokenRequest::default());
        request.metadata_mut().insert("authorization", "Bearer a.b.c".parse().unwrap());
        let answered = client.verify_token(request).await;
        assert_eq!(answered.map_or_else(|status| status.code(), |_| Code::Ok), code);
        serving.abort();
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "what is turned away reaches nobody");
}

#[test]
fn verifiers_are_named_by_socket_or_by_address() {
    let none = Patience { total: Duration::ZERO, ..Patience::default() };
    let name = &["unix:/run/verifier.sock"][..];
    for (names, patience, expected) in [
        (name, Patience::default(), InvalidVerifiers::NoRuntime),
        (&["https://verifier"], Patience::default(), InvalidVerifiers::Endpoint),
        (&["unix:relative"], Patience::default(), InvalidVerifiers::Endpoint),
        (&["http://"], Patience::default(), InvalidVerifiers::Endpoint),
        (name, none, InvalidVerifiers::NoPatience),
    ] {
        assert_eq!(Verifiers::connect(names, patience).err(), Some(expected), "{names:?}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let nobody = Verifiers::connect(&[], Patience::default());
    assert_eq!(nobody.err(), Some(InvalidVerifiers::NoEndpoint));
    assert!(Verifiers::connect(name, Patience::default()).is_ok());
}

const RETRY: Duration = Duration::from_secs(1);
