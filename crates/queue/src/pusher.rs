//! Pushes of many callers in one statement.
//!
//! A statement for each job costs a round trip and a commit for each job. While one is under way,
//! the callers who come in the meantime wait together, and the next statement takes them all: alone,
//! nobody waits; together, they share the price.

use std::sync::Arc;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::push::{Push, Pushed};
use crate::store::{self, PushRows};
use crate::{Error, Trace};

/// Pushes jobs for many callers of one process; cheap to clone.
///
/// Each push commits by itself: use [`push`](crate::push()) to push in a transaction of yours.
#[derive(Clone, Debug)]
pub struct Pusher {
    pool: PgPool,
    line: Arc<OnceCell<mpsc::Sender<Waiting>>>,
}

struct Waiting {
    push: Push,
    trace: Option<String>,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<Pushed, Error>>;

/// Jobs in one statement.
const MAX_GROUP: usize = 500;
/// Callers that may wait before others have to wait to wait.
const MAX_WAITING: usize = 4096;

impl Pusher {
    pub fn new(pool: PgPool) -> Self {
        Self { pool, line: Arc::default() }
    }

    /// Stores one job; once this returns `Ok`, it is committed.
    ///
    /// A caller who gives up waiting does not take the job back: it may be stored or not.
    pub async fn push(&self, job: impl Into<Push>) -> Result<Pushed, Error> {
        let push = job.into();
        // What is unique may be held by an open transaction: nobody else should wait for that.
        if push.unique.is_some() {
            return crate::push(&self.pool, push).await;
        }
        let trace = Trace::current().map(|trace| trace.traceparent());
        let (answer, answered) = oneshot::channel();
        let line = self.line.get_or_init(|| async { self.start() }).await;
        let gone = || Error::Database(sqlx::Error::WorkerCrashed);
        line.send(Waiting { push, trace, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn start(&self) -> mpsc::Sender<Waiting> {
        let (line_in, line_out) = mpsc::channel(MAX_WAITING);
        tokio::spawn(serve(self.pool.clone(), line_out));
        line_in
    }
}

/// Stores what has gathered, statement after statement, until the last caller is gone. Two statements at a
/// time would be slower: each of half the size, and the commits in line all the same.
async fn serve(pool: PgPool, mut line: mpsc::Receiver<Waiting>) {
    // Kept while callers wait: the pool asks a connection whether it lives each time it lends it.
    let mut kept = None;
    loop {
        let mut group = Vec::with_capacity(MAX_GROUP);
        if line.recv_many(&mut group, MAX_GROUP).await == 0 {
            return;
        }
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => pool.acquire().await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                fail(group.into_iter().map(|waiting| waiting.answer), error.into());
                continue;
            }
        };
        let stored = store_group(&mut connection, group).await;
        kept = (stored && !line.is_empty()).then_some(connection);
    }
}

/// Stores a group in one statement; answers whether the connection is good for another. A value that the
/// database refuses is its caller's alone: then each goes by itself.
async fn store_group(connection: &mut PgConnection, group: Vec<Waiting>) -> bool {
    let mut rows = PushRows::default();
    let mut callers = Vec::with_capacity(group.len());
    for Waiting { push, trace, answer } in group {
        match rows.add(push, trace.as_deref()) {
            Ok(()) => callers.push(answer),
            // Nobody waits any more: then nobody misses the answer.
            Err(error) => drop(answer.send(Err(error))),
        }
    }
    if callers.is_empty() {
        return true;
    }
    let stored = store::push(&mut *connection, &rows).await;
    if callers.len() == 1 || matches!(stored, Err(Error::BadArgs(_) | Error::Full(_))) {
        // The first try of a group has stored nothing; that of a single caller is its answer.
        let mut is_good = true;
        let mut alone = (callers.len() == 1).then_some(stored);
        for (index, answer) in callers.into_iter().enumerate() {
            let stored = match alone.take() {
                Some(stored) => stored,
                None => store::push(&mut *connection, &rows.one(index)).await,
            };
            is_good &= stored.is_ok() || matches!(stored, Err(Error::BadArgs(_) | Error::Full(_)));
            // A caller who has given up misses no answer, here and below.
            let _ = answer.send(stored.map(|pushed| pushed[0]));
        }
        return is_good;
    }
    match stored {
        Ok(pushed) => {
            for (pushed, answer) in pushed.into_iter().zip(callers) {
                let _ = answer.send(Ok(pushed));
            }
            true
        }
        Err(error) => {
            fail(callers, error);
            false
        }
    }
}

fn fail(callers: impl IntoIterator<Item = Answer>, error: Error) {
    let error = Arc::new(error);
    for answer in callers {
        let _ = answer.send(Err(Error::Group(error.clone())));
    }
}
