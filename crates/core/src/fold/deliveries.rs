//! The deliveries of a commit: what each destination hears of its findings, incidents and notices, within the limit of what
//! may be pending.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::close_input::Stored;
use super::findings::Findings;
use crate::delivery::{Activity, Delivery, DeliveryId, Entry, Hearing, NotificationFilter, Subject};
use crate::incident_change::IncidentChange;
use crate::incident_key::IncidentKey;
use crate::notice::{Notice, NoticeKind};
use crate::room::Room;
use crate::route::Routed;
use crate::rule::Level;
use crate::time::Second;

/// What a commit may report.
pub(super) struct Reported<'a> {
    pub(super) findings: &'a Findings,
    pub(super) incidents: &'a [IncidentChange],
    pub(super) notices: &'a [Notice],
}

/// To whom and how a commit reports it.
pub(super) struct Reporting<'a> {
    pub(super) filters: &'a [NotificationFilter],
    /// How many entries and notices may be pending for a destination.
    pub(super) pending_max: usize,
    pub(super) stored: &'a Stored,
    /// The incidents that were silenced for each destination.
    pub(super) silenced: Option<&'a HashMap<String, HashSet<IncidentKey>>>,
    /// When the day ends whose growth a digest reports.
    pub(super) day_end: Second,
    /// The number of the next delivery.
    pub(super) next: DeliveryId,
}

/// The deliveries of a commit.
pub(super) struct NewDeliveries {
    pub(super) deliveries: Vec<Delivery>,
    /// The number of the next delivery.
    pub(super) next: DeliveryId,
    /// How many entries and notices each destination does not get, because too many are pending.
    pub(super) left_out: Vec<(String, usize)>,
}

impl Reporting<'_> {
    /// Returns the deliveries for what is reported.
    pub(super) fn deliveries(&self, reported: &Reported<'_>) -> NewDeliveries {
        let mut new = NewDeliveries { deliveries: Vec::new(), next: self.next, left_out: Vec::new() };
        for filter in self.filters {
            let Wanted { now, more, held } = wanted(filter, reported, self.stored, self.silenced);
            let mut room = Room { max: self.pending_max, used: self.pending(&filter.destination) };
            let notices: Vec<&Notice> = reported.notices.iter().filter(|notice| filter.wants_notice(notice)).collect();
            let mut left_out = notices.len();
            let notices: Vec<Notice> = notices.into_iter().filter(|_| room.take(Level::Critical)).cloned().collect();
            left_out -= notices.len();
            for (entries, notices, held_until) in
                [(now, notices, None), (more, Vec::new(), None), (held, Vec::new(), Some(self.day_end))]
            {
                let wanted = entries.len();
                let entries = admitted(&entries, &mut room);
                left_out += wanted - entries.len();
                if entries.is_empty() && notices.is_empty() {
                    continue;
                }
                let destination = filter.destination.clone();
                new.deliveries.push(Delivery { id: new.next, destination, held_until, entries, notices });
                new.next = DeliveryId(new.next.0 + 1);
            }
            if left_out > 0 {
                new.left_out.push((filter.destination.clone(), left_out));
            }
        }
        new
    }

    /// Returns a notice for each destination whose unreserved room these deliveries fill.
    pub(super) fn newly_full(&self, deliveries: &[Delivery]) -> Vec<NoticeKind> {
        let mut added: BTreeMap<&str, usize> = BTreeMap::new();
        for delivery in deliveries {
            *added.entry(&delivery.destination).or_default() += delivery.entries.len() + delivery.notices.len();
        }
        let full = added.into_iter().filter_map(|(destination, added)| {
            let used = self.pending(destination);
            let pending = used + added;
            let has_room = |used| Room { max: self.pending_max, used }.admits(Level::Informational);
            let destination = destination.to_owned();
            (has_room(used) && !has_room(pending)).then_some(NoticeKind::TooManyPending { destination, pending })
        });
        full.collect()
    }

    fn pending(&self, destination: &str) -> usize {
        self.stored.pending.get(destination).copied().unwrap_or(0)
    }
}

/// The entries that a destination wants, each with its level. A delivery has at most one entry for each subject.
#[derive(Default)]
struct Wanted {
    now: Vec<(Level, Entry)>,
    /// What follows: the end of an incident that this commit opens.
    more: Vec<(Level, Entry)>,
    /// For the digest of the day.
    held: Vec<(Level, Entry)>,
}

fn wanted(
    filter: &NotificationFilter,
    reported: &Reported<'_>,
    stored: &Stored,
    silenced: Option<&HashMap<String, HashSet<IncidentKey>>>,
) -> Wanted {
    let mut wanted = Wanted::default();
    for (finding, activity, is_escalated) in reported.findings.reported() {
        if filter.wants(&Routed::finding(finding), activity, is_escalated) {
            wanted.now.push((finding.rule.level, Entry { finding: finding.key, incident: None, activity }));
        }
    }
    let held = stored.held.get(&filter.destination);
    let silenced = silenced.and_then(|silenced| silenced.get(&filter.destination));
    let mut reported_now = BTreeSet::new();
    for change in reported.incidents {
        let entry = |activity| Entry { finding: change.finding, incident: Some(change.key), activity };
        // Before the silence it may have heard of it. That was long ago, so this is a beginning all the same.
        let was_silenced = silenced.is_some_and(|silenced| silenced.contains(&change.key));
        match filter.hears(
            change.before.as_ref().filter(|_| !was_silenced),
            &change.now,
            change.activity,
            change.is_escalated,
        ) {
            Some(Hearing::Now(activity)) => {
                let is_first = reported_now.insert(change.key);
                let entries = if is_first { &mut wanted.now } else { &mut wanted.more };
                entries.push((change.now.level, entry(activity)));
            }
            Some(Hearing::Held) if held.is_none_or(|held| !held.contains(&Subject::Incident(change.key))) => {
                wanted.held.push((change.now.level, entry(Activity::Update)));
            }
            Some(Hearing::Held) | None => {}
        }
    }
    wanted
}

/// Returns the entries that there is room for, in their order: those of high severity find room last of all.
fn admitted(entries: &[(Level, Entry)], room: &mut Room) -> Vec<Entry> {
    let mut by_level: Vec<usize> = (0..entries.len()).collect();
    by_level.sort_by_key(|index| Reverse(entries[*index].0));
    let mut admitted: Vec<usize> = by_level.into_iter().filter(|index| room.take(entries[*index].0)).collect();
    admitted.sort_unstable();
    admitted.into_iter().map(|index| entries[index].1).collect()
}
