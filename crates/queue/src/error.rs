//! What can go wrong between a caller and the queue.

/// Why the queue could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("ask the queue's database")]
    Database(#[from] sqlx::Error),
    /// One statement for many callers: what befell it, befell them all.
    #[error("store jobs together with others")]
    Group(#[source] std::sync::Arc<Error>),
    /// The arguments cannot be stored: not serialisable, or not as JSON that Postgres takes.
    #[error("arguments cannot be stored: {0}")]
    BadArgs(String),
    #[error("arguments have {bytes} bytes, at most {limit} are stored")]
    TooLarge { bytes: usize, limit: usize },
    /// A queue's name or rule, or a job's key, tenant or weight, that cannot be.
    #[error("{0}")]
    BadRule(String),
    /// Its queue lets only so many wait.
    #[error("{0}")]
    Full(String),
    #[error("the output cannot be stored: {0}")]
    BadOutput(String),
    /// The lease was lost: somebody else owns the job, and this run may write nothing more.
    #[error("the lease of this run is lost")]
    LeaseLost,
    /// A step's name or result is not what can be stored, or what was stored is not its type any more.
    #[error("step {name:?}: {reason}")]
    BadStep { name: String, reason: String },
    /// It has a circle, an unknown name, or something else that cannot be meant.
    #[error("workflow {name:?}: {reason}")]
    BadWorkflow { name: String, reason: String },
    #[error("there is no workflow {0}")]
    NoWorkflow(uuid::Uuid),
    #[error("workflow {workflow} has no signal {name:?}")]
    NoSignal { workflow: uuid::Uuid, name: String },
    #[error("cost {name:?}: {reason}")]
    BadCost { name: String, reason: String },
    #[error("cron expression {expression:?}: {reason}")]
    BadCron { expression: String, reason: String },
    #[error("no schedule is named {0:?}")]
    NoSchedule(String),
    #[error("{0} jobs a second is no rate; it is 0.001 to 1000000")]
    BadRate(f64),
    /// A drain that never ends means that jobs keep pushing jobs that are due at once.
    #[error("still not drained after {0} rounds")]
    NotDrained(usize),
}

/// `invalid_text_representation`, `untranslatable_character`, `check_violation`,
/// `numeric_value_out_of_range`, `datetime_field_overflow`.
const BAD_VALUE: [&str; 5] = ["22P02", "22P05", "23514", "22003", "22008"];

/// `invalid_parameter_value`: by queue.set_rules; `invalid_datetime_format`.
const BAD_RULE: [&str; 2] = ["22023", "22007"];

/// `configuration_limit_exceeded`: by queue.admit.
const FULL: &str = "53400";

impl Error {
    /// Tells a value that Postgres refuses from a database that is in trouble.
    pub(crate) fn from_push(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refusal) if refusal.code().as_deref() == Some(FULL) => {
                Self::Full(refusal.message().to_owned())
            }
            Some(refusal) if refusal.code().is_some_and(|code| BAD_VALUE.contains(&&*code)) => {
                Self::BadArgs(refusal.message().to_owned())
            }
            _ => Self::Database(error),
        }
    }

    /// The same for what an operator says of a queue.
    pub(crate) fn from_rule(error: sqlx::Error) -> Self {
        let refusal = error.as_database_error();
        let code = refusal.and_then(|refusal| refusal.code()).unwrap_or_default();
        match refusal {
            Some(refusal) if refusal.constraint() == Some("ck_queues_name") => Self::BadRule(
                "a queue's name has lower-case letters, digits and underscores".into(),
            ),
            Some(refusal) if BAD_RULE.iter().chain(&BAD_VALUE).any(|bad| code == **bad) => {
                Self::BadRule(refusal.message().to_owned())
            }
            _ => Self::Database(error),
        }
    }
}
