//! Attacks that try not to be seen: slow, spread, under borrowed names, with forged origins, without refusals.

use std::collections::BTreeSet;

use super::request::{CURL, KUBECTL, KUBELET, Request, SCANNER, findings};
use super::{by_rule, network};

/// The rule that needs one request only.
const LONE: &str = "kubernetes-probing-without-credentials";
const STRANGER: &str = "77.20.0.1";
const ACCOUNT: &str = "system:serviceaccount:prod:web";
const SIX_HOURS: u32 = 21_500;

/// What strangers of the recordings ask for.
const TARGETS: [&str; 3] = ["/api/v1/pods", "/api/v1/secrets", "/api/v1/nodes"];
/// What a stolen service account of the recordings is refused.
const INVENTORY: [&str; 8] = [
    "/api/v1/secrets?limit=500",
    "/api/v1/namespaces/kube-system/secrets?limit=500",
    "/api/v1/namespaces/kube-system/configmaps?limit=500",
    "/api/v1/nodes?limit=500",
    "/api/v1/namespaces?limit=500",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles?limit=500",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings?limit=500",
    "/api/v1/serviceaccounts?limit=500",
];
/// Names that attackers borrow.
const NAMES: [Option<&str>; 7] = [
    None,
    Some(CURL),
    Some(SCANNER),
    Some("kube-probe/1.33"),
    Some("ELB-HealthChecker/2.0"),
    Some(KUBELET),
    Some(KUBECTL),
];

fn addresses(number: usize) -> Vec<String> {
    (0..number).map(|at| format!("77.20.{}.{}", at / 250, at % 250 + 1)).collect()
}

/// Returns `number` requests over `seconds`, for one target after another, from one address after another.
fn spread(number: usize, seconds: u32, code: u16, sources: &[String], targets: &[&str]) -> Vec<Request> {
    (0..number)
        .map(|place| {
            let at = u32::try_from(u64::from(seconds) * place as u64 / number as u64).expect("within the seconds");
            Request::new(at, &sources[place % sources.len()], code, targets[place % targets.len()])
        })
        .collect()
}

fn named(requests: Vec<Request>, agent: Option<&str>) -> Vec<Request> {
    requests.into_iter().map(|request| Request { agent: agent.map(str::to_owned), ..request }).collect()
}

/// Asserts that every one of `attackers` is accused and nobody else, with at most `most` findings.
fn assert_found(what: &str, requests: &[Request], attackers: &[String], most: usize) {
    let findings = findings(requests);
    let accused: BTreeSet<_> = findings.iter().flat_map(|finding| &finding.sources).copied().collect();
    let attackers: BTreeSet<_> = attackers.iter().map(|attacker| network(attacker)).collect();
    let missed: Vec<_> = attackers.difference(&accused).take(5).collect();
    let wrongly: Vec<_> = accused.difference(&attackers).take(5).collect();
    assert!(missed.is_empty() && wrongly.is_empty(), "{what}: missed {missed:?}, wrongly accused {wrongly:?}");
    // One rule needs one request only and names one address in each finding.
    let (lone, others): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.rule == LONE);
    assert!(others.len() <= most && lone.len() <= attackers.len(), "{what}: {:?}", by_rule(&findings));
}

#[test]
fn slow_scans_are_found() {
    let one = [STRANGER.to_owned()];
    for code in [401, 403] {
        for targets in [&TARGETS[1..2], &TARGETS[..]] {
            assert_found(&format!("slow {code}"), &spread(12, SIX_HOURS, code, &one, targets), &one, 3);
        }
    }
    let account = spread(12, SIX_HOURS, 403, &one, &INVENTORY);
    let account: Vec<_> = account.into_iter().map(|request| request.by(ACCOUNT).with(KUBECTL)).collect();
    assert_found("slow service account", &account, &one, 3);
}

#[test]
fn many_addresses_are_a_handful_of_findings() {
    for number in [60, 100, 2_500] {
        let sources = addresses(number);
        for code in [401, 403] {
            for seconds in [600, SIX_HOURS] {
                let what = format!("{code} from {number} addresses in {seconds} s");
                let requests = spread(number.max(200), seconds, code, &sources, &TARGETS);
                assert_found(&what, &requests, &sources, 4);
            }
            for agent in NAMES {
                let what = format!("{code} from {number} addresses as {agent:?}");
                let requests = named(spread(number.max(200), 600, code, &sources, &TARGETS), agent);
                assert_found(&what, &requests, &sources, 4);
            }
            let rotating: Vec<_> = spread(number.max(200), 600, code, &sources, &TARGETS)
                .into_iter()
                .enumerate()
                .map(|(at, request)| request.with(&format!("agent-{}", at % 37)))
                .collect();
            assert_found(&format!("{code}, an agent for each"), &rotating, &sources, 4);
        }
    }
}

#[test]
fn scans_under_a_borrowed_name_are_found() {
    for (code, agent) in [401, 403].into_iter().flat_map(|code| NAMES.map(|agent| (code, agent))) {
        for ip in [STRANGER, "10.0.9.9", "100.64.7.9"] {
            let one = [ip.to_owned()];
            let requests = named(spread(12, 60, code, &one, &TARGETS[..2]), agent);
            assert_found(&format!("{code} from {ip} as {agent:?}"), &requests, &one, 3);
        }
    }
}

#[test]
fn addresses_of_one_network_are_one_source() {
    let sources: Vec<String> = (1..40).map(|at| format!("2a00:1450:4001:7::{at:x}")).collect();
    for code in [401, 403] {
        assert_found("rotating within a /64", &spread(39, 60, code, &sources, &TARGETS), &sources, 3);
    }
}

/// Who is named before the real source is a victim or nobody.
#[test]
fn a_forged_origin_does_not_accuse_the_forged_address() {
    let one = [STRANGER.to_owned()];
    for (code, through_balancer) in [(401, false), (401, true), (403, false), (403, true)] {
        let mut requests = spread(12, 60, code, &one, &TARGETS[1..2]);
        for (at, request) in requests.iter_mut().enumerate() {
            request.source_ips.insert(0, format!("8.8.4.{at}"));
            if through_balancer {
                request.source_ips.push("10.0.0.50".to_owned());
            }
        }
        assert_found(&format!("forged, {code}, balancer: {through_balancer}"), &requests, &one, 3);
    }
}

#[test]
fn tools_are_found_whatever_they_are_refused_with() {
    let kube_hunter = [
        "/",
        "/version",
        "/api",
        "/api/v1/namespaces",
        "/apis/rbac.authorization.k8s.io/v1/roles",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/api/v1/pods",
    ];
    let nmap = ["/", "/nice%20ports%2C/Tri%6Eity.txt%2ebak"];
    let gobuster = ["/", "/3b613d6c-7ce1-4956-bfa3-b1d70c3ec6b0"];
    let one = [STRANGER.to_owned()];
    for code in [401, 403] {
        for targets in [&kube_hunter[..], &nmap, &gobuster] {
            assert_found(&format!("{code} {targets:?}"), &spread(targets.len(), 5, code, &one, targets), &one, 3);
        }
    }
    let words: Vec<String> = (0..90).map(|word| format!("/word-{word}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for code in [401, 403] {
        assert_found("a word list", &spread(90, 5, code, &one, &words), &one, 3);
    }
}

#[test]
fn a_stolen_service_account_is_found_wherever_it_is_used() {
    for ip in [STRANGER, "10.0.3.72", "100.64.7.74"] {
        for agent in [None, Some(CURL), Some(KUBECTL), Some(KUBELET), Some("kube-probe/1.33")] {
            let one = [ip.to_owned()];
            let by_account = |requests: Vec<Request>| -> Vec<Request> {
                named(requests, agent).into_iter().map(|request| request.by(ACCOUNT)).collect()
            };
            let inventory = by_account(spread(8, 60, 403, &one, &INVENTORY));
            assert_found(&format!("inventory from {ip} as {agent:?}"), &inventory, &one, 3);

            let question = ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"];
            let questions = by_account(spread(26, 5, 201, &one, &question));
            let questions: Vec<_> = questions.into_iter().map(|request| request.verb("create")).collect();
            assert_found(&format!("questions from {ip} as {agent:?}"), &questions, &one, 3);

            let secrets: Vec<String> = (0..20).map(|at| format!("/api/v1/namespaces/prod/secrets/s{at}")).collect();
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            assert_found("secrets", &by_account(spread(20, 200, 403, &one, &secrets)), &one, 3);

            let shell = ["/api/v1/namespaces/prod/pods/web-0/exec"];
            assert_found("exec", &by_account(spread(6, 60, 403, &one, &shell)), &one, 3);
        }
    }
}

/// What is asked for in all breadth betrays an account, however slowly, and from however many addresses.
#[test]
fn a_stolen_service_account_is_found_over_hours_and_addresses() {
    let reviews = "/apis/authorization.k8s.io/v1/selfsubject";
    let question = format!("{reviews}accessreviews");
    let mut questions = vec![question.as_str(); 12];
    let list = format!("{reviews}rulesreviews");
    questions.push(&list);
    let lists = [&INVENTORY[..], &["/api/v1/pods?limit=500", "/apis/apps/v1/deployments?limit=500"]].concat();
    for number in [1, 26, 60] {
        for seconds in [60, SIX_HOURS] {
            let sources = addresses(number);
            let by_account = |code, targets: &[&str]| -> Vec<Request> {
                let requests = spread(26.max(number), seconds, code, &sources, targets).into_iter();
                requests.map(|request| request.by(ACCOUNT).with(KUBECTL)).collect()
            };
            let asked: Vec<_> = by_account(201, &questions).into_iter().map(|request| request.verb("create")).collect();
            assert_found(&format!("questions from {number} in {seconds} s"), &asked, &sources, 3);
            assert_found(&format!("lists from {number} in {seconds} s"), &by_account(403, &lists), &sources, 3);
        }
    }
}

#[test]
fn who_is_let_in_after_a_burst_is_critical() {
    let one = [STRANGER.to_owned()];
    for code in [401, 403] {
        let mut requests = spread(12, 60, code, &one, &TARGETS[1..2]);
        requests.push(Request::new(600, STRANGER, 200, "/api/v1/secrets").by(ACCOUNT));
        let findings = findings(&requests);
        assert_eq!(by_rule(&findings).get("kubernetes-denied-then-let-in"), Some(&1), "{code}: {findings:?}");
    }
}
