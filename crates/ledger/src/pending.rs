//! Which deliveries are pending, in memory: for which destination, and for which findings. Their number has a limit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use stakeout_core::delivery::{Delivery, DeliveryId, Subject};
use stakeout_core::finding::FindingKey;
use stakeout_core::time::Second;

/// The pending deliveries, without their contents.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    deliveries: BTreeMap<DeliveryId, PendingDelivery>,
    /// How many pending entries each finding has.
    entries_of: HashMap<FindingKey, usize>,
    /// What each destination will hear of with the growth of a day.
    held: Arc<BTreeMap<String, HashSet<Subject>>>,
}

#[derive(Debug)]
struct PendingDelivery {
    destination: String,
    held_until: Option<Second>,
    entries: Vec<(FindingKey, Subject)>,
    notices: usize,
}

impl PendingDelivery {
    fn is_held(&self, now: Second) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

impl Pending {
    /// Notes that `delivery` is stored as it is now; one without entries and notices is not pending any more.
    pub(crate) fn note(&mut self, delivery: &Delivery) {
        self.forget(delivery.id);
        if delivery.entries.is_empty() && delivery.notices.is_empty() {
            return;
        }
        let entries: Vec<_> = delivery.entries.iter().map(|entry| (entry.finding, entry.subject())).collect();
        for (finding, _) in &entries {
            *self.entries_of.entry(*finding).or_default() += 1;
        }
        let destination = delivery.destination.clone();
        if delivery.held_until.is_some() {
            let held = Arc::make_mut(&mut self.held).entry(destination.clone()).or_default();
            held.extend(entries.iter().map(|(_, subject)| *subject));
        }
        let (held_until, notices) = (delivery.held_until, delivery.notices.len());
        self.deliveries.insert(delivery.id, PendingDelivery { destination, held_until, entries, notices });
    }

    fn forget(&mut self, id: DeliveryId) {
        let Some(before) = self.deliveries.remove(&id) else { return };
        for (finding, subject) in &before.entries {
            if let Some(entries) = self.entries_of.get_mut(finding) {
                *entries -= 1;
                if *entries == 0 {
                    self.entries_of.remove(finding);
                }
            }
            if before.held_until.is_some()
                && let Some(held) = Arc::make_mut(&mut self.held).get_mut(&before.destination)
            {
                held.remove(subject);
            }
        }
    }

    /// Forgets all deliveries but the `stored` ones.
    pub(crate) fn retain(&mut self, stored: &BTreeSet<DeliveryId>) {
        let gone: Vec<DeliveryId> = self.deliveries.keys().filter(|id| !stored.contains(id)).copied().collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    /// Returns the pending deliveries of a destination, ascending; without those that are held at a time, if one is given.
    pub(crate) fn of<'p>(&'p self, destination: &'p str, now: Option<Second>) -> impl Iterator<Item = DeliveryId> + 'p {
        let of_destination = self.deliveries.iter().filter(move |(_, pending)| pending.destination == destination);
        of_destination.filter(move |(_, pending)| now.is_none_or(|now| !pending.is_held(now))).map(|(id, _)| *id)
    }

    /// Returns whether the finding has a pending entry.
    pub(crate) fn has(&self, finding: FindingKey) -> bool {
        self.entries_of.contains_key(&finding)
    }

    /// Returns the number of pending entries and notices of each destination, held ones included.
    pub(crate) fn totals(&self) -> BTreeMap<String, usize> {
        let mut totals: BTreeMap<String, usize> = BTreeMap::new();
        for pending in self.deliveries.values() {
            let n = pending.entries.len() + pending.notices;
            match totals.get_mut(&pending.destination) {
                Some(total) => *total += n,
                None => drop(totals.insert(pending.destination.clone(), n)),
            }
        }
        totals
    }

    /// Returns what each destination will hear of with the growth of a day.
    pub(crate) fn held(&self) -> Arc<BTreeMap<String, HashSet<Subject>>> {
        self.held.clone()
    }
}
