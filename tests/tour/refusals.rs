//! Everything that must be refused, at the verifier and at the issuer, each with its reason. Revocation is elsewhere.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::proto::v1::{
    IssueTokenRequest, RefusalReason, RefusedToken, TokenType, verify_token_response::Verdict,
};
use prost_types::Duration;
use tonic::Code;

use crate::{
    clients::{Clients, LOOK_EVERY, LOOKS},
    show,
    unmet::{Outcome, Unmet, call, fields, reason, told},
    walk::{self, Projects, Tokens},
};

/// The wrong type, a changed token, and one past its expiry.
pub(crate) async fn of_the_verifier(clients: &mut Clients, projects: &Projects, tokens: &Tokens) -> Outcome {
    show::heading("Refused by the verifier");
    let token = &tokens.pseudonymisation.token;
    let refused = clients.refused(token, TokenType::Reverse, RefusalReason::WrongType).await?;
    show::refusal("a pseudonymisation token where reverse tokens are served", &show::verdict(&refused));

    let changed = tampered(token)?;
    let refused = clients.refused(&changed, TokenType::Reverse, RefusalReason::BadSignature).await?;
    show::refusal("a pseudonymisation token made a reverse token by hand", &show::verdict(&refused));

    let second = Some(Duration { seconds: 1, nanos: 0 });
    let short = IssueTokenRequest { lifetime: second, ..walk::pseudonymisation(projects) };
    let issued = clients.issue(short).await.map_err(call("IssueToken"))?;
    let refused = expired(clients, &issued.token).await?;
    show::refusal("a token that lived one second", &show::verdict(&refused));
    Ok(())
}

/// A token whose claims say something else; the signature is the old one.
fn tampered(token: &str) -> Outcome<String> {
    let unreadable = || Unmet::answer("tampering", "a JWS of three parts", &"none");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return Err(unreadable());
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_undecoded| unreadable())?;
    let claims = String::from_utf8(claims).map_err(|_not_text| unreadable())?;
    let changed = claims.replacen("PSEUDONYMISATION", "REVERSE", 1);
    if changed == claims {
        return Err(unreadable());
    }
    Ok(format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed)))
}

async fn expired(clients: &mut Clients, token: &str) -> Outcome<RefusedToken> {
    for _ in 0..LOOKS {
        match clients.verify(token, TokenType::Pseudonymisation).await?.verdict {
            Some(Verdict::Refused(refused)) if refused.reason() == RefusalReason::Expired => {
                return Ok(refused);
            }
            Some(Verdict::Accepted(_)) => tokio::time::sleep(LOOK_EVERY).await,
            other => return Err(Unmet::answer("VerifyToken", "accepted, then EXPIRED", &other)),
        }
    }
    Err(Unmet::answer("VerifyToken", "EXPIRED", &"still accepted"))
}

/// What the policy or the request's form forbids.
pub(crate) async fn of_the_issuer(clients: &mut Clients, projects: &Projects) -> Outcome {
    show::heading("Refused by the issuer");
    not_issued(
        clients,
        "a reverse token of a project that is not reversible",
        walk::reverse_of_not_reversible(projects),
        (Code::FailedPrecondition, "PROJECT_NOT_REVERSIBLE"),
    )
    .await?;
    not_issued(
        clients,
        "a reverse token for a collaborator without Can reverse",
        walk::reverse_by_collaborator(projects),
        (Code::FailedPrecondition, "REVERSE_NOT_GRANTED"),
    )
    .await?;
    not_issued(
        clients,
        "a secondary token without its source",
        walk::secondary_without_source(projects),
        (Code::InvalidArgument, "source"),
    )
    .await
}

/// The word is the reason, or the bad field.
async fn not_issued(
    clients: &mut Clients,
    what: &'static str,
    request: IssueTokenRequest,
    (code, word): (Code, &str),
) -> Outcome {
    match clients.issue(request).await {
        Err(status)
            if status.code() == code
                && (reason(&status).as_deref() == Some(word) || fields(&status) == [word]) =>
        {
            show::refusal(what, &told(&status));
            Ok(())
        }
        Err(status) => Err(Unmet::answer(what, format!("{code:?} {word}"), &told(&status))),
        Ok(_) => Err(Unmet::answer(what, format!("{code:?} {word}"), &"a token")),
    }
}
