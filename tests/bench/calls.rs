//! One call at a time over real sockets: issuing, and judging a token seen for the first and for the second time.

use common::proto::v1 as pb;
use pb::verifier_service_client::VerifierServiceClient;

use crate::{
    floors::{Bare, Disk, Echo, awaited},
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer},
};

const NAME: &str = "calls";

/// Each call and each floor `rounds` times, in turns.
pub(crate) async fn run(rounds: usize) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let verifier = issuer.verifier(NAME).await?;
    let mut clients = Clients::connect(issuer.address).await?;
    clients.create_project().await?;
    let socket = issuer.socket(NAME).await?;
    let mut judge = VerifierServiceClient::new(socket.clone());
    let (mut bare, mut disk) = (Bare::new()?, Disk::new(issuer.folder.path())?);
    let (mut echo, mut socket_echo) = (Echo::new(clients.channel.clone()), Echo::new(socket));
    let [mut issue, mut first, mut second] = [(); 3].map(|()| Spans::default());
    let [mut signed, mut checked, mut written, mut echoed, mut socket_echoed] =
        [(); 5].map(|()| Spans::default());
    for _ in 0..rounds {
        let (answer, span) = awaited(clients.issue()).await;
        issue.add(span);
        let (token, _) = answer?;
        echoed.add(echo.call().await?);
        written.add(disk.write()?);
        signed.add(bare.sign()?);
        for spans in [&mut first, &mut second] {
            let request = pb::VerifyTokenRequest {
                token: token.clone(),
                accepted_types: vec![pb::TokenType::Pseudonymisation.into()],
                ..Default::default()
            };
            let (answer, span) = awaited(judge.verify_token(request)).await;
            spans.add(span);
            if !matches!(answer?.into_inner().verdict, Some(pb::verify_token_response::Verdict::Accepted(_)))
            {
                return Err("a new token is not accepted".into());
            }
        }
        socket_echoed.add(socket_echo.call().await?);
        checked.add(bare.verify()?);
    }
    verifier.stop().await?;
    issuer.stop().await?;
    let (echo, socket_echo) = (echoed.median(), socket_echoed.median());
    let issuing = echo + signed.median() + written.median() * 2;
    told(
        "IssueToken, p50 (floor: empty call, sign, two disk writes)",
        issue.median(),
        Some(issuing),
        Target::None,
    );
    told("IssueToken, p99", issue.percentile(99), None, Target::None);
    let judging = socket_echo + checked.median();
    told(
        "VerifyToken, new, Unix socket, p50 (floor: empty call, verify)",
        first.median(),
        Some(judging),
        Target::None,
    );
    told("VerifyToken, new, Unix socket, p99", first.percentile(99), None, Target::None);
    told(
        "VerifyToken, seen, Unix socket, p50 (floor: empty call)",
        second.median(),
        Some(socket_echo),
        Target::None,
    );
    told("VerifyToken, seen, Unix socket, p99", second.percentile(99), None, Target::None);
    told("floor: an empty call over TCP, p50", echo, None, Target::None);
    told("floor: an empty call over the Unix socket, p50", socket_echo, None, Target::None);
    told("floor: RSA-3072 PSS signature, p50", signed.median(), None, Target::None);
    told("floor: RSA-3072 PSS verification, p50", checked.median(), None, Target::None);
    told("floor: one page to the disk, p50", written.median(), None, Target::None);
    Ok(())
}
