//! The decisions of Stakeout: audit events go in, findings and deliveries come out.
//!
//! Core has no I/O, no clock, no runtime and no environment; whatever a decision needs is an argument. The modules are
//! listed in the order of the data path, and each imports only from modules above it, so this page is the map.

// What all others build on: time, texts, and what is wrong in a file that a person wrote.
pub mod time;
pub mod text;
pub mod diagnostic;
pub mod yaml;
pub mod check;
pub mod hash;
pub mod names;
pub mod response_code;
pub mod address;

// From a line of a log to one request.
pub mod source;
pub mod event;
pub mod record;
pub mod observation;
pub mod proxy_watch;
pub mod field;
pub mod prefilter;
pub mod decode;
pub mod needle;
pub mod finder;

// From a request to the groups and distinct values that rules count it for.
pub mod group;
pub mod distinct;
pub mod rule;
pub mod shipped;
pub mod room;

// From counts to episodes.
pub mod evidence;
pub mod tally;
pub mod timeline;
pub mod threshold;
pub mod repetition;
pub mod novelty;
pub mod episode;

// From an episode to a finding, and to those who must know of it.
pub mod context;
pub mod incident_key;
pub mod finding;
pub mod finding_query;
pub mod incident;
pub mod silence;
pub mod day_report;
pub mod notice;
pub mod route;
pub mod shown;
pub mod delivery;
pub mod incident_change;

// A window of a log: how far it is read, what else is due, and the one commit that it closes into.
pub mod context_query;
pub mod follow_up;
pub mod past_windows;
pub mod retirement;
pub mod known_clusters;
pub mod progress;
pub mod discovery;
pub mod watched_day;
pub mod commit;
pub mod fold;

// Which of several replicas does what.
pub mod lease;

// The same counts under other thresholds.
pub mod tuning;
