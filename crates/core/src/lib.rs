//! The decisions of Stakeout, and nothing else: audit events go in, findings and owed deliveries come out.
//!
//! There is no I/O here, no clock, no runtime and no environment; whatever a decision needs is an
//! argument. The modules stand in the order of the data path, so this page is the map:
//!
//! ```text
//! source -> record -> needle -> decode -> event -> observation -> rule/matching -> tally -> timeline -> gathering
//!   -> episode -> finding -> delivery, all of it folded by `fold` into one `commit`
//! ```

pub mod address;
pub mod cause;
pub mod check;
pub mod code;
pub mod commit;
pub mod context;
pub mod decode;
pub mod delivery;
pub mod diagnostic;
pub mod distinct;
pub mod episode;
pub mod event;
pub mod evidence;
pub mod field;
pub mod finding;
pub mod fold;
pub mod json;
pub mod names;
pub mod needle;
pub mod observation;
pub mod prefilter;
pub mod progress;
pub mod record;
pub mod rule;
pub mod shipped;
pub mod source;
pub mod tally;
pub mod text;
pub mod threshold;
pub mod time;
pub mod timeline;
pub mod tuning;
pub mod yaml;
