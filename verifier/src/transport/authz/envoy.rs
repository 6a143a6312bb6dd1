//! `envoy.service.auth.v3.Authorization`: parse, ask, render. No rule.

use common::{
    proto::envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
            attribute_context::HttpRequest, authorization_server, check_response::HttpResponse,
        },
        r#type::v3::{HttpStatus, StatusCode},
    },
    runtime::{
        bearer::bearer_of,
        limits::{MAX_MESSAGE, MAX_SENT},
        status::invalid_argument,
    },
};
use tonic::{Code, Request, Response, Status};

use super::{CHALLENGE, Door, FORWARDED, Outcome, REFUSAL, route::Route, told};
use crate::application::verify::Accepted;

impl Door {
    /// To be added to a server.
    pub fn server(self) -> authorization_server::AuthorizationServer<Self> {
        authorization_server::AuthorizationServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_SENT)
    }
}

#[tonic::async_trait]
impl authorization_server::Authorization for Door {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let (_, extensions, asked) = request.into_parts();
        let AttributeContext { context_extensions, request } = asked.attributes.unwrap_or_default();
        let words = context_extensions.iter().map(|(name, value)| (&**name, &**value));
        let route = Route::read(ROUTE, words).map_err(|bad| invalid_argument(&bad))?;
        let http = request.and_then(|request| request.http).unwrap_or_default();
        let shown = bearer_of(values(&http, AUTHORIZATION));
        let outcome = self.ask(&extensions, &route, shown, values(&http, FORWARDED)).await?;
        Ok(Response::new(match outcome {
            Outcome::Passes(accepted) => passes(&accepted),
            Outcome::NoCredentials => denied(CHALLENGE),
            Outcome::Refused => denied(REFUSAL),
        }))
    }
}

/// The values of a header, in whichever of the two ways Envoy sends it.
fn values<'a>(http: &'a HttpRequest, name: &'static str) -> impl Iterator<Item = &'a str> {
    let joined = http.headers.get(name).map(String::as_str);
    let single = http.header_map.iter().flat_map(|map| &map.headers);
    let single = single.filter(move |header| header.key.eq_ignore_ascii_case(name)).map(value);
    joined.into_iter().chain(single)
}

/// What is no text is no word that we know, but it is something.
fn value(header: &HeaderValue) -> &str {
    if header.raw_value.is_empty() {
        &header.value
    } else {
        str::from_utf8(&header.raw_value).unwrap_or("bearer")
    }
}

fn passes(accepted: &Accepted) -> CheckResponse {
    let mut headers_to_remove = vec![AUTHORIZATION.to_owned()];
    let mut headers = Vec::with_capacity(told::HEADERS.len());
    for (name, value) in told::headers(accepted) {
        match value {
            Some(value) => headers.push(header(name, &value)),
            None => headers_to_remove.push(name.to_owned()),
        }
    }
    CheckResponse {
        status: Some(tonic_types::Status::default()),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse { headers, headers_to_remove })),
        dynamic_metadata: Some(told::metadata(accepted)),
    }
}

fn denied(challenge: &str) -> CheckResponse {
    let status = Some(HttpStatus { code: StatusCode::Unauthorized.into() });
    let headers = vec![header("www-authenticate", challenge)];
    // Without a status other than OK the request would pass.
    let code = Code::Unauthenticated.into();
    CheckResponse {
        status: Some(tonic_types::Status { code, ..tonic_types::Status::default() }),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status,
            headers,
            body: String::new(),
        })),
        dynamic_metadata: None,
    }
}

fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

const AUTHORIZATION: &str = "authorization";
const ROUTE: &str = "attributes.context_extensions";
