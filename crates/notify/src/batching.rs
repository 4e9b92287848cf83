//! Batching: turns the pending deliveries of a destination into notifications. Pure; this module sends nothing.
//!
//! Each attempt batches again what is still pending. Exactly one notification settles each entry and notice, so each
//! notification can be settled alone.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hasher;

use serde::Serialize;
use siphasher::sip::SipHasher13;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Settlement, Subject};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::incident::{Incident, IncidentKey};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::shown::{Shown, ShownIncident};
use stakeout_core::time::{Second, Window};

use crate::notification::{Digest, IncidentReport, Message, MessageBody, Notification, uid_of};

/// How a destination receives notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// For people: one message for each finding or incident, or a digest if there were too many messages.
    Digest {
        /// Most messages at once.
        max_messages: usize,
    },
    /// For people, where messages can be edited: one message for each incident, which changes with it. Of the new ones, a digest
    /// has those that are too many.
    Edited {
        /// Most new messages at once.
        max_messages: usize,
    },
    /// For machines: one message for each finding or incident that changed, in order, and one for its end.
    Each,
}

/// Findings and incidents that are in memory at once where each has messages of its own.
const PART_MESSAGES: usize = 64;

/// A message that is planned, before its finding or incident is read.
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
    Incident(PlannedIncident),
    Notice(Cow<'a, Notice>),
}

/// A message that is planned about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PlannedIncident {
    uid: IncidentKey,
    /// A finding of it.
    finding: FindingKey,
    activity: Activity,
    /// Whether the last that is pending is its end.
    is_over: bool,
    /// Whether its end is pending too, and has a message of its own.
    closes_next: bool,
    /// Whether all of it waited for the digest of the day.
    is_held: bool,
}

/// What a destination does not hear of, although it is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The highest level that it hears of: a message about an incident above it is the last one.
    pub level_max: Level,
    /// The findings and incidents that a person has silenced.
    pub silenced: HashSet<Subject>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { level_max: Level::Critical, silenced: HashSet::new() }
    }
}

/// The messages for a part of the planned ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<'a> {
    /// The notifications, in order.
    pub notifications: Vec<Notification<'a>>,
    /// What nobody needs to hear: people do not hear of an incident that became a part of another one, whose message they get.
    pub unsent: Settlement,
    /// What nobody hears because it is silenced.
    pub silenced: Settlement,
}

impl Planned<'_> {
    /// Returns the finding that the message is about, if it is about one.
    #[must_use]
    pub fn finding(&self) -> Option<FindingKey> {
        match self.content {
            Content::Finding(key, _) => Some(key),
            Content::Incident(_) | Content::Notice(_) => None,
        }
    }

    /// Returns the incident that the message is about, if it is about one, and the finding by which it is found.
    #[must_use]
    pub fn incident(&self) -> Option<(IncidentKey, FindingKey)> {
        match self.content {
            Content::Incident(planned) => Some((planned.uid, planned.finding)),
            Content::Finding(..) | Content::Notice(_) => None,
        }
    }

    /// Returns the finding or incident that the message is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        match self.content {
            Content::Finding(key, _) => Some(Subject::Finding(key)),
            Content::Incident(planned) => Some(Subject::Incident(planned.uid)),
            Content::Notice(_) => None,
        }
    }

    fn notice(&self) -> Option<&Notice> {
        match &self.content {
            Content::Notice(notice) => Some(notice),
            Content::Finding(..) | Content::Incident(_) => None,
        }
    }

    /// Returns the notice of the message, if it says that a gap is closed.
    fn closed_gap(&self) -> Option<&Notice> {
        self.notice().filter(|notice| notice.kind == NoticeKind::GapFilled)
    }

    /// Makes the message one about the later gap too.
    fn add_closed_gap(&mut self, later: &Planned<'_>) {
        if let (Some(notice), Some(other)) = (self.notice(), later.closed_gap()) {
            let both = Notice { window: notice.window.and(other.window), ..notice.clone() };
            self.add_notice(both, later);
        }
    }

    /// Makes the message one about `both`, its own notice and that of the later message.
    fn add_notice(&mut self, both: Notice, later: &Planned<'_>) {
        self.content = Content::Notice(Cow::Owned(both));
        self.last = self.last.max(later.last);
        self.settles.add(&later.settles);
    }

    /// Returns the finding that the message opens, or the incident that it opens or says more of.
    #[must_use]
    pub fn opens(&self) -> Option<Subject> {
        match self.content {
            Content::Finding(key, Activity::Create) => Some(Subject::Finding(key)),
            Content::Incident(planned) if planned.activity != Activity::Close && !planned.is_held => {
                Some(Subject::Incident(planned.uid))
            }
            _ => None,
        }
    }
}

/// Returns the messages for the `pending` deliveries (ascending by id) of one destination, in the order of the first
/// delivery of each.
///
/// All that is pending of one finding or incident is one message about its current state, whatever number of commits changed
/// it. A machine hears of the end of one whose beginning is pending too in a message of its own.
#[must_use]
pub fn plan(mode: DeliveryMode, pending: &[Delivery]) -> Vec<Planned<'_>> {
    let mut entries_of: HashMap<Subject, Vec<(DeliveryId, Entry)>> = HashMap::new();
    // What is pending beside the digests of days.
    let mut unheld: HashSet<Subject> = HashSet::new();
    for delivery in pending {
        for entry in &delivery.entries {
            entries_of.entry(entry.subject()).or_default().push((delivery.id, *entry));
            if delivery.held_until.is_none() {
                unheld.insert(entry.subject());
            }
        }
    }
    let mut planned = Vec::new();
    for delivery in pending {
        for entry in &delivery.entries {
            if let Some(entries) = entries_of.remove(&entry.subject()) {
                planned.extend(of_subject(mode, entries, !unheld.contains(&entry.subject())));
            }
        }
        planned.extend(delivery.notices.iter().map(|notice| Planned {
            first: delivery.id,
            last: delivery.id,
            content: Content::Notice(Cow::Borrowed(notice)),
            settles: Settlement { notices: vec![(delivery.id, notice.clone())], ..Settlement::default() },
        }));
    }
    planned.sort_by_key(|message| message.first);
    let planned = join_parts(planned);
    match mode {
        DeliveryMode::Digest { .. } | DeliveryMode::Edited { .. } => join_closed_gaps(planned),
        // A machine finds the notice of a gap by its window.
        DeliveryMode::Each => planned,
    }
}

/// Joins the notices of a window that was committed in parts.
fn join_parts(planned: Vec<Planned<'_>>) -> Vec<Planned<'_>> {
    let mut joined: Vec<Planned<'_>> = Vec::with_capacity(planned.len());
    let mut of_window: HashMap<(String, Window), Vec<usize>> = HashMap::new();
    for message in planned {
        let Some(notice) = message.notice() else {
            joined.push(message);
            continue;
        };
        let known = of_window.entry((notice.source.clone(), notice.window)).or_default();
        match known.iter().find_map(|index| Some((*index, joined[*index].notice()?.and(notice)?))) {
            Some((index, both)) => joined[index].add_notice(both, &message),
            None => {
                known.push(joined.len());
                joined.push(message);
            }
        }
    }
    joined
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

/// Returns the messages for the pending entries of one finding or incident. `is_held` says that all of them waited for the
/// digest of a day.
fn of_subject<'a>(
    mode: DeliveryMode,
    mut entries: Vec<(DeliveryId, Entry)>,
    is_held: bool,
) -> impl Iterator<Item = Planned<'a>> {
    let is_created = entries.iter().any(|(_, entry)| entry.activity == Activity::Create);
    let last = entries.last().map_or(Activity::Update, |(_, entry)| entry.activity);
    // A close after which it went on is an update.
    let closing = match mode {
        DeliveryMode::Each if is_created => {
            let at = entries.iter().rposition(|(_, entry)| entry.activity != Activity::Close).map_or(0, |at| at + 1);
            entries.split_off(at)
        }
        _ => Vec::new(),
    };
    let closes_next = !closing.is_empty();
    let whole = (if is_created { Activity::Create } else { last }, entries, closes_next);
    [whole, (Activity::Close, closing, false)].into_iter().filter_map(move |(activity, entries, closes_next)| {
        let (first, _) = *entries.first()?;
        // Of an incident, the finding that was named last.
        let (last, Entry { finding, incident, activity: end }) = *entries.last()?;
        let content = match incident {
            None => Content::Finding(finding, activity),
            Some(uid) => {
                let is_over = end == Activity::Close;
                Content::Incident(PlannedIncident { uid, finding, activity, is_over, closes_next, is_held })
            }
        };
        Some(Planned { first, last, content, settles: Settlement { entries, ..Settlement::default() } })
    })
}

impl DeliveryMode {
    /// Splits planned messages into the parts whose findings and incidents are in memory together: all of them where too many
    /// become one digest.
    pub fn parts<'p, 'a>(self, planned: &'p [Planned<'a>]) -> impl Iterator<Item = &'p [Planned<'a>]> {
        planned.chunks(match self {
            DeliveryMode::Digest { .. } | DeliveryMode::Edited { .. } => planned.len().max(1),
            DeliveryMode::Each => PART_MESSAGES,
        })
    }
}

/// Returns the notifications for a part of the planned messages, in order. `incidents` has the current state of each incident
/// that is asked for: another one if that one was joined with it. `shown` is what the destination shows of them.
///
/// Messages whose finding or incident is not stored any more become one at the end, which lists their uids.
#[must_use]
pub fn batch<'a>(
    mode: DeliveryMode,
    part: &'a [Planned<'a>],
    findings: &'a HashMap<FindingKey, Finding>,
    incidents: &'a HashMap<IncidentKey, Incident>,
    shown: &HashMap<IncidentKey, ShownIncident>,
    limits: &Limits,
) -> Batch<'a> {
    let is_shown = |uid: &IncidentKey| matches!(shown.get(uid), Some(ShownIncident { shown: Shown::Message(_), .. }));
    let mut items = Vec::new();
    let mut forgotten = Vec::new();
    let mut unsent = Settlement::default();
    let mut silenced = Settlement::default();
    let mut heard = Heard { mode, shown, begun: HashMap::new() };
    for planned in part {
        let is_silenced = planned.subject().is_some_and(|subject| limits.silenced.contains(&subject));
        let is_end = heard.is_end(planned, is_silenced);
        if is_silenced && is_end != Some(true) {
            silenced.add(&planned.settles);
            continue;
        }
        if is_end == Some(false) {
            unsent.add(&planned.settles);
            continue;
        }
        let content = match &planned.content {
            Content::Notice(notice) => Some(ItemContent::Notice(notice)),
            Content::Finding(key, activity) => {
                findings.get(key).map(|finding| ItemContent::Finding(finding, *activity))
            }
            Content::Incident(about) => {
                let report = incidents.get(&about.uid).map(|incident| report_of(mode, about, incident, limits));
                let report = report.map(|report| IncidentReport { is_silenced, ..report });
                if report.is_some_and(|report| is_needless(mode, &report, is_shown(&about.uid))) {
                    unsent.add(&planned.settles);
                    continue;
                }
                report.map(|report| ItemContent::Incident(report, about))
            }
        };
        match content {
            Some(content) => items.push(Item { planned, content }),
            None => forgotten.extend(planned.settles.entries.iter().copied()),
        }
    }
    forgotten.sort_by_key(|(delivery, entry)| (*delivery, entry.subject()));
    let notifications = match mode {
        DeliveryMode::Digest { max_messages } => for_people(items, forgotten, max_messages),
        DeliveryMode::Edited { max_messages } => {
            let edits: Vec<_> =
                items.extract_if(.., |item| item.incident().is_some_and(|uid| is_shown(&uid))).collect();
            let new = for_people(items, forgotten, max_messages);
            new.into_iter().chain(edits.iter().map(Item::notification)).collect()
        }
        DeliveryMode::Each => items.iter().map(Item::notification).chain(forgotten_subjects(forgotten)).collect(),
    };
    Batch { notifications, unsent, silenced }
}

/// Which incidents a destination has heard of.
struct Heard<'s> {
    mode: DeliveryMode,
    shown: &'s HashMap<IncidentKey, ShownIncident>,
    /// Those whose beginning is planned in this part, and whether it is sent.
    begun: HashMap<IncidentKey, bool>,
}

impl Heard<'_> {
    /// Returns whether the message is the end of an incident that the destination has heard of; `None` if it is not the end
    /// of an incident, or if nobody hears of ends. Notes the beginnings of incidents.
    fn is_end(&mut self, planned: &Planned<'_>, is_silenced: bool) -> Option<bool> {
        let Content::Incident(about) = &planned.content else { return None };
        if about.activity == Activity::Create {
            self.begun.insert(about.uid, !is_silenced);
        }
        let known = self.shown.get(&about.uid).map(|known| &known.shown);
        match (about.activity, self.mode) {
            (Activity::Create | Activity::Update, _) | (_, DeliveryMode::Digest { .. }) => None,
            (Activity::Close, DeliveryMode::Edited { .. }) => Some(matches!(known, Some(Shown::Message(_)))),
            (Activity::Close, DeliveryMode::Each) => {
                Some(self.begun.get(&about.uid).copied().unwrap_or(known != Some(&Shown::Silenced)))
            }
        }
    }
}

/// Returns what there is to say of the incident: that it is over, if it became a part of another one.
fn report_of<'a>(
    mode: DeliveryMode,
    about: &PlannedIncident,
    incident: &'a Incident,
    limits: &Limits,
) -> IncidentReport<'a> {
    let is_last = incident.level > limits.level_max;
    let mut report = IncidentReport { incident, uid: about.uid, activity: about.activity, is_last, is_silenced: false };
    // The only message says how the incident is now.
    if matches!(mode, DeliveryMode::Edited { .. }) && about.is_over {
        report.activity = Activity::Close;
    }
    // Where its end has a message of its own, that one says it.
    if report.merged_into().is_some() && !about.closes_next {
        report.activity = Activity::Close;
    }
    report
}

/// Returns whether nobody needs the message: people hear of the incident that this one became a part of, and not of the end of
/// one that has no message. A message that is shown is edited in any case.
fn is_needless(mode: DeliveryMode, report: &IncidentReport<'_>, is_shown: bool) -> bool {
    match mode {
        DeliveryMode::Each => false,
        DeliveryMode::Digest { .. } => report.merged_into().is_some(),
        DeliveryMode::Edited { .. } => !is_shown && report.merged_into().is_some(),
    }
}

/// Returns at most `max_messages` messages. If there is more to say, the incidents of the highest levels have a message each,
/// and a digest has the rest. Findings are all in it.
fn for_people<'a>(
    mut items: Vec<Item<'_, 'a>>,
    forgotten: Vec<(DeliveryId, Entry)>,
    max_messages: usize,
) -> Vec<Notification<'a>> {
    let of_the_day: Vec<_> = items.extract_if(.., |item| item.is_of_the_day()).collect();
    let messages = items.len() + usize::from(!of_the_day.is_empty()) + usize::from(!forgotten.is_empty());
    if messages <= max_messages {
        let digest = (!of_the_day.is_empty()).then(|| digest(&of_the_day, Vec::new()));
        return items.iter().map(Item::notification).chain(digest).chain(forgotten_subjects(forgotten)).collect();
    }
    items.sort_by_key(Item::importance);
    let incidents = items.iter().take_while(|item| matches!(item.content, ItemContent::Incident(..))).count();
    let rest = items.split_off(incidents.min(max_messages.saturating_sub(1)));
    let rest: Vec<_> = rest.into_iter().chain(of_the_day).collect();
    items.iter().map(Item::notification).chain([digest(&rest, forgotten)]).collect()
}

/// A planned message with what it is about.
struct Item<'p, 'a> {
    planned: &'p Planned<'a>,
    content: ItemContent<'p, 'a>,
}

#[derive(Clone, Copy)]
enum ItemContent<'p, 'a> {
    Finding(&'a Finding, Activity),
    Incident(IncidentReport<'a>, &'p PlannedIncident),
    Notice(&'a Notice),
}

fn digest<'a>(items: &[Item<'_, 'a>], forgotten: Vec<(DeliveryId, Entry)>) -> Notification<'a> {
    let ids = items.iter().flat_map(|item| [item.planned.first, item.planned.last]);
    let ids = ids.chain(forgotten.iter().map(|(id, _)| *id));
    let (first, last) = ids.fold((u64::MAX, 0), |(first, last), id| (first.min(id.0), last.max(id.0)));
    let mut digest = Digest { forgotten: subjects(&forgotten), ..Digest::default() };
    let mut settles = Settlement::default();
    for item in items {
        match item.content {
            ItemContent::Finding(finding, activity) => digest.findings.push((finding, activity)),
            ItemContent::Incident(report, _) if item.is_of_the_day() => digest.grown.push(report),
            ItemContent::Incident(report, _) => digest.incidents.push(report),
            ItemContent::Notice(notice) => digest.notices.push(notice),
        }
        settles.add(&item.planned.settles);
    }
    settles.entries.extend(forgotten);
    let body = MessageBody::Digest(digest.in_order());
    Notification { message: Message { id: format!("{first}-digest-{last}"), body }, settles }
}

fn forgotten_subjects<'a>(forgotten: Vec<(DeliveryId, Entry)>) -> Option<Notification<'a>> {
    let (first, _) = forgotten.first()?;
    let (last, _) = forgotten.last()?;
    let uids: Vec<String> = subjects(&forgotten).into_iter().map(uid_of).collect();
    Some(Notification {
        message: Message {
            // Two parts may have the same deliveries.
            id: format!("{}-forgotten-{}-{:016x}", first.0, last.0, hash_of(&uids)),
            body: MessageBody::Forgotten(subjects(&forgotten)),
        },
        settles: Settlement { entries: forgotten, ..Settlement::default() },
    })
}

fn subjects(forgotten: &[(DeliveryId, Entry)]) -> Vec<Subject> {
    let unique: BTreeSet<Subject> = forgotten.iter().map(|(_, entry)| entry.subject()).collect();
    unique.into_iter().collect()
}

impl<'a> Item<'_, 'a> {
    /// Returns the incident that it is about, if it is about one.
    fn incident(&self) -> Option<IncidentKey> {
        match self.content {
            ItemContent::Incident(_, about) => Some(about.uid),
            ItemContent::Finding(..) | ItemContent::Notice(_) => None,
        }
    }

    /// Returns whether it belongs in the digest of a day.
    fn is_of_the_day(&self) -> bool {
        matches!(self.content, ItemContent::Incident(_, about) if about.is_held)
    }

    /// Orders items: incidents before the rest, the most important of them first.
    fn importance(&self) -> impl Ord + use<> {
        match self.content {
            ItemContent::Incident(report, _) => (0, Some(Reverse(report.importance()))),
            ItemContent::Finding(..) | ItemContent::Notice(_) => (1, None),
        }
    }

    fn notification(&self) -> Notification<'a> {
        let Planned { first, last, settles, .. } = self.planned;
        // After a crash, more may be pending of the same: then the last delivery is another one, and so is the id.
        let deliveries = if first == last { first.0.to_string() } else { format!("{}-{}", first.0, last.0) };
        let (id, body) = match self.content {
            ItemContent::Finding(finding, activity) => {
                (format!("{deliveries}-{}-{}", finding.key, activity as u8), MessageBody::Finding { finding, activity })
            }
            // The planned activity: what the message says of it may be another one when it is sent again.
            ItemContent::Incident(report, PlannedIncident { uid, activity, .. }) => {
                (format!("{deliveries}-incident-{uid}-{}", *activity as u8), MessageBody::Incident(report))
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
