//! Messages about incidents: what is planned, what people and machines read, and that the services take it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use stakeout_aws::Access;
use stakeout_core::address::SourceIp;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Subject};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::incident::{Incident, IncidentKey, IncidentOptions, incidents};
use stakeout_core::rule::Level;
use stakeout_core::shown::{Shown, ShownIncident, ShownMessage};
use stakeout_core::time::Second;
use stakeout_fakes::{Slack, Sns, Webhook};
use stakeout_http::{Endpoint, Network};
use stakeout_notify::console::Service;
use stakeout_notify::slack::Rendering;
use stakeout_notify::{
    AddressBook, Batch, DeliveryMode, Digest, IncidentReport, Limits, LogConsole, Message, MessageBody, batch, ocsf,
    plan, slack,
};

use crate::slack::{assert_harmless, assert_outside_of_code_is_ours};
use crate::{ocsf as schema, strategy};

const SLACK: DeliveryMode = DeliveryMode::Digest { max_messages: 10 };
const BOT: DeliveryMode = DeliveryMode::Edited { max_messages: 10 };

fn now() -> Timestamp {
    Timestamp::from_second(1_795_312_800).expect("a time")
}

fn only(findings: &[Finding]) -> Incident {
    incidents(findings, &IncidentOptions::default()).into_iter().next().expect("an incident")
}

/// Returns an incident of the address with this number, with the number as its uid.
pub(crate) fn incident(key: u32, level: Level) -> Incident {
    let mut finding = strategy::plain_finding(key.into(), level, u64::from(key) + 1);
    finding.group = GroupKey(vec![GroupValue::Address(SourceIp::V4((0x0a00_0000 + key).into()))]);
    Incident { key: IncidentKey(key.into()), ..only(&[finding]) }
}

/// Returns an entry about an incident, and a finding of it with the same number.
pub(crate) fn entry(key: u32, activity: Activity) -> Entry {
    Entry { finding: FindingKey(key.into()), incident: Some(IncidentKey(key.into())), activity }
}

fn delivery(id: u64, entries: Vec<Entry>) -> Delivery {
    Delivery { id: DeliveryId(id), destination: "bus".to_owned(), held_until: None, entries, notices: Vec::new() }
}

fn stored(incidents: impl IntoIterator<Item = Incident>) -> HashMap<IncidentKey, Incident> {
    incidents.into_iter().map(|incident| (incident.key, incident)).collect()
}

fn batched<'a>(
    mode: DeliveryMode,
    pending: &'a [Delivery],
    incidents: &'a HashMap<IncidentKey, Incident>,
) -> Batch<'a> {
    let findings = Box::leak(Box::default());
    batch(mode, plan(mode, pending).leak(), findings, incidents, &HashMap::new(), &Limits::default())
}

/// Returns the ids of the messages and what they say happened.
fn reported(batch: &Batch<'_>) -> Vec<(String, Activity, Option<IncidentKey>)> {
    let reported = batch.notifications.iter().map(|notification| match notification.message.body {
        MessageBody::Incident(report) => (notification.message.id.clone(), report.activity, report.merged_into()),
        _ => panic!("not about an incident: {notification:?}"),
    });
    reported.collect()
}

#[test]
fn all_that_is_pending_of_an_incident_is_one_message_and_its_end_another() {
    use Activity::{Close, Create, Update};
    let incidents = stored([incident(7, Level::Low)]);
    let uid = "0".repeat(31) + "7";
    for (pending, expected) in [
        (&[Create, Update][..], &[("1-2", Create)][..]),
        (&[Update, Close], &[("1-2", Close)]),
        (&[Create, Close], &[("1", Create), ("2", Close)]),
        (&[Close, Update], &[("1-2", Update)]),
    ] {
        let pending: Vec<Delivery> =
            (1..).zip(pending).map(|(id, activity)| delivery(id, vec![entry(7, *activity)])).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(deliveries, activity)| (format!("{deliveries}-incident-{uid}-{}", *activity as u8), *activity, None))
            .collect();
        assert_eq!(reported(&batched(DeliveryMode::Each, &pending, &incidents)), expected, "{pending:?}");
        assert_eq!(batched(SLACK, &pending, &incidents).notifications.len(), 1, "{pending:?}");
    }
}

/// A finding and an incident of the same number, in the same delivery, are two messages that are planned apart.
#[test]
fn a_finding_is_not_its_incident() {
    let of_finding = Entry { finding: FindingKey(7), incident: None, activity: Activity::Create };
    let pending = [delivery(1, vec![of_finding, entry(7, Activity::Create)])];
    let planned = plan(DeliveryMode::Each, &pending);
    let opened: Vec<_> =
        planned.iter().map(|planned| (planned.finding(), planned.incident(), planned.opens())).collect();
    let (finding, incident) = (FindingKey(7), IncidentKey(7));
    assert_eq!(
        opened,
        [
            (Some(finding), None, Some(Subject::Finding(finding))),
            (None, Some((incident, finding)), Some(Subject::Incident(incident))),
        ]
    );
    // Neither is stored any more.
    let batch = batched(DeliveryMode::Each, &pending, Box::leak(Box::default()));
    let [forgotten] = &batch.notifications[..] else { panic!("{batch:?}") };
    assert_eq!(
        forgotten.message.body,
        MessageBody::Forgotten(vec![Subject::Finding(finding), Subject::Incident(incident)])
    );
    assert_eq!(forgotten.settles.entries.len(), 2);
}

#[test]
fn an_incident_that_became_a_part_of_another_is_closed_for_machines_and_silent_for_people() {
    use Activity::{Close, Create, Update};
    let joined = incident(3, Level::Low);
    let child = Incident { parent: Some(IncidentKey(3)), ..incident(7, Level::Low) };
    for now_in in [joined, child] {
        let incidents = HashMap::from([(IncidentKey(7), now_in)]);
        let of = |activities: &[Activity]| -> Vec<Delivery> {
            (1..).zip(activities).map(|(id, activity)| delivery(id, vec![entry(7, *activity)])).collect()
        };
        let parent = Some(IncidentKey(3));
        let said = |pending: &[Activity]| -> Vec<(Activity, Option<IncidentKey>)> {
            let pending = of(pending);
            let batch = batched(DeliveryMode::Each, &pending, &incidents);
            reported(&batch).into_iter().map(|(_, activity, parent)| (activity, parent)).collect()
        };
        assert_eq!(said(&[Update]), [(Close, parent)]);
        assert_eq!(said(&[Create, Update]), [(Close, parent)]);
        assert_eq!(said(&[Create, Close]), [(Create, parent), (Close, parent)]);
        let pending = of(&[Create, Update]);
        let batch = batched(SLACK, &pending, &incidents);
        assert_eq!((batch.notifications.len(), batch.unsent.entries.len()), (0, 2));

        let pending = of(&[Close]);
        let batch = batched(DeliveryMode::Each, &pending, &incidents);
        let object = ocsf::message(&batch.notifications[0].message, now());
        schema::assert_incident(&object);
        let details = &object["unmapped"]["incident"];
        assert_eq!(
            json!([
                object["activity_id"],
                details["uid"],
                details["merged_into"],
                details["sources"],
                details["sources_total"]
            ]),
            json!([3, IncidentKey(7).to_string(), IncidentKey(3).to_string(), [], 0])
        );
    }
}

/// Ten messages at most, and nothing of level medium or above is a mere number.
/// The destination has another one that hears of it from then on.
#[test]
fn what_rose_above_the_levels_of_a_destination_is_its_last_message_there() {
    let pending = [delivery(1, vec![entry(1, Activity::Update), entry(2, Activity::Update)])];
    let incidents = stored([incident(1, Level::High), incident(2, Level::Medium)]);
    let limits = Limits { level_max: Level::Medium, ..Limits::default() };
    let planned = plan(SLACK, &pending);
    let findings = HashMap::new();
    let batch = batch(SLACK, &planned, &findings, &incidents, &HashMap::new(), &limits);
    let last: Vec<(bool, bool)> = batch
        .notifications
        .iter()
        .map(|notification| {
            let in_slack = slack::message(&notification.message).to_string().contains("last message about it here");
            let object = ocsf::message(&notification.message, now());
            (in_slack, object["unmapped"]["incident"]["is_last_message"] == true)
        })
        .collect();
    assert_eq!(last, [(true, true), (false, false)]);
}

/// What is silenced is settled, and nothing else is.
#[test]
fn what_is_silenced_is_settled_without_a_message() {
    let finding = Entry { incident: None, ..entry(7, Activity::Create) };
    let pending = [delivery(1, vec![entry(1, Activity::Create), entry(2, Activity::Create), finding])];
    let incidents = stored([incident(1, Level::High), incident(2, Level::High)]);
    let findings = HashMap::from([(FindingKey(7), strategy::plain_finding(7, Level::High, 1))]);
    for mode in [SLACK, DeliveryMode::Each] {
        let planned = plan(mode, &pending);
        let silenced = [Subject::Incident(IncidentKey(2)), Subject::Finding(FindingKey(7))].into();
        let limits = Limits { silenced, ..Limits::default() };
        let batch = batch(mode, &planned, &findings, &incidents, &HashMap::new(), &limits);
        assert_eq!(reported(&batch).len(), 1);
        assert_eq!(batch.notifications[0].settles.entries, [(DeliveryId(1), entry(1, Activity::Create))]);
        let silenced: Vec<Entry> = batch.silenced.entries.iter().map(|(_, entry)| *entry).collect();
        assert_eq!((silenced, batch.unsent.is_empty()), (vec![entry(2, Activity::Create), finding], true));
    }
}

/// Who has not heard of the beginning does not hear of the end, and who has does, silenced or not.
#[test]
fn the_end_is_reported_to_those_who_heard_of_the_beginning() {
    let incidents = stored([incident(1, Level::High)]);
    let close = [delivery(1, vec![entry(1, Activity::Close)])];
    let both = [delivery(1, vec![entry(1, Activity::Create)]), delivery(2, vec![entry(1, Activity::Close)])];
    let known = |shown: Option<Shown>| -> HashMap<IncidentKey, ShownIncident> {
        shown.map(|shown| (IncidentKey(1), ShownIncident { at: Second(0), shown })).into_iter().collect()
    };
    let sent = |mode, pending: &[Delivery], shown: Option<Shown>, is_silenced: bool| -> Vec<Activity> {
        let silenced = if is_silenced { [Subject::Incident(IncidentKey(1))].into() } else { HashSet::new() };
        let (planned, limits) = (plan(mode, pending), Limits { silenced, ..Limits::default() });
        let (findings, shown) = (HashMap::new(), known(shown));
        let batch = batch(mode, &planned, &findings, &incidents, &shown, &limits);
        let settled = [&batch.unsent, &batch.silenced].into_iter().map(|settled| settled.entries.len()).sum::<usize>();
        assert_eq!(settled + batch.notifications.len(), pending.len(), "each is settled once");
        reported(&batch).into_iter().map(|(_, activity, _)| activity).collect()
    };
    for is_silenced in [true, false] {
        let sent = |mode, pending: &[Delivery], shown| sent(mode, pending, shown, is_silenced);
        assert_eq!(sent(DeliveryMode::Each, &close, None), [Activity::Close]);
        assert_eq!(sent(DeliveryMode::Each, &close, Some(Shown::Muted)), [Activity::Close]);
        assert_eq!(sent(DeliveryMode::Each, &close, Some(Shown::Silenced)), []);
        let posted = ShownMessage {
            channel: "C1".to_owned(),
            ts: "1.000001".to_owned(),
            steps: BTreeSet::new(),
            level: Level::High,
        };
        assert_eq!(sent(BOT, &close, Some(Shown::Message(posted))), [Activity::Close]);
        assert_eq!(sent(BOT, &close, None), []);
        let expected = if is_silenced { vec![] } else { vec![Activity::Create, Activity::Close] };
        assert_eq!(sent(DeliveryMode::Each, &both, Some(Shown::Silenced)), expected);
    }
}

#[test]
fn of_many_incidents_the_highest_have_messages_and_the_rest_is_summed_up() {
    let levels = [Level::Low, Level::Medium, Level::High];
    let incidents = stored((0..30).map(|key| incident(key, levels[key as usize % 3])));
    let pending = [delivery(1, (0..30).map(|key| entry(key, Activity::Create)).collect())];
    let batch = batched(SLACK, &pending, &incidents);
    assert_eq!(batch.notifications.len(), 10);
    for notification in &batch.notifications[..9] {
        let MessageBody::Incident(report) = notification.message.body else { panic!("{notification:?}") };
        assert_eq!(report.incident.level, Level::High);
    }
    let payload = slack::message(&batch.notifications[9].message);
    assert_harmless(&payload);
    let text = payload.to_string();
    for incident in incidents.values().filter(|incident| incident.level >= Level::Medium) {
        let singly = batch.notifications[..9].iter().any(|one| one.message.id.contains(&incident.key.to_string()));
        assert_ne!(
            singly,
            text.contains(&format!("`{}`", &incident.key.to_string()[..8])) && text.contains(&incident.title)
        );
    }
    assert!(
        text.contains("21 incidents")
            && text.contains("… and 10 more of level low: `stakeout incidents list --level low`"),
        "{text}"
    );

    // As many as there are messages need no digest.
    let few = [delivery(1, (0..10).map(|key| entry(key, Activity::Create)).collect())];
    assert_eq!(reported(&batched(SLACK, &few, &incidents)).len(), 10);
}

#[test]
fn incidents_that_do_not_fit_into_a_digest_are_summed_up_by_level() {
    let all: Vec<Incident> =
        (0..400).map(|key| incident(key, if key < 300 { Level::Medium } else { Level::Critical })).collect();
    let reports = all.iter().map(|incident| report(incident, Activity::Create)).collect();
    let payload = slack::digest_message(&Digest { incidents: reports, ..Digest::default() }.in_order());
    assert_harmless(&payload);
    let text = payload.to_string();
    let shown = text.matches('•').count();
    assert!((45..100).contains(&shown), "{shown}");
    assert_eq!(text.matches("• 🔴").count(), shown, "the highest first");
    for (number, level) in [(100 - shown, "critical"), (300, "medium")] {
        let sum = format!("… and {number} more of level {level}: `stakeout incidents list --level {level}`");
        assert!(text.contains(&sum), "{sum} in {text}");
    }
}

/// What grew waits for the end of the day, and is one message; but what is said anyway is not said twice.
#[test]
fn the_growth_of_a_day_is_one_message() {
    let incidents = stored((0..20).map(|key| incident(key, Level::High)));
    let held = Delivery {
        held_until: Some(Second(86_400)),
        ..delivery(1, (0..20).map(|key| entry(key, Activity::Update)).collect())
    };
    let pending = [held.clone(), delivery(2, vec![entry(4, Activity::Update)])];
    let batch = batched(SLACK, &pending, &incidents);
    assert_eq!(batch.notifications.len(), 2);
    assert_eq!(batch.notifications[0].settles.entries.len(), 2);
    let payload = slack::message(&batch.notifications[1].message);
    assert_harmless(&payload);
    assert_eq!(payload["blocks"][0]["text"]["text"], "Digest of the day: 19 incidents that grew");
    assert_eq!(payload.to_string().matches('•').count(), 19);
    let planned = plan(SLACK, &pending);
    assert_eq!(
        planned.iter().filter_map(|planned| planned.opens()).collect::<Vec<_>>(),
        [Subject::Incident(IncidentKey(4))]
    );

    // With too much else, the one digest has it too.
    let pending = [held, delivery(2, (0..12).map(|key| entry(key + 100, Activity::Create)).collect())];
    let incidents = stored((0..20).chain(100..112).map(|key| incident(key, Level::High)));
    let batch = batched(SLACK, &pending, &incidents);
    assert_eq!(batch.notifications.len(), 10);
    assert_eq!(batch.notifications[9].settles.entries.len(), 3 + 20);
}

fn report(incident: &Incident, activity: Activity) -> IncidentReport<'_> {
    IncidentReport { incident, uid: incident.key, activity, is_last: false, is_silenced: false }
}

#[test]
fn an_incident_in_slack_shows_its_level_story_and_command() {
    let mut findings = [(1, 20), (2, 40)].map(|(key, count)| strategy::plain_finding(key, Level::High, count));
    for (finding, name) in findings.iter_mut().zip(["anonymous-probing", "secret-read"]) {
        let rule = Arc::make_mut(&mut finding.rule);
        rule.name = name.to_owned();
        rule.tactics = vec![if name == "secret-read" { "initial-access" } else { "discovery" }.to_owned()];
    }
    findings[1].clusters.remove("dev");
    let incident = only(&findings);
    let payload = slack::message(&Message {
        id: "1".to_owned(),
        body: MessageBody::Incident(report(&incident, Activity::Update)),
    });
    assert_harmless(&payload);
    let at = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or("missing").to_owned();
    let uid = incident.key;
    let story = "matched Kubernetes scanning by an unauthenticated address in";
    assert_eq!(
        [
            at("/blocks/0/text/text"),
            at("/blocks/1/text/text"),
            at("/blocks/2/text/text"),
            at("/blocks/3/fields/0/text"),
            at("/blocks/3/fields/1/text"),
            at("/blocks/3/fields/2/text"),
            at("/blocks/4/text/text"),
            at("/blocks/5/text/text"),
            at("/blocks/6/elements/0/text"),
        ],
        [
            format!("🟠 Update: [High] 198.51.100.7 {story} cluster prod"),
            "`198.51.100.7` (documentation) sent at least *40 requests* to the Kubernetes API of clusters `dev`, `prod` \
             from 2026-11-22 01:00:52 to 01:30:10 UTC."
                .to_owned(),
            format!(
                "*Steps*\n• 2026-11-22 01:00:52 UTC *LET IN* `{story} cluster prod`: 40 requests (36 × 403, 4 × 401)\n\
                 • 2026-11-22 01:00:52 UTC `{story} 2 clusters`: 20 requests (18 × 403, 2 × 401)"
            ),
            "*Sources: 1*\n`198.51.100.7` (documentation)".to_owned(),
            "*How often*\nat least 40 requests in 29 min 18 s".to_owned(),
            "*Answered*\n36 × 403, 4 × 401".to_owned(),
            "*Harmless if*\n• A scanner of your own".to_owned(),
            format!(
                "*Commands*\n`stakeout incidents show {uid}`\n\
                 `stakeout silence add --source 198.51.100.7/32 --for 7d --owner \"YOUR NAME\" --reason \"WHY IT IS HARMLESS\"`"
            ),
            format!("uid `{uid}` · 2 findings"),
        ]
    );
    // The findings say why that is reported, and what was asked.
    let rendering = Rendering { findings: &findings, ..Rendering::default() };
    let payload = slack::incident_message(&report(&incident, Activity::Create), &rendering);
    let steps = payload.pointer("/blocks/2/text/text").and_then(Value::as_str).expect("steps");
    let why = "\n     why: `10 requests in 30m per source_ip`; here 40 requests in 29 min 18 s (1.4/min)\n";
    assert!(steps.contains(why), "{steps}");
}

#[test]
fn a_message_lists_a_thousand_sources_and_findings_and_a_replay_four_times_as_many() {
    let mut all: Vec<Finding> = (0..5_000).map(|key| strategy::plain_finding(key, Level::Low, 1)).collect();
    for finding in &mut all {
        finding.group = GroupKey(Vec::new());
        Arc::make_mut(&mut finding.rule).group_by = Vec::new();
    }
    for host in 0..4_096_u32 {
        all[0].sources.add(SourceIp::V4((0x0a00_0000 + host).into()));
    }
    let found = incidents(&all, &IncidentOptions::default());
    let incident = found.iter().max_by_key(|incident| incident.findings.len()).expect("a crowd");
    let lists = |object: &Value| {
        let length = |pointer| object.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
        (length("/finding_info_list"), length("/unmapped/incident/sources"))
    };
    let whole = ocsf::incident(incident, Activity::Create, None, now());
    schema::assert_incident(&whole);
    assert_eq!(lists(&whole), (4_096, 4_096));
    let mut sent = ocsf::incident_message(&report(incident, Activity::Create), Some("1-x"), now());
    schema::assert_incident(&sent);
    assert_eq!(lists(&sent), (1_000, 1_000));
    let details = &sent["unmapped"]["incident"];
    assert_eq!(json!([details["findings_total"], details["sources_total"]]), json!([5_000, 4_096]));
    assert_eq!(sent["finding_info_list"][0]["uid"], FindingKey(0).to_string());
    assert_eq!(sent["unmapped"]["details"], format!("stakeout incidents show {}", incident.key));
    // What does not fit into SNS is left out, the findings first.
    ocsf::shrink_to(&mut sent, 196_608);
    schema::assert_incident(&sent);
    assert_eq!((lists(&sent), &sent["unmapped"]["shrunk"]), ((500, 1_000), &json!(["finding_info_list"])));
}

fn consoles(cluster: Option<&String>) -> Vec<LogConsole> {
    let service = Service::CloudLogging { project: "acme-prod".to_owned(), location: None, cluster: "prod".to_owned() };
    cluster.map(|cluster| LogConsole { cluster: cluster.clone(), service }).into_iter().collect()
}

/// Returns findings of hostile incidents, at least one.
fn hostile_findings() -> impl Strategy<Value = Vec<Finding>> {
    // Findings that were merged into others are in no incident.
    let is_any = |findings: &Vec<Finding>| !incidents(findings, &IncidentOptions::default()).is_empty();
    vec(strategy::finding(), 1..6).prop_filter("no incident", is_any)
}

/// Returns hostile incidents, at least one.
fn hostile() -> impl Strategy<Value = Vec<Incident>> {
    hostile_findings().prop_map(|findings| incidents(&findings, &IncidentOptions::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn incidents_are_harmless_in_slack(mut findings in hostile_findings(), activity in strategy::activity()) {
        let consoles = consoles(findings.iter().flat_map(|finding| finding.clusters.iter()).next());
        let made = incidents(&findings, &IncidentOptions::default());
        let rendering = Rendering { findings: &findings, consoles: &consoles, book: <&AddressBook>::default(), is_edited: true };
        for incident in &made {
            assert_harmless(&slack::incident_message(&report(incident, activity), &rendering));
        }
        // The rule's texts belong to the user; without them everything outside of code is ours.
        for finding in &mut findings {
            let rule = Arc::make_mut(&mut finding.rule);
            rule.falsepositives.clear();
            rule.runbook.clear();
        }
        let incidents = incidents(&findings, &IncidentOptions::default());
        let rendering = Rendering { findings: &findings, consoles: &consoles, book: <&AddressBook>::default(), is_edited: false };
        for incident in &incidents {
            let payload = slack::incident_message(&report(incident, activity), &rendering);
            assert_harmless(&payload);
            assert_outside_of_code_is_ours(&payload);
            let shows = format!("stakeout incidents show {}", incident.key);
            prop_assert!(payload["blocks"].to_string().contains(&shows));
        }
        let reports: Vec<_> = incidents.iter().map(|incident| report(incident, activity)).collect();
        let digest = Digest { incidents: reports.clone(), grown: reports, ..Digest::default() };
        let payload = slack::digest_message(&digest.in_order());
        assert_harmless(&payload);
        assert_outside_of_code_is_ours(&payload);
    }

    #[test]
    fn incidents_are_valid_and_fit_in_sns(incidents in hostile(), activity in strategy::activity()) {
        for incident in &incidents {
            let mut object = ocsf::incident_message(&report(incident, activity), Some("1-x-1"), now());
            schema::assert_incident(&object);
            let fixed = |object: &Value| {
                ["/unmapped/incident/uid", "/unmapped/incident/actor", "/severity_id", "/count", "/finding_info_list/0/uid"]
                    .map(|pointer| object.pointer(pointer).cloned())
            };
            let before = fixed(&object);
            ocsf::shrink_to(&mut object, 131_072);
            schema::assert_incident(&object);
            prop_assert!(ocsf::to_line(&object).len() <= 131_072);
            prop_assert_eq!(before, fixed(&object));
        }
    }
}

/// Draws incidents that are the same on each run.
fn drawn() -> Vec<Incident> {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    (0..12).flat_map(|_| hostile().new_tree(&mut runner).expect("it filters nothing").current()).collect()
}

#[tokio::test]
async fn slack_takes_messages_about_hostile_incidents_and_reads_no_markup_in_them() {
    let fake = Slack::start().await.expect("a free port");
    let slack = stakeout_notify::slack::Slack::new(SecretString::from(fake.webhook_url()), &Network::default())
        .expect("loopback");
    let incidents = drawn();
    for incident in &incidents {
        let message = Message { id: "1".to_owned(), body: MessageBody::Incident(report(incident, Activity::Create)) };
        slack.send(&message, &Rendering::default()).await.expect("taken");
    }
    let reports: Vec<_> = incidents.iter().map(|incident| report(incident, Activity::Update)).collect();
    let digest = Digest { incidents: reports.clone(), grown: reports, ..Digest::default() }.in_order();
    slack
        .send(&Message { id: "2".to_owned(), body: MessageBody::Digest(digest) }, &Rendering::default())
        .await
        .expect("taken");
    assert_eq!((fake.messages().len(), fake.refused()), (incidents.len() + 1, Vec::new()));
    let links = |found: &stakeout_fakes::markup::ActiveMarkup| format!("{found:?}");
    assert_eq!(fake.active_markup().iter().map(links).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn sns_takes_messages_about_hostile_incidents_with_attributes_to_filter_by() {
    let fake = Sns::start().await.expect("a free port");
    let endpoint = Endpoint::parse_base(&fake.endpoint()).expect("an address");
    let access = Access::fake("eu-west-1", endpoint);
    let incidents = drawn();
    for name in ["alerts", "alerts.fifo"] {
        let topic = fake.create_topic("eu-west-1", name);
        let sns = stakeout_notify::sns::Sns::new(topic, &access, &Network::default()).expect("loopback");
        for incident in &incidents {
            for activity in [Activity::Create, Activity::Update, Activity::Close] {
                let id = format!("1-incident-{}-{}", incident.key, activity as u8);
                let message = Message { id, body: MessageBody::Incident(report(incident, activity)) };
                sns.send(&message, &AddressBook::default(), now()).await.expect("taken");
            }
        }
    }
    let published = fake.messages();
    assert_eq!(published.len(), 6 * incidents.len());
    for (at, one) in published.iter().enumerate() {
        let incident = &incidents[at / 3 % incidents.len()];
        let uid = incident.key.to_string();
        let object: Value = serde_json::from_str(&one.message).expect("JSON");
        schema::assert_incident(&object);
        assert_eq!(object["unmapped"]["incident"]["uid"], uid);
        let attribute = |name: &str| one.attributes.get(name).map(|(_, value)| value.as_str());
        assert_eq!(attribute("class"), Some("2005"));
        assert_eq!(attribute("actor"), Some(incident.actor.kind()));
        assert_eq!(attribute("let_in"), Some("false"));
        assert!(attribute("rule").is_some() && attribute("clusters").is_some());
        let is_fifo = one.topic_arn.ends_with(".fifo");
        assert_eq!(one.group_id.as_ref(), is_fifo.then_some(&uid));
        assert_eq!(one.dedup_id, is_fifo.then(|| format!("1-incident-{uid}-{}", at % 3 + 1)));
    }
}

#[tokio::test]
async fn a_webhook_gets_the_object_and_the_id_of_each_message() {
    let fake = Webhook::start().await.expect("a free port");
    let credentials = stakeout_notify::webhook::Credentials::default();
    let webhook =
        stakeout_notify::webhook::Webhook::new(SecretString::from(fake.url()), credentials, &Network::default())
            .expect("loopback");
    let incidents = drawn();
    for incident in &incidents {
        let message =
            Message { id: "1-incident-x-1".to_owned(), body: MessageBody::Incident(report(incident, Activity::Close)) };
        webhook.send(&message, &AddressBook::default(), now()).await.expect("taken");
    }
    let expected: Vec<Value> = incidents
        .iter()
        .map(|incident| ocsf::incident_message(&report(incident, Activity::Close), Some("1-incident-x-1"), now()))
        .collect();
    assert_eq!(fake.values(), expected);
    let id = ("x-stakeout-delivery".to_owned(), "1-incident-x-1".to_owned());
    assert!(fake.posts().iter().all(|post| post.headers.contains(&id)));
}
