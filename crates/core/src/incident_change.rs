//! What a commit changes of incidents: those that the findings made before it, compared with those that they make after it.
//!
//! Nothing is stored of an incident but its key in its findings, so nothing can disagree with them.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::Activity;
use crate::finding::{Finding, FindingKey};
use crate::incident::{Incident, IncidentOptions, incidents};
use crate::incident_key::IncidentKey;
use crate::route::Routed;
use crate::time::Second;

/// What happened to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentChange {
    /// The incident.
    pub key: IncidentKey,
    /// A finding of it.
    pub finding: FindingKey,
    /// What destinations heard of before the change, if it was reported then.
    pub before: Option<Routed>,
    /// What decides who hears of it, after the change.
    pub now: Routed,
    /// What happened; an incident that is over at once opens and closes.
    pub activity: Activity,
    /// Whether its level rose, or somebody was let in.
    pub is_escalated: bool,
}

/// The findings around a commit, and up to when incidents are over that were quiet since.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'f> {
    /// The findings.
    pub findings: &'f [&'f Finding],
    /// An incident without an open finding whose quiet time began before this is over.
    pub quiet_before: Second,
}

/// What a commit changes of the incidents around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentChanges {
    /// What destinations hear of, in the order of the incidents.
    pub changes: Vec<IncidentChange>,
    /// The incidents after the commit.
    pub after: Vec<Incident>,
}

/// Whether an incident is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is a part of another, which is reported.
    Part,
    Open,
    Over,
}

/// Returns what a commit changes of the incidents of `before` and `after`: these hold everything that decides about the
/// findings that the commit touches.
#[must_use]
pub fn changes(before: Findings<'_>, after: Findings<'_>, options: &IncidentOptions) -> IncidentChanges {
    let by_key = |findings: &Findings<'_>| -> BTreeMap<IncidentKey, Incident> {
        let made = incidents(findings.findings.iter().copied(), options);
        made.into_iter().map(|incident| (incident.key, incident)).collect()
    };
    let (old, new) = (by_key(&before), by_key(&after));
    let mut all: Vec<(Second, IncidentKey)> = new.values().map(|incident| (incident.first, incident.key)).collect();
    all.extend(old.values().filter(|gone| !new.contains_key(&gone.key)).map(|gone| (gone.first, gone.key)));
    all.sort_unstable();
    let mut changes = Vec::new();
    for (_, key) in all {
        let (old, new) = (old.get(&key), new.get(&key));
        let states = (old.map(|old| before.state(old)), new.map(|new| after.state(new)));
        let Some(shown) = new.or(old) else { continue };
        let (is_changed, is_escalated) = match (old, new) {
            (Some(old), Some(new)) => (is_changed(old, new), is_escalated(old, new)),
            _ => (true, false),
        };
        let reported_before = old.filter(|old| before.state(old) != State::Part);
        let change = |activity, is_escalated| IncidentChange {
            key,
            finding: shown.own.first().copied().unwrap_or(FindingKey(0)),
            before: reported_before.map(Routed::incident),
            now: Routed::incident(shown),
            activity,
            is_escalated,
        };
        let activities: &[Activity] = match states {
            (None | Some(State::Part), Some(State::Open)) => &[Activity::Create],
            (None | Some(State::Part), Some(State::Over)) => &[Activity::Create, Activity::Close],
            (Some(State::Open), Some(State::Open)) if is_changed => &[Activity::Update],
            (Some(State::Over), Some(State::Open)) => &[Activity::Update],
            (Some(State::Open | State::Over), Some(State::Over)) if is_escalated => {
                &[Activity::Update, Activity::Close]
            }
            (Some(State::Over), Some(State::Over)) if is_changed => &[Activity::Close],
            (Some(State::Open), Some(State::Over | State::Part) | None) => &[Activity::Close],
            _ => &[],
        };
        changes.extend(activities.iter().map(|activity| change(*activity, is_escalated)));
    }
    IncidentChanges { changes, after: new.into_values().collect() }
}

impl Findings<'_> {
    fn state(&self, incident: &Incident) -> State {
        match incident.parent {
            Some(_) => State::Part,
            None if !incident.is_open && incident.quiet_since < self.quiet_before => State::Over,
            None => State::Open,
        }
    }
}

/// Returns whether the incident is reported in another way. What is near it is not a part of it.
fn is_changed(old: &Incident, new: &Incident) -> bool {
    let reported = |incident: &Incident| Incident {
        related: BTreeSet::new(),
        own: Vec::new(),
        quiet_since: Second(0),
        quiet_from: Second(0),
        is_open: false,
        parent: None,
        ..incident.clone()
    };
    reported(old) != reported(new)
}

fn is_escalated(old: &Incident, new: &Incident) -> bool {
    new.level > old.level || (new.is_let_in() && !old.is_let_in())
}
