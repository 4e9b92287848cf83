//! The whole pipeline: the real binary reads fakes of the clouds and sends to fakes of the destinations.
//!
//! Time is an argument (`once --at`), so hours pass in milliseconds. Each test has a world of its own.

mod addresses;
mod audit;
mod bot;
mod budgets;
mod context_query;
mod counter;
mod dice;
mod discovery;
mod doctor;
mod downtime;
mod envelope;
mod failing_destinations;
mod failing_logs;
mod file_log;
mod floods;
mod front;
mod google_entries;
mod google_identity;
mod hostile;
mod incidents;
mod kill;
mod late;
mod let_in;
mod life_cycle;
mod many_clusters;
mod memory;
mod ocsf;
mod policies;
mod profiles;
mod proxied;
mod pushdown;
mod scanners;
mod sick_neighbours;
mod silences;
mod renamed_destination;
mod rotated;
mod stretched;
mod three_clouds;
mod three_ways;
mod timelines;
mod tune;
mod two_logs;
mod world;
