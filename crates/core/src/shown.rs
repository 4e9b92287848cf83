//! What a destination shows of an incident: the message that it edits, or that it has not heard of it.
//!
//! A settlement writes it, together with what it settles. It is no part of an incident or a finding: commits overwrite those.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::incident_key::IncidentKey;
use crate::rule::Level;
use crate::time::Second;

/// For how long what is shown is kept if nothing changes it. It is deleted with the findings of the incident, when these go to
/// the archive; this is for the rest, such as incidents that were joined with others while the destination was not configured.
pub const SHOWN_SECONDS_MAX: i64 = 90 * 86_400;

/// What a destination shows of an incident, and when that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownIncident {
    /// When it was written.
    pub at: Second,
    /// What is shown.
    pub shown: Shown,
}

/// What a destination shows of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// Nothing: its beginning was silenced, so the next change that is not silenced is its beginning for the destination.
    Silenced,
    /// What it heard before its changes were silenced. The next change that is not silenced is a beginning for the destination
    /// here too, but it hears of the end in any case.
    Muted,
    /// A message that is edited while the incident goes on.
    Message(ShownMessage),
}

impl Shown {
    /// Returns whether a silence kept the last changes from the destination.
    #[must_use]
    pub fn is_silenced(&self) -> bool {
        match self {
            Shown::Silenced | Shown::Muted => true,
            Shown::Message(_) => false,
        }
    }
}

/// A message that is edited while its incident goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownMessage {
    /// The channel, as the destination named it in its receipt.
    pub channel: String,
    /// The message, as the destination named it in its receipt: Slack's `ts`.
    pub ts: String,
    /// The rules whose steps the message had when it was posted, or that its thread has.
    pub steps: BTreeSet<String>,
    /// The level that the people in the channel were alerted to.
    pub level: Level,
}

/// What a settlement changes of what a destination shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownChange {
    /// The destination.
    pub destination: String,
    /// The incident.
    pub incident: IncidentKey,
    /// What it shows from now on; `None` where nothing is known of it any more.
    pub shown: Option<ShownIncident>,
}
