//! The rules of DESIGN section 2, each by its number, through the wire.

mod granting;
mod sources;
mod tokens;
mod withdrawing;

use harness::{expect, orders, pair::Pair};
use tonic::{Code, Status};

/// A pair with the project `study`, reversible for a year.
async fn pair_with_study() -> Pair {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    pair
}

/// The rule that a refusal names.
#[track_caller]
fn broken<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    expect::reason(&status)
}
