//! Batching: turns the pending deliveries of a destination into notifications. Pure; this module sends nothing.
//!
//! Each attempt batches again what is still pending. Exactly one notification settles each entry and notice, so each
//! notification can be settled alone.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::Notice;

use crate::notification::{Digest, Message, MessageBody, Notification};

/// How a destination receives notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// For people: one message for each finding, or one digest if there were too many messages.
    Digest {
        /// Most messages at once.
        max_messages: usize,
    },
    /// For machines: one message for each entry, in order.
    Each,
}

impl DeliveryMode {
    /// Splits `pending` deliveries into the parts that are batched together, so that only the findings of one part are
    /// in memory: all deliveries for people, a single one for machines.
    pub fn parts(self, pending: &[Delivery]) -> impl Iterator<Item = &[Delivery]> {
        pending.chunks(match self {
            DeliveryMode::Digest { .. } => pending.len().max(1),
            DeliveryMode::Each => 1,
        })
    }
}

/// Returns the notifications for the `pending` deliveries (ascending by id) of one destination, in order.
///
/// Entries whose finding is no longer in `findings` share one message at the end, which lists their uids.
#[must_use]
pub fn batch<'a>(
    mode: DeliveryMode,
    pending: &'a [Delivery],
    findings: &'a HashMap<FindingKey, Finding>,
) -> Vec<Notification<'a>> {
    let (mut items, forgotten) = items(pending, findings);
    match mode {
        DeliveryMode::Each => {
            items.into_iter().map(Item::into_notification).chain(forgotten_findings(forgotten)).collect()
        }
        DeliveryMode::Digest { max_messages } => {
            items = joined(items);
            if items.len() + usize::from(!forgotten.is_empty()) > max_messages {
                return vec![digest(items, forgotten)];
            }
            items.into_iter().map(Item::into_notification).chain(forgotten_findings(forgotten)).collect()
        }
    }
}

/// A pending finding or notice, with the first delivery that holds it.
struct Item<'a> {
    first: DeliveryId,
    content: Content<'a>,
    settles: Settlement,
}

enum Content<'a> {
    Finding(&'a Finding, Activity),
    Notice(&'a Notice),
}

fn items<'a>(
    pending: &'a [Delivery],
    findings: &'a HashMap<FindingKey, Finding>,
) -> (Vec<Item<'a>>, Vec<(DeliveryId, Entry)>) {
    let mut items = Vec::new();
    let mut forgotten = Vec::new();
    for delivery in pending {
        for entry in &delivery.entries {
            match findings.get(&entry.finding) {
                None => forgotten.push((delivery.id, *entry)),
                Some(finding) => items.push(Item {
                    first: delivery.id,
                    content: Content::Finding(finding, entry.activity),
                    settles: Settlement { entries: vec![(delivery.id, *entry)], notices: Vec::new() },
                }),
            }
        }
        for notice in &delivery.notices {
            items.push(Item {
                first: delivery.id,
                content: Content::Notice(notice),
                settles: Settlement { entries: Vec::new(), notices: vec![(delivery.id, notice.clone())] },
            });
        }
    }
    (items, forgotten)
}

/// Joins all entries of a finding into its first: a create with updates is a create of the current state.
fn joined(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let mut index_of: HashMap<FindingKey, usize> = HashMap::new();
    let mut joined: Vec<Item<'_>> = Vec::with_capacity(items.len());
    for item in items {
        let Content::Finding(finding, activity) = item.content else {
            joined.push(item);
            continue;
        };
        match index_of.get(&finding.key) {
            None => {
                index_of.insert(finding.key, joined.len());
                joined.push(item);
            }
            Some(index) => {
                let kept = &mut joined[*index];
                if let Content::Finding(_, kept_activity) = &mut kept.content
                    && *kept_activity != Activity::Create
                {
                    *kept_activity = activity;
                }
                kept.settles.entries.extend(item.settles.entries);
            }
        }
    }
    joined
}

fn digest<'a>(items: Vec<Item<'a>>, forgotten: Vec<(DeliveryId, Entry)>) -> Notification<'a> {
    let ids = items.iter().map(|item| item.first).chain(forgotten.iter().map(|(id, _)| *id));
    let (first, last) = ids.fold((u64::MAX, 0), |(first, last), id| (first.min(id.0), last.max(id.0)));
    let mut findings = Vec::new();
    let mut notices = Vec::new();
    let mut settles = Settlement::default();
    for item in items {
        match item.content {
            Content::Finding(finding, activity) => findings.push((finding, activity)),
            Content::Notice(notice) => notices.push(notice),
        }
        settles.entries.extend(item.settles.entries);
        settles.notices.extend(item.settles.notices);
    }
    let uids = uids(&forgotten);
    settles.entries.extend(forgotten);
    Notification {
        message: Message {
            id: format!("{first}-digest-{last}"),
            body: MessageBody::Digest(Digest::new(findings, notices, uids)),
        },
        settles,
    }
}

fn forgotten_findings<'a>(forgotten: Vec<(DeliveryId, Entry)>) -> Option<Notification<'a>> {
    let (first, _) = forgotten.first()?;
    let (last, _) = forgotten.last()?;
    Some(Notification {
        message: Message {
            id: format!("{}-forgotten-{}", first.0, last.0),
            body: MessageBody::Forgotten(uids(&forgotten)),
        },
        settles: Settlement { entries: forgotten, notices: Vec::new() },
    })
}

fn uids(forgotten: &[(DeliveryId, Entry)]) -> Vec<FindingKey> {
    let unique: BTreeSet<FindingKey> = forgotten.iter().map(|(_, entry)| entry.finding).collect();
    unique.into_iter().collect()
}

impl<'a> Item<'a> {
    fn into_notification(self) -> Notification<'a> {
        let first = self.first.0;
        let (id, body) = match self.content {
            Content::Finding(finding, activity) => {
                (format!("{first}-{}-{}", finding.key, activity as u8), MessageBody::Finding { finding, activity })
            }
            Content::Notice(notice) => {
                (format!("{first}-notice-{:016x}", hash_of(notice)), MessageBody::Notice(notice))
            }
        };
        Notification { message: Message { id, body }, settles: self.settles }
    }
}

/// Returns a number that distinguishes the notices of one delivery, and does not depend on the others.
fn hash_of(notice: &Notice) -> u64 {
    let encoded = serde_json::to_vec(notice).expect("texts and numbers always encode as JSON");
    let mut hasher = SipHasher13::new();
    hasher.write(&encoded);
    hasher.finish()
}
