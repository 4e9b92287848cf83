//! Two hours of a log, the second of which is committed in parts, each with the rows of one address.

use std::sync::Arc;

use stakeout_core::address::TrustedProxies;
use stakeout_core::event::AuditEvent;
use stakeout_core::finding::Finding;
use stakeout_core::fold::{self, Limits};
use stakeout_core::incident::IncidentOptions;
use stakeout_core::notice::NoticeKind;
use stakeout_core::observation::Observation;
use stakeout_core::progress::Progress;
use stakeout_core::rule::{self, Origin, RuleFile};
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};

use super::*;

/// 2026-11-21T00:50:00Z, where the first window begins.
const BEGIN: i64 = 1_795_222_200;
const HOUR: i64 = 3600;
const ADDRESSES: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Refused Often
name: refused-often
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 10m, condition: {gte: 3}}
stakeout: {dedup_period: 20m}
---
title: Let In
name: let-in
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 200}, condition: selection}
---
title: Each Path Seldom
name: each-path-seldom
correlation:
  {type: value_count, rules: [let-in], group-by: [source_ip], timespan: 10m, condition: {field: requestURI, gte: 3}}
stakeout: {dedup_period: 20m, repeat_max: 2, repeat_within: 15m}
";

/// A daemon that watches one log, and its state.
struct Watched {
    _dir: tempfile::TempDir,
    ledger: Ledger,
    config: Arc<EngineConfig>,
    source: Source,
    progress: Progress,
}

impl Watched {
    fn new(limits: Limits) -> Watched {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = Ledger::open(dir.path()).expect("a new state");
        let file = RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text: RULES.to_owned() };
        let rules = rule::load(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let log = LogId("file/prod".to_owned());
        let config = EngineConfig {
            rules: Arc::new(rules),
            limits,
            logs: vec![(log.clone(), Provider::File, -HOUR)],
            notification_filters: Vec::new(),
            incidents: IncidentOptions::default(),
            has_silences: false,
            period_seconds: HOUR,
            retain_seconds: 30 * 24 * HOUR,
            archive_bytes_max: 1 << 20,
        };
        let progress = Progress::new(log.clone(), Second(BEGIN));
        let source = Source { name: "prod".to_owned(), provider: Provider::File, cluster: "prod".into(), log };
        Watched { _dir: dir, ledger, config: Arc::new(config), source, progress }
    }

    /// Returns the request to close an hour in which each address asks at these seconds of it, for ever new paths.
    fn hour(&mut self, hour: i64, asked: &[(i64, i64)]) -> CloseRequest {
        let begin = BEGIN + hour * HOUR;
        let (window, at) =
            (Window::new(Second(begin), Second(begin + HOUR)).expect("an hour"), Second(begin + HOUR + 600));
        let (rules, limits) = (self.config.rules.clone(), self.config.limits);
        let mut fold = fold::open(rules, window, false, self.ledger.hash_key(), limits);
        for address in ADDRESSES {
            asked.iter().for_each(|(second, code)| fold.observe(&self.asked(address, begin + second, *code)));
        }
        self.progress.note_read(window, at, &[], Some(true));
        CloseRequest {
            source: self.source.clone(),
            change: Change::Window(Box::new(fold.count())),
            progress: self.progress.clone(),
            notices: Vec::new(),
            at,
            config: self.config.clone(),
            lease: None,
        }
    }

    fn asked(&self, address: &str, at: i64, code: i64) -> Observation {
        let event = AuditEvent {
            request_uri: Some(format!("/{at}")),
            source_ips: vec![address.to_owned()],
            response_code: Some(code),
            ..AuditEvent::default()
        };
        let id = || format!("{address} {at}");
        let observed = Observation::of_event(&self.source, &TrustedProxies::default(), event, Second(at), id);
        observed.expect("an event without a stage is a request")
    }

    fn least(&self) -> LeastProgress {
        LeastProgress::read(&self.config, &self.ledger).expect("the state is read")
    }

    fn close(&self, request: CloseRequest) -> Closed {
        close_in_parts(&self.ledger, &mut self.least(), &self.config, request, Vec::new()).expect("written")
    }
}

fn in_parts() -> Limits {
    Limits { commit_rows_max: 1, ..Limits::default() }
}

/// Returns how often a commit did that to a finding.
fn times(closed: &Closed, wanted: Activity) -> usize {
    closed.changes.iter().filter(|(_, activity)| *activity == wanted).count()
}

/// The first parts know nothing of what the other addresses did meanwhile.
#[test]
fn a_part_closes_no_finding_that_goes_on_in_a_later_part() {
    let mut watched = Watched::new(in_parts());
    let first = watched.hour(0, &[(3500, 403), (3501, 403), (3502, 403)]);
    assert_eq!(times(&watched.close(first), Activity::Create), ADDRESSES.len());
    let second = watched.hour(1, &[(900, 403), (2000, 403), (3100, 403)]);
    let closed = watched.close(second);
    assert_eq!((times(&closed, Activity::Close), times(&closed, Activity::Create)), (0, 0), "{:?}", closed.changes);
    let findings: Vec<&Finding> = closed.commit.findings.iter().filter(|finding| finding.episode.count == 6).collect();
    assert!(findings.len() == ADDRESSES.len() && findings.iter().all(|finding| finding.is_open()), "{findings:?}");
}

/// All requests of the groups of a part are in it, so the part decides about them.
#[test]
fn a_part_judges_its_own_groups_to_the_end_of_the_window() {
    let mut watched = Watched::new(in_parts());
    let mut request = watched.hour(0, &[(100, 200), (101, 200), (102, 200)]);
    let parts = earlier_parts(&watched.ledger, &watched.config, &mut request);
    assert_eq!(parts.len(), ADDRESSES.len() - 1);
    let commits = close_earlier(&watched.ledger, &mut watched.least(), &watched.config, &mut request, parts);
    let closed = commits.expect("written").closed.expect("two parts");
    assert_eq!((times(&closed, Activity::Create), closed.commit.waiting.len()), (ADDRESSES.len() - 1, 0));
}

/// Each part leaves out what it may not open, and the window has one notice of it.
#[test]
fn a_window_in_parts_says_once_what_is_left_out() {
    let mut watched = Watched::new(Limits { findings_max: 0, ..in_parts() });
    let request = watched.hour(0, &[(100, 403), (101, 403), (102, 403)]);
    let closed = watched.close(request);
    let notices: Vec<_> = closed.notices().map(|notice| &notice.kind).collect();
    let [NoticeKind::TooManyFindings { findings: 3, requests: 9, top, .. }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert_eq!(top.len(), ADDRESSES.len());
}
