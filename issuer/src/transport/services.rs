//! All gRPC services of an issuer, each with its bounds. Knows no listener.

use std::sync::Arc;

use common::{
    proto::v1::{
        issuer_service_server::IssuerServiceServer, key_service_server::KeyServiceServer,
        project_service_server::ProjectServiceServer, revocation_service_server::RevocationServiceServer,
        trust_service_server::TrustServiceServer,
    },
    runtime::{
        limits::{MAX_FEED, MAX_MESSAGE, MAX_SENT},
        shutdown::Shutdown,
    },
};
use tonic::service::Routes;

use super::{
    follow::Trusting, issuer::Issuing, keys::KeyKeeping, projects::Projects, revocation::Revocations,
};
use crate::application::realm::Realm;

/// Over one realm; feeds end when the shutdown begins.
pub fn routes(realm: &Arc<Realm>, shutdown: Shutdown) -> Routes {
    let ours = || Arc::clone(realm);
    Routes::new(
        ProjectServiceServer::new(Projects(ours()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_SENT),
    )
    .add_service(
        IssuerServiceServer::new(Issuing(ours()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_SENT),
    )
    .add_service(
        RevocationServiceServer::new(Revocations(ours()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_SENT),
    )
    .add_service(
        TrustServiceServer::new(Trusting { realm: ours(), shutdown })
            .max_decoding_message_size(MAX_FEED)
            .max_encoding_message_size(MAX_SENT),
    )
    .add_service(
        KeyServiceServer::new(KeyKeeping(ours()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_SENT),
    )
}
