//! Stranded messages: pending for a destination that the config does not have any more, so that nothing sends them.

use std::collections::BTreeMap;

use stakeout_core::text::counted;

use crate::config::Config;

/// The stranded messages of one former destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stranded {
    /// Its name.
    pub(crate) destination: String,
    /// The number of its pending entries and notices.
    pub(crate) messages: usize,
}

/// Returns what is stranded of `pending`, which has the number of entries and notices of each destination.
pub(crate) fn stranded(pending: BTreeMap<String, usize>, config: &Config) -> Vec<Stranded> {
    let is_configured = |name: &str| config.notify.iter().any(|destination| destination.name == name);
    let unknown = pending.into_iter().filter(|(name, messages)| *messages > 0 && !is_configured(name));
    unknown.map(|(destination, messages)| Stranded { destination, messages }).collect()
}

impl Stranded {
    /// Returns what is wrong, and what to do about it.
    pub(crate) fn explanation(&self) -> String {
        let Stranded { destination, messages } = self;
        format!(
            "{} for `{destination}`, which is no destination of the config (give it its name back, or stop the daemon and \
             run `stakeout state move-pending {destination} NEW` or `stakeout state drop-pending {destination}`)",
            counted(*messages, "pending message")
        )
    }
}
