//! The whole URL map.

use actix_web::{
    HttpResponse,
    web::{self, JsonConfig, PathConfig, QueryConfig, ServiceConfig, get, post, resource},
};

use crate::{
    auth::needs,
    docs,
    error::ApiError,
    health, jobs,
    keys::Permission::{EnqueueJobs, ViewJobs},
    metrics,
};

/// Puts every address on `app`. What stands behind a key says which permission it takes.
pub fn map(app: &mut ServiceConfig) {
    app.service(resource("/v1/jobs").route(post().to(jobs::push).wrap(needs(EnqueueJobs))))
        .service(resource("/v1/jobs/{id}").route(get().to(jobs::show).wrap(needs(ViewJobs))))
        .service(resource("/v1/kinds").route(get().to(jobs::kinds).wrap(needs(ViewJobs))))
        // For the machines around this one: open, because they stand inside the network.
        .service(resource("/healthz").get(health::alive).head(health::alive))
        .service(resource("/readyz").get(health::ready).head(health::ready))
        .service(resource("/metrics").get(metrics::render))
        .service(resource("/openapi.json").get(docs::document))
        .service(resource("/docs/{file:.*}").get(docs::page))
        .service(web::redirect("/docs", "/docs/"))
        .service(web::redirect("/", "/docs/"))
        .default_service(web::to(nowhere));
}

/// Makes the framework's own refusals problem details.
pub fn refusals(body_limit_bytes: usize) -> impl Fn(&mut ServiceConfig) + Clone {
    move |app| {
        app.app_data(
            JsonConfig::default()
                .limit(body_limit_bytes)
                .error_handler(|error, _| ApiError::from(error).into()),
        )
        .app_data(PathConfig::default().error_handler(|error, _| ApiError::from(error).into()))
        .app_data(QueryConfig::default().error_handler(|error, _| ApiError::from(error).into()));
    }
}

/// There is nothing at this address.
pub async fn nowhere() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NotFound("address; /docs/ shows what there is"))
}
