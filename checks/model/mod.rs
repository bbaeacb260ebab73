//! The words that every check is written in: what is known ([`facts`]), what follows from it ([`setup`], [`path`]),
//! and what a check may say ([`check`], [`finding`]).

pub mod background;
pub mod before_up;
pub mod caddy;
#[macro_use]
pub mod check;
pub mod docker;
pub mod facts;
pub mod finding;
pub mod fix;
pub mod host;
pub mod left_out;
pub mod machine;
pub(crate) mod matchers;
pub mod mitmproxy;
pub mod names;
pub mod own;
pub mod path;
pub mod place;
pub mod probed;
pub mod route;
pub mod setup;
pub mod text;
pub mod view;

#[cfg(test)]
mod any_config;
#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod growth;

pub use check::{Check, Group, Verdict};
pub use facts::{Asked, Composed, Context, Fact, FactId, Facts, Known, Missing, Need, Thresholds};
pub use finding::{Evidence, Explains, Finding, Gap, Outlook, Severity};
pub use fix::{Action, Apply, Edit, Fix};
pub use path::{Hop, Path, Paths};
pub use place::Place;
pub use setup::{Part, Role, Setup};
