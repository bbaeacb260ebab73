//! Everything that is asked of the world: each question once, under a deadline, and nothing that changes anything.

pub(crate) mod caddy;
mod cgroup;
pub(crate) mod clock;
pub(crate) mod compose;
mod context;
pub(crate) mod deadline;
pub(crate) mod docker;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod mitmweb;
mod names;
mod namespace;
pub(crate) mod ports;
pub(crate) mod probed;
pub(crate) mod process;
mod reach;
mod recipe;
pub(crate) mod redact;
pub(crate) mod routes;
pub(crate) mod system;
pub(crate) mod telling;
pub(crate) mod view;
