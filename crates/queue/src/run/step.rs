//! What a job does once, however often it is tried: steps and their results, and children.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Run, store};
use crate::{Error, Push, Pushed, Trace, push};

/// A larger result belongs in object storage, with its key as the result.
const MAX_RESULT_BYTES: usize = 64 * 1024;
const MAX_NAME_CHARS: usize = 100;
/// Stands between the name of a step and the number of a child it pushed.
const CHILD: char = '#';

tokio::task_local! {
    static STEP: Step;
}

/// The step that surrounds a push.
struct Step {
    name: String,
    pushes: AtomicU32,
}

impl Run {
    /// Runs `work` and keeps its result for the job: a later attempt gets the result, and `work`
    /// does not run again.
    ///
    /// An error is not kept. The result is kept after `work` has ended, so a process that dies in
    /// between runs it again: an effect outside should bear [`job_id`](Self::job_id) and the step's
    /// name. A name stands for one result in the whole job.
    pub async fn step<T, E>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        check(name)?;
        if let Some(value) = self.kept(name).await? {
            return Ok(value);
        }
        let step = Step { name: name.to_owned(), pushes: AtomicU32::new(0) };
        let result = encode(name, &STEP.scope(step, work).await?)?;
        // The first attempt gets what later ones will get, and hears at once if it does not decode.
        let value = decode(name, &result)?;
        let mut tx = self.fenced().await?;
        if store::keep_step(&mut tx, self.leased(), name, &result).await.map_err(Error::from)? {
            tx.commit().await.map_err(Error::from)?;
            return Ok(value);
        }
        // The same step ran beside itself, and the other was first.
        Ok(self.kept(name).await?.unwrap_or(value))
    }

    /// Pushes a child, unless the lease is lost. It belongs to this job's trace, and to its owner
    /// unless it names one.
    ///
    /// Every attempt pushes again. Within a [`step`](Self::step) a child is pushed once, because
    /// child and memory are one transaction: the n-th push of a step is the same child on every
    /// attempt. `run.step("notify", run.push(child)).await?` is the shortest form.
    pub async fn push(&self, child: impl Into<Push>) -> Result<Pushed, Error> {
        let mut child = child.into();
        child.owner = child.owner.or(self.leased().owner);
        // Outside a step nothing remembers the child.
        let step = STEP.try_with(Step::next_push).ok();
        if let Some(name) = &step
            && let Some(pushed) = self.kept(name).await?
        {
            return Ok(pushed);
        }
        let mut tx = self.fenced().await?;
        // A task that the handler started has left the trace's scope.
        let trace = || self.leased().trace.as_deref().and_then(Trace::parse);
        let pushed = match Trace::current().or_else(trace) {
            Some(trace) => trace.scope(push(&mut *tx, child)).await?,
            None => push(&mut *tx, child).await?,
        };
        if let Some(name) = &step
            && !store::keep_step(&mut tx, self.leased(), name, &encode(name, &pushed)?).await?
        {
            // The same step runs beside itself, and the other's child came first.
            tx.rollback().await?;
            return Ok(self.kept(name).await?.unwrap_or(pushed));
        }
        tx.commit().await?;
        Ok(pushed)
    }

    /// What an earlier attempt has kept. A run that has lost its lease does not start the step.
    async fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let mut tx = self.fenced().await?;
        let result = store::step(&mut tx, self.job_id(), name).await?;
        tx.commit().await?;
        result.map(|result| decode(name, &result)).transpose()
    }
}

impl Step {
    fn next_push(&self) -> String {
        let nth = self.pushes.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}{CHILD}{nth}", self.name)
    }
}

fn check(name: &str) -> Result<(), Error> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    if fits && !name.contains([CHILD, '\0']) {
        return Ok(());
    }
    let reason = format!("a name has 1 to {MAX_NAME_CHARS} characters, and no {CHILD}");
    Err(bad(name, reason))
}

fn encode(name: &str, value: &impl Serialize) -> Result<String, Error> {
    let result = serde_json::to_string(value)
        .map_err(|error| bad(name, format!("its result does not serialise: {error}")))?;
    if result.len() > MAX_RESULT_BYTES {
        let bytes = result.len();
        let reason = format!("its result has {bytes} bytes, at most {MAX_RESULT_BYTES} are kept");
        return Err(bad(name, reason));
    }
    Ok(result)
}

fn decode<T: DeserializeOwned>(name: &str, result: &str) -> Result<T, Error> {
    serde_json::from_str(result)
        .map_err(|error| bad(name, format!("its kept result does not decode: {error}")))
}

fn bad(name: &str, reason: String) -> Error {
    Error::BadStep { name: name.to_owned(), reason }
}
