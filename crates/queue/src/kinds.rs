//! The kinds a fleet works: what the API and the CLI know of jobs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::job::{Job, queue_of};
use crate::{Backoff, Push};

/// One kind, and how the queue treats it.
#[derive(Clone, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub queue: &'static str,
    pub max_attempts: i16,
    pub max_losses: i16,
    pub timeout: Duration,
    pub(crate) backoff: Backoff,
    decodes: fn(&str) -> Result<(), String>,
}

/// All kinds of a fleet; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Kinds(Arc<BTreeMap<&'static str, Kind>>);

/// Why a job that came from outside is not stored.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("unknown kind {kind:?}; known kinds: {}", known.join(", "))]
    UnknownKind { kind: String, known: Vec<&'static str> },
    #[error("arguments of {kind}: {reason}")]
    BadArgs { kind: String, reason: String },
}

impl Kinds {
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.values()
    }

    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.0.get(name)
    }

    /// Their queues, each once.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.iter().map(|kind| kind.queue).collect();
        queues.dedup();
        queues
    }

    /// Checks kind and arguments before anything is stored.
    pub fn prepare(&self, kind: &str, args: Value) -> Result<Push, Refused> {
        let Some(known) = self.get(kind) else {
            return Err(Refused::UnknownKind {
                kind: kind.to_owned(),
                known: self.0.keys().copied().collect(),
            });
        };
        if !args.is_object() {
            // Some types would take an array for their fields, by position.
            let reason = "they must be a JSON object".to_owned();
            return Err(Refused::BadArgs { kind: kind.to_owned(), reason });
        }
        let args = args.to_string();
        (known.decodes)(&args)
            .map_err(|reason| Refused::BadArgs { kind: kind.to_owned(), reason })?;
        Ok(Push::new(Cow::Borrowed(known.name), Ok(args), known.max_attempts))
    }

    /// Two handlers for one kind would hide one of them: that is a mistake in the list itself.
    pub(crate) fn add<J: Job>(&mut self) {
        const { assert!(J::MAX_LOSSES > 0, "a job may take its worker along once at least") };
        let kind = Kind {
            name: J::KIND,
            queue: queue_of(J::KIND),
            max_attempts: J::RETRY.attempts,
            max_losses: J::MAX_LOSSES,
            timeout: J::TIMEOUT,
            backoff: J::RETRY.backoff,
            decodes: |args| decode::<J>(args).map(drop),
        };
        let earlier = Arc::make_mut(&mut self.0).insert(J::KIND, kind);
        assert!(earlier.is_none(), "kind {} is in the fleet twice", J::KIND);
    }
}

/// Arguments as their type, or which of them is wrong and why.
pub(crate) fn decode<J: Job>(args: &str) -> Result<J, String> {
    serde_json::from_str(args).or_else(|_| decode_or_tell::<J>(args))
}

/// Keeps track of where it is, which costs as much as decoding.
fn decode_or_tell<J: Job>(args: &str) -> Result<J, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(args)).map_err(
        |error| {
            let path = error.path().to_string();
            // Positions speak of a text that the caller has not written.
            let reason = error.into_inner().to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            if path == "." { reason.to_owned() } else { format!("{path}: {reason}") }
        },
    )
}
