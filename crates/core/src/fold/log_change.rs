//! What closing changes of one log: first as it was read, then joined with what is stored of the same minutes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::WindowCounts;
use super::row_limit;
use crate::group::CountKey;
use crate::notice::{Notice, NoticeKind};
use crate::progress::Progress;
use crate::room::Room;
use crate::rule::Rules;
use crate::source::{Source, SourceId};
use crate::tally::{Rows, StoredMinute, Tally};
use crate::time::{Minute, Window};

/// What closing changes of one log.
pub struct LogChange {
    /// The source, as configured.
    pub source: Source,
    /// The number of its log.
    pub source_id: SourceId,
    /// The window that was read; `None` where only the progress changes: a window failed, became a gap, or was given up.
    pub window: Option<WindowCounts>,
    /// How far the log has been read with this change.
    pub progress: Progress,
    /// Notices of the log itself.
    pub notices: Vec<Notice>,
    /// Stored rows of this log in [`WindowCounts::followed_from`], of rules that
    /// [have follow-ups](WindowCounts::has_follow_ups).
    pub found_before: Vec<StoredMinute>,
}

/// A change whose rows are joined with the stored ones: it has only the rows that differ.
pub struct JoinedChange {
    pub(super) source: Source,
    pub(super) source_id: SourceId,
    pub(super) window: Option<WindowCounts>,
    pub(super) progress: Progress,
    pub(super) notices: Vec<Notice>,
    /// The rows that differ from the stored ones.
    pub(super) minutes: BTreeMap<Minute, Rows>,
    /// Those of them that no stored row has: by minute, the keys.
    stored: HashMap<Minute, HashSet<CountKey>>,
    /// The groups that may need a follow-up.
    pub(super) followed: HashSet<CountKey>,
    pub(super) rows_retained: u64,
}

impl LogChange {
    /// Joins the rows of the window with `own`, the stored rows of its log with the same minutes, rules and groups, and takes
    /// nothing away from these.
    #[must_use]
    pub fn join(self, own: &[StoredMinute]) -> JoinedChange {
        let LogChange { source, source_id, window, progress, notices, found_before } = self;
        let mut joined = JoinedChange {
            minutes: BTreeMap::new(),
            stored: HashMap::new(),
            followed: HashSet::new(),
            rows_retained: 0,
            window: None,
            source,
            source_id,
            progress,
            notices,
        };
        let Some(mut counts) = window else { return joined };
        joined.minutes = std::mem::take(&mut counts.minutes);
        joined.followed = counts.keys_to_follow(&joined.minutes, &found_before);
        let own: HashMap<Minute, &Rows> = own.iter().map(|minute| (minute.minute, &minute.rows)).collect();
        joined.rows_retained = counts.join_stored(&mut joined.minutes, &own);
        for (minute, rows) in &joined.minutes {
            if let Some(stored) = own.get(minute) {
                let keys = rows.keys().filter(|key| stored.contains_key(*key)).cloned();
                joined.stored.insert(*minute, keys.collect());
            }
        }
        // A reread of a window that overflowed overflows as well, and was reported.
        if let Some(kind) = counts.overflow.take().filter(|_| !counts.is_reread) {
            joined.notify(counts.window, kind);
        }
        joined.window = Some(counts);
        joined
    }
}

impl JoinedChange {
    /// Returns the rules and groups whose rows change, once for each row.
    pub(super) fn changed_keys(&self) -> impl Iterator<Item = &CountKey> {
        self.minutes.values().flat_map(Rows::keys)
    }

    /// Returns the rows that change, with their minutes.
    pub(super) fn changed_rows(&self) -> impl Iterator<Item = (Minute, &CountKey, &Tally)> {
        self.minutes.iter().flat_map(|(minute, rows)| rows.iter().map(|(key, tally)| (*minute, key, tally)))
    }

    /// Leaves out new rows that there is no room for.
    pub(super) fn keep_within(&mut self, rules: &Rules, room: &mut Room) {
        let Some(counts) = &self.window else { return };
        let (window, is_reread) = (counts.window, counts.is_reread);
        let stored = &self.stored;
        let is_new = |minute: &Minute, key: &CountKey| stored.get(minute).is_none_or(|keys| !keys.contains(key));
        let no_room = row_limit::keep_within(&mut self.minutes, is_new, rules, room);
        if let Some(kind) = no_room.filter(|_| !is_reread) {
            self.notify(window, kind);
        }
    }

    /// Returns the window of a notice: the one that was read, or that of the rows that expire with it.
    pub(super) fn span(&self, expired: &[StoredMinute]) -> Window {
        let read = self.window.as_ref().map(|counts| counts.window);
        read.or_else(|| span_of(expired)).unwrap_or(Window::ALL)
    }

    pub(super) fn notify(&mut self, window: Window, kind: NoticeKind) {
        let (source, cluster) = (self.source.name.clone(), self.source.cluster.to_string());
        self.notices.push(Notice { source, cluster, window, kind });
    }
}

/// Returns the shortest window that holds `minutes`, or `None` where there are none.
fn span_of(minutes: &[StoredMinute]) -> Option<Window> {
    let minutes = || minutes.iter().map(|stored| stored.minute.start());
    Window::new(minutes().min()?, minutes().max()?.plus(60))
}
