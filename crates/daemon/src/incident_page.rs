//! The incidents that fit a query, the latest first, as the command prints them. They are computed from the findings, so only
//! findings are stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::Evidence;
use stakeout_core::finding::{Finding, FindingKey, RelatedActivity};
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::incident::{Incident, IncidentOptions, incidents};
use stakeout_core::silence::{Silence, Silenced, Silences};
use stakeout_core::text::{bounded, counted, visible};
use stakeout_core::time::Second;
use stakeout_ledger::{ArchivedFindings, Ledger, LedgerError};
use stakeout_notify::AddressBook;
use stakeout_notify::details::{address_details, incident_details};
use stakeout_notify::ocsf;

use crate::finding_page::{FindingRequest, STEP_FINDINGS};
use crate::printed::{Format, Printed};
use crate::table::table;

/// Most findings whose incidents are computed, the latest: they are in memory together, without their samples.
const FINDINGS_READ_MAX: usize = 50_000;
/// Most sources that these findings list.
const SOURCES_READ_MAX: usize = 1_000_000;
/// Most bytes of the text of all incidents of an answer.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Digits of the uid in a table: enough for `incidents show`.
const UID_DIGITS: usize = 8;
/// Longest title in a table, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// The headings of the table.
const HEADINGS: [&str; 8] = ["UID", "STATUS", "LEVEL", "FINDINGS", "SOURCES", "FIRST SEEN", "LAST SEEN", "INCIDENT"];

/// A search for incidents.
pub(crate) struct IncidentSearch {
    request: FindingRequest,
    options: IncidentOptions,
    silences: Arc<Silences>,
    /// What is known of addresses.
    addresses: Arc<AddressBook>,
    /// The time at which silences must be in force.
    now: Second,
    /// The latest findings, without what no incident shows.
    findings: BTreeMap<(Reverse<Second>, FindingKey), Finding>,
    /// How many sources they list.
    sources: usize,
    /// Whether there are older ones.
    is_cut: bool,
    /// Parts of the archive that could not be read.
    unreadable: usize,
    /// The last finding outside of the archive that was read.
    read: Option<FindingKey>,
    /// Findings of the archive that ended before this are left out.
    archive_from: Second,
}

/// Incidents that were found.
pub(crate) struct FoundIncidents {
    /// Those that fit, the latest first.
    pub(crate) incidents: Vec<FoundIncident>,
    /// What a reader should know beside them.
    pub(crate) notes: Vec<String>,
    /// What is known of addresses.
    pub(crate) addresses: Arc<AddressBook>,
    /// When their findings changed last.
    changed_at: Timestamp,
}

/// An incident, whether it goes on, and what silences it.
pub(crate) struct FoundIncident {
    pub(crate) incident: Incident,
    pub(crate) status: Status,
    pub(crate) silenced: Option<Silenced>,
}

/// Answers the request from `ledger` and its archive. The inner error says that no single incident has the uid.
pub(crate) fn of_ledger(ledger: &Ledger, mut search: IncidentSearch) -> Result<Result<Printed, String>, LedgerError> {
    loop {
        if let Some(archive) = search.step(ledger)? {
            return Ok(search.with_archive(archive));
        }
    }
}

impl IncidentSearch {
    /// Returns a search for the request that has read nothing yet. It shows what is silenced at `now`.
    pub(crate) fn new(
        request: FindingRequest,
        options: IncidentOptions,
        silences: Arc<Silences>,
        now: Second,
    ) -> IncidentSearch {
        IncidentSearch {
            request,
            options,
            silences,
            addresses: Arc::default(),
            now,
            findings: BTreeMap::new(),
            sources: 0,
            is_cut: false,
            unreadable: 0,
            read: None,
            archive_from: Second(i64::MIN),
        }
    }

    /// Leaves findings of the archive out that ended before `from`. An incident that began before is not whole then.
    pub(crate) fn with_archive_from(self, from: Second) -> IncidentSearch {
        IncidentSearch { archive_from: from, ..self }
    }

    /// Shows what is known of addresses beside the incidents.
    pub(crate) fn with_addresses(self, addresses: Arc<AddressBook>) -> IncidentSearch {
        IncidentSearch { addresses, ..self }
    }

    /// Reads some more of the findings outside of the archive. After the last of them, returns the archive, which needs the ledger
    /// no more. What is archived meanwhile is found there.
    pub(crate) fn step(&mut self, ledger: &Ledger) -> Result<Option<ArchivedFindings>, LedgerError> {
        self.read = ledger.each_finding_after(self.read, STEP_FINDINGS, |finding| self.add(finding))?;
        if self.read.is_some() { Ok(None) } else { ledger.archive().map(Some) }
    }

    /// Reads the archive too, and returns the answer, or why no single incident has the uid.
    pub(crate) fn with_archive(self, archive: ArchivedFindings) -> Result<Printed, String> {
        let request = self.request.clone();
        printed(&request, self.found(archive))
    }

    /// Reads the archive too, and returns the incidents.
    pub(crate) fn found(mut self, archive: ArchivedFindings) -> FoundIncidents {
        let from = self.archive_from;
        for finding in archive.findings(|_, last, _| from <= last) {
            match finding {
                Ok(finding) => self.add(finding),
                Err(error) => {
                    tracing::warn!(%error, "cannot read a part of the archive");
                    self.unreadable += 1;
                }
            }
        }
        self.incidents()
    }

    fn add(&mut self, finding: Finding) {
        let slim = Finding {
            evidence: Evidence::default(),
            context: None,
            related_activity: RelatedActivity::default(),
            ..finding
        };
        self.sources += slim.sources.len();
        if let Some(twice) = self.findings.insert((Reverse(slim.episode.last), slim.key), slim) {
            self.sources -= twice.sources.len();
        }
        while self.findings.len() > FINDINGS_READ_MAX || self.sources > SOURCES_READ_MAX {
            let Some((_, oldest)) = self.findings.pop_last() else { break };
            self.sources -= oldest.sources.len();
            self.is_cut = true;
        }
    }

    fn incidents(self) -> FoundIncidents {
        let IncidentSearch { request, options, silences, addresses, now, findings, is_cut, unreadable, .. } = self;
        let FindingRequest { query, silence, .. } = request;
        let silencing = Silencing::new(&silences, silence, findings.values(), now);
        let open: HashSet<FindingKey> =
            findings.values().filter(|finding| finding.is_open()).map(|finding| finding.key).collect();
        let found = |incident: Incident| FoundIncident {
            status: Status::of(&incident, &open),
            silenced: silencing.of(&incident),
            incident,
        };
        let mut found: Vec<FoundIncident> = incidents(findings.values(), &options).into_iter().map(found).collect();
        found.retain(|FoundIncident { incident, status, silenced }| {
            let is_wanted = incident.parent.is_none() || query.uid.is_some();
            is_wanted
                && matches(&query, incident)
                && (!query.is_open || *status == Status::Open)
                && silencing.is_wanted(incident, silenced.as_ref())
        });
        found.sort_by_key(|found| (Reverse(found.incident.last), found.incident.key));
        let mut notes = Vec::new();
        if unreadable > 0 {
            notes.push(format!("{} of the archive cannot be read", counted(unreadable as u64, "part")));
        }
        if is_cut {
            notes.push(format!("incidents are those of the latest {} findings", findings.len()));
        }
        let changed_at = findings.values().map(|finding| finding.updated_at).max().unwrap_or(Timestamp::UNIX_EPOCH);
        FoundIncidents { incidents: found, notes, addresses, changed_at }
    }
}

impl FoundIncidents {
    /// Returns why no single incident has the uid; names at most `limit` that begin with it.
    pub(crate) fn none_or_many(&self, uid: &str, limit: usize) -> Option<String> {
        match self.incidents.as_slice() {
            [_] => None,
            [] => Some(format!("no incident begins with {uid}: `stakeout incidents list` shows what there is")),
            many => {
                let uids: Vec<String> = many.iter().take(limit).map(|found| found.incident.key.to_string()).collect();
                Some(format!("{uid} is ambiguous: write more digits of one of {}", uids.join(", ")))
            }
        }
    }
}

/// Returns the answer of a command, or why no single incident has the uid.
fn printed(request: &FindingRequest, found: FoundIncidents) -> Result<Printed, String> {
    let FindingRequest { query, limit, format, .. } = request;
    if let Some(reason) = query.uid.as_ref().and_then(|uid| found.none_or_many(uid, *limit)) {
        return Err(reason);
    }
    let FoundIncidents { mut incidents, mut notes, addresses, changed_at } = found;
    if incidents.is_empty() {
        notes.push("no incident fits".to_owned());
    }
    if incidents.len() > *limit {
        notes.push("more incidents fit: name -n, --since, --level, --rule or --source".to_owned());
        incidents.truncate(*limit);
    }
    let mut text = String::new();
    match (format, &query.uid) {
        (Format::Text, None) => text = table(HEADINGS, &incidents.iter().map(row_of).collect::<Vec<_>>()),
        _ => {
            for found in &incidents {
                let shown = match format {
                    Format::Text => details(found, &addresses),
                    Format::Json => object(found, &addresses, changed_at),
                };
                if text.len() + shown.len() > TEXT_BYTES_MAX {
                    notes.push("more incidents fit, but the answer is full".to_owned());
                    break;
                }
                text.push_str(&shown);
            }
        }
    }
    Ok(Printed { text, notes })
}

/// Returns all that is known of an incident, for people.
fn details(FoundIncident { incident, status, silenced }: &FoundIncident, addresses: &AddressBook) -> String {
    let silenced = silenced.as_ref().map(|silenced| format!(", {silenced}"));
    let status = status.as_str().to_owned() + &silenced.unwrap_or_default();
    incident_details(incident, &status) + &address_details(incident.sources.iter().copied(), addresses)
}

/// Returns the same as a line of JSON.
fn object(
    FoundIncident { incident, status, silenced }: &FoundIncident,
    addresses: &AddressBook,
    changed_at: Timestamp,
) -> String {
    let mut object = ocsf::incident(incident, status.activity(), None, changed_at);
    if let Some(silenced) = silenced {
        object["unmapped"]["incident"]["silenced"] = shown(silenced);
    }
    ocsf::add_addresses(&mut object, addresses);
    ocsf::to_line(&object) + "\n"
}

/// What is silenced of the incidents that a search found.
struct Silencing<'f> {
    silences: Silences,
    /// The only silence whose incidents are wanted.
    only: Option<Silence>,
    findings: HashMap<FindingKey, &'f Finding>,
    now: Second,
}

impl<'f> Silencing<'f> {
    fn new(
        silences: &Silences,
        only: Option<Silence>,
        findings: impl Iterator<Item = &'f Finding>,
        now: Second,
    ) -> Silencing<'f> {
        let silences = Silences::new(silences.iter().chain(&only).cloned().collect());
        let findings = match silences.is_any_active(now) {
            true => findings.map(|finding| (finding.key, finding)).collect(),
            false => HashMap::new(),
        };
        Silencing { silences, only, findings, now }
    }

    fn of(&self, incident: &Incident) -> Option<Silenced> {
        self.silences.silence(self.findings_of(incident), self.now)
    }

    /// Returns whether the only silence that is asked for has a part in silencing the incident.
    fn is_wanted(&self, incident: &Incident, silenced: Option<&Silenced>) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| silenced.is_some() && self.findings_of(incident).any(|finding| only.fits(finding)))
    }

    fn findings_of(&self, incident: &Incident) -> impl Iterator<Item = &'f Finding> {
        incident.findings.iter().filter_map(|(key, _)| self.findings.get(key).copied())
    }
}

/// Returns the silences of an incident for machines.
fn shown(silenced: &Silenced) -> Value {
    let by = |silence: &Silence| {
        json!({
            "id": silence.id,
            "owner": silence.owner,
            "reason": silence.reason,
            "until": silence.until.to_string(),
        })
    };
    json!({"until": silenced.until.to_string(), "by": silenced.by.iter().map(by).collect::<Vec<_>>()})
}

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// One of its findings does.
    Open,
    /// None of its findings does.
    Closed,
    /// It is a part of another incident.
    Merged,
}

impl Status {
    fn of(incident: &Incident, open: &HashSet<FindingKey>) -> Status {
        match incident.parent {
            Some(_) => Status::Merged,
            None if incident.findings.iter().any(|(key, _)| open.contains(key)) => Status::Open,
            None => Status::Closed,
        }
    }

    /// Returns its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Closed => "closed",
            Status::Merged => "merged",
        }
    }

    fn activity(self) -> Activity {
        match self {
            Status::Open => Activity::Update,
            Status::Closed | Status::Merged => Activity::Close,
        }
    }
}

/// Returns whether an incident fits, but for whether it is open.
fn matches(query: &FindingQuery, incident: &Incident) -> bool {
    query.uid.as_ref().is_none_or(|uid| incident.key.to_string().starts_with(&uid.to_ascii_lowercase()))
        && query.since.is_none_or(|since| since <= incident.last)
        && query.level_min.is_none_or(|level_min| level_min <= incident.level)
        && query.rule.as_ref().is_none_or(|rule| incident.rules.contains(rule))
        && query.source.is_none_or(|network| incident.sources.iter().any(|source| source.overlaps(&network)))
}

fn row_of(FoundIncident { incident, status, silenced }: &FoundIncident) -> [String; HEADINGS.len()] {
    let mut uid = incident.key.to_string();
    uid.truncate(UID_DIGITS);
    let title = bounded(&visible(&incident.title), TITLE_CHARS_MAX);
    let silenced = silenced.as_ref().map(|silenced| bounded(&visible(&format!("; {silenced}")), TITLE_CHARS_MAX));
    [
        uid,
        status.as_str().to_owned(),
        incident.level.to_string(),
        incident.findings.len().to_string(),
        incident.sources.len().to_string(),
        incident.first.to_string(),
        incident.last.to_string(),
        title + &silenced.unwrap_or_default(),
    ]
}
