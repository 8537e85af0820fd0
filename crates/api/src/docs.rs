//! The OpenAPI document, made from the code, and a page that shows it without a foreign host.

use std::sync::{Arc, LazyLock};

use actix_web::{
    HttpResponse,
    http::header::{self, ContentType},
    web::Path,
};
use anyhow::anyhow;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, Response,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

use crate::{
    error::{ApiError, Problem},
    health, jobs, metrics, queues,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Beadle", description = "Takes work in, and tells how it is doing."),
    paths(
        jobs::push, jobs::show, jobs::why, jobs::kinds,
        queues::list, queues::show, queues::change, queues::set_limit, queues::drop_limit,
        queues::set_share, queues::drop_share,
        health::alive, health::ready, metrics::render,
    ),
    components(schemas(Problem)),
    modifiers(&Key, &CommonAnswers),
    tags(
        (name = "jobs", description = "Push work and follow it."),
        (name = "queues", description = "See how queues stand, pause them, and change their rules."),
        (name = "operation", description = "For the machines that run this one. No key needed."),
    ),
)]
struct Api;

/// The API as an OpenAPI 3.1 document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// `/openapi.json`
pub async fn document() -> HttpResponse {
    static JSON: LazyLock<serde_json::Result<String>> = LazyLock::new(|| openapi().to_json());
    match &*JSON {
        Ok(json) => HttpResponse::Ok().content_type(ContentType::json()).body(json.as_str()),
        Err(error) => HttpResponse::from_error(ApiError::Internal(anyhow!(
            "print the OpenAPI document: {error}"
        ))),
    }
}

/// `/docs/`: Swagger UI, from files that are part of the program.
pub async fn page(file: Path<String>) -> Result<HttpResponse, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // The validator's badge would tell a foreign host where this one is.
        Arc::new(Config::from("/openapi.json").validator_url("none"))
    });
    let file = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG))
        .map_err(|error| anyhow!("read a file of the documentation page: {error}"))?
        .ok_or(ApiError::NotFound("page"))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header(header::ContentEncoding::Gzip);
    }
    Ok(response
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .body(file.bytes.into_owned()))
}

/// Swagger UI writes styles into its elements and draws icons from `data:` addresses.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The one way to show who calls.
struct Key;

impl Modify for Key {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("bdl_<prefix>_<secret>")
            .description(Some("An API key. Make one with `beadle keys create`."))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// Adds what every route behind a key may answer.
struct CommonAnswers;

impl Modify for CommonAnswers {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for item in api.paths.paths.values_mut() {
            let operations =
                [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                if operation.security.is_some() {
                    add_common(operation);
                }
            }
        }
    }
}

fn add_common(operation: &mut Operation) {
    for (status, description) in [
        ("401", "The API key is missing or not valid."),
        ("403", "The API key lacks the permission."),
        ("500", "This is our fault; the answer has an id to quote."),
        (
            "503",
            "The database does not answer, or not in time. Try again after `Retry-After` seconds.",
        ),
    ] {
        let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let mut response = Response::new(description);
        response.content.insert("application/problem+json".to_owned(), RefOr::T(problem));
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
}
