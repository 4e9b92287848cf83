//! Where messages go, and what is pending.

use maud::{Markup, html};
use stakeout_core::time::Second;

use super::text::{shown, time};
use crate::sends::Sends;

/// A destination of the config, or one that messages still name.
pub(super) struct DestinationState {
    pub(super) name: String,
    /// Whether the config has it.
    pub(super) is_known: bool,
    /// Findings, incidents and notices that are not sent yet.
    pub(super) pending: usize,
    /// Incidents that wait for the digest of the day.
    pub(super) held: usize,
    /// What was sent since the daemon started.
    pub(super) sends: Sends,
}

/// Returns the section.
pub(super) fn section(destinations: &[DestinationState]) -> Markup {
    html! {
        section aria-labelledby="destinations" {
            h2 #destinations { "Destinations" }
            @if destinations.is_empty() { p { "Findings have no destination." } }
            @else {
                table {
                    caption { "Messages since the daemon started; pending ones are kept over restarts" }
                    thead { tr {
                        th scope="col" { "Destination" }
                        th.number scope="col" { "Pending" }
                        th.number scope="col" { "For the digest" }
                        th scope="col" { "Last sent" }
                        th scope="col" { "Last failure" }
                    } }
                    tbody {
                        @for destination in destinations {
                            tr {
                                th scope="row" {
                                    (shown(&destination.name))
                                    @if !destination.is_known { " " strong { "(not in the config)" } }
                                }
                                td.number { (destination.pending) }
                                td.number { (destination.held) }
                                td { (at(destination.sends.sent_at)) }
                                td { (at(destination.sends.failed_at)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn at(at: Option<Second>) -> Markup {
    html! {
        @match at { Some(at) => { (time(at)) } None => { "none" } }
    }
}
