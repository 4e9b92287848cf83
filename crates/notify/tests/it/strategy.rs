//! Findings and notices of an attacker: every text that a client can write is hostile.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::collection::{btree_set, vec};
use proptest::option::{self, of};
use proptest::prelude::*;
use stakeout_core::address::SourceIp;
use stakeout_core::context::{FindingContext, SourceActivity, TopValues};
use stakeout_core::day_report::DayReport;
use stakeout_core::delivery::Activity;
use stakeout_core::distinct::Distinct;
use stakeout_core::episode::Episode;
use stakeout_core::evidence::{Evidence, SAMPLES_MAX, Sample};
use stakeout_core::finding::{DistinctValues, Finding, FindingKey, FindingStatus, RelatedActivity};
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::hash::TextHash;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::response_code::{ResponseCode, ResponseCodes};
use stakeout_core::rule::{Level, RuleHead};
use stakeout_core::source::Provider;
use stakeout_core::text::bounded;
use stakeout_core::time::{Second, Window};

/// Texts that have fooled people, terminals, log viewers or Slack before.
const HOSTILE: &[&str] = &[
    "<!channel>",
    "<!here|x>",
    "<@U12345>",
    "<https://evil.example|https://acme.example/runbook>",
    "https://evil.example/?a=1&b=2",
    "&lt;!channel&gt;",
    "`code` ``` block ``` *bold* _i_ ~s~ :fire:",
    "\u{202e}gpj.exe",
    "\u{2066}isolated\u{2069}",
    "a\u{2028}b\u{2029}c",
    "zero\u{200b}width\u{feff}joiner\u{200d}",
    "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
    "\u{9b}2J\u{7f}\u{85}",
    "\r\nX-Injected: 1\r\n\r\n",
    "\u{0}\u{1}\u{8}",
    "{\"ok\":false}\"\\",
    "\u{e0041}\u{e0042}tags",
    "\u{ad}\u{fff9}\u{3164}",
    "😀😀😀",
    "",
    " ",
];

/// Returns texts of at most `chars_max` characters.
pub(crate) fn text(chars_max: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(proptest::sample::select(HOSTILE), 1..6).prop_map(|parts| parts.concat()),
        2 => any::<String>(),
        1 => proptest::sample::select(HOSTILE).prop_map(|part| part.repeat(6_000)),
        1 => "/api/v1/[a-z]{1,12}\\?limit=[0-9]{1,4}",
    ]
    .prop_map(move |text| bounded(&text, chars_max))
}

fn address() -> impl Strategy<Value = SourceIp> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| SourceIp::of(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| SourceIp::of(octets.into())),
        Just(SourceIp::V6Net(0)),
    ]
}

fn hop() -> impl Strategy<Value = String> {
    prop_oneof![text(128), any::<[u8; 4]>().prop_map(|o| std::net::IpAddr::from(o).to_string())]
}

fn second() -> impl Strategy<Value = Second> {
    prop_oneof![
        9 => (1_600_000_000..2_000_000_000i64).prop_map(Second),
        1 => any::<i64>().prop_map(Second),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let who = (option::of(text(256)), option::of(text(128)), option::of(address()));
    let what = (text(128), text(256), option::of(any::<i64>()), option::of(text(128)), option::of(text(128)));
    let origin = (text(256), vec(hop(), 0..=10));
    (any::<u32>(), second(), text(128), who, what, origin).prop_map(
        |(
            rank,
            at,
            audit_id,
            (user_agent, username, source_ip),
            (verb, request_uri, code, resource, namespace),
            (cluster, source_ips),
        )| Sample {
            rank,
            at,
            audit_id,
            verb,
            request_uri,
            user_agent,
            username,
            code,
            resource,
            namespace,
            cluster,
            source_ips,
            source_ip,
        },
    )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    vec(sample(), 0..=SAMPLES_MAX).prop_map(|samples| {
        let mut evidence = Evidence::default();
        for sample in samples {
            evidence.add(sample, SAMPLES_MAX);
        }
        evidence
    })
}

pub(crate) fn level() -> impl Strategy<Value = Level> {
    proptest::sample::select(&Level::ALL[..])
}

fn rule() -> impl Strategy<Value = RuleHead> {
    let technique =
        prop_oneof![Just("T1613".to_owned()), Just("T1078.001".to_owned()), Just("T9999".to_owned()), text(40)];
    let words = (text(200), text(64), text(300), text(2_000), text(2_000));
    (words, level(), vec(technique, 0..4), vec(text(300), 0..4), any::<u32>()).prop_map(
        |((name, id, title, description, runbook), level, techniques, falsepositives, risk_score)| RuleHead {
            name,
            id,
            title,
            description,
            level,
            techniques,
            tactics: Vec::new(),
            falsepositives,
            runbook,
            risk_score: risk_score & 0x7fff_ffff,
            story: Default::default(),
            group_by: Vec::new(),
            needed: "10 requests in 30m per source_ip".to_owned(),
        },
    )
}

/// Returns group-by fields with their values.
fn group() -> impl Strategy<Value = Vec<(String, GroupValue)>> {
    let value = prop_oneof![text(128).prop_map(GroupValue::Text), Just(GroupValue::Missing)];
    let with_source = (address(), option::of(value.clone())).prop_map(|(source, user)| {
        let mut group = vec![("source_ip".to_owned(), GroupValue::Address(source))];
        group.extend(user.map(|user| ("user.username".to_owned(), user)));
        group
    });
    let without =
        vec(value, 0..3).prop_map(|values| values.into_iter().map(|value| ("userAgent".to_owned(), value)).collect());
    prop_oneof![3 => with_source, 1 => without]
}

/// Returns requests by code: none or some.
fn codes() -> impl Strategy<Value = ResponseCodes> {
    let code = prop_oneof![Just(Some(403)), Just(None), (0..700_i64).prop_map(Some)];
    vec((code, any::<u64>()), 0..12).prop_map(|counted| {
        let mut codes = ResponseCodes::default();
        counted.into_iter().for_each(|(code, n)| codes.add(ResponseCode::of(code), n));
        codes
    })
}

/// Returns sources: none, a few, or more than a finding lists.
fn sources() -> impl Strategy<Value = Distinct<SourceIp>> {
    let number = prop_oneof![2 => Just(0_usize), 4 => 1..30_usize, 1 => 1_000..5_000_usize];
    number.prop_flat_map(|number| vec(address(), number)).prop_map(|addresses| {
        let mut sources = Distinct::default();
        for source in addresses {
            sources.add(source);
        }
        sources
    })
}

/// Returns counted values of some field.
fn values() -> impl Strategy<Value = Option<DistinctValues>> {
    let field = prop_oneof![Just("source_ip".to_owned()), Just("requestURI".to_owned()), text(60)];
    option::of((field, vec(any::<u64>(), 0..600)).prop_map(|(field, hashes)| {
        let mut texts = Distinct::default();
        for hash in hashes {
            texts.add(TextHash(hash));
        }
        DistinctValues { field, texts }
    }))
}

fn status() -> impl Strategy<Value = FindingStatus> {
    prop_oneof![
        Just(FindingStatus::Open),
        Just(FindingStatus::Quiet),
        any::<u128>().prop_map(|uid| FindingStatus::MergedInto(FindingKey(uid)))
    ]
}

pub(crate) fn activity() -> impl Strategy<Value = Activity> {
    proptest::sample::select(vec![Activity::Create, Activity::Update, Activity::Close])
}

pub(crate) fn finding() -> impl Strategy<Value = Finding> {
    let clusters = btree_set(text(256), 1..40);
    let times = (second(), 0..100_000i64, 1..u64::MAX / 2);
    let related = btree_set(any::<u128>().prop_map(FindingKey), 0..20);
    let related_activity = (btree_set(text(200), 0..20), btree_set(text(256), 0..20));
    let related_activity = related_activity.prop_map(|(rules, clusters)| RelatedActivity { rules, clusters });
    let beside = (related_activity, of(context()));
    let shown = (clusters, codes(), evidence(), sources(), values(), related, beside);
    (any::<u128>(), rule(), group(), times, status(), shown, any::<bool>()).prop_map(
        |(key, mut rule, group, (first, seconds, count), status, shown, late)| {
            let (clusters, codes, evidence, sources, values, related, (related_activity, context)) = shown;
            rule.group_by = group.iter().map(|(field, _)| field.clone()).collect();
            Finding {
                key: FindingKey(key),
                rule: Arc::new(rule),
                group: GroupKey(group.into_iter().map(|(_, value)| value).collect()),
                episode: Episode { first, last: first.plus(seconds), count },
                codes,
                pruned: None,
                pruned_codes: ResponseCodes::default(),
                quiet_seconds: 3_600,
                status,
                clusters,
                providers: BTreeSet::from([Provider::Cloudwatch]),
                sources,
                values,
                related,
                related_activity,
                incident: None,
                context,
                evidence,
                late,
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
            }
        },
    )
}

/// Returns what else a source did; the texts are hostile and as long as core allows.
fn context() -> impl Strategy<Value = FindingContext> {
    let ranking =
        || (vec((text(128), any::<u64>()), 0..=10), any::<u64>()).prop_map(|(top, others)| TopValues { top, others });
    let rankings = (ranking(), ranking(), ranking(), ranking(), ranking(), ranking());
    let read = (text(256), 0..2_000_000_000i64, any::<u64>(), any::<bool>(), codes(), rankings).prop_map(
        |(cluster, at, requests, is_cut, codes, (let_in, refused, namespaces, users, agents, proxies))| {
            let window = Window::new(Second(at), Second(at + 3_600)).expect("an hour");
            FindingContext::Read(Box::new(SourceActivity {
                cluster,
                window,
                requests,
                is_cut,
                codes,
                allowed: let_in,
                refused,
                namespaces,
                users,
                agents,
                proxies,
            }))
        },
    );
    prop_oneof![read, text(300).prop_map(|reason| FindingContext::unread(&reason))]
}

/// Returns a tenth of 401, the rest of 403.
fn plain_codes(count: u64) -> ResponseCodes {
    let mut codes = ResponseCodes::default();
    codes.add(ResponseCode::of(Some(403)), count - count / 10);
    codes.add(ResponseCode::of(Some(401)), count / 10);
    codes
}

/// Returns findings that differ in their keys, levels and counts only, for batches of many.
pub(crate) fn plain_finding(key: u128, level: Level, count: u64) -> Finding {
    Finding {
        key: FindingKey(key),
        rule: Arc::new(RuleHead {
            name: "kubernetes-scanning-by-unauthenticated-ip".to_owned(),
            id: "c3e3f2a4-0000-4000-8000-000000000001".to_owned(),
            title: "Kubernetes scanning by an unauthenticated address".to_owned(),
            description: "One address was refused many times without logging in.".to_owned(),
            level,
            techniques: vec!["T1046".to_owned()],
            tactics: vec!["discovery".to_owned()],
            falsepositives: vec!["A scanner of your own".to_owned()],
            runbook: String::new(),
            risk_score: 20,
            story: Default::default(),
            group_by: vec!["source_ip".to_owned()],
            needed: "10 requests in 30m per source_ip".to_owned(),
        }),
        group: GroupKey(vec![GroupValue::Address(SourceIp::of([198, 51, 100, 7].into()))]),
        episode: Episode { first: Second(1_795_309_252), last: Second(1_795_311_010), count },
        codes: plain_codes(count),
        pruned: None,
        pruned_codes: ResponseCodes::default(),
        quiet_seconds: 3_600,
        status: FindingStatus::Open,
        clusters: BTreeSet::from(["prod".to_owned(), "dev".to_owned()]),
        providers: BTreeSet::from([Provider::Cloudwatch]),
        sources: Distinct::default(),
        values: None,
        related: BTreeSet::new(),
        related_activity: RelatedActivity::default(),
        incident: None,
        context: None,
        evidence: Evidence::default(),
        late: false,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn day_report() -> impl Strategy<Value = DayReport> {
    let counts = (any::<u32>(), any::<u32>(), any::<u16>()).prop_map(|(due, read, gaps)| DayReport {
        clusters: gaps.into(),
        windows_due: due as usize,
        windows_read: read as usize,
        windows_late: read as usize,
        windows_silent: due as usize,
        gaps: gaps.into(),
        partial_gaps: gaps.into(),
        incidents: Level::ALL.iter().map(|level| (*level, read as usize)).collect(),
        notices: due.into(),
        unread_more: due as usize,
        ..DayReport::default()
    });
    (counts, vec(text(128), 0..6)).prop_map(|(counts, unread)| DayReport { unread, ..counts })
}

pub(crate) fn notice() -> impl Strategy<Value = Notice> {
    let kind = prop_oneof![
        text(600).prop_map(|reason| NoticeKind::Gap { reason }),
        text(600).prop_map(|reason| NoticeKind::PartialGap { reason }),
        Just(NoticeKind::GapFilled),
        any::<u32>().prop_map(|windows| NoticeKind::Silent { windows }),
        Just(NoticeKind::SilenceOver),
        (any::<u16>(), text(300))
            .prop_map(|(sources, reason)| NoticeKind::NotFollowedUp { sources: sources.into(), reason }),
        (any::<u64>(), any::<u64>(), vec((text(128), any::<u64>()), 0..30))
            .prop_map(|(rows, requests, top)| NoticeKind::Overflow { rows, requests, top }),
        (any::<u64>(), any::<u64>(), vec((text(128), any::<u64>()), 0..30), vec((text(128), any::<u64>()), 0..30))
            .prop_map(|(findings, requests, rules, top)| NoticeKind::TooManyFindings {
                findings,
                requests,
                rules,
                top
            }),
        (text(128), any::<usize>())
            .prop_map(|(destination, pending)| NoticeKind::TooManyPending { destination, pending }),
        Just(NoticeKind::ClockWasAhead),
        Just(NoticeKind::StateGone),
        Just(NoticeKind::StateRestored { from: Second(1_700_000_000) }),
        day_report().prop_map(NoticeKind::Day),
        vec(any::<std::net::IpAddr>(), 1..8).prop_map(|addresses| NoticeKind::HiddenProxy { addresses }),
        Just(NoticeKind::Vanished),
        text(600).prop_map(|command| NoticeKind::AuditOff { command }),
        Just(NoticeKind::Returned),
        text(600).prop_map(|reason| NoticeKind::DiscoveryFailed { reason }),
        Just(NoticeKind::DiscoveryRecovered),
    ];
    let window = prop_oneof![
        Just(Window::ALL),
        (0..2_000_000_000i64).prop_map(|at| Window::new(Second(at), Second(at + 3_600)).expect("an hour"))
    ];
    (text(128), text(256), window, kind).prop_map(|(source, cluster, window, kind)| Notice {
        source,
        cluster,
        window,
        kind,
    })
}
