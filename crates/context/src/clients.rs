//! Clients of outside services: plain structs, their addresses from settings.

pub mod mail;
pub mod storage;
