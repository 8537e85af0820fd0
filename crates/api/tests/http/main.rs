//! The API from outside: a real server on a free port, a real database, a real client.

mod docs;
mod jobs;
mod keys;
mod operation;
mod queues;
mod refusals;
mod server;
