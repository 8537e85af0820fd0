//! What queues with rules promise: keys, limits, rates, shares, a bound on what waits.

mod fair;
mod keys;
mod limits;
mod model;
mod operate;
mod stage;
mod why;
