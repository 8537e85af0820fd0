use std::{
    io,
    sync::{Arc, Mutex},
};

use actix_web::{App, body::to_bytes, http::StatusCode, middleware::from_fn, test, web};
use insta::assert_snapshot;
use serde::Deserialize;

use super::*;
use crate::{error::Problem, routes};

#[derive(Deserialize)]
struct Page {
    #[expect(dead_code, reason = "only its decoding matters")]
    limit: u8,
}

async fn panics() -> HttpResponse {
    panic!("at row 42")
}

async fn lists(_: web::Query<Page>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// The log of one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks a server whose handlers misbehave. Returns status, problem and log.
async fn ask(path: &str) -> (StatusCode, Problem, String) {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let app = App::new()
        .app_data(Data::new(Context::clone(&cx)))
        .configure(routes::refusals(100))
        .route("/panics", web::get().to(panics))
        .route("/lists", web::get().to(lists))
        .wrap(from_fn(follow));
    let app = test::init_service(app).await;
    let request = test::TestRequest::get()
        .uri(path)
        .insert_header(("authorization", "Bearer sesame"))
        .insert_header(("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
        .to_request();

    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(lines);
    let response = match test::try_call_service(&app, request).await {
        Ok(answered) => answered.into_parts().1,
        // What the server does with an error, too.
        Err(error) => HttpResponse::from_error(error),
    };
    drop(guard);

    let id = response.headers().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let status = response.status();
    let body = to_bytes(response.into_body()).await.unwrap();
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.id, id);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (status, problem, log)
}

/// A log without its durations.
fn timeless(log: &str) -> String {
    let words = log.trim().split(' ').map(|word| match word.split_once('=') {
        Some(("microseconds", _)) => "microseconds=[]",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[actix_web::test]
async fn a_panic_is_logged_once_and_answered_without_its_message() {
    let (status, problem, log) = ask("/panics").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(problem.detail, "this is our fault; it is logged under this id");
    assert_snapshot!(timeless(&log), @r#"ERROR http.request{method="GET" route="/panics" trace_id="4bf92f3577b34da6a3ce929d0e0e4736" status=500}: api::request: request failed path="/panics" microseconds=[] error="a handler panicked: at row 42""#);
}

#[actix_web::test]
async fn a_request_is_logged_once_without_its_query_and_its_headers() {
    let (status, problem, log) = ask("/lists?limit=sesame").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem.detail, "the query is malformed: invalid digit found in string");
    assert_snapshot!(timeless(&log), @r#"INFO http.request{method="GET" route="/lists" trace_id="4bf92f3577b34da6a3ce929d0e0e4736" status=400}: api::request: request path="/lists" microseconds=[]"#);
    assert!(!log.contains("sesame"));
}
