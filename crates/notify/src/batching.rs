//! The plan: what a destination is owed, cut into messages. Pure; nothing is sent here.
//!
//! A plan is made anew before each attempt, from what is still owed then. Each entry and notice is settled by exactly
//! one parcel, so a parcel that was taken can be settled alone.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::Notice;

use crate::notification::{Body, Digest, Message};

/// How a destination likes to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// By people: one message for each finding up to a number, and one digest beyond it.
    Slack {
        /// Most messages at once.
        max_messages: usize,
    },
    /// By machines: one message for each entry, in order.
    Each,
}

impl Style {
    /// Returns what is `owed` in such parts as are planned at once, so that their findings alone need be in memory: people
    /// are told of all of it in few messages, machines of one thing after another.
    pub fn parts(self, owed: &[Delivery]) -> impl Iterator<Item = &[Delivery]> {
        owed.chunks(match self {
            Style::Slack { .. } => owed.len().max(1),
            Style::Each => 1,
        })
    }
}

/// A message, and what is not owed any more when it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel<'a> {
    /// What to send.
    pub message: Message<'a>,
    /// What to settle then.
    pub settles: Settlement,
}

/// Returns what to send for what one destination is `owed` (ascending by id), in this order.
///
/// Entries whose finding is not in `findings` any more are told together, by uid, in one message at the end.
#[must_use]
pub fn plan<'a>(style: Style, owed: &'a [Delivery], findings: &'a HashMap<FindingKey, Finding>) -> Vec<Parcel<'a>> {
    let (mut items, forgotten) = items(owed, findings);
    match style {
        Style::Each => items.into_iter().map(Item::into_parcel).chain(told_by_uid(forgotten)).collect(),
        Style::Slack { max_messages } => {
            items = joined(items);
            if items.len() + usize::from(!forgotten.is_empty()) > max_messages {
                return vec![digest(items, forgotten)];
            }
            items.into_iter().map(Item::into_parcel).chain(told_by_uid(forgotten)).collect()
        }
    }
}

/// One thing owed, with the delivery that it was first owed by.
struct Item<'a> {
    first: DeliveryId,
    body: Told<'a>,
    settles: Settlement,
}

enum Told<'a> {
    Finding(&'a Finding, Activity),
    Notice(&'a Notice),
}

fn items<'a>(
    owed: &'a [Delivery],
    findings: &'a HashMap<FindingKey, Finding>,
) -> (Vec<Item<'a>>, Vec<(DeliveryId, Entry)>) {
    let mut items = Vec::new();
    let mut forgotten = Vec::new();
    for delivery in owed {
        for entry in &delivery.entries {
            match findings.get(&entry.finding) {
                None => forgotten.push((delivery.id, *entry)),
                Some(finding) => items.push(Item {
                    first: delivery.id,
                    body: Told::Finding(finding, entry.activity),
                    settles: Settlement { entries: vec![(delivery.id, *entry)], notices: Vec::new() },
                }),
            }
        }
        for notice in &delivery.notices {
            items.push(Item {
                first: delivery.id,
                body: Told::Notice(notice),
                settles: Settlement { entries: Vec::new(), notices: vec![(delivery.id, notice.clone())] },
            });
        }
    }
    (items, forgotten)
}

/// Joins the entries of each finding into its first: a create with updates is a create, as the finding stands now.
fn joined(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let mut place_of: HashMap<FindingKey, usize> = HashMap::new();
    let mut joined: Vec<Item<'_>> = Vec::with_capacity(items.len());
    for item in items {
        let Told::Finding(finding, activity) = item.body else {
            joined.push(item);
            continue;
        };
        match place_of.get(&finding.key) {
            None => {
                place_of.insert(finding.key, joined.len());
                joined.push(item);
            }
            Some(place) => {
                let kept = &mut joined[*place];
                if let Told::Finding(_, told) = &mut kept.body
                    && *told != Activity::Create
                {
                    *told = activity;
                }
                kept.settles.entries.extend(item.settles.entries);
            }
        }
    }
    joined
}

fn digest<'a>(items: Vec<Item<'a>>, forgotten: Vec<(DeliveryId, Entry)>) -> Parcel<'a> {
    let ids = items.iter().map(|item| item.first).chain(forgotten.iter().map(|(id, _)| *id));
    let (first, last) = ids.fold((u64::MAX, 0), |(first, last), id| (first.min(id.0), last.max(id.0)));
    let mut findings = Vec::new();
    let mut notices = Vec::new();
    let mut settles = Settlement::default();
    for item in items {
        match item.body {
            Told::Finding(finding, activity) => findings.push((finding, activity)),
            Told::Notice(notice) => notices.push(notice),
        }
        settles.entries.extend(item.settles.entries);
        settles.notices.extend(item.settles.notices);
    }
    let uids = uids(&forgotten);
    settles.entries.extend(forgotten);
    Parcel {
        message: Message {
            id: format!("{first}-digest-{last}"),
            body: Body::Digest(Digest::new(findings, notices, uids)),
        },
        settles,
    }
}

fn told_by_uid<'a>(forgotten: Vec<(DeliveryId, Entry)>) -> Option<Parcel<'a>> {
    let (first, _) = forgotten.first()?;
    let (last, _) = forgotten.last()?;
    Some(Parcel {
        message: Message { id: format!("{}-forgotten-{}", first.0, last.0), body: Body::Forgotten(uids(&forgotten)) },
        settles: Settlement { entries: forgotten, notices: Vec::new() },
    })
}

fn uids(forgotten: &[(DeliveryId, Entry)]) -> Vec<FindingKey> {
    let unique: BTreeSet<FindingKey> = forgotten.iter().map(|(_, entry)| entry.finding).collect();
    unique.into_iter().collect()
}

impl<'a> Item<'a> {
    fn into_parcel(self) -> Parcel<'a> {
        let first = self.first.0;
        let (id, body) = match self.body {
            Told::Finding(finding, activity) => {
                (format!("{first}-{}-{}", finding.key, activity as u8), Body::Finding { finding, activity })
            }
            Told::Notice(notice) => (format!("{first}-notice-{:016x}", hash_of(notice)), Body::Notice(notice)),
        };
        Parcel { message: Message { id, body }, settles: self.settles }
    }
}

/// Returns a number that tells the notices of one delivery apart, and stays when others of them were settled.
fn hash_of(notice: &Notice) -> u64 {
    let spelled = serde_json::to_vec(notice).expect("texts and numbers always spell as JSON");
    let mut hasher = SipHasher13::new();
    hasher.write(&spelled);
    hasher.finish()
}
