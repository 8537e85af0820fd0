//! What a run spends.

use super::{Run, store};
use crate::Error;

/// Something that was bought for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What was bought, with its unit: `openai/gpt-4o-mini input tokens`. Sums go by it.
    pub name: String,
    /// How much of it.
    pub quantity: i64,
    /// Millionths of the currency: a call to a language model costs less than a cent.
    pub amount_micro: i64,
    /// ISO 4217, such as `USD`.
    pub currency: String,
}

const MAX_NAME_CHARS: usize = 100;
/// A run that buys more often should add up first.
const MAX_COSTS: i32 = 10_000;

impl Run {
    /// Stores at once what was spent. It stays when the run fails: the money is gone all the same.
    pub async fn cost(&self, cost: Cost) -> Result<(), Error> {
        cost.check()?;
        let nth = self.0.notes.count_cost();
        if nth > MAX_COSTS {
            return Err(cost.bad("this run has more costs than are kept"));
        }
        let mut tx = self.fenced().await?;
        store::add_cost(&mut tx, self.leased(), nth, &cost, self.0.clock.for_database()).await?;
        Ok(tx.commit().await?)
    }
}

impl Cost {
    fn check(&self) -> Result<(), Error> {
        let named = (1..=MAX_NAME_CHARS).contains(&self.name.chars().count());
        if !named || self.name.contains('\0') {
            return Err(self.bad("a name has 1 to 100 characters"));
        }
        if self.quantity < 0 || self.amount_micro < 0 {
            return Err(self.bad("quantity and amount are not negative"));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(self.bad("a currency has three capital letters"));
        }
        Ok(())
    }

    fn bad(&self, reason: &str) -> Error {
        Error::BadCost { name: self.name.clone(), reason: reason.to_owned() }
    }
}
