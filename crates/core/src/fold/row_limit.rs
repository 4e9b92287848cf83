//! What happens to a window with more groups than may be stored: the largest are counted exactly, the rest is
//! told as a sum. Never silence.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use rustc_hash::FxHashSet;

use super::Fold;
use super::hashed::ByNumber;
use super::sets::Member;
use crate::address::SourceIp;
use crate::notice::NoticeKind;
use crate::observation::Observation;
use crate::time::{Minute, Second};

/// Sources of which the approximate count is kept at once (space-saving, Metwally and others, 2005): whatever sent
/// more than a thousandth of the requests is among them.
const TRACKED_MAX: usize = 1000;
/// Largest sources that are told.
pub(super) const TOP: usize = 10;

/// The largest sources among more than can be counted one by one.
#[derive(Debug, Default)]
pub(super) struct Largest {
    counts: HashMap<SourceIp, u64>,
    /// The same, smallest first.
    by_count: BTreeSet<(u64, SourceIp)>,
    requests: u64,
}

impl Largest {
    /// Counts a request for its source.
    pub(super) fn add(&mut self, observation: &Observation) {
        self.add_requests(observation.client.map(SourceIp::of), u64::from(observation.n));
    }

    /// Counts requests of a source, or of one that nobody knows.
    pub(super) fn add_requests(&mut self, source: Option<SourceIp>, n: u64) {
        self.requests += n;
        if let Some(source) = source {
            self.add_source(source, n);
        }
    }

    /// Adds what others were counted.
    pub(super) fn join(&mut self, other: Largest) {
        self.requests += other.requests;
        for (n, source) in other.by_count {
            self.add_source(source, n);
        }
    }

    fn add_source(&mut self, source: SourceIp, n: u64) {
        let known = self.counts.get(&source).copied();
        let mut before = known.unwrap_or(0);
        if known.is_some() {
            self.by_count.remove(&(before, source));
        } else if self.counts.len() >= TRACKED_MAX
            && let Some((smallest, other)) = self.by_count.pop_first()
        {
            self.counts.remove(&other);
            before = smallest;
        }
        self.counts.insert(source, before + n);
        self.by_count.insert((before + n, source));
    }

    fn top(&self) -> Vec<(String, u64)> {
        let mut sources: Vec<(u64, SourceIp)> = self.by_count.iter().copied().collect();
        sources.sort_by_key(|(count, source)| (Reverse(*count), *source));
        sources.into_iter().take(TOP).map(|(count, source)| (source.to_string(), count)).collect()
    }
}

/// Distinct values that take as much room as a row without any.
const VALUES_OF_A_ROW: usize = 16;

/// What is beyond the limit.
pub(super) struct Beyond {
    /// Hours and the places of groups in them that get no rows.
    pub(super) parts: HashSet<(i64, u32)>,
    /// What is to be told of them, and of the requests beyond.
    pub(super) notice: Option<NoticeKind>,
}

/// Chooses the smallest groups of each hour that would hold more than `rows_max` rows. Hours begin at :50, as the
/// default schedule's windows do. `beyond` holds what was not even seen.
pub(super) fn cap(fold: &Fold, mut beyond: Largest) -> Beyond {
    let mut parts = HashSet::new();
    let mut rows = 0;
    for (hour, groups) in hours_too_large(fold) {
        for (place, part) in too_many(fold, groups) {
            rows += u64::from(part.minutes.count_ones());
            beyond.requests += part.requests;
            // The largest come first, so what is not tracked by now is smaller than all that is.
            if let Some(source) =
                fold.groups[place as usize].key.group.source_ip().filter(|_| parts.len() < TRACKED_MAX)
            {
                beyond.add_source(source, part.requests);
            }
            parts.insert((hour, place));
        }
    }
    let notice = (rows > 0 || beyond.requests > 0).then(|| NoticeKind::Overflow {
        rows,
        requests: beyond.requests,
        top: beyond.top(),
    });
    Beyond { parts, notice }
}

/// Returns the hour that a minute belongs to.
pub(super) fn hour(minute: Minute) -> i64 {
    (minute.0 + 10).div_euclid(60)
}

/// A group's part of an hour.
#[derive(Clone, Copy, Default)]
struct Part {
    requests: u64,
    /// Bit `n` stands for minute `n` of the hour.
    minutes: u64,
    values: usize,
}

impl Part {
    /// Returns how many rows without values take as much room.
    fn weight(self) -> usize {
        self.minutes.count_ones() as usize + self.values / VALUES_OF_A_ROW
    }
}

/// Returns the parts of all groups, in the order of their places, of those hours that could hold too many rows.
fn hours_too_large(fold: &Fold) -> ByNumber<i64, Vec<Part>> {
    let mut rows_at_most: ByNumber<i64, usize> = ByNumber::default();
    for seen in &fold.requests {
        fold.each_count(seen, |_, at, _| *rows_at_most.entry(hour(at.minute())).or_default() += 1);
    }
    rows_at_most.retain(|_, rows| *rows > fold.limits.rows_max);
    let none = vec![Part::default(); fold.groups.len()];
    let mut hours: ByNumber<i64, Vec<Part>> = rows_at_most.keys().map(|hour| (*hour, none.clone())).collect();
    let mut values = FxHashSet::default();
    if hours.is_empty() {
        return hours;
    }
    for seen in &fold.requests {
        fold.each_count(seen, |member, at, n| {
            let Some(groups) = hours.get_mut(&hour(at.minute())) else { return };
            let part = &mut groups[member.place as usize];
            part.requests += u64::from(n);
            part.minutes |= 1 << (at.minute().0 + 10).rem_euclid(60);
            part.values += new_values(&mut values, member, at);
        });
    }
    hours
}

/// Returns how many of the member's values had not come in this minute yet.
fn new_values(known: &mut FxHashSet<(u32, i64, bool, usize)>, member: &Member, at: Second) -> usize {
    let mut is_new = |number: Option<usize>, is_text| {
        number.is_some_and(|number| known.insert((member.place, at.minute().0, is_text, number)))
    };
    usize::from(is_new(member.source.number(), false)) + usize::from(is_new(member.text.number(), true))
}

/// Returns the parts for which there is no room, largest first.
fn too_many(fold: &Fold, groups: Vec<Part>) -> Vec<(u32, Part)> {
    let key_of = |place: u32| &fold.groups[place as usize].key;
    let mut by_size: Vec<(u32, Part)> = (0..).zip(groups).filter(|(_, part)| part.minutes != 0).collect();
    by_size.sort_unstable_by(|(left, left_part), (right, right_part)| {
        right_part.requests.cmp(&left_part.requests).then_with(|| key_of(*left).cmp(key_of(*right)))
    });
    let mut kept = 0;
    by_size.retain(|(_, part)| {
        let fits = kept + part.weight() <= fold.limits.rows_max;
        kept += if fits { part.weight() } else { 0 };
        !fits
    });
    by_size
}
