//! What the API answers when it cannot do what was asked: RFC 9457 problem details.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    error::{JsonPayloadError, PathError, QueryPayloadError},
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use queue::{Refused, Trace};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use utoipa::ToSchema;

use crate::keys::Permission;

/// Everything that goes wrong with a request ends here.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("an API key is missing: send the header `Authorization: Bearer bdl_…`")]
    KeyMissing,
    #[error("the API key is not valid: it is unknown, revoked or expired")]
    KeyInvalid,
    #[error("the API key lacks the permission {0}")]
    Forbidden(Permission),
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    TooLarge(String),
    #[error("send JSON, with the header `Content-Type: application/json`")]
    NotJson,
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    UnknownKind(Refused),
    /// What waits in the queue is as much as may.
    #[error("{0}")]
    Full(String),
    /// The handler was dropped, so its open transaction was rolled back; a commit may have happened before.
    #[error(
        "no answer within {0} s. It may have been done all the same: look before you try again"
    )]
    TooSlow(u64),
    /// Logged in full; the caller only gets an id to quote.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

/// Problem details (RFC 9457), the shape of every error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; compare it as a whole.
    #[schema(example = "urn:beadle:problem:unknown-kind")]
    pub r#type: String,
    /// The same for every problem of this type.
    #[schema(example = "Unknown kind of job")]
    pub title: String,
    /// The HTTP status again.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The id of the request. Quote it when you ask for help.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub id: String,
}

impl ApiError {
    /// The cause to log, for errors that are ours and not the caller's.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Internal(error) => Some(format!("{error:#}")),
            Self::TooSlow(_) => Some(self.to_string()),
            _ => None,
        }
    }

    /// The last part of `type`, and the `title`.
    fn name(&self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest(_) => ("bad-request", "Malformed request"),
            Self::KeyMissing => ("key-missing", "API key missing"),
            Self::KeyInvalid => ("key-invalid", "API key not valid"),
            Self::Forbidden(_) => ("forbidden", "Permission missing"),
            Self::NotFound(_) => ("not-found", "Not found"),
            Self::TooLarge(_) => ("too-large", "Body too large"),
            Self::NotJson => ("not-json", "Not JSON"),
            Self::Invalid(_) => ("invalid", "Invalid input"),
            Self::UnknownKind(_) => ("unknown-kind", "Unknown kind of job"),
            Self::Full(_) => ("full", "Queue full"),
            Self::TooSlow(_) => ("too-slow", "Too slow"),
            Self::Internal(error) if is_outage(error) => ("unavailable", "Database unavailable"),
            Self::Internal(_) => ("internal", "Internal error"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Internal(error) if is_outage(error) => {
                "the database does not answer; try again in a few seconds".to_owned()
            }
            Self::Internal(_) => "this is our fault; it is logged under this id".to_owned(),
            error => error.to_string(),
        }
    }

    fn challenge(&self) -> Option<String> {
        match self {
            Self::KeyMissing => Some("Bearer".to_owned()),
            Self::KeyInvalid => Some(r#"Bearer error="invalid_token""#.to_owned()),
            Self::Forbidden(permission) => {
                Some(format!(r#"Bearer error="insufficient_scope", scope="{permission}""#))
            }
            _ => None,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::KeyMissing | Self::KeyInvalid => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) | Self::UnknownKind(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(error) if is_outage(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.challenge() {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        let passes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        if passes.contains(&self.status_code()) {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        let (name, title) = self.name();
        problem(&mut response, self.status_code(), name, title, self.detail())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UnknownKind { .. } => Self::UnknownKind(refused),
            refused => Self::Invalid(refused.to_string()),
        }
    }
}

impl From<queue::Error> for ApiError {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::BadArgs(_) | queue::Error::BadRule(_) => Self::Invalid(error.to_string()),
            queue::Error::Full(_) => Self::Full(error.to_string()),
            queue::Error::TooLarge { .. } => Self::TooLarge(error.to_string()),
            error => Self::Internal(anyhow::Error::new(error)),
        }
    }
}

impl From<JsonPayloadError> for ApiError {
    fn from(error: JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::Overflow { limit } => {
                Self::TooLarge(format!("the body may have {limit} bytes"))
            }
            JsonPayloadError::OverflowKnownLength { length, limit } => {
                Self::TooLarge(format!("the body has {length} bytes and may have {limit}"))
            }
            JsonPayloadError::ContentType => Self::NotJson,
            JsonPayloadError::Deserialize(error) if error.classify() == Category::Data => {
                Self::Invalid(error.to_string())
            }
            JsonPayloadError::Deserialize(error) => {
                Self::BadRequest(format!("the body is not JSON: {error}"))
            }
            error => Self::BadRequest(format!("the body cannot be read: {error}")),
        }
    }
}

impl From<PathError> for ApiError {
    fn from(error: PathError) -> Self {
        let reason = match error {
            PathError::Deserialize(error) => error.to_string(),
            error => error.to_string(),
        };
        Self::BadRequest(format!("the address is malformed: {reason}"))
    }
}

impl From<QueryPayloadError> for ApiError {
    fn from(error: QueryPayloadError) -> Self {
        let reason = match error {
            QueryPayloadError::Deserialize(error) => error.to_string(),
            error => error.to_string(),
        };
        Self::BadRequest(format!("the query is malformed: {reason}"))
    }
}

/// Turns an error that the framework answered with an empty body into a problem, headers kept.
pub fn dress(response: HttpResponse) -> HttpResponse {
    let status = response.status();
    let is_bare = matches!(response.body().size(), BodySize::None | BodySize::Sized(0))
        || !response.headers().contains_key(header::CONTENT_TYPE);
    if !(status.is_client_error() || status.is_server_error()) || !is_bare {
        return response;
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let name = title.to_ascii_lowercase().replace(' ', "-");
    let detail = match response.headers().get(header::ALLOW).map(HeaderValue::to_str) {
        Some(Ok(methods)) => format!("this address answers {methods}"),
        _ => format!("the server answered: {title}"),
    };
    let mut builder = HttpResponse::build(status);
    for (name, value) in response.headers() {
        builder.append_header((name, value));
    }
    problem(&mut builder, status, &name, title, detail)
}

const RETRY_AFTER_SECONDS: u32 = 5;

fn problem(
    response: &mut HttpResponseBuilder,
    status: StatusCode,
    name: &str,
    title: &str,
    detail: String,
) -> HttpResponse<BoxBody> {
    let body = Problem {
        r#type: format!("urn:beadle:problem:{name}"),
        title: title.to_owned(),
        status: status.as_u16(),
        detail,
        id: Trace::current().map(|trace| trace.id()).unwrap_or_default(),
    };
    response.insert_header((header::CONTENT_TYPE, "application/problem+json")).json(body)
}

/// Whether it is the database that is away, so that the same request may succeed later.
fn is_outage(error: &anyhow::Error) -> bool {
    let database = error.chain().find_map(|cause| {
        cause.downcast_ref::<sqlx::Error>().or_else(|| {
            match cause.downcast_ref::<queue::Error>()? {
                queue::Error::Database(error) => Some(error),
                _ => None,
            }
        })
    });
    match database {
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
        // Connection exceptions, insufficient resources, operator intervention.
        Some(sqlx::Error::Database(error)) => error
            .code()
            .is_some_and(|code| ["08", "53", "57P"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;

    use super::*;

    #[test]
    fn a_database_that_is_away_is_told_from_a_mistake() {
        let away = || sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        let status = |error: anyhow::Error| ApiError::from(error).status_code().as_u16();
        assert_eq!(status(anyhow::Error::new(away()).context("look up job")), 503);
        assert_eq!(status(Err::<(), _>(queue::Error::from(away())).context("x").unwrap_err()), 503);
        assert_eq!(status(sqlx::Error::PoolTimedOut.into()), 503);
        assert_eq!(status(sqlx::Error::RowNotFound.into()), 500);
        assert_eq!(status(io::Error::from(io::ErrorKind::ConnectionReset).into()), 500);
    }
}
