//! All three clouds under their own names, behind a proxy that opens TLS connections: which requests go through it, which
//! never do, and whom the binary trusts. Credentials that are refused are renewed within the same run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::Value;
use stakeout_fakes::{Fault, Faults, Proxy, Sts};
use tokio::runtime::Runtime;

use super::audit::{DAY, HOUR, MINUTE, refused, utc};
use super::ran::Ran;
use super::world::{Cloud, World};

const CHAIN: &str = include_str!("../data/tls/server.pem");
const KEY: &str = include_str!("../data/tls/server.key");
const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/tls/ca.pem");

const ROLE: &str = "arn:aws:iam::111122223333:role/reader";
const EXTERNAL_ID: &str = "canary-7f3a";
const TENANT: &str = "11112222-3333-4444-5555-666677778888";
const CLIENT: &str = "99990000-3333-4444-5555-666677778888";
const SECRET: &str = "canary-s3cret";
/// When `once` runs: the window is [23:50, 00:50).
const NOW: i64 = DAY + HOUR + 5 * MINUTE;

/// A world whose clouds have their real names.
pub(crate) struct Proxied {
    pub(crate) world: World,
    proxy: Proxy,
    pub(crate) sts: Sts,
    _runtime: Runtime,
}

impl Proxied {
    /// Starts with a scan in each of the logs.
    pub(crate) fn new() -> Proxied {
        let world = World::of(&Cloud::THREE);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (proxy, sts) = runtime.block_on(async { (Proxy::start(CHAIN, KEY).await, Sts::start().await) });
        let (proxy, sts) = (proxy.expect("a port"), sts.expect("a port"));
        proxy.route("logs.eu-west-1.amazonaws.com", &world.logs.endpoint());
        proxy.route("sts.eu-west-1.amazonaws.com", &sts.endpoint());
        proxy.route("sns.eu-west-1.amazonaws.com", &world.sns.endpoint());
        proxy.route("logging.googleapis.com", &world.cloud_logging.endpoint());
        proxy.route("api.loganalytics.io", &world.log_analytics.endpoint());
        proxy.route("login.microsoftonline.com", &world.log_analytics.endpoint());
        sts.create_role(ROLE, Some(EXTERNAL_ID));
        world.cloud_logging.issue_tokens(&["token"]);
        world.cloud_logging.require_token(Some("token"));
        world.log_analytics.allow_anonymous(false);
        world.log_analytics.register(CLIENT, stakeout_fakes::log_analytics::Proof::Secret(SECRET.to_owned()));
        for cloud in Cloud::THREE {
            world.ingest_into(cloud, &refused("8.8.8.8", DAY + 40 * MINUTE, 12, 10));
        }
        let proxied = Proxied { world, proxy, sts, _runtime: runtime };
        proxied.use_real_names();
        proxied
    }

    fn use_real_names(&self) {
        let World { logs, cloud_logging, log_analytics, sns, .. } = &self.world;
        let change = |endpoint: String, instead: &str| {
            self.world.reconfigure(&format!(", endpoint: \"{endpoint}\""), instead);
        };
        change(logs.endpoint(), &format!(", assume_role: {{arn: \"{ROLE}\", external_id: {EXTERNAL_ID}}}"));
        change(cloud_logging.endpoint(), "");
        change(
            log_analytics.endpoint(),
            &format!(", credential: client_secret, tenant_id: {TENANT}, client_id: {CLIENT}, client_secret: {SECRET}"),
        );
        change(sns.endpoint(), "");
    }

    /// Returns a verb, with credentials for AWS, a metadata server of Google, and the proxy.
    pub(crate) fn command(&self, verb: &[&str]) -> Command {
        let mut command = self.world.command(verb);
        let metadata = self.world.cloud_logging.endpoint().replace("http://", "");
        command.env("GCE_METADATA_HOST", metadata).env("HOME", "/nonexistent");
        command.env("AWS_ACCESS_KEY_ID", "AKIDFAKE").env("AWS_SECRET_ACCESS_KEY", "canary-aws");
        command.env("HTTPS_PROXY", self.proxy.url("")).env("HTTP_PROXY", self.proxy.url(""));
        command
    }

    /// Runs `once` with a change of its environment.
    pub(crate) fn once(&self, change: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(&["once", "--at", &utc(NOW)]);
        change(&mut command);
        Ran::of(command.output())
    }

    /// Lets a host lead to the fake at `url`.
    pub(crate) fn route(&self, host: &str, url: &str) {
        self.proxy.route(host, url);
    }

    /// Lets a verb trust the proxy's authority.
    #[expect(clippy::unused_self, reason = "it is this proxy's authority")]
    pub(crate) fn trust(&self, command: &mut Command) {
        command.env("SSL_CERT_FILE", CA);
    }

    /// Names the proxy's authority in the config.
    pub(crate) fn trust_by_config(&self) {
        self.world.reconfigure("sources:\n", &format!("tls: {{ca_file: {CA:?}}}\nsources:\n"));
    }

    /// Returns the hosts that the proxy was asked for, each once.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self.proxy.tunnels().into_iter().map(|tunnel| tunnel.target).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Returns the clusters that findings came of, each once.
    pub(crate) fn clusters(&self) -> Vec<String> {
        let mut clusters: Vec<String> = Vec::new();
        for published in self.world.sns.messages() {
            let object: Value = serde_json::from_str(&published.message).expect("JSON");
            let resources = object["resources"].as_array().into_iter().flatten();
            clusters.extend(resources.filter_map(|resource| resource["name"].as_str()).map(str::to_owned));
        }
        clusters.sort();
        clusters.dedup();
        clusters
    }
}

fn trusting(setting: &'static str) -> impl Fn(&mut Command) {
    move |command| {
        command.env(setting, CA);
    }
}

const ALL_HOSTS: [&str; 6] = [
    "api.loganalytics.io:443",
    "logging.googleapis.com:443",
    "login.microsoftonline.com:443",
    "logs.eu-west-1.amazonaws.com:443",
    "sns.eu-west-1.amazonaws.com:443",
    "sts.eu-west-1.amazonaws.com:443",
];

#[test]
fn every_cloud_is_reached_through_the_proxy_and_the_metadata_server_is_not() {
    let proxied = Proxied::new();
    proxied.once(trusting("SSL_CERT_FILE")).assert_code(0);
    assert_eq!(proxied.hosts(), ALL_HOSTS);
    let mut expected: Vec<&str> = Cloud::THREE.iter().map(|cloud| cloud.cluster()).collect();
    expected.sort_unstable();
    assert_eq!(proxied.clusters(), expected);
}

#[test]
fn a_ca_file_of_the_config_adds_to_the_systems_roots() {
    let proxied = Proxied::new();
    proxied.trust_by_config();
    proxied.once(|_| {}).assert_code(0);
    assert_eq!(proxied.hosts(), ALL_HOSTS);
}

#[test]
fn destinations_are_reached_through_the_proxy() {
    let proxied = Proxied::new();
    proxied.trust_by_config();
    let World { slack, webhook, .. } = &proxied.world;
    proxied.world.reconfigure(&slack.url(), "https://hooks.slack.com");
    // The proxy has a certificate for the names of AWS.
    let hook = "notify:\n  - {name: hook, webhook: {url: \"https://siem.amazonaws.com/hook\"}}\n";
    proxied.world.reconfigure("notify:\n", hook);
    proxied.route("hooks.slack.com", &slack.url());
    proxied.route("siem.amazonaws.com", webhook.url().trim_end_matches("/hook"));
    proxied.once(|_| {}).assert_code(0);
    assert!(!slack.messages().is_empty() && !webhook.posts().is_empty());
    for host in ["hooks.slack.com:443", "siem.amazonaws.com:443"] {
        assert!(proxied.hosts().contains(&host.to_owned()), "{:?}", proxied.hosts());
    }
}

/// Returns how many connections begin as TLS does, up to one that begins with a dot, and answers none.
fn hellos(listener: &TcpListener) -> usize {
    let first = |stream: std::io::Result<TcpStream>| {
        let mut byte = [0];
        stream.and_then(|mut stream| stream.read_exact(&mut byte)).map_or(0, |()| byte[0])
    };
    listener.incoming().map(first).take_while(|byte| *byte != b'.').filter(|byte| *byte == 0x16).count()
}

/// What a network excepts is seen by who is asked: an address of this machine that is none of its loopback addresses.
#[test]
fn exceptions_are_not_asked_through_the_proxy() {
    let proxied = Proxied::new();
    proxied.trust_by_config();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let endpoint = |old: &str, url: &str| proxied.world.reconfigure(old, &format!("{old}, endpoint: \"{url}\""));
    endpoint("log_group: /aws/eks/dev/cluster", &format!("https://0.0.0.0:{port}"));
    endpoint("location: europe-west1", "https://logging.corp.invalid");
    let asked = |exceptions: &str| {
        let mut doctor = proxied.command(&["doctor", "-o", "json", "--at", &utc(NOW)]);
        let (code, _) = World::doctor_with(doctor.env("NO_PROXY", exceptions));
        assert_eq!(code, Some(1));
        proxied.hosts()
    };
    let hellos = std::thread::spawn(move || hellos(&listener));
    let excepted = asked("0.0.0.0/8, .corp.invalid");
    TcpStream::connect(("127.0.0.1", port)).and_then(|mut last| last.write_all(b".")).expect("it listens");
    assert!(hellos.join().expect("no panic") > 0, "it was asked directly");
    assert_eq!(
        excepted,
        ["api.loganalytics.io:443", "login.microsoftonline.com:443", "sts.eu-west-1.amazonaws.com:443"]
    );
    let all = asked("10.0.0.0/8,corp.example");
    for host in [format!("0.0.0.0:{port}"), "logging.corp.invalid:443".to_owned()] {
        assert!(all.contains(&host), "{all:?}");
    }
}

#[test]
fn the_bundle_of_aws_is_for_aws_alone() {
    let proxied = Proxied::new();
    let ran = proxied.once(trusting("AWS_CA_BUNDLE"));
    ran.assert_code(1);
    assert_eq!(proxied.clusters(), [Cloud::Eks.cluster()]);
    let untrusted = ran.stderr.matches("certificate is not trusted").count();
    assert!(untrusted >= 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("tls: {ca_file: PATH}"), "{}", ran.stderr);
}

#[test]
fn a_proxy_gets_its_password_and_nobody_else_does() {
    let proxied = Proxied::new();
    proxied.proxy.require_authorization(Some("Basic dXNlcjpjYW5hcnk="));
    let ran = proxied.once(|command| {
        command.env("SSL_CERT_FILE", CA).env("HTTPS_PROXY", proxied.proxy.url("user:canary@"));
        command.env("STAKEOUT_LOG", "trace");
    });
    ran.assert_code(0);
    assert!(!ran.stderr.contains("canary") && !ran.stdout.contains("canary"), "{}", ran.stderr);
    let ran = Ran::of(proxied.command(&["doctor", "--at", &utc(NOW)]).env("SSL_CERT_FILE", CA).output());
    assert!(ran.stdout.contains("the proxy demands a user name and a password"), "{}", ran.stdout);
    assert!(ran.stdout.contains("http://USER:PASSWORD@HOST:PORT"), "{}", ran.stdout);
}

#[test]
fn a_trace_shows_no_external_id_no_secret_and_no_token() {
    let proxied = Proxied::new();
    proxied.world.cloud_logging.issue_tokens(&["canary-token"]);
    proxied.world.cloud_logging.require_token(Some("canary-token"));
    let ran = proxied.once(|command| {
        command.env("SSL_CERT_FILE", CA).env("STAKEOUT_LOG", "trace");
    });
    ran.assert_code(0);
    assert!(ran.stderr.lines().count() > 3, "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("ASIAFAKEROLE") && !ran.stderr.contains("Bearer "), "{}", ran.stderr);
}

#[test]
fn refused_credentials_are_renewed_within_the_run() {
    let proxied = Proxied::new();
    let World { logs, cloud_logging, log_analytics, .. } = &proxied.world;
    let expired =
        r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#;
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 400, body: expired.to_owned() }));
    cloud_logging.issue_tokens(&["stale", "token"]);
    let invalid = r#"{"error":{"code":"InvalidAuthenticationToken","message":"The access token is invalid."}}"#;
    let refusal = Some(Fault::Answer { status: 403, body: invalid.to_owned() });
    log_analytics.set_faults(Faults { script: vec![None, refusal].into(), ..Faults::default() });
    proxied.once(trusting("SSL_CERT_FILE")).assert_code(0);
    let mut expected: Vec<&str> = Cloud::THREE.iter().map(|cloud| cloud.cluster()).collect();
    expected.sort_unstable();
    assert_eq!(proxied.clusters(), expected);
    assert_eq!(proxied.sts.requests().len(), 2, "the role is assumed again");
    assert_eq!(log_analytics.tokens_issued(), 2);
}

#[test]
fn a_refusal_of_sts_is_final_at_once() {
    for code in ["InvalidIdentityToken", "RegionDisabledException", "ExpiredTokenException", "AccessDenied"] {
        let proxied = Proxied::new();
        let body = Sts::refusal(code, "no");
        proxied.sts.set_faults(Faults::always(Fault::Answer { status: 400, body }));
        let ran = proxied.once(trusting("SSL_CERT_FILE"));
        ran.assert_code(1);
        assert!(ran.stderr.contains(code), "{}", ran.stderr);
        // One try for the window, and none that repeats it.
        assert_eq!(proxied.sts.requests().len(), 1, "{code}: {}", ran.stderr);
        assert_eq!(proxied.world.logs.requests().len(), 0);
    }
}

#[test]
fn doctor_shows_which_way_each_endpoint_is_reached() {
    let proxied = Proxied::new();
    let mut command = proxied.command(&["doctor", "-o", "json", "--at", &utc(NOW)]);
    command.env("SSL_CERT_FILE", CA).env("NO_PROXY", "login.microsoftonline.com");
    let ran = Ran::of(command.output());
    let address = proxied.proxy.url("");
    for way in [
        format!("https://logs.eu-west-1.amazonaws.com: through the proxy {address} (HTTPS_PROXY)"),
        format!("https://sts.eu-west-1.amazonaws.com: through the proxy {address} (HTTPS_PROXY)"),
        format!("https://logging.googleapis.com: through the proxy {address} (HTTPS_PROXY)"),
        format!("https://api.loganalytics.io: through the proxy {address} (HTTPS_PROXY)"),
        "https://login.microsoftonline.com: directly: NO_PROXY contains it".to_owned(),
    ] {
        assert!(ran.stdout.contains(&way), "{way}: {}{}", ran.stdout, ran.stderr);
    }
    assert!(!ran.stdout.contains("canary"), "{}", ran.stdout);
}

#[test]
fn the_managed_identity_of_azure_arc_is_refused_by_name() {
    let proxied = Proxied::new();
    let secret = format!("client_secret, tenant_id: {TENANT}, client_id: {CLIENT}, client_secret: {SECRET}");
    proxied.world.reconfigure(&secret, "managed_identity");
    let ran = proxied.once(|command| {
        proxied.trust(command);
        command.env("IDENTITY_ENDPOINT", "http://localhost:40342/metadata/identity/oauth2/token");
        command.env("IMDS_ENDPOINT", "http://localhost:40342");
    });
    ran.assert_code(1);
    assert!(ran.stderr.contains("Azure Arc managed identity isn't supported"), "{}", ran.stderr);
    assert!(ran.stderr.contains("use `credential: client_secret` on this machine"), "{}", ran.stderr);
}
