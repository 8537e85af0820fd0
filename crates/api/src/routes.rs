//! The whole URL map.

use actix_web::{
    HttpResponse,
    web::{
        self, JsonConfig, PathConfig, QueryConfig, ServiceConfig, delete, get, patch, post, put,
        resource,
    },
};

use crate::{
    auth::needs,
    docs,
    error::ApiError,
    health, jobs,
    keys::Permission::{EnqueueJobs, ManageQueues, ViewJobs},
    metrics, queues,
};

/// Puts every address on `app`. What stands behind a key says which permission it takes.
pub fn map(app: &mut ServiceConfig) {
    app.service(resource("/v1/jobs").route(post().to(jobs::push).wrap(needs(EnqueueJobs))))
        .service(resource("/v1/jobs/{id}").route(get().to(jobs::show).wrap(needs(ViewJobs))))
        .service(resource("/v1/jobs/{id}/why").route(get().to(jobs::why).wrap(needs(ViewJobs))))
        .service(resource("/v1/kinds").route(get().to(jobs::kinds).wrap(needs(ViewJobs))))
        .service(resource("/v1/queues").route(get().to(queues::list).wrap(needs(ViewJobs))))
        .service(
            resource("/v1/queues/{name}")
                .route(get().to(queues::show).wrap(needs(ViewJobs)))
                .route(patch().to(queues::change).wrap(needs(ManageQueues))),
        )
        .service(
            resource("/v1/queues/{name}/limits/{key}")
                .route(put().to(queues::set_limit).wrap(needs(ManageQueues)))
                .route(delete().to(queues::drop_limit).wrap(needs(ManageQueues))),
        )
        .service(
            resource("/v1/queues/{name}/shares/{tenant}")
                .route(put().to(queues::set_share).wrap(needs(ManageQueues)))
                .route(delete().to(queues::drop_share).wrap(needs(ManageQueues))),
        )
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
