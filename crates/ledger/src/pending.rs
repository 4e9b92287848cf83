//! Which deliveries are pending, in memory: for which destination, and for which findings. Their number has a limit.

use std::collections::{BTreeMap, HashMap};

use stakeout_core::delivery::{Delivery, DeliveryId};
use stakeout_core::finding::FindingKey;

/// The pending deliveries, without their contents.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    deliveries: BTreeMap<DeliveryId, PendingDelivery>,
    /// How many pending entries each finding has.
    entries_of: HashMap<FindingKey, usize>,
}

#[derive(Debug)]
struct PendingDelivery {
    destination: String,
    findings: Vec<FindingKey>,
    notices: usize,
}

impl Pending {
    /// Notes that `delivery` is stored as it is now; one without entries and notices is not pending any more.
    pub(crate) fn note(&mut self, delivery: &Delivery) {
        let before = self.deliveries.remove(&delivery.id);
        for finding in before.into_iter().flat_map(|before| before.findings) {
            if let Some(entries) = self.entries_of.get_mut(&finding) {
                *entries -= 1;
                if *entries == 0 {
                    self.entries_of.remove(&finding);
                }
            }
        }
        if delivery.entries.is_empty() && delivery.notices.is_empty() {
            return;
        }
        let findings: Vec<FindingKey> = delivery.entries.iter().map(|entry| entry.finding).collect();
        for finding in &findings {
            *self.entries_of.entry(*finding).or_default() += 1;
        }
        let destination = delivery.destination.clone();
        self.deliveries.insert(delivery.id, PendingDelivery { destination, findings, notices: delivery.notices.len() });
    }

    /// Returns the pending deliveries of a destination, ascending.
    pub(crate) fn of<'p>(&'p self, destination: &'p str) -> impl Iterator<Item = DeliveryId> + 'p {
        self.deliveries.iter().filter(move |(_, pending)| pending.destination == destination).map(|(id, _)| *id)
    }

    /// Returns whether the finding has a pending entry.
    pub(crate) fn has(&self, finding: FindingKey) -> bool {
        self.entries_of.contains_key(&finding)
    }

    /// Returns the number of pending entries and notices of each destination.
    pub(crate) fn totals(&self) -> BTreeMap<String, usize> {
        let mut totals: BTreeMap<String, usize> = BTreeMap::new();
        for pending in self.deliveries.values() {
            let n = pending.findings.len() + pending.notices;
            match totals.get_mut(&pending.destination) {
                Some(total) => *total += n,
                None => drop(totals.insert(pending.destination.clone(), n)),
            }
        }
        totals
    }
}
