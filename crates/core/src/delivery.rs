//! Deliveries: what a commit sends to each destination, until the destination has taken it.

use serde::{Deserialize, Serialize};

use crate::finding::FindingKey;
use crate::incident_key::IncidentKey;
use crate::notice::Notice;
use crate::route::{Route, Routed, Unwanted};
use crate::shown::ShownChange;
use crate::source::ALL_CLUSTERS;
use crate::time::Second;

/// Most entries of one stored delivery: settling one of thousands of messages rewrites its whole delivery.
pub const ENTRIES_MAX: usize = 64;

/// What happened to a finding or an incident; the numbers are OCSF's `activity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Activity {
    /// It was opened.
    Create = 1,
    /// It grew.
    Update = 2,
    /// It is over, or was merged into another.
    Close = 3,
}

/// What a destination receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationFilter {
    /// The destination's name from the config, by which pending deliveries are stored.
    pub destination: String,
    /// Which findings and incidents it hears of.
    pub route: Route,
    /// Whether it receives every update and close (SNS, webhook, stdout), or only creates and the updates that add a cluster
    /// or raise the level (a Slack webhook, which cannot edit its messages).
    pub every_change: bool,
}

/// When a destination hears of a change of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Now, as this activity.
    Now(Activity),
    /// With the growth of the day.
    Held,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A finding.
    Finding(FindingKey),
    /// An incident.
    Incident(IncidentKey),
}

/// One activity of one finding or incident to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The finding; a finding of the incident, by which it is found, if it is about one.
    pub finding: FindingKey,
    /// The incident, if it is about one.
    pub incident: Option<IncidentKey>,
    /// What happened to it.
    pub activity: Activity,
}

impl Entry {
    /// Returns what it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.incident.map_or(Subject::Finding(self.finding), Subject::Incident)
    }
}

/// The number of a delivery. Commits count up, so a later delivery has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

/// What one commit sends to one destination, or a part of it: at most one entry for each finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, unique in the ledger.
    pub id: DeliveryId,
    /// The destination.
    pub destination: String,
    /// Until when it is held for the digest of a day: it is not pending before. `None` where it is sent at once.
    pub held_until: Option<Second>,
    /// The activities of findings and incidents to report.
    pub entries: Vec<Entry>,
    /// The notices to report.
    pub notices: Vec<Notice>,
}

/// What a destination has taken: these entries and notices of these deliveries are no longer pending, and this is what it
/// shows of incidents from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The entries that were taken.
    pub entries: Vec<(DeliveryId, Entry)>,
    /// The notices that were taken.
    pub notices: Vec<(DeliveryId, Notice)>,
    /// What changes of what it shows of incidents; at most one change for each.
    pub shown: Vec<ShownChange>,
}

impl Settlement {
    /// Adds what another message settles.
    pub fn add(&mut self, other: &Settlement) {
        self.entries.extend(other.entries.iter().copied());
        self.notices.extend(other.notices.iter().cloned());
        self.shown.extend(other.shown.iter().cloned());
    }
}

impl Delivery {
    /// Returns the delivery in parts of at most [`ENTRIES_MAX`] entries, in their order, numbered from `next` on. Notices go
    /// with the last part, because they follow the findings.
    #[must_use]
    pub fn into_parts(self, next: DeliveryId) -> Vec<Delivery> {
        let numbered = (next.0..).map(DeliveryId);
        let part = |(id, entries): (DeliveryId, &[Entry])| Delivery {
            id,
            destination: self.destination.clone(),
            held_until: self.held_until,
            entries: entries.to_vec(),
            notices: Vec::new(),
        };
        let mut parts: Vec<Delivery> = numbered.zip(self.entries.chunks(ENTRIES_MAX)).map(part).collect();
        match parts.last_mut() {
            Some(last) => last.notices = self.notices,
            None => parts.push(Delivery { id: next, ..self }),
        }
        parts
    }
}

impl Settlement {
    /// Returns whether nothing was taken, and nothing else is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.notices.is_empty() && self.shown.is_empty()
    }
}

impl NotificationFilter {
    /// Returns whether this destination receives `activity` of the finding. `is_escalated` says that the activity added a
    /// cluster or raised the level.
    #[must_use]
    pub fn wants(&self, finding: &Routed, activity: Activity, is_escalated: bool) -> bool {
        self.route.judge_finding(finding).is_ok() && self.wants_activity(activity, is_escalated)
    }

    /// Returns when this destination hears of `activity` of an incident, which was `before` and is `now`; `None` if it does not.
    /// `is_escalated` says that its level rose, or that somebody was let in.
    ///
    /// What it hears of an incident first is a create, also if others have heard of it before. The update that takes an incident
    /// above the highest level is the last one that it hears of.
    #[must_use]
    pub fn hears(
        &self,
        before: Option<&Routed>,
        now: &Routed,
        activity: Activity,
        is_escalated: bool,
    ) -> Option<Hearing> {
        let was_wanted = before.is_some_and(|before| self.route.judge_incident(before).is_ok());
        match self.route.judge_incident(now) {
            Ok(()) if !was_wanted && activity == Activity::Update => Some(Hearing::Now(Activity::Create)),
            Ok(()) if self.wants_activity(activity, is_escalated) => Some(Hearing::Now(activity)),
            Ok(()) => (activity == Activity::Update).then_some(Hearing::Held),
            Err(Unwanted::AboveMax(_)) if was_wanted && activity == Activity::Update => Some(Hearing::Now(activity)),
            Err(_) => None,
        }
    }

    /// Returns whether this destination hears of the notice: of one about a log, if it hears of the log's cluster,
    /// or if the log holds those of several.
    #[must_use]
    pub fn wants_notice(&self, notice: &Notice) -> bool {
        !notice.is_about_a_log() || notice.cluster == ALL_CLUSTERS || self.route.has_cluster(&notice.cluster)
    }

    fn wants_activity(&self, activity: Activity, is_escalated: bool) -> bool {
        match activity {
            Activity::Create => true,
            Activity::Update => self.every_change || is_escalated,
            Activity::Close => self.every_change,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::NoticeKind;
    use crate::route::Subjects;
    use crate::rule::Level;
    use crate::time::Window;

    fn entries(keys: std::ops::Range<u128>) -> Vec<Entry> {
        keys.map(|key| Entry { finding: FindingKey(key), incident: None, activity: Activity::Create }).collect()
    }

    #[test]
    fn parts_of_a_delivery_hold_all_entries_in_their_order() {
        let window = Window::new(Second(0), Second(60)).expect("not empty");
        let (source, cluster) = ("onprem".to_owned(), "onprem".to_owned());
        let notice = Notice { source, cluster, window, kind: NoticeKind::GapFilled };
        let delivery = |id, entries, notices: &[Notice]| Delivery {
            id: DeliveryId(id),
            destination: "bus".to_owned(),
            held_until: None,
            entries,
            notices: notices.to_vec(),
        };
        let notices = std::slice::from_ref(&notice);
        let of = |keys| delivery(3, entries(keys), notices).into_parts(DeliveryId(7));
        assert_eq!(of(0..0), [delivery(7, Vec::new(), notices)]);
        assert_eq!(of(0..64), [delivery(7, entries(0..64), notices)]);
        let three = [
            delivery(7, entries(0..64), &[]),
            delivery(8, entries(64..128), &[]),
            delivery(9, entries(128..129), notices),
        ];
        assert_eq!(of(0..129), three);
    }

    #[test]
    fn what_a_destination_hears_first_is_a_create_and_what_rises_above_its_levels_the_last_word() {
        let routed = |level, cluster: &str| Routed {
            level,
            clusters: [cluster.to_owned()].into(),
            rules: ["token-spray".to_owned()].into(),
        };
        let (low, medium, high) =
            (routed(Level::Low, "prod"), routed(Level::Medium, "prod"), routed(Level::High, "prod"));
        let other_cluster = routed(Level::Medium, "dev");
        let route = Route {
            level_min: Level::Medium,
            level_max: Level::Medium,
            clusters: Some(vec![glob::Pattern::new("prod").expect("a name")]),
            ..Route::from_level(Subjects::Both, Level::Informational)
        };
        let filter =
            |every_change| NotificationFilter { destination: "team".to_owned(), route: route.clone(), every_change };
        let now = |activity| Some(Hearing::Now(activity));
        let (create, update, close) = (Activity::Create, Activity::Update, Activity::Close);
        for (before, after, activity, is_escalated, of_machine, of_people) in [
            (None, &medium, create, false, now(create), now(create)),
            (None, &low, create, false, None, None),
            (None, &high, create, false, None, None),
            (Some(&low), &medium, update, true, now(create), now(create)),
            (Some(&other_cluster), &medium, update, false, now(create), now(create)),
            (Some(&medium), &medium, update, false, now(update), Some(Hearing::Held)),
            (Some(&medium), &medium, update, true, now(update), now(update)),
            (Some(&medium), &high, update, true, now(update), now(update)),
            (Some(&low), &high, update, true, None, None),
            (Some(&high), &high, update, true, None, None),
            (Some(&high), &high, close, false, None, None),
            (Some(&medium), &medium, close, false, now(close), None),
            // One that is over and grows opens and closes for those who hear of it first.
            (Some(&low), &medium, close, true, now(close), None),
        ] {
            let hears = |every_change| filter(every_change).hears(before, after, activity, is_escalated);
            assert_eq!((hears(true), hears(false)), (of_machine, of_people), "{before:?} {after:?} {activity:?}");
        }
    }

    #[test]
    fn a_destination_of_some_clusters_hears_of_their_logs_and_of_the_whole() {
        let notice = |cluster: &str, kind| Notice {
            source: cluster.to_owned(),
            cluster: cluster.to_owned(),
            window: Window::new(Second(0), Second(60)).expect("not empty"),
            kind,
        };
        let clusters = Some(vec![glob::Pattern::new("prod").expect("a name")]);
        let route = Route { clusters, ..Route::from_level(Subjects::Both, Level::High) };
        let filter = NotificationFilter { destination: "team".to_owned(), route, every_change: true };
        assert!(filter.wants_notice(&notice("prod", NoticeKind::Silent { windows: 3 })));
        assert!(!filter.wants_notice(&notice("dev", NoticeKind::Silent { windows: 3 })));
        assert!(filter.wants_notice(&notice(ALL_CLUSTERS, NoticeKind::Silent { windows: 3 })));
        assert!(filter.wants_notice(&notice("dev", NoticeKind::StateGone)));
    }
}
