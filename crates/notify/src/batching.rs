//! Batching: turns the pending deliveries of a destination into notifications. Pure; this module sends nothing.
//!
//! Each attempt batches again what is still pending. Exactly one notification settles each entry and notice, so each
//! notification can be settled alone.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hasher;

use serde::Serialize;
use siphasher::sip::SipHasher13;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::time::Second;

use crate::notification::{Digest, Message, MessageBody, Notification};

/// How a destination receives notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// For people: one message for each finding, or one digest if there were too many messages.
    Digest {
        /// Most messages at once.
        max_messages: usize,
    },
    /// For machines: one message for each finding that changed, in order, and one for its end.
    Each,
}

/// Findings that are in memory at once where each has messages of its own.
const PART_MESSAGES: usize = 64;

/// A message that is planned, before its finding is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The first delivery that it settles something of.
    first: DeliveryId,
    /// The last one.
    last: DeliveryId,
    content: Content<'a>,
    settles: Settlement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content<'a> {
    Finding(FindingKey, Activity),
    Notice(Cow<'a, Notice>),
}

impl Planned<'_> {
    /// Returns the finding that the message is about, if it is about one.
    #[must_use]
    pub fn finding(&self) -> Option<FindingKey> {
        match self.content {
            Content::Finding(key, _) => Some(key),
            Content::Notice(_) => None,
        }
    }

    /// Returns the notice of the message, if it says that a gap is closed.
    fn closed_gap(&self) -> Option<&Notice> {
        match &self.content {
            Content::Notice(notice) if notice.kind == NoticeKind::GapFilled => Some(notice),
            Content::Finding(..) | Content::Notice(_) => None,
        }
    }

    /// Makes the message one about the later gap too.
    fn add_closed_gap(&mut self, later: &Planned<'_>) {
        if let (Content::Notice(notice), Some(other)) = (&mut self.content, later.closed_gap()) {
            let window = notice.window.and(other.window);
            notice.to_mut().window = window;
            self.last = self.last.max(later.last);
            self.settles.add(&later.settles);
        }
    }

    /// Returns the finding that the message opens, if it opens one.
    #[must_use]
    pub fn opens(&self) -> Option<FindingKey> {
        match self.content {
            Content::Finding(key, Activity::Create) => Some(key),
            Content::Finding(..) | Content::Notice(_) => None,
        }
    }
}

/// Returns the messages for the `pending` deliveries (ascending by id) of one destination, in the order of the first
/// delivery of each.
///
/// All that is pending of one finding is one message about its current state, whatever number of commits changed it. A
/// machine hears of the end of a finding whose beginning is pending too in a message of its own.
#[must_use]
pub fn plan(mode: DeliveryMode, pending: &[Delivery]) -> Vec<Planned<'_>> {
    let mut entries_of: HashMap<FindingKey, Vec<(DeliveryId, Entry)>> = HashMap::new();
    for delivery in pending {
        for entry in &delivery.entries {
            entries_of.entry(entry.finding).or_default().push((delivery.id, *entry));
        }
    }
    let mut planned = Vec::new();
    for delivery in pending {
        for entry in &delivery.entries {
            let first_of_finding = entries_of.remove(&entry.finding);
            planned.extend(first_of_finding.into_iter().flat_map(|entries| of_finding(mode, entries)));
        }
        planned.extend(delivery.notices.iter().map(|notice| Planned {
            first: delivery.id,
            last: delivery.id,
            content: Content::Notice(Cow::Borrowed(notice)),
            settles: Settlement { entries: Vec::new(), notices: vec![(delivery.id, notice.clone())] },
        }));
    }
    planned.sort_by_key(|message| message.first);
    match mode {
        DeliveryMode::Digest { .. } => join_closed_gaps(planned),
        // A machine finds the notice of a gap by its window.
        DeliveryMode::Each => planned,
    }
}

/// Joins the notices of closed gaps that follow each other in one log: a day that was caught up is one message.
fn join_closed_gaps(planned: Vec<Planned<'_>>) -> Vec<Planned<'_>> {
    let mut joined: Vec<Planned<'_>> = Vec::with_capacity(planned.len());
    // Which message is about the windows of a log up to a second.
    let mut until: HashMap<(String, Second), usize> = HashMap::new();
    for message in planned {
        let index = match message.closed_gap() {
            None => {
                joined.push(message);
                continue;
            }
            Some(notice) => until.remove(&(notice.source.clone(), notice.window.earliest())),
        };
        let index = match index {
            Some(index) => {
                joined[index].add_closed_gap(&message);
                index
            }
            None => {
                joined.push(message);
                joined.len() - 1
            }
        };
        until.extend(joined[index].closed_gap().map(|notice| ((notice.source.clone(), notice.window.latest()), index)));
    }
    joined
}

/// Returns the messages for the pending entries of one finding.
fn of_finding<'a>(mode: DeliveryMode, mut entries: Vec<(DeliveryId, Entry)>) -> impl Iterator<Item = Planned<'a>> {
    let is_created = entries.iter().any(|(_, entry)| entry.activity == Activity::Create);
    let last = entries.last().map_or(Activity::Update, |(_, entry)| entry.activity);
    // A close after which the finding went on is an update.
    let closing = match mode {
        DeliveryMode::Each if is_created => {
            let at = entries.iter().rposition(|(_, entry)| entry.activity != Activity::Close).map_or(0, |at| at + 1);
            entries.split_off(at)
        }
        _ => Vec::new(),
    };
    let whole = (if is_created { Activity::Create } else { last }, entries);
    [whole, (Activity::Close, closing)].into_iter().filter_map(|(activity, entries)| {
        let (first, entry) = *entries.first()?;
        let (last, _) = *entries.last()?;
        let content = Content::Finding(entry.finding, activity);
        Some(Planned { first, last, content, settles: Settlement { entries, notices: Vec::new() } })
    })
}

impl DeliveryMode {
    /// Splits planned messages into the parts whose findings are in memory together: all of them where too many become one
    /// digest.
    pub fn parts<'p, 'a>(self, planned: &'p [Planned<'a>]) -> impl Iterator<Item = &'p [Planned<'a>]> {
        planned.chunks(match self {
            DeliveryMode::Digest { .. } => planned.len().max(1),
            DeliveryMode::Each => PART_MESSAGES,
        })
    }
}

/// Returns the notifications for a part of the planned messages, in order.
///
/// Messages whose finding is not in `findings` any more become one at the end, which lists their uids.
#[must_use]
pub fn batch<'a>(
    mode: DeliveryMode,
    part: &'a [Planned<'a>],
    findings: &'a HashMap<FindingKey, Finding>,
) -> Vec<Notification<'a>> {
    let mut items = Vec::new();
    let mut forgotten = Vec::new();
    for planned in part {
        match &planned.content {
            Content::Notice(notice) => items.push(Item { planned, content: ItemContent::Notice(notice) }),
            Content::Finding(key, activity) => match findings.get(key) {
                Some(finding) => items.push(Item { planned, content: ItemContent::Finding(finding, *activity) }),
                None => forgotten.extend(planned.settles.entries.iter().copied()),
            },
        }
    }
    forgotten.sort_by_key(|(delivery, entry)| (*delivery, entry.finding));
    match mode {
        DeliveryMode::Digest { max_messages } if items.len() + usize::from(!forgotten.is_empty()) > max_messages => {
            vec![digest(&items, forgotten)]
        }
        _ => items.iter().map(Item::notification).chain(forgotten_findings(forgotten)).collect(),
    }
}

/// A planned message with its finding.
struct Item<'p, 'a> {
    planned: &'p Planned<'a>,
    content: ItemContent<'a>,
}

#[derive(Clone, Copy)]
enum ItemContent<'a> {
    Finding(&'a Finding, Activity),
    Notice(&'a Notice),
}

fn digest<'a>(items: &[Item<'_, 'a>], forgotten: Vec<(DeliveryId, Entry)>) -> Notification<'a> {
    let ids = items.iter().flat_map(|item| [item.planned.first, item.planned.last]);
    let ids = ids.chain(forgotten.iter().map(|(id, _)| *id));
    let (first, last) = ids.fold((u64::MAX, 0), |(first, last), id| (first.min(id.0), last.max(id.0)));
    let mut findings = Vec::new();
    let mut notices = Vec::new();
    let mut settles = Settlement::default();
    for item in items {
        match item.content {
            ItemContent::Finding(finding, activity) => findings.push((finding, activity)),
            ItemContent::Notice(notice) => notices.push(notice),
        }
        settles.add(&item.planned.settles);
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
            // Two parts may have the same deliveries.
            id: format!("{}-forgotten-{}-{:016x}", first.0, last.0, hash_of(&uids(&forgotten))),
            body: MessageBody::Forgotten(uids(&forgotten)),
        },
        settles: Settlement { entries: forgotten, notices: Vec::new() },
    })
}

fn uids(forgotten: &[(DeliveryId, Entry)]) -> Vec<FindingKey> {
    let unique: BTreeSet<FindingKey> = forgotten.iter().map(|(_, entry)| entry.finding).collect();
    unique.into_iter().collect()
}

impl<'a> Item<'_, 'a> {
    fn notification(&self) -> Notification<'a> {
        let Planned { first, last, settles, .. } = self.planned;
        // After a crash, more may be pending of the finding: then the last delivery is another one, and so is the id.
        let deliveries = if first == last { first.0.to_string() } else { format!("{}-{}", first.0, last.0) };
        let (id, body) = match self.content {
            ItemContent::Finding(finding, activity) => {
                (format!("{deliveries}-{}-{}", finding.key, activity as u8), MessageBody::Finding { finding, activity })
            }
            ItemContent::Notice(notice) => {
                (format!("{deliveries}-notice-{:016x}", hash_of(&notice)), MessageBody::Notice(notice))
            }
        };
        Notification { message: Message { id, body }, settles: settles.clone() }
    }
}

/// Returns a number that distinguishes what one delivery holds, and does not depend on the rest.
fn hash_of(value: &impl Serialize) -> u64 {
    let encoded = serde_json::to_vec(value).expect("texts and numbers always encode as JSON");
    let mut hasher = SipHasher13::new();
    hasher.write(&encoded);
    hasher.finish()
}
