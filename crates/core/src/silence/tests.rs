//! A case for each rule of silences, and that a silenced incident has no finding that is heard.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::incident::tests::{by_account, by_address, by_crowd, finding, source, sources};
use crate::incident::{IncidentOptions, incidents};
use crate::rule::Level;

const NOW: Second = Second(1_000_000);

fn silence(id: &str, until: i64) -> Silence {
    Silence {
        id: id.to_owned(),
        source: None,
        cluster: None,
        rule: None,
        user: None,
        reason: "a test of penetration".to_owned(),
        owner: "ada".to_owned(),
        until: NOW.plus(until),
    }
}

fn from(network: &str) -> Silence {
    Silence { source: Some(network.parse().expect("a network")), ..silence("from", 60) }
}

#[test]
fn a_silence_fits_what_is_known_to_be_all_of_it() {
    let probed = finding(&by_address("probed", Level::Low, "5.5.5.66", 0));
    let network = finding(&by_address("probed", Level::Low, "2001:db8:7:8::1", 0));
    let account = finding(&by_account(Level::Low, "eve", vec![source("5.5.5.1"), source("5.5.5.2")], 0));
    let crowd = finding(&by_crowd(Level::Low, sources(9), 0));
    let mut of_two_clusters = probed.clone();
    of_two_clusters.clusters.insert("dev".to_owned());
    let mut nowhere = probed.clone();
    nowhere.clusters.clear();
    let mut cut = crowd.clone();
    let more = crate::address::SourceIp::V4;
    (0..5_000_u32).for_each(|host| {
        cut.sources.add(more((0x0505_0000 + host).into()));
    });
    assert!(cut.sources.is_cut());
    let cluster = |name: &str| Silence { cluster: Some(name.to_owned()), ..silence("of", 60) };
    let rule = |name: &str| Silence { rule: Some(name.to_owned()), ..silence("of", 60) };
    let user = |name: &str| Silence { user: Some(name.to_owned()), ..silence("of", 60) };
    for (silence, finding, fits) in [
        (from("5.5.5.66/32"), &probed, true),
        (from("5.5.5.0/24"), &probed, true),
        (from("5.5.6.0/24"), &probed, false),
        (from("::/0"), &probed, false),
        (from("2001:db8:7::/48"), &network, true),
        (from("2001:db8:7:8::/64"), &network, true),
        // The rest of the /64 is not known to be silenced.
        (from("2001:db8:7:8::1/128"), &network, false),
        (from("5.5.5.0/30"), &account, true),
        (from("5.5.5.2/32"), &account, false),
        (from("5.5.5.0/24"), &crowd, true),
        (from("5.5.5.0/29"), &crowd, false),
        (from("5.5.0.0/16"), &cut, false),
        (cluster("prod"), &probed, true),
        (cluster("dev"), &probed, false),
        (cluster("prod"), &of_two_clusters, false),
        (cluster("prod"), &nowhere, false),
        (rule("probed"), &probed, true),
        (rule("prob"), &probed, false),
        (user("eve"), &account, true),
        (user("Eve"), &account, false),
        (user("eve"), &probed, false),
        (Silence { rule: Some("explored".to_owned()), ..from("5.5.5.0/24") }, &account, true),
        (Silence { rule: Some("probed".to_owned()), ..from("5.5.5.0/24") }, &account, false),
    ] {
        assert_eq!(silence.fits(finding), fits, "{silence:?}");
    }
}

#[test]
fn an_incident_is_silenced_until_the_first_of_its_findings_is_heard() {
    let probed = finding(&by_address("probed", Level::Low, "5.5.5.66", 0));
    let read = finding(&by_address("read-secrets", Level::High, "5.5.5.66", 60));
    let rule = |id: &str, name: &str, until| Silence { rule: Some(name.to_owned()), ..silence(id, until) };
    let silences = Silences::new(vec![
        rule("a", "probed", 60),
        rule("b", "probed", 3_600),
        rule("c", "read-secrets", 600),
        rule("d", "read-secrets", 0),
    ]);
    let both = || [&probed, &read];
    let until = |at: i64| silences.silence(both(), NOW.plus(at)).map(|silenced| silenced.until);
    assert_eq!(until(0), Some(NOW.plus(600)));
    assert_eq!((until(599), until(600)), (Some(NOW.plus(600)), None));
    assert_eq!(silences.silence([&probed], NOW.plus(600)).map(|silenced| silenced.until), Some(NOW.plus(3_600)));
    assert_eq!(silences.silence([], NOW), None);
    let shown = silences.silence(both(), NOW).expect("silenced").to_string();
    let reason = "ada (b): a test of penetration; ada (c): a test of penetration";
    assert_eq!(shown, format!("silenced until {} by {reason}", NOW.plus(600)));
    let only_first = Silences::new(vec![rule("a", "probed", 60)]);
    assert_eq!(only_first.silence(both(), NOW), None, "nobody hides behind the silence of another rule");
}

#[test]
fn many_silences_of_an_incident_are_a_sum() {
    let findings: Vec<Finding> = sources(9)
        .into_iter()
        .map(|source| finding(&by_address("probed", Level::Low, &source.to_string(), 0)))
        .collect();
    let silences: Vec<Silence> =
        (1..=9_u8).map(|host| Silence { id: format!("s{host}"), ..from(&format!("5.5.5.{host}/32")) }).collect();
    let silenced = Silences::new(silences).silence(&findings, NOW).expect("silenced");
    assert_eq!((silenced.by.len(), silenced.others), (4, 5));
    assert!(silenced.to_string().ends_with("; and by 5 other silences"), "{silenced}");
}

prop_compose! {
    fn any_silence()(
        source in prop::option::of(select(vec!["5.5.5.0/24", "5.5.5.1/32", "0.0.0.0/0"])),
        cluster in prop::option::of(select(vec!["prod", "dev"])),
        rule in prop::option::of(select(vec!["probed", "explored", "distributed"])),
        user in prop::option::of(select(vec!["eve", "ada"])),
        until in -10..10_i64,
    ) -> Silence {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let source = source.map(|network| network.parse().expect("a network"));
        Silence { source, cluster: owned(cluster), rule: owned(rule), user: owned(user), ..silence("s", until) }
    }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let account = (select(vec!["eve", "ada"]), 0..4_u32, 0..9_i64)
        .prop_map(|(name, number, first)| by_account(Level::Low, name, sources(number), first));
    let address = (select(vec!["5.5.5.1", "6.6.6.6"]), 0..9_i64)
        .prop_map(|(address, first)| by_address("probed", Level::Low, address, first));
    let crowd = (0..9_u32, 0..9_i64).prop_map(|(number, first)| by_crowd(Level::Low, sources(number), first));
    (prop_oneof![account, address, crowd], prop::bool::ANY).prop_map(|(draft, is_on_dev)| {
        let mut finding = finding(&draft);
        if is_on_dev {
            finding.clusters.insert("dev".to_owned());
        }
        finding
    })
}

proptest! {
    /// Whatever is found: with one finding that no silence fits, an incident is heard; with more silences, no more is heard.
    #[test]
    fn a_silenced_incident_has_no_finding_that_is_heard(
        findings in prop::collection::vec(any_finding(), 0..8),
        silences in prop::collection::vec(any_silence(), 0..5),
        more in any_silence(),
    ) {
        let fits = |finding: &Finding| silences.iter().any(|one| !one.is_over(NOW) && one.fits(finding));
        let known = Silences::new(silences.clone());
        let with_more = Silences::new([&silences[..], &[more]].concat());
        for incident in incidents(&findings, &IncidentOptions::default()) {
            let own: Vec<&Finding> = findings
                .iter()
                .filter(|finding| incident.findings.iter().any(|(key, _)| *key == finding.key))
                .collect();
            let silenced = known.silence(own.iter().copied(), NOW);
            prop_assert_eq!(silenced.is_some(), own.iter().all(|finding| fits(finding)));
            if let Some(silenced) = silenced {
                prop_assert!(silenced.until > NOW);
                prop_assert_eq!(known.silence(own.iter().copied(), silenced.until), None);
                prop_assert!(with_more.silence(own.iter().copied(), NOW).is_some());
            }
        }
    }
}
