//! Three days of a cluster in which nobody attacks: what a team sees that installs Stakeout.

use super::request::{CURL, KUBECTL, KUBELET, Request, findings};
use super::{Finding, by_rule};

const DAYS: u32 = 3;
const END: u32 = DAYS * 86_400;
const NODES: u32 = 30;
const KINDS: [&str; 16] = [
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/api/v1/services",
    "/api/v1/persistentvolumes",
    "/api/v1/serviceaccounts",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/daemonsets",
    "/apis/batch/v1/jobs",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
];
const NAMESPACES: [&str; 7] = ["shop", "cart", "payments", "web", "search", "mail", "kube-system"];
const REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const RULES_REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// Returns what one client does every so many seconds. `run` has the second and the number of the run.
fn every(seconds: u32, run: impl Fn(u32, usize) -> Vec<Request>) -> Vec<Request> {
    (0..).zip((60..END).step_by(seconds as usize)).flat_map(|(number, at)| run(at, number)).collect()
}

fn kind(number: usize) -> &'static str {
    KINDS[number % KINDS.len()]
}

fn namespace(number: usize) -> &'static str {
    NAMESPACES[number % NAMESPACES.len()]
}

fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn program(name: &str) -> String {
    format!("{name}/v1.2.0 (linux/amd64) kubernetes/$Format")
}

/// Returns whether something that is asked for is refused: a third of it.
fn code(number: usize) -> u16 {
    if number.is_multiple_of(3) { 403 } else { 200 }
}

/// Controllers follow changes, ask for their leases and for what they are about to create.
fn controllers() -> Vec<Request> {
    const NAMES: [&str; 8] =
        ["argocd", "cert-manager", "external-secrets", "karpenter", "prometheus", "kyverno", "velero", "datadog"];
    let mut requests = Vec::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        let (user, agent, source) = (account(name, name), program(name), format!("10.2.1.{number}"));
        let asked = |request: Request| request.by(&user).with(&agent);
        requests.extend(every(36_000, |at, _| {
            let lists = KINDS.iter().map(|kind| format!("{kind}?limit=500&resourceVersion=0"));
            lists.map(|uri| asked(Request::new(at, &source, 200, &uri))).collect()
        }));
        requests.extend(every(7_200, |at, run| {
            let missing = format!("/api/v1/namespaces/{}/secrets/app-{run}", namespace(run));
            let questions = (0..40).map(|after| Request::new(at + after, &source, 201, REVIEW).verb("create"));
            questions.chain([Request::new(at, &source, 404, &missing)]).map(asked).collect()
        }));
    }
    requests
}

/// Health checks, and monitors outside.
fn probes() -> Vec<Request> {
    let mut requests = Vec::new();
    for (source, path, agent) in [
        ("10.0.128.51", "/readyz", "kube-probe/1.33"),
        ("10.0.128.52", "/livez?verbose", "ELB-HealthChecker/2.0"),
        ("63.143.42.250", "/", "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"),
        ("5.178.78.77", "/version", "Pingdom.com_bot_version_1.4"),
    ] {
        requests.extend(every(300, |at, _| vec![Request::new(at, source, 403, path).with(agent)]));
    }
    requests
}

/// Pipelines on hosted runners, each run at another address: they ask what they may, print it, look at the nodes, and deploy.
fn pipelines() -> Vec<Request> {
    every(2_400, |at, run| {
        let source = format!("20.{}.{}.7", 10 + run % 200, run / 200 + 3);
        let runs = [
            (201, "create", REVIEW, KUBECTL),
            (201, "create", REVIEW, KUBECTL),
            (201, "create", RULES_REVIEW, KUBECTL),
            (403, "list", "/api/v1/nodes?limit=500", KUBECTL),
            (200, "patch", "/apis/apps/v1/namespaces/shop/deployments/web", KUBECTL),
            (200, "list", "/api/v1/namespaces/shop/secrets?labelSelector=owner%3Dhelm", "Helm/3.16.1"),
            (404, "get", "/api/v1/namespaces/shop/secrets/web-tls", "Helm/3.16.1"),
        ];
        let asked = runs.into_iter().zip(at..).map(|((code, verb, uri, agent), at)| {
            Request::new(at, &source, code, uri).verb(verb).by(&account("ci", "deployer")).with(agent)
        });
        asked.collect()
    })
}

/// People with few rights behind Rancher and Teleport, which act in their names.
fn people_behind_proxies() -> Vec<Request> {
    let rancher = every(3_000, |at, run| {
        let user = ["u-4x9kd", "u-pz2rt", "u-w8sla"][run % 3];
        let proxy = account("cattle-impersonation-system", &format!("cattle-impersonation-{user}"));
        let pages = (0..12).map(|page| format!("{}?limit=1000", kind(run * 5 + page)));
        let secrets = (0..6).map(|page| format!("/api/v1/namespaces/{}/secrets?limit=1000", namespace(run + page)));
        let lists = pages.chain(secrets).enumerate();
        let asked = lists.map(|(number, uri)| Request::new(at, "10.42.0.16", code(number + run), &uri));
        asked.map(|request| request.by(&proxy).with("Go-http-client/2.0").in_the_name_of(user)).collect()
    });
    let teleport = every(1_500, |at, run| {
        let user = ["jane@corp", "tom@corp", "ann@corp"][run % 3];
        let mut asked = vec![
            Request::new(at, "10.2.4.4", 200, &format!("/api/v1/namespaces/{}/pods?limit=500", namespace(run))),
            Request::new(at + 9, "10.2.4.4", code(run), &format!("{}?limit=500", kind(run))),
        ];
        if run.is_multiple_of(5) {
            let secret = format!("/api/v1/namespaces/{}/secrets/db", namespace(run));
            asked.push(Request::new(at + 20, "10.2.4.4", 403, &secret));
        }
        if run.is_multiple_of(7) {
            let shell = Request::new(at + 40, "10.2.4.4", 403, "/api/v1/namespaces/shop/pods/web-0/exec?command=sh");
            asked.extend([shell.clone(), shell.verb("create")]);
        }
        let agent = account("teleport", "teleport-agent");
        asked.into_iter().map(|request| request.by(&agent).with(KUBECTL).in_the_name_of(user)).collect()
    });
    [rancher, teleport].concat()
}

/// People with a service account in Headlamp and the Kubernetes Dashboard, which request a page again while it is open, and with
/// their own login in Lens and k9s.
fn people_with_dashboards() -> Vec<Request> {
    let mut requests = Vec::new();
    let clients = [
        (account("people", "viewer"), "10.2.5.5", BROWSER.to_owned()),
        (account("people", "dashboard"), "10.2.5.7", program("dashboard-api")),
        ("jane".to_owned(), "81.92.17.4", "node-fetch".to_owned()),
        ("tom".to_owned(), "10.9.9.9", program("k9s")),
    ];
    for (user, source, agent) in clients {
        requests.extend(every(14_000, |at, run| {
            let open = (0..4).flat_map(|refresh| (0..14).map(move |page| (at + refresh * 5, page)));
            let lists =
                open.map(|(at, page)| Request::new(at, source, code(page), &format!("{}?limit=50", kind(run + page))));
            let questions = (0..9).map(|after| Request::new(at + after, source, 201, REVIEW).verb("create"));
            let all = [Request::new(at, source, 201, RULES_REVIEW).verb("create")];
            lists.chain(questions).chain(all).map(|request| request.by(&user).with(&agent)).collect()
        }));
    }
    // Another is not refreshed.
    requests.extend(every(30_000, |at, run| {
        let lists = (0..14).map(|page| Request::new(at, "10.2.5.8", 403, &format!("{}?limit=50", kind(run + page))));
        lists.map(|request| request.by(&account("people", "pages")).with(&program("dashboard-api"))).collect()
    }));
    requests
}

/// On every node, programs whose login expired go on for days.
fn expired_logins() -> Vec<Request> {
    let mut requests = Vec::new();
    for node in 0..NODES {
        let source = format!("10.0.1.{}", 20 + node);
        let mine = format!("fieldSelector=spec.nodeName%3Dn{node}&limit=500&resourceVersion=0");
        let follower =
            [program("vector"), "kube-rs/0.98".to_owned(), "Go-http-client/1.1".to_owned()][node as usize % 3].clone();
        requests.extend(every(3_600, |at, run| {
            let of_kubelet = [
                ("get", format!("/api/v1/nodes/n{node}?resourceVersion=0")),
                ("update", format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n{node}")),
                ("create", "/api/v1/nodes".to_owned()),
                ("create", "/api/v1/namespaces/default/events".to_owned()),
                ("create", "/apis/authentication.k8s.io/v1/tokenreviews".to_owned()),
                ("list", "/api/v1/services?limit=500&resourceVersion=0".to_owned()),
            ];
            let of_kubelet =
                of_kubelet.map(|(verb, uri)| Request::new(at, &source, 401, &uri).verb(verb).with(KUBELET));
            let logs = (0..4).map(|pod| {
                let uri = format!("/api/v1/namespaces/{}/pods/web-{pod}", namespace(run + pod));
                Request::new(at + 30, &source, 401, &uri).with("Fluent-Bit")
            });
            let followed = KINDS[..3].iter().map(|kind| Request::new(at + 60, &source, 401, &format!("{kind}?{mine}")));
            of_kubelet.into_iter().chain(logs).chain(followed.map(|request| request.with(&follower))).collect()
        }));
    }
    requests
}

/// Tools of the cluster's owner that may read less than they want: operators that follow changes or list everything once a day,
/// desktops of people, and a probe that takes any answer for a sign of life.
fn refused_tools() -> Vec<Request> {
    let mut requests = Vec::new();
    let mut once_a = |seconds: u32, source: &str, user: &str, agent: &str, query: &str| {
        requests.extend(every(seconds, |at, _| {
            let lists =
                KINDS.iter().zip(at..).map(|(kind, at)| Request::new(at, source, 403, &format!("{kind}{query}")));
            lists.map(|request| request.by(user).with(agent)).collect()
        }));
    };
    let following = "?limit=500&resourceVersion=0";
    once_a(900, "10.2.8.1", &account("trivy-system", "trivy-operator"), &program("trivy-operator"), following);
    once_a(900, "10.2.8.2", &account("kubescape", "operator"), &program("operator"), following);
    once_a(86_400, "10.2.8.3", &account("kubescape", "kubescape"), &program("kubescape"), "?limit=500");
    let velero = "velero-server/v1.16.2 (linux/amd64) 4dd4e8a9f3a5b9c1";
    once_a(86_400, "10.2.8.4", &account("velero", "velero"), velero, "?limit=500");
    once_a(20_000, "81.92.17.9", "ann", "node-fetch", "?limit=500");
    once_a(900, "10.9.9.7", "tim", &program("k9s"), "?limit=500");
    for (user, source, agent) in [("ann", "81.92.17.9", "node-fetch".to_owned()), ("tim", "10.9.9.7", program("k9s"))] {
        requests.extend(every(20_000, |at, run| {
            let questions = (0..60).map(|after| Request::new(at + after / 9, source, 201, REVIEW).verb("create"));
            let all = NAMESPACES.map(|_| Request::new(at, source, 201, RULES_REVIEW).verb("create"));
            let shell = format!("/api/v1/namespaces/{}/pods/web-0/exec?command=sh", namespace(run));
            let asked = questions.chain(all).chain([Request::new(at + 50, source, 403, &shell)]);
            asked.map(|request| request.by(user).with(&agent)).collect()
        }));
    }
    requests.extend(every(60, |at, _| {
        vec![Request::new(at, "10.217.0.2", 403, "/").verb("head").with("Go-http-client/1.1")]
    }));
    requests
}

fn nothing_broken() -> Vec<Request> {
    [controllers(), probes(), pipelines(), people_behind_proxies(), people_with_dashboards()].concat()
}

fn all_findings(mut requests: Vec<Request>) -> Vec<Finding> {
    requests.sort_by_key(|request| request.at);
    findings(&requests)
}

/// Asserts how many findings of level low and above three days make, of each rule, and that none is of medium or above.
fn assert_quiet(world: &str, requests: Vec<Request>, expected: &[(&str, usize)]) {
    let findings = all_findings(requests);
    let found = by_rule(&findings);
    eprintln!("{world}: {} findings of level low and above in {DAYS} days: {found:?}", findings.len());
    assert_eq!(found, expected.iter().copied().collect(), "{world}");
    assert!(findings.iter().all(|finding| finding.severity < 3), "{world}: {findings:?}");
}

#[test]
fn nothing_broken_is_less_than_one_finding_a_day() {
    // A page that nobody refreshes is requested as a scanner requests the cluster: once each. And each run of a pipeline on hosted
    // runners has another address.
    let expected = [("kubernetes-inventory-requested-once", 1), ("kubernetes-service-account-from-many-addresses", 1)];
    assert_quiet("nothing broken", nothing_broken(), &expected);
}

#[test]
fn a_fault_of_the_whole_fleet_is_at_most_one_finding() {
    assert_quiet("30 nodes with expired logins", expired_logins(), &[]);
}

#[test]
fn tools_that_may_not_read_the_cluster_are_no_attackers() {
    // A daily scan and a daily backup, each one finding for all days.
    assert_quiet("refused tools", refused_tools(), &[("kubernetes-inventory-requested-once", 2)]);
}

/// What is quiet does not hide an attacker among it.
#[test]
fn an_attacker_among_three_quiet_days_is_found() {
    let mut requests = [nothing_broken(), expired_logins()].concat();
    let quiet = all_findings(requests.clone()).len();
    let token = account("shop", "web");
    let lists = KINDS.iter().zip(100_000..);
    let lists = lists.map(|(uri, at)| Request::new(at, "10.2.7.7", 403, uri).by(&token).with(CURL));
    requests.extend(lists);
    let secrets = (0..12).map(|number| {
        let uri = format!("/api/v1/namespaces/payments/secrets/key-{number}");
        let asked = Request::new(150_000 + number, "10.2.4.4", 403, &uri).by(&account("teleport", "teleport-agent"));
        asked.with(KUBECTL).in_the_name_of("eve@corp")
    });
    requests.extend(secrets);
    let findings = all_findings(requests);
    let found = by_rule(&findings);
    assert!(findings.len() > quiet && found.contains_key("kubernetes-permission-enumeration"), "{found:?}");
    assert!(found.contains_key("kubernetes-secret-reads-denied"), "{found:?}");
}
