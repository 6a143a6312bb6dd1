//! All that a component needs to serve holders of tokens. Quoted in `README.md` and `docs/INTEGRATION.md`.

// begin
use std::{error::Error, sync::Arc};

use axum::{Extension, Router, routing::post};
use common::guard::{Admission, Guard, Patience, Verifiers};
use common::token::kind::TokenType;

async fn handler(Extension(admission): Extension<Admission>, body: String) -> String {
    format!("{} bytes of {}, as {:?}", body.len(), admission.project, admission.configuration.treatment)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let verifiers = Verifiers::connect(&["unix:/run/ipms/verifier.sock"], Patience::default())?;
    let guard = Guard::new(Arc::new(verifiers), [TokenType::Pseudonymisation]);
    let routes = Router::new().route("/api/count", post(handler).route_layer(guard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
    Ok(axum::serve(listener, routes).await?)
}
// end
