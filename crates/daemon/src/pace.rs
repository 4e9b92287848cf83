//! When a tick sends what is committed so far, while other logs are still being read. The times are arguments, measured from
//! the begin of the tick.

use std::collections::HashSet;
use std::time::Duration;

use stakeout_core::delivery::Subject;

/// How long a new finding or incident of level high waits for logs that are read at the same moment: what they add to it is then in the
/// same message.
const URGENT_AFTER: Duration = Duration::from_secs(1);
/// How long everything else waits for other logs at most.
const SEND_EVERY: Duration = Duration::from_secs(30);

/// Which of the pending messages are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that open one of these findings or incidents.
    Opened(HashSet<Subject>),
    /// All of them.
    All,
}

/// The pace of one tick.
#[derive(Debug)]
pub(crate) struct Pace {
    /// New findings and incidents that do not wait, and when they are sent.
    urgent: Option<(Duration, HashSet<Subject>)>,
    /// When everything is sent that is pending then.
    all: Duration,
}

impl Wanted {
    /// Returns what both want.
    pub(crate) fn and(self, other: Wanted) -> Wanted {
        match (self, other) {
            (Wanted::Opened(mut keys), Wanted::Opened(more)) => {
                keys.extend(more);
                Wanted::Opened(keys)
            }
            _ => Wanted::All,
        }
    }
}

impl Pace {
    /// Returns the pace of a tick that begins.
    pub(crate) fn new() -> Pace {
        Pace { urgent: None, all: SEND_EVERY }
    }

    /// Notes that a log is read at the time `at`, with these new findings and incidents that do not wait.
    pub(crate) fn note_read(&mut self, at: Duration, urgent: Vec<Subject>) {
        if !urgent.is_empty() {
            self.urgent.get_or_insert_with(|| (at + URGENT_AFTER, HashSet::new())).1.extend(urgent);
        }
    }

    /// Returns when something is sent next.
    pub(crate) fn next(&self) -> Duration {
        self.urgent.as_ref().map_or(self.all, |(at, _)| self.all.min(*at))
    }

    /// Returns what is to be sent at the time `at`.
    pub(crate) fn due(&mut self, at: Duration) -> Option<Wanted> {
        if at >= self.all {
            *self = Pace { urgent: None, all: at + SEND_EVERY };
            return Some(Wanted::All);
        }
        self.urgent.take_if(|(due, _)| at >= *due).map(|(_, keys)| Wanted::Opened(keys))
    }
}

#[cfg(test)]
mod tests {
    use stakeout_core::finding::FindingKey;
    use stakeout_core::incident::IncidentKey;

    use super::*;

    fn finding(key: u128) -> Subject {
        Subject::Finding(FindingKey(key))
    }

    fn incident(key: u128) -> Subject {
        Subject::Incident(IncidentKey(key))
    }

    fn opened(subjects: &[Subject]) -> Wanted {
        Wanted::Opened(subjects.iter().copied().collect())
    }

    #[test]
    fn a_new_finding_of_level_high_waits_a_second_and_everything_else_half_a_minute() {
        let after = Duration::from_millis;
        let mut pace = Pace::new();
        pace.note_read(after(200), Vec::new());
        assert_eq!((pace.next(), pace.due(after(29_999))), (after(30_000), None));

        pace.note_read(after(400), vec![finding(1)]);
        // Many logs that are read one after the other do not put it off.
        pace.note_read(after(1_300), vec![incident(2), finding(1)]);
        assert_eq!((pace.next(), pace.due(after(1_399))), (after(1_400), None));
        assert_eq!(pace.due(after(1_400)), Some(opened(&[finding(1), incident(2)])));
        assert_eq!((pace.next(), pace.due(after(1_500))), (after(30_000), None), "it is wanted once");

        pace.note_read(after(29_500), vec![finding(3)]);
        assert_eq!(pace.next(), after(30_000));
        assert_eq!(pace.due(after(30_001)), Some(Wanted::All), "the third finding is among all");
        assert_eq!((pace.next(), pace.due(after(31_000))), (after(60_001), None));
        assert_eq!(pace.due(after(60_001)), Some(Wanted::All), "a log may hang for long");
    }

    #[test]
    fn all_is_more_than_anything() {
        assert_eq!(opened(&[finding(1)]).and(opened(&[incident(1), finding(1)])), opened(&[finding(1), incident(1)]));
        assert_eq!(opened(&[finding(1)]).and(Wanted::All), Wanted::All);
        assert_eq!(Wanted::All.and(opened(&[finding(1)])), Wanted::All);
    }
}
