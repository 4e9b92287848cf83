//! A case for each rule of incidents, and that the order of findings does not matter.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::address;
use crate::episode::Episode;
use crate::finding::{FindingStatus, RelatedActivity};
use crate::group::GroupKey;
use crate::response_code::{ResponseCode, ResponseCodes};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// What a test says of a finding; the rest is alike.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    rule: &'static str,
    level: Level,
    risk_score: u32,
    tactics: Vec<String>,
    group: Vec<(&'static str, GroupValue)>,
    sources: Vec<SourceIp>,
    first: i64,
    last: i64,
    code: i64,
}

pub(crate) fn source(text: &str) -> SourceIp {
    SourceIp::of(address::parse(text).expect("an address"))
}

pub(crate) fn sources(number: u32) -> Vec<SourceIp> {
    (1..=number).map(|host| SourceIp::V4((0x0505_0500 + host).into())).collect()
}

pub(crate) fn draft(rule: &'static str, level: Level, first: i64, group: Vec<(&'static str, GroupValue)>) -> Draft {
    let tactics = vec!["discovery".to_owned()];
    Draft { rule, level, risk_score: 10, tactics, group, sources: Vec::new(), first, last: first + 60, code: 403 }
}

pub(crate) fn by_address(rule: &'static str, level: Level, address: &str, first: i64) -> Draft {
    draft(rule, level, first, vec![("source_ip", GroupValue::Address(source(address)))])
}

pub(crate) fn text(text: &str) -> GroupValue {
    GroupValue::Text(text.to_owned())
}

pub(crate) fn by_account(level: Level, name: &str, sources: Vec<SourceIp>, first: i64) -> Draft {
    let group = vec![("cluster", text("prod")), ("user.username", text(name))];
    Draft { sources, ..draft("explored", level, first, group) }
}

pub(crate) fn by_crowd(level: Level, sources: Vec<SourceIp>, first: i64) -> Draft {
    Draft { sources, ..draft("distributed", level, first, vec![("cluster", text("prod"))]) }
}

pub(crate) fn finding(draft: &Draft) -> Finding {
    let group = GroupKey(draft.group.iter().map(|(_, value)| value.clone()).collect());
    let mut codes = ResponseCodes::default();
    codes.add(ResponseCode::of(Some(draft.code)), 5);
    let mut sources = crate::distinct::Distinct::default();
    draft.sources.iter().for_each(|source| {
        sources.add(*source);
    });
    Finding {
        key: FindingKey::new(draft.rule, &group, Second(draft.first)),
        rule: Arc::new(RuleHead {
            name: draft.rule.to_owned(),
            id: String::new(),
            title: "Title".to_owned(),
            description: String::new(),
            level: draft.level,
            techniques: Vec::new(),
            tactics: draft.tactics.clone(),
            falsepositives: Vec::new(),
            runbook: String::new(),
            risk_score: draft.risk_score,
            story: Default::default(),
            group_by: draft.group.iter().map(|(field, _)| (*field).to_owned()).collect(),
            needed: "10 requests in 30m per source_ip".to_owned(),
        }),
        group,
        episode: Episode { first: Second(draft.first), last: Second(draft.last), count: 5 },
        codes,
        pruned: None,
        pruned_codes: ResponseCodes::default(),
        quiet_seconds: HOUR,
        status: FindingStatus::Open,
        clusters: BTreeSet::from(["prod".to_owned()]),
        providers: BTreeSet::new(),
        sources,
        values: None,
        related: BTreeSet::new(),
        related_activity: RelatedActivity::default(),
        incident: None,
        context: None,
        evidence: Default::default(),
        late: false,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn of(drafts: &[Draft]) -> Vec<Incident> {
    let findings: Vec<Finding> = drafts.iter().map(finding).collect();
    incidents(&findings, &IncidentOptions::default())
}

/// Returns the incidents that are reported, each as its actor's kind and how many findings and sources it has.
fn roots(drafts: &[Draft]) -> Vec<(&'static str, usize, usize)> {
    let all = of(drafts);
    let roots = all.iter().filter(|incident| incident.parent.is_none());
    roots.map(|incident| (incident.actor.kind(), incident.findings.len(), incident.sources.len())).collect()
}

/// Rule 1: who the actor is.
#[test]
fn an_actor_follows_from_the_rule_and_the_group() {
    let ip = || ("source_ip", GroupValue::Address(source("5.5.5.66")));
    let actor = |group, sources| Actor::of(&finding(&Draft { sources, ..draft("r", Level::Low, 0, group) }));
    let prod = || Some("prod".to_owned());
    let account = |cluster| Actor::Account { cluster, name: "jane".to_owned() };
    let cluster = || ("cluster", text("prod"));
    let address = Actor::Address(source("5.5.5.66"));
    assert_eq!(actor(vec![ip(), cluster(), ("user.username", text("jane"))], Vec::new()), account(prod()));
    assert_eq!(actor(vec![("user.username", text("jane"))], sources(40)), account(None));
    assert_eq!(actor(vec![ip(), ("user.username", text("system:anonymous"))], Vec::new()), address);
    assert_eq!(actor(vec![ip(), ("user.username", GroupValue::Missing)], Vec::new()), address);
    assert_eq!(actor(vec![ip(), cluster()], sources(40)), address);
    assert_eq!(actor(vec![cluster()], sources(3)), Actor::Crowd { cluster: prod() });
    assert_eq!(actor(vec![], sources(3)), Actor::Crowd { cluster: None });
    assert_eq!(actor(vec![cluster()], sources(2)), Actor::Address(source("5.5.5.1")));
}

/// Rule 2: what is one incident.
#[test]
fn findings_of_one_actor_are_one_incident_until_it_is_quiet() {
    let scan = |first| by_address("scan", Level::Low, "5.5.5.66", first);
    let quiet = 60 + DAY;
    assert_eq!(roots(&[scan(0), scan(quiet)]), [("address", 2, 1)]);
    assert_eq!(roots(&[scan(0), scan(quiet + 1)]), [("address", 1, 1), ("address", 1, 1)]);
    // A long finding bridges two that begin within it.
    let long = Draft { last: 3 * DAY, ..by_address("other", Level::Low, "5.5.5.66", 0) };
    assert_eq!(roots(&[long, scan(10), scan(3 * DAY + 10)]), [("address", 3, 1)]);
    let crowd = |first| by_crowd(Level::Medium, sources(5), first);
    assert_eq!(roots(&[crowd(0), crowd(DAY - 1)]), [("crowd", 2, 5)]);
    assert_eq!(roots(&[crowd(DAY - 1), crowd(DAY)]), [("crowd", 1, 5), ("crowd", 1, 5)]);
    assert_eq!(roots(&[crowd(0), crowd(3 * DAY)]), [("crowd", 1, 5), ("crowd", 1, 5)]);
}

/// Rule 3: whose part an address is.
#[test]
fn an_address_is_a_part_of_an_account_or_a_crowd_that_lists_it() {
    let scan = |level, first| by_address("scan", level, "5.5.5.1", first);
    let account = |number, first| by_account(Level::Low, "jane", sources(number), first);
    assert_eq!(roots(&[account(16, 0), scan(Level::High, 60)]), [("account", 2, 16)]);
    assert_eq!(roots(&[account(17, 0), scan(Level::High, 60)]), [("account", 1, 16), ("address", 1, 1)]);
    assert_eq!(roots(&[account(1, 0), scan(Level::Low, 60 + DAY)]), [("account", 2, 1)]);
    assert_eq!(roots(&[account(1, 0), scan(Level::Low, 61 + DAY)]), [("account", 1, 1), ("address", 1, 1)]);
    let crowd = by_crowd(Level::Medium, sources(40), 0);
    assert_eq!(roots(&[crowd.clone(), scan(Level::Medium, 60)]), [("crowd", 2, 40)]);
    assert_eq!(roots(&[crowd.clone(), scan(Level::High, 60)]), [("crowd", 1, 39), ("address", 1, 1)]);
    // An account goes before a crowd, and the earliest before others.
    let all = of(&[crowd.clone(), account(1, 30), scan(Level::Low, 60)]);
    let by_kind = |kind| all.iter().find(|incident| incident.actor.kind() == kind).expect("there");
    assert_eq!(by_kind("address").parent, Some(by_kind("account").key));
    let two = [by_account(Level::Low, "zoe", sources(1), 0), account(1, 1), scan(Level::Low, 60)];
    assert_eq!(roots(&two), [("account", 2, 1), ("account", 1, 0)]);
}

/// Rule 3: what a child does to its parent.
#[test]
fn a_child_raises_the_level_of_an_account_and_not_that_of_a_crowd() {
    let child = Draft {
        last: 9 * HOUR,
        tactics: vec!["initial-access".to_owned()],
        ..by_address("let-in", Level::Critical, "5.5.5.1", -60)
    };
    let parent = |drafts: &[Draft]| of(drafts).into_iter().find(|incident| incident.parent.is_none()).expect("a root");
    let account = parent(&[by_account(Level::Low, "jane", sources(1), 0), child]);
    assert_eq!((account.level, account.risk_score, account.is_let_in()), (Level::Critical, 20, true));
    assert_eq!((account.first, account.last), (Second(0), Second(60)));
    assert_eq!(account.title, "jane matched Title in cluster prod");
    let crowd = parent(&[by_crowd(Level::Low, sources(9), 0), by_address("scan", Level::Low, "5.5.5.1", 0)]);
    assert_eq!((crowd.level, crowd.risk_score, crowd.rules.len(), crowd.findings.len()), (Level::Low, 10, 1, 2));
    assert_eq!(crowd.title, "9 addresses matched Title in cluster prod");
}

/// Rule 4: each source in one incident, and what else is near it.
#[test]
fn a_source_belongs_to_one_incident_at_a_time() {
    let all = of(&[
        by_crowd(Level::Low, sources(20), 0),
        by_account(Level::Low, "jane", sources(17), 10),
        by_account(Level::Low, "zoe", sources(2), 20),
        by_address("scan", Level::High, "5.5.5.3", 30),
    ]);
    let owned: Vec<(&str, Vec<SourceIp>)> =
        all.iter().map(|incident| (incident.actor_name.as_str(), incident.sources.clone())).collect();
    let others: Vec<SourceIp> = sources(20).split_off(3);
    let expected: [(&str, Vec<SourceIp>); 4] =
        [("20 addresses", others), ("jane", Vec::new()), ("zoe", sources(2)), ("5.5.5.3", vec![source("5.5.5.3")])];
    assert_eq!(owned, expected);
    let [crowd, jane, zoe, address] = [0, 1, 2, 3].map(|index| all[index].key);
    assert_eq!(all[0].related, BTreeSet::from([jane, zoe, address]));
    assert_eq!(all[3].related, BTreeSet::from([crowd, jane]));
}

/// Rule 4: an address that only a child names, here with its own in a finding of two.
#[test]
fn what_a_child_lists_belongs_to_its_parent() {
    let all = of(&[by_account(Level::Low, "jane", sources(1), 60), by_crowd(Level::Low, sources(2), 0)]);
    let roots: Vec<&Incident> = all.iter().filter(|incident| incident.parent.is_none()).collect();
    let [jane] = roots[..] else { panic!("{roots:#?}") };
    assert_eq!((jane.actor_name.as_str(), &jane.sources), ("jane", &sources(2)));
}

/// Rule 5: the key.
#[test]
fn a_key_is_a_hash_of_the_actor_and_the_first_second() {
    let incident = &of(&[by_address("scan", Level::Low, "5.5.5.1", 7)])[0];
    assert_eq!(incident.key, incident.actor.incident_key(Second(7)));
    assert_ne!(incident.key, incident.actor.incident_key(Second(8)));
    assert_eq!(incident.key.to_string().len(), 32);
}

#[test]
fn risk_within_a_day_raises_the_level() {
    let rules = ["a", "b", "c", "d", "e", "f"];
    let scores = |scores: &[u32], apart: i64| -> (Level, u32) {
        let drafts: Vec<Draft> = scores
            .iter()
            .zip(rules)
            .enumerate()
            .map(|(n, (score, rule))| {
                let first = i64::try_from(n).expect("few") * apart;
                Draft { risk_score: *score, ..by_address(rule, Level::Low, "5.5.5.1", first) }
            })
            .collect();
        let all = of(&drafts);
        (all[0].level, all[0].risk_score)
    };
    assert_eq!(scores(&[50, 49], HOUR), (Level::Low, 99));
    assert_eq!(scores(&[50, 50], HOUR), (Level::Medium, 100));
    assert_eq!(scores(&[50, 50], DAY), (Level::Medium, 100));
    assert_eq!(scores(&[50, 50], DAY + 1), (Level::Low, 50));
    assert_eq!(scores(&[100, 100, 50], HOUR), (Level::High, 250));
    assert_eq!(scores(&[100; 5], HOUR), (Level::Critical, 500));
    assert_eq!(scores(&[50, 10, 60, 60], 13 * HOUR), (Level::Medium, 120));

    let context = |rule| Draft { risk_score: 90, ..by_address(rule, Level::Informational, "5.5.5.1", 0) };
    let informational = &of(&[context("a"), context("b")])[0];
    assert_eq!((informational.level, informational.risk_score), (Level::Informational, 0));
    // One rule counts once, with the highest of its scores.
    let again = |score, first| Draft { risk_score: score, ..by_address("a", Level::Low, "5.5.5.1", first) };
    assert_eq!(of(&[again(60, 0), again(70, 9), again(60, 18)])[0].risk_score, 70);
}

#[test]
fn three_tactics_with_four_rules_are_medium() {
    let level = |tactics: &[&str]| {
        let rule = |(rule, tactic): (&'static str, &&str)| Draft {
            tactics: vec![(*tactic).to_owned()],
            ..by_address(rule, Level::Low, "5.5.5.1", 0)
        };
        of(&["a", "b", "c", "d"].into_iter().zip(tactics).map(rule).collect::<Vec<_>>())[0].level
    };
    assert_eq!(level(&["discovery", "execution", "impact", "impact"]), Level::Medium);
    assert_eq!(level(&["discovery", "execution", "execution", "execution"]), Level::Low);
    assert_eq!(level(&["discovery", "execution", "impact"]), Level::Low);
}

/// Findings of one rule are one step; the most important steps are shown by time, and being let in comes first.
#[test]
fn a_story_has_at_most_twelve_steps_and_begins_with_being_let_in() {
    let rules = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    let mut drafts: Vec<Draft> =
        rules.iter().zip(0..).map(|(rule, at)| by_address(rule, Level::Low, "5.5.5.1", at)).collect();
    drafts[5].level = Level::Informational;
    drafts.push(Draft {
        tactics: vec!["initial-access".to_owned()],
        code: 200,
        ..by_address("in", Level::Medium, "5.5.5.1", 30)
    });
    drafts.push(Draft { code: 401, ..by_address("a", Level::Low, "5.5.5.1", 90) });
    let incident = of(&drafts).remove(0);
    let steps: Vec<&str> = incident.steps.iter().map(|step| step.rule.as_str()).collect();
    assert_eq!(steps, ["in", "a", "b", "c", "d", "e", "g", "h", "i", "j", "k", "l"]);
    let a = &incident.steps[1];
    assert_eq!((a.first, a.last, a.count, a.findings), (Second(0), Second(150), 10, 2));
    assert_eq!(a.codes.most_first().len(), 2);
    assert_eq!(incident.count, 10);
}

#[test]
fn an_incident_is_over_when_nothing_can_join_it() {
    let over = |draft: Draft| of(&[draft])[0].quiet_from;
    assert_eq!(over(by_address("scan", Level::Low, "5.5.5.1", 0)), Second(60 + DAY));
    assert_eq!(over(by_crowd(Level::Low, sources(3), 0)), Second(60 + DAY));
    let hour = IncidentOptions { quiet_seconds: HOUR, ..IncidentOptions::default() };
    let crowd = finding(&by_crowd(Level::Low, sources(3), 0));
    assert_eq!(incidents([&crowd], &hour)[0].quiet_from, Second(DAY), "others of its day may join it");
}

/// A merged finding is the same episode once more.
#[test]
fn a_finding_that_was_merged_is_in_no_incident() {
    let mut findings = [0, 30].map(|first| finding(&by_address("scan", Level::Low, "5.5.5.1", first)));
    findings[1].status = FindingStatus::MergedInto(findings[0].key);
    let all = incidents(&findings, &IncidentOptions::default());
    assert_eq!((all.len(), all[0].findings.len()), (1, 1));
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let levels = select(&Level::ALL[..]);
    let one = (0..4_u8, levels, 0..6_i64 * DAY, 0..40 * HOUR, 1..5_u32, 0..24_u32);
    let draft = one.prop_map(|(kind, level, first, lasts, host, number)| {
        let address = format!("5.5.5.{host}");
        let listed = sources(number + host).split_off(host as usize - 1);
        let draft = match kind {
            0 => by_address("scan", level, &address, first),
            1 => by_address("list", level, &address, first),
            2 => by_account(level, ["jane", "zoe"][host as usize % 2], listed, first),
            _ => by_crowd(level, listed, first),
        };
        Draft { last: first + lasts, risk_score: number * 9, ..draft }
    });
    proptest::collection::vec(draft, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever the order, the incidents are the same. Every finding is in one that is reported, and at any time each source
    /// is in one, too.
    #[test]
    fn incidents_do_not_depend_on_order(drafts in drafts(), swaps in proptest::collection::vec(any::<[Index; 2]>(), 9)) {
        let mut findings: Vec<Finding> = drafts.iter().map(finding).collect();
        findings.sort_by_key(|finding| finding.key);
        findings.dedup_by_key(|finding| finding.key);
        let all = incidents(&findings, &IncidentOptions::default());
        let mut mixed = findings.clone();
        if !mixed.is_empty() {
            swaps.iter().for_each(|[one, other]| mixed.swap(one.index(findings.len()), other.index(findings.len())));
        }
        prop_assert_eq!(&incidents(&mixed, &IncidentOptions::default()), &all);

        let roots: Vec<&Incident> = all.iter().filter(|incident| incident.parent.is_none()).collect();
        let listed: Vec<FindingKey> = roots.iter().flat_map(|root| root.findings.iter().map(|(key, _)| *key)).collect();
        prop_assert_eq!(listed.len(), findings.len());
        prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>().len(), findings.len());
        for child in all.iter().filter(|incident| incident.parent.is_some()) {
            prop_assert!(roots.iter().any(|root| Some(root.key) == child.parent));
        }
        for finding in &findings {
            for source in finding.source_ip().into_iter().chain(finding.sources.iter()) {
                prop_assert!(roots.iter().any(|root| root.sources.contains(&source)), "{source} of {finding:?}");
            }
        }
    }
}
