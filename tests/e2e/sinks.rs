//! The audit trail's disk takes nothing, under the real programs. Failure in all of them: a token without its line, a
//! revocation that waits for the disk, a line that is missing in the end, or an issuer that needs a restart.

use std::{fs, path::PathBuf};

use common::proto::v1::{self as pb, RefusalReason};
use harness::{
    calls::{serving, tokens},
    faults::Fault,
    orders::{self, OWNER},
    programs::Programs,
    redis::Redis,
    until,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tonic::Code;
use tonic_types::StatusExt as _;

/// Issues one token, and takes the disk away with `fill`: issuing stops with its reason, revoking does not. With `free` all
/// goes on. Then the trail, which is at `trail`, is whole, and the revocation is in it, late.
async fn nothing_is_issued_meanwhile(
    programs: &Programs,
    trail: PathBuf,
    fill: impl FnOnce(),
    free: impl FnOnce(),
) {
    let service = |name: &str| {
        let (channel, name) = (programs.issuer(), format!("ipms.token.v1.{name}"));
        async move { serving(channel, &name).await.unwrap() }
    };
    programs.create(orders::reversible("study")).await.unwrap();
    let first = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let pid = programs.issuer.pid();
    fill();
    // The first lines may still find room, and a shorter one after a longer one did not.
    let mut refusals = 0;
    let refused = until("every order is refused", async || {
        let refused = programs.issue(orders::pseudonymise("study", OWNER)).await.err();
        refusals = if refused.is_some() { refusals + 1 } else { 0 };
        refused.filter(|_| refusals == 100)
    })
    .await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "AUDIT_UNAVAILABLE");
    until("health tells it", async || (!service("IssuerService").await).then_some(())).await;
    assert!(programs.issuer.page("/readyz").await.contains("AUDIT_UNAVAILABLE"));
    assert!(service("RevocationService").await);
    let lines = fs::read(&trail).unwrap();
    let id = first.record.unwrap().token_id;
    let request = pb::RevokeRequest {
        selector: Some(tokens([&id])),
        reason: pb::RevocationReason::TokenLeaked.into(),
        comment: "a line longer than that of an order: ".repeat(10),
    };
    let revoked = programs.revoking().revoke(request).await.unwrap().into_inner();
    programs.seen(&revoked).await;
    assert_eq!(programs.refused(&first.token).await, RefusalReason::Revoked);
    assert_eq!(fs::read(&trail).unwrap(), lines, "the disk took a line");
    free();
    until("issuing goes on", async || service("IssuerService").await.then_some(())).await;
    let token = programs.token(orders::pseudonymise("study", OWNER)).await;
    programs.accepted(&token).await;
    assert_eq!(programs.issuer.pid(), pid, "without a restart");
    let kept = programs.path("kept.jsonl");
    fs::copy(&trail, &kept).unwrap();
    let text = fs::read_to_string(&kept).unwrap();
    let late: Vec<_> = text.lines().filter(|line| line.contains("\"late\":true")).collect();
    assert!(matches!(late.as_slice(), [one] if one.contains("\"append\"")), "{late:?}");
    let checked = programs.issuer.run(&["audit", "verify", "kept.jsonl"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_trail_stops_issuing_and_revocations_are_in_the_trail_once_there_is_room() {
    let programs = Programs::prepared(|issuer, _verifier, folder| {
        fs::create_dir(folder.join("trail")).unwrap();
        issuer.set("AUDIT__PATH", "trail/audit.jsonl");
        // A small disk that only this process sees, and that goes with it.
        issuer.limits(
            "[ \"$(id -u)\" = 0 ] || map=--map-root-user\n\
             exec unshare --mount $map sh -c 'mount -t tmpfs -o size=128k none trail && exec \"$0\"' \"$0\"",
        );
    });
    let programs = programs.await;
    let disk = PathBuf::from(format!("/proc/{}/root", programs.issuer.pid().unwrap()))
        .join(programs.path("trail").strip_prefix("/").unwrap());
    let filler = disk.join("filler");
    let fill = || {
        let full = fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    };
    let free = || fs::remove_file(&filler).unwrap();
    nothing_is_issued_meanwhile(&programs, disk.join("audit.jsonl"), fill, free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_whose_writes_fail_stops_issuing_and_revocations_are_in_the_trail_once_they_do_not() {
    let redis = Redis::start();
    let programs = Programs::prepared(|issuer, _verifier, _folder| {
        // All of its state is elsewhere: a bound on the size of files is met by the trail, and by a log that can wait.
        issuer.set("STORE__KIND", "redis");
        issuer.set("STORE__URL", &redis.url());
        issuer.limits("trap '' XFSZ");
    });
    let programs = programs.await;
    let trail = programs.path("audit.jsonl");
    let pid = Pid::from_raw(programs.issuer.pid().unwrap().try_into().unwrap());
    let bound = |bound| {
        let maximum = prlimit(pid, Resource::Fsize, Rlimit { current: bound, maximum: None }).unwrap();
        assert_eq!(maximum.maximum, None);
    };
    let length = fs::metadata(&trail).unwrap().len();
    nothing_is_issued_meanwhile(&programs, trail, || bound(Some(length)), || bound(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_whose_disk_does_not_answer_stops_issuing_and_revocations_are_in_the_trail_once_it_does() {
    let mut fault = None;
    let programs = Programs::prepared(|issuer, _verifier, folder| {
        let made = Fault::new(folder);
        made.before(issuer, &folder.join("audit.jsonl"));
        fault = Some(made);
    });
    let (programs, fault) = (programs.await, fault.unwrap());
    let trail = programs.path("audit.jsonl");
    nothing_is_issued_meanwhile(&programs, trail, || fault.block(), || fault.lift()).await;
}

/// After an error of a sync nobody knows what is on the disk (the kernel may have dropped it): one that succeeds later proves
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_could_not_be_synced_once_stops_issuing_until_a_restart_writes_what_is_missing() {
    let mut fault = None;
    let programs = Programs::prepared(|issuer, _verifier, folder| {
        let made = Fault::new(folder);
        made.before(issuer, &folder.join("audit.jsonl"));
        fault = Some(made);
    });
    let (mut programs, fault) = (programs.await, fault.unwrap());
    programs.create(orders::reversible("study")).await.unwrap();
    let first = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    fault.fail_syncs();
    let refused = async |programs: &Programs| {
        let refused = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "AUDIT_UNAVAILABLE");
    };
    refused(&programs).await;
    let revoked = programs.revoke(tokens([&first.record.unwrap().token_id])).await.unwrap();
    programs.seen(&revoked).await;
    assert_eq!(programs.refused(&first.token).await, RefusalReason::Revoked);
    fault.lift();
    for _ in 0..50 {
        refused(&programs).await;
    }
    assert!(programs.issuer.terminate().await);
    programs.restart_issuer().await;
    programs.fresh().await;
    let token = programs.token(orders::pseudonymise("study", OWNER)).await;
    programs.accepted(&token).await;
    assert_eq!(programs.refused(&first.token).await, RefusalReason::Revoked);
    let text = fs::read_to_string(programs.path("audit.jsonl")).unwrap();
    let late: Vec<_> = text.lines().filter(|line| line.contains("\"late\":true")).collect();
    assert!(matches!(late.as_slice(), [one] if one.contains("\"append\"")), "{late:?}");
    let checked = programs.issuer.run(&["audit", "verify", "audit.jsonl"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
