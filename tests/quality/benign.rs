//! Traffic that is refused a lot and attacks nobody: broken rights, expired logins, monitors, people who mistype. Each
//! kind has an address of its own; nobody may be accused, alone or beside attackers.

use super::request::{KUBECTL, KUBELET, Request, SCANNER, findings};
use super::{by_rule, network};

const KINDS: [&str; 18] = [
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/services",
    "/api/v1/endpoints",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/api/v1/serviceaccounts",
    "/api/v1/persistentvolumes",
    "/api/v1/events",
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/daemonsets",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
];
const OPERATOR: &str = "op/v1.2 (linux/amd64) kubernetes/abc";
const ARGO: &str = "argocd-application-controller/v0.0.0 (linux/amd64) kubernetes/$Format";

/// A kind of client: what it is, and the requests of one run of it from `source`, `at` its number.
type Client = (&'static str, u32, fn(u32, &str) -> Vec<Request>);

/// The clients, with how many times each runs; a run is ten seconds.
const CLIENTS: &[Client] = &[
    ("a controller that hammers one kind", 200, |at, source| {
        vec![
            Request::new(at, source, 403, "/api/v1/secrets?limit=500&resourceVersion=0")
                .by("system:serviceaccount:ops:op")
                .with(OPERATOR),
        ]
    }),
    ("a controller that lost all its rights", 20, |at, source| {
        kinds(at, source, 403, "?limit=500", "system:serviceaccount:argocd:controller", ARGO)
    }),
    ("a controller of many clusters whose token expired", 20, |at, source| {
        kinds(at, source, 401, "?limit=500", "", ARGO)
    }),
    ("a metrics exporter without rights", 20, |at, source| {
        let query = "?limit=500&resourceVersion=0";
        kinds(
            at,
            source,
            403,
            query,
            "system:serviceaccount:monitoring:ksm",
            "kube-state-metrics/v2.13 (linux/amd64) kubernetes/abc",
        )
    }),
    ("a leader election that may not", 200, |at, source| {
        let lease = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/lock";
        let request = Request::new(at, source, 403, lease).by("system:serviceaccount:ops:op").with(OPERATOR);
        vec![request.clone(), request.verb("update")]
    }),
    ("monitoring without credentials", 4, |at, source| {
        vec![Request::new(at, source, 403, "/metrics").with("Prometheus/3.5.0")]
    }),
    ("monitoring with a stale token", 200, |at, source| {
        let paths = ["/metrics", "/healthz", "/readyz", "/livez"];
        paths.map(|path| Request::new(at, source, 401, path).with("Blackbox Exporter/0.25")).to_vec()
    }),
    ("Prometheus with an expired token", 100, |at, source| {
        let paths = ["/api/v1/nodes", "/api/v1/pods", "/api/v1/services", "/api/v1/endpoints"];
        let paged = |path: &str| Request::new(at, source, 401, &format!("{path}?limit=500&resourceVersion=0"));
        paths.map(|path| paged(path).with("Prometheus/3.5.0")).to_vec()
    }),
    ("a dashboard of somebody with few rights", 3, |at, source| {
        let agent = "headlamp/0.25 (linux/amd64) kubernetes/abc";
        let mut page = kinds(at, source, 403, "?limit=500", "jane@corp.example", agent);
        page.extend(questions(at, source, "jane@corp.example", agent, 30));
        page
    }),
    ("a dashboard with a service account", 3, |at, source| {
        let agent = "dashboard-api/v1.10 (linux/amd64) kubernetes/abc";
        let mut page = kinds(at, source, 403, "?limit=500", "system:serviceaccount:dashboard:view", agent);
        page.extend(questions(at, source, "system:serviceaccount:dashboard:view", agent, 30));
        page
    }),
    ("a kubelet with an expired certificate", 100, |at, source| kubelet(at, source)),
    ("a pipeline with an expired token", 60, |at, source| {
        let paths = [
            "/api?timeout=32s",
            "/apis?timeout=32s",
            "/api/v1/namespaces/shop/pods?limit=500",
            "/openapi/v3?timeout=32s",
        ];
        paths.map(|path| Request::new(at, source, 401, path).with(KUBECTL)).to_vec()
    }),
    ("a pipeline with an expired token, by hand", 60, |at, source| {
        vec![Request::new(at, source, 401, "/apis/apps/v1/namespaces/shop/deployments/web")]
    }),
    ("a pipeline that lost its rights", 10, |at, source| {
        let kinds = ["configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims"];
        let path = |kind: &str| format!("/api/v1/namespaces/shop/{kind}/web");
        let request =
            |kind| Request::new(at, source, 403, &path(kind)).by("system:serviceaccount:ci:deployer").with(KUBECTL);
        kinds.map(request).to_vec()
    }),
    ("kubectl get all without rights", 3, |at, source| {
        let paths = [
            "/api/v1/namespaces/shop/pods",
            "/api/v1/namespaces/shop/services",
            "/apis/apps/v1/namespaces/shop/deployments",
            "/apis/apps/v1/namespaces/shop/daemonsets",
            "/apis/apps/v1/namespaces/shop/statefulsets",
            "/apis/batch/v1/namespaces/shop/jobs",
        ];
        let request = |path: &str| Request::new(at, source, 403, &format!("{path}?limit=500"));
        paths.map(|path| request(path).by("system:serviceaccount:ci:reporter").with(KUBECTL)).to_vec()
    }),
    ("a pipeline that asks what it may do", 8, |at, source| {
        questions(at, source, "system:serviceaccount:ci:careful", KUBECTL, 1)
    }),
    ("a person who mistypes", 2, |at, source| {
        let paths = [
            "/api/v1/namespaces/shpo/pods?limit=500",
            "/api/v1/nodes?limit=500",
            "/api/v1/namespaces?limit=500",
            "/api/v1/namespaces/shop/secrets/db",
            "/api/v1/namespaces/shop/pods/web-0/exec",
            "/api/v1/namespaces/shop/pods/web-0/exec",
        ];
        paths.map(|path| Request::new(at, source, 403, path).by("jane").with(KUBECTL)).to_vec()
    }),
    ("a person who forgot to log in", 1, |at, source| {
        let paths = ["/api?timeout=32s", "/apis?timeout=32s", "/api/v1/namespaces/default/pods?limit=500"];
        paths.map(|path| Request::new(at, source, 403, path).with(KUBECTL)).to_vec()
    }),
    ("kubectl of somebody without any rights", 20, |at, source| {
        let paths = ["/api?timeout=32s", "/apis?timeout=32s", "/openapi/v2?timeout=32s", "/version?timeout=32s"];
        paths.map(|path| Request::new(at, source, 403, path).by("bob").with(KUBECTL)).to_vec()
    }),
    ("an office behind one address", 50, |at, source| {
        let own = format!("/api/v1/namespaces/team-{at}/secrets?limit=500");
        let user = format!("user-{at}");
        let expired = ["/api?timeout=32s", "/api/v1/nodes?limit=500", "/api/v1/namespaces?limit=500"];
        let mut requests = expired.map(|path| Request::new(at, source, 401, path).with(KUBECTL)).to_vec();
        requests.push(Request::new(at, source, 403, &own).by(&user).with(KUBECTL));
        requests.push(Request::new(at, source, 200, &own).by(&user).with(KUBECTL));
        requests
    }),
    ("an uptime monitor where nobody is let in", 360, |at, source| {
        vec![Request::new(at, source, 401, "/version").with("UptimeRobot/2.0")]
    }),
    ("a homemade monitor where nobody is let in", 360, |at, source| {
        vec![Request::new(at, source, 401, "/").with("check")]
    }),
    ("a browser", 2, |at, source| {
        let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";
        ["/", "/favicon.ico"].map(|path| Request::new(at, source, 403, path).with(agent)).to_vec()
    }),
    ("the AWS scanner", 2, |at, source| {
        ["/", "/api/v1/pods"].map(|path| Request::new(at, source, 403, path).with(SCANNER)).to_vec()
    }),
    ("the AWS scanner where nobody is let in", 2, |at, source| {
        ["/", "/api/v1/pods"].map(|path| Request::new(at, source, 401, path).with(SCANNER)).to_vec()
    }),
    ("a node that joins", 4, |at, source| {
        let agent = "kubeadm/v1.33 (linux/amd64) kubernetes/abc";
        let paths = ["/api/v1/namespaces/kube-public/configmaps/cluster-info?timeout=10s"];
        paths.map(|path| Request::new(at, source, 403, path).with(agent)).to_vec()
    }),
    ("a node that lost a pod", 60, |at, source| {
        let path = format!("/api/v1/namespaces/shop/secrets/s{at}?resourceVersion=0");
        vec![Request::new(at, source, 403, &path).by("system:node:n1").with(KUBELET)]
    }),
    ("a secrets operator without rights", 100, |at, source| {
        let path = format!("/api/v1/namespaces/shop/secrets/s{}", at % 40);
        vec![Request::new(at, source, 403, &path).by("system:serviceaccount:eso:external-secrets").with(OPERATOR)]
    }),
    ("another cloud that fetches an issuer's keys", 2, |at, source| {
        let paths = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
        paths.map(|path| Request::new(at, source, 403, path).with("Java/21")).to_vec()
    }),
    ("a workload without a token", 4, |at, source| {
        vec![Request::new(at, source, 403, "/api/v1/namespaces/shop/endpoints").with("Java/21")]
    }),
];

fn kinds(at: u32, source: &str, code: u16, query: &str, user: &str, agent: &str) -> Vec<Request> {
    KINDS.iter().map(|kind| Request::new(at, source, code, &format!("{kind}{query}")).by(user).with(agent)).collect()
}

fn questions(at: u32, source: &str, user: &str, agent: &str, number: usize) -> Vec<Request> {
    let question = Request::new(at, source, 201, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    vec![question.by(user).with(agent).verb("create"); number]
}

fn kubelet(at: u32, source: &str) -> Vec<Request> {
    let get = ["/api/v1/nodes/n1?resourceVersion=0&timeout=10s", "/apis/storage.k8s.io/v1/csinodes/n1"];
    let list = [
        "/api/v1/services",
        "/api/v1/pods",
        "/apis/node.k8s.io/v1/runtimeclasses",
        "/apis/storage.k8s.io/v1/csidrivers",
    ];
    let create = [
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        "/api/v1/namespaces/default/events",
        "/api/v1/nodes",
    ];
    let request = |path: &str| Request::new(at, source, 401, path).with(KUBELET);
    let paged = |path: &&str| request(&format!("{path}?fieldSelector=spec.nodeName%3Dn1&limit=500&resourceVersion=0"));
    let mut requests: Vec<Request> = get.map(request).to_vec();
    requests.extend(list.iter().map(paged));
    requests.extend(create.map(|path| request(path).verb("create")));
    requests
}

/// Returns the requests of every client from inside and from the internet, with the address and the name of each.
fn clients() -> (Vec<Request>, Vec<(String, &'static str)>) {
    let mut requests = Vec::new();
    let mut names = Vec::new();
    for (place, (name, runs, run)) in CLIENTS.iter().enumerate() {
        for network in ["10.6", "54.21"] {
            // What only a workload inside does, and what it shares with strangers from outside.
            if network == "54.21" && *name == "a workload without a token" {
                continue;
            }
            let source = format!("{network}.{place}.7");
            requests.extend((0..*runs).flat_map(|at| run(at * 10, &source)));
            names.push((source, *name));
        }
    }
    (requests, names)
}

#[test]
fn misconfigured_clients_are_not_accused() {
    let (requests, names) = clients();
    let findings = findings(&requests);
    let accused: Vec<_> = names
        .iter()
        .filter(|(source, _)| findings.iter().any(|finding| finding.sources.contains(&network(source))))
        .collect();
    assert!(accused.is_empty() && findings.is_empty(), "{accused:?}: {:?}", by_rule(&findings));
}

/// Findings that name many addresses name those of the attack only, whatever else goes on.
#[test]
fn innocent_clients_beside_attackers_are_not_accused() {
    let (mut requests, names) = clients();
    for at in 0..100_u32 {
        let source = format!("88.1.0.{}", at + 1);
        for path in ["/api/v1/pods", "/api/v1/secrets"] {
            requests.push(Request::new(at * 9, &source, 403, path).with("python-requests/2.31.0"));
            requests.push(Request::new(at * 9, &source, 401, path).with("python-requests/2.31.0"));
        }
    }
    let findings = findings(&requests);
    let accused: Vec<_> = names
        .iter()
        .filter(|(source, _)| findings.iter().any(|finding| finding.sources.contains(&network(source))))
        .collect();
    // One rule needs one request only, and names each attacker.
    let crowds = findings.iter().filter(|finding| finding.rule != "kubernetes-probing-without-credentials").count();
    assert!(accused.is_empty() && crowds == 2, "{accused:?}: {:?}", by_rule(&findings));
}

/// The runners of a hosted pipeline come and go, each with an address of its own.
#[test]
fn clients_that_run_everywhere_are_not_accused() {
    let mut requests = Vec::new();
    for run in 0..40_u32 {
        let source = format!("54.22.{run}.7");
        requests.extend(questions(run * 540, &source, "system:serviceaccount:ci:careful", KUBECTL, 2));
        for kind in ["/api/v1/namespaces/shop/pods", "/apis/apps/v1/namespaces/shop/deployments"] {
            let list = Request::new(run * 540 + 1, &source, 403, &format!("{kind}?limit=500"));
            requests.push(list.by("system:serviceaccount:ci:reporter").with(KUBECTL));
        }
        let apply = Request::new(run * 540 + 2, &source, 403, "/apis/apps/v1/namespaces/shop/deployments/web");
        requests.push(apply.by("system:serviceaccount:ci:deployer").with(KUBECTL));
        requests
            .push(Request::new(run * 540 + 3, &source, 401, "/api/v1/namespaces/shop/pods?limit=500").with(KUBECTL));
    }
    let findings = findings(&requests);
    assert!(findings.is_empty(), "{:?}", by_rule(&findings));
}
