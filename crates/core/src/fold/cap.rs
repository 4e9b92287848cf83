//! What happens to a window with more groups than may be stored: the largest are counted exactly, the rest is
//! told as a sum. Never silence.

use std::collections::{BTreeMap, HashMap};

use crate::address::SourceIp;
use crate::observation::Observation;
use crate::progress::NoticeKind;
use crate::tally::{CountKey, Rows, Tally};
use crate::time::Minute;

/// Sources of which the approximate count is kept at once (space-saving, Metwally and others, 2005): whatever sent
/// more than a thousandth of the requests is among them.
const TRACKED_MAX: usize = 1000;
/// Largest sources that are told.
const TOP: usize = 10;

/// The largest sources among more than can be counted one by one.
#[derive(Debug, Default)]
pub(super) struct Largest {
    counts: HashMap<SourceIp, u64>,
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
        for (source, n) in other.counts {
            self.add_source(source, n);
        }
    }

    fn add_source(&mut self, source: SourceIp, n: u64) {
        if let Some(count) = self.counts.get_mut(&source) {
            *count += n;
            return;
        }
        let mut inherited = 0;
        if self.counts.len() >= TRACKED_MAX {
            let smallest = self
                .counts
                .iter()
                .min_by_key(|(source, count)| (**count, **source))
                .map(|(source, count)| (*source, *count));
            if let Some((source, count)) = smallest {
                self.counts.remove(&source);
                inherited = count;
            }
        }
        self.counts.insert(source, inherited + n);
    }

    fn top(&self) -> Vec<(String, u64)> {
        let mut sources: Vec<(SourceIp, u64)> = self.counts.iter().map(|(source, count)| (*source, *count)).collect();
        sources.sort_by_key(|(source, count)| (std::cmp::Reverse(*count), *source));
        sources.into_iter().take(TOP).map(|(source, count)| (source.to_string(), count)).collect()
    }
}

/// Distinct values that take as much room as a row without any.
const VALUES_OF_A_ROW: usize = 16;

/// Returns how many rows without values take as much room as this one.
fn weight(tally: &Tally) -> usize {
    1 + (tally.sources.len() + tally.texts.len()) / VALUES_OF_A_ROW
}

/// Takes the smallest groups out of each hour that holds more than `rows_max` rows, and returns what is to be told of
/// them and of the requests in `beyond`. Hours begin at :50, as the default schedule's windows do.
pub(super) fn cap(minutes: &mut BTreeMap<Minute, Rows>, rows_max: usize, mut beyond: Largest) -> Option<NoticeKind> {
    let mut rows_of_hour: BTreeMap<i64, usize> = BTreeMap::new();
    for (minute, rows) in minutes.iter() {
        *rows_of_hour.entry(hour(*minute)).or_default() += rows.values().map(weight).sum::<usize>();
    }
    let mut dropped = 0;
    for (hour, _) in rows_of_hour.into_iter().filter(|(_, rows)| *rows > rows_max) {
        dropped += cap_hour(minutes, hour, rows_max, &mut beyond);
    }
    (dropped > 0 || beyond.requests > 0).then(|| NoticeKind::Overflow {
        rows: dropped,
        requests: beyond.requests,
        top: beyond.top(),
    })
}

fn hour(minute: Minute) -> i64 {
    (minute.0 + 10).div_euclid(60)
}

/// A group's part of an hour.
#[derive(Default)]
struct Group {
    requests: u64,
    rows: usize,
    weight: usize,
}

fn cap_hour(minutes: &mut BTreeMap<Minute, Rows>, capped: i64, rows_max: usize, beyond: &mut Largest) -> u64 {
    let mut groups: HashMap<CountKey, Group> = HashMap::new();
    for (_, rows) in minutes.iter().filter(|(minute, _)| hour(**minute) == capped) {
        for (key, tally) in rows {
            let group = groups.entry(key.clone()).or_default();
            group.requests += tally.total();
            group.rows += 1;
            group.weight += weight(tally);
        }
    }
    let mut by_size: Vec<(CountKey, Group)> = groups.into_iter().collect();
    by_size.sort_by(|(left_key, left), (right_key, right)| {
        right.requests.cmp(&left.requests).then_with(|| left_key.cmp(right_key))
    });
    let mut kept = 0;
    let mut dropped: HashMap<CountKey, usize> = HashMap::new();
    for (key, group) in by_size {
        if kept + group.weight <= rows_max {
            kept += group.weight;
            continue;
        }
        beyond.requests += group.requests;
        // The largest come first, so what is not tracked by now is smaller than all that is.
        if let Some(source) = key.group.source_ip().filter(|_| dropped.len() < TRACKED_MAX) {
            beyond.add_source(source, group.requests);
        }
        dropped.insert(key, group.rows);
    }
    for (_, rows) in minutes.iter_mut().filter(|(minute, _)| hour(**minute) == capped) {
        rows.retain(|key, _| !dropped.contains_key(key));
    }
    minutes.retain(|_, rows| !rows.is_empty());
    dropped.values().map(|rows| *rows as u64).sum()
}
