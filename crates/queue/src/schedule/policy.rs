//! What happens when ticks come faster than their jobs end, and when nobody was there to tick.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What a tick does while a job of an earlier tick has not ended, whether it runs, waits to start
/// or waits for its next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Overlap {
    /// It pushes its job all the same.
    #[default]
    Allow,
    /// It pushes nothing.
    Skip,
    /// It waits, and pushes once that job has ended. Ticks after the first that waits push nothing.
    Queue,
}

/// How many of the ticks that nobody was there for are made up: none, or up to so many of the
/// latest. A tick that is late by no more than a minute is not missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Missed(i16);

impl Overlap {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Allow, "allow"), (Self::Skip, "skip"), (Self::Queue, "queue")];
}

impl Missed {
    pub const SKIP: Self = Self(0);
    pub const LATEST: Self = Self(1);
    /// More would flood the queue after a long outage.
    pub const MOST: i16 = 100;

    /// All of them, up to so many of the latest, within 1..=100.
    pub fn all_up_to(count: i16) -> Option<Self> {
        (1..=Self::MOST).contains(&count).then_some(Self(count))
    }

    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }
}

impl Default for Missed {
    fn default() -> Self {
        Self::LATEST
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(overlap, _)| overlap == self).map(|(_, name)| *name);
        f.pad(name.unwrap_or_default())
    }
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(overlap, _)| overlap).ok_or_else(|| "it is allow, skip or queue".into())
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("skip"),
            1 => f.pad("latest"),
            count => write!(f, "all:{count}"),
        }
    }
}

impl FromStr for Missed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let many = || Self::all_up_to(text.strip_prefix("all:")?.parse().ok()?);
        match text {
            "skip" => Ok(Self::SKIP),
            "latest" => Ok(Self::LATEST),
            _ => many().ok_or_else(|| "it is skip, latest, or all:N with N from 1 to 100".into()),
        }
    }
}

impl Serialize for Missed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
