//! Lets a request through when its API key may do what is asked.

use actix_web::{
    Error,
    body::BoxBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::header::{self, HeaderMap},
    middleware::{Next, from_fn},
    web::Data,
};
use anyhow::Context as _;
use context::Context;
use tracing::Span;

use crate::{
    error::ApiError,
    keys::{self, Permission},
};

/// Guards one route. It stands before the body is read, so that a stranger cannot make us read it.
pub fn needs<S>(
    permission: Permission,
) -> impl Transform<S, ServiceRequest, Response = ServiceResponse, Error = Error, InitError = ()>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    from_fn(move |cx: Data<Context>, request: ServiceRequest, next: Next<BoxBody>| async move {
        check(&cx, request.headers(), permission).await?;
        next.call(request).await
    })
}

async fn check(cx: &Context, headers: &HeaderMap, needed: Permission) -> Result<(), ApiError> {
    let token = bearer(headers).ok_or(ApiError::KeyMissing)?;
    let key = keys::verify(&cx.pool, token, cx.clock.now()).await.context("look up API key")?;
    let key = key.ok_or(ApiError::KeyInvalid)?;
    Span::current().record("key", &key.prefix);
    if key.may(needed) { Ok(()) } else { Err(ApiError::Forbidden(needed)) }
}

/// The token of `Authorization: Bearer …`. Another scheme counts as no key at all.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = str::from_utf8(value).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
