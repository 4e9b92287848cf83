//! The findings that fit a query, the latest first, as the command prints them. Only their text is in memory.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use stakeout_core::delivery::Activity;
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::silence::Silence;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_ledger::{ArchivedFindings, Ledger, LedgerError};
use stakeout_notify::AddressBook;
use stakeout_notify::details::{address_details, details, sources_of};
use stakeout_notify::ocsf;
use stakeout_notify::text::{CELL_HEADINGS, finding_cells};

use crate::printed::{Format, Printed};
use crate::table::table;

/// Findings that are read at once, while the writer waits: some milliseconds.
pub(crate) const STEP_FINDINGS: usize = 1_000;
/// Most bytes of the text of all findings of an answer: a thousand findings with the longest samples would be far more.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Digits of the uid in a table: enough for `findings show`.
const UID_DIGITS: usize = 8;
/// Columns of the table.
const COLUMNS: usize = CELL_HEADINGS.len() + 2;

/// Which findings are asked for, and how they are shown: with a uid, all that is known of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FindingRequest {
    /// What they must fit.
    pub(crate) query: FindingQuery,
    /// Most findings of the answer.
    pub(crate) limit: usize,
    /// How they are shown.
    pub(crate) format: Format,
    /// Of incidents, only those that this silence would silence, with those in force.
    pub(crate) silence: Option<Silence>,
}

/// The place of a finding among the others: the latest come first.
type Place = (Reverse<Second>, FindingKey);

/// The text of a finding.
enum Shown {
    Row([String; COLUMNS]),
    Whole(String),
}

/// A page that is being filled.
pub(crate) struct PageSearch {
    request: FindingRequest,
    /// What is known of addresses.
    addresses: Arc<AddressBook>,
    latest: BTreeMap<Place, Shown>,
    /// Bytes of their text.
    bytes: usize,
    /// The latest finding that fits and is left out.
    end: Option<Place>,
    /// Parts of the archive that could not be read.
    unreadable: usize,
    /// The last finding outside of the archive that was read.
    read: Option<FindingKey>,
}

/// Answers the request from `ledger` and its archive. The inner error says that no single finding has the uid.
pub(crate) fn of_ledger(ledger: &Ledger, mut search: PageSearch) -> Result<Result<Printed, String>, LedgerError> {
    loop {
        if let Some(archive) = search.step(ledger)? {
            return Ok(search.with_archive(archive));
        }
    }
}

impl PageSearch {
    /// Returns a page for the request, with no finding yet.
    pub(crate) fn new(request: FindingRequest) -> PageSearch {
        PageSearch {
            request,
            addresses: Arc::default(),
            latest: BTreeMap::new(),
            bytes: 0,
            end: None,
            unreadable: 0,
            read: None,
        }
    }

    /// Shows what is known of addresses beside the findings.
    pub(crate) fn with_addresses(self, addresses: Arc<AddressBook>) -> PageSearch {
        PageSearch { addresses, ..self }
    }

    /// Searches some more of the findings outside of the archive. After the last of them, returns the archive, which needs the
    /// ledger no more. What is archived meanwhile is found there.
    pub(crate) fn step(&mut self, ledger: &Ledger) -> Result<Option<ArchivedFindings>, LedgerError> {
        self.read = ledger.each_finding_after(self.read, STEP_FINDINGS, |finding| self.add(&finding))?;
        if self.read.is_some() { Ok(None) } else { ledger.archive().map(Some) }
    }

    /// Searches the archive too, and returns the answer, or why no single finding has the uid.
    pub(crate) fn with_archive(mut self, archive: ArchivedFindings) -> Result<Printed, String> {
        if !self.request.query.is_open {
            let query = self.request.query.clone();
            // Most of a large archive is older than all that is kept. It need not be decoded.
            let known_end = Rc::new(Cell::new(self.end));
            let end = known_end.clone();
            let is_wanted = move |key, last, level| {
                query.may_match(key, last, level) && end.get().is_none_or(|end| (Reverse(last), key) < end)
            };
            for finding in archive.findings(is_wanted) {
                match finding {
                    Ok(finding) => {
                        self.add(&finding);
                        known_end.set(self.end);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot read a part of the archive");
                        self.unreadable += 1;
                    }
                }
            }
        }
        self.printed()
    }

    fn add(&mut self, finding: &Finding) {
        if !self.request.query.matches(finding) {
            return;
        }
        let place = (Reverse(finding.episode.last), finding.key);
        if self.end.is_some_and(|end| end <= place) {
            return;
        }
        let shown = self.shown(finding);
        self.bytes += shown.bytes();
        if let Some(twice) = self.latest.insert(place, shown) {
            self.bytes -= twice.bytes();
        }
        while self.latest.len() > self.request.limit || self.bytes > TEXT_BYTES_MAX {
            let Some((place, shown)) = self.latest.pop_last() else { break };
            self.bytes -= shown.bytes();
            self.end = Some(place);
        }
    }

    fn shown(&self, finding: &Finding) -> Shown {
        match self.request.format {
            Format::Json => Shown::Whole(line_of(finding, &self.addresses)),
            Format::Text if self.request.query.uid.is_some() => {
                Shown::Whole(details(finding) + &address_details(sources_of(finding), &self.addresses))
            }
            Format::Text => Shown::Row(row_of(finding)),
        }
    }

    fn printed(self) -> Result<Printed, String> {
        let mut notes = Vec::new();
        if self.unreadable > 0 {
            let parts = counted::<u64>(self.unreadable as u64, "part");
            notes.push(format!("{parts} of the archive cannot be read, so findings may be missing"));
        }
        match (&self.request.query.uid, self.latest.len()) {
            (Some(uid), 0) => {
                return Err(format!(
                    "no finding begins with {uid}: it may be older than `state: retain` or `archive_bytes_max` keeps; \
                     `stakeout findings list` shows what there is"
                ));
            }
            (Some(uid), 2..) => {
                let uids: Vec<String> = self.latest.keys().map(|(_, key)| key.to_string()).collect();
                return Err(format!("{uid} is ambiguous: write more digits of one of {}", uids.join(", ")));
            }
            (None, 0) => notes.push("no finding fits".to_owned()),
            _ => {}
        }
        if self.end.is_some() {
            notes.push("more findings fit: name -n, --since, --level, --rule or --source".to_owned());
        }
        let mut rows = Vec::new();
        let mut text = String::with_capacity(self.bytes);
        for shown in self.latest.into_values() {
            match shown {
                Shown::Row(row) => rows.push(row),
                Shown::Whole(whole) => text.push_str(&whole),
            }
        }
        text.push_str(&table(headings(), &rows));
        Ok(Printed { text, notes })
    }
}

impl Shown {
    fn bytes(&self) -> usize {
        match self {
            Shown::Row(row) => row.iter().map(String::len).sum(),
            Shown::Whole(whole) => whole.len(),
        }
    }
}

fn headings() -> [&'static str; COLUMNS] {
    let [level, rule, source, requests, first, last, clusters] = CELL_HEADINGS;
    ["UID", "STATUS", level, rule, source, requests, first, last, clusters]
}

fn row_of(finding: &Finding) -> [String; COLUMNS] {
    let status = match finding.status {
        FindingStatus::Open => "open",
        FindingStatus::Quiet => "closed",
        FindingStatus::MergedInto(_) => "merged",
    };
    let mut uid = finding.key.to_string();
    uid.truncate(UID_DIGITS);
    let [level, rule, source, requests, first, last, clusters] = finding_cells(finding);
    [uid, status.to_owned(), level, rule, source, requests, first, last, clusters]
}

/// Returns the finding as a destination gets it, as it stands now.
fn line_of(finding: &Finding, addresses: &AddressBook) -> String {
    let activity = match finding.status {
        FindingStatus::Open if finding.updated_at == finding.created_at => Activity::Create,
        FindingStatus::Open => Activity::Update,
        FindingStatus::Quiet | FindingStatus::MergedInto(_) => Activity::Close,
    };
    let mut object = ocsf::finding_message(finding, activity, None, finding.updated_at);
    ocsf::add_addresses(&mut object, addresses);
    ocsf::to_line(&object) + "\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use stakeout_core::episode::Episode;
    use stakeout_core::group::GroupKey;
    use stakeout_core::rule::{Level, RuleHead};

    use super::*;

    /// Returns a finding that ends at this second.
    fn finding(last: i64, description: &str) -> Finding {
        let rule = RuleHead {
            name: "denied-often".to_owned(),
            id: String::new(),
            title: String::new(),
            description: description.to_owned(),
            level: Level::Low,
            techniques: Vec::new(),
            tactics: Vec::new(),
            falsepositives: Vec::new(),
            runbook: String::new(),
            risk_score: 0,
            story: Default::default(),
            group_by: Vec::new(),
            needed: "10 requests in 30m per source_ip".to_owned(),
        };
        Finding {
            key: FindingKey(u128::MAX - u128::from(last.unsigned_abs())),
            rule: Arc::new(rule),
            group: GroupKey(Vec::new()),
            episode: Episode { first: Second(0), last: Second(last), count: 3 },
            codes: Default::default(),
            pruned: None,
            pruned_codes: Default::default(),
            quiet_seconds: 60,
            status: FindingStatus::Open,
            clusters: BTreeSet::new(),
            providers: BTreeSet::new(),
            sources: Default::default(),
            values: None,
            related: BTreeSet::new(),
            related_activity: Default::default(),
            incident: None,
            context: None,
            evidence: Default::default(),
            late: false,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn printed(format: Format, limit: usize, findings: impl Iterator<Item = Finding>) -> Printed {
        let mut search = PageSearch::new(FindingRequest { limit, format, ..FindingRequest::default() });
        findings.for_each(|finding| search.add(&finding));
        search.printed().expect("no single finding is asked for")
    }

    #[test]
    fn the_latest_findings_stay_within_the_number_and_the_bytes_of_an_answer() {
        let seconds = |printed: &Printed| -> Vec<i64> {
            let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["end_time"].clone();
            printed.text.lines().map(|text| line(text).as_i64().expect("a time") / 1000).collect()
        };
        let few = [2, 5, 1, 4, 3].map(|last| finding(last, ""));
        let two = printed(Format::Json, 2, few.clone().into_iter());
        assert_eq!((seconds(&two), two.notes.len()), (vec![5, 4], 1));
        let all = printed(Format::Json, 5, few.into_iter());
        assert_eq!((seconds(&all), all.notes), (vec![5, 4, 3, 2, 1], Vec::<String>::new()));

        let long = "a".repeat(1 << 20);
        let large = printed(Format::Json, 1000, (1..=20).map(|n| finding(n * 2 % 21, &long)));
        assert!(large.text.len() <= TEXT_BYTES_MAX, "{}", large.text.len());
        assert_eq!((seconds(&large), large.notes.len()), ((6..=20).rev().collect(), 1));
    }
}
