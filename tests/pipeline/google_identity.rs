//! Tokens of Google where no machine gives them: federation, impersonation, a person's sign-in and a key. The proxy opens TLS
//! connections, and only the config names its authority.

use std::time::Duration;

use serde_json::{Value, json};
use stakeout_fakes::LogAnalytics;

use super::proxied::Proxied;
use super::ran::Ran;
use super::world::Cloud;

const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/eks";
const SUBJECT: &str = "canary.subject.token";
const ACCOUNT: &str = "reader@acme-dev.iam.gserviceaccount.com";
/// A key of nobody.
const KEY: &str = include_str!("../data/tls/google.key");

/// Starts with the token services under their names, and a federated identity that is known to them.
fn proxied(account: Option<&str>) -> Proxied {
    let proxied = Proxied::new();
    let google = &proxied.world.cloud_logging;
    for host in ["sts.googleapis.com", "iamcredentials.googleapis.com", "oauth2.googleapis.com"] {
        proxied.route(host, &google.endpoint());
    }
    google.federate(AUDIENCE, SUBJECT, account);
    google.sign_in("canary-refresh");
    google.issue_tokens(&["canary-token"]);
    google.require_token(Some("canary-token"));
    std::fs::write(proxied.world.path("subject"), format!("{SUBJECT}\n")).expect("written");
    std::fs::write(proxied.world.path("subject.json"), json!({"id_token": SUBJECT}).to_string()).expect("written");
    proxied
}

/// Returns a file of federation that reads its token from a file, as a text or from a member.
fn federation(proxied: &Proxied, is_json: bool) -> Value {
    let source = match is_json {
        false => json!({"file": proxied.world.path("subject")}),
        true => json!({
            "file": proxied.world.path("subject.json"),
            "format": {"type": "json", "subject_token_field_name": "id_token"},
        }),
    };
    json!({
        "type": "external_account", "audience": AUDIENCE, "token_url": "https://sts.googleapis.com/v1/token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": source,
    })
}

fn impersonation_url() -> String {
    format!("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken")
}

fn once(proxied: &Proxied, credentials: &Value) -> Ran {
    let file = proxied.world.path("google.json");
    std::fs::write(&file, credentials.to_string()).expect("written");
    proxied.once(|command| {
        command.env("GOOGLE_APPLICATION_CREDENTIALS", file).env("STAKEOUT_LOG", "trace");
    })
}

/// Returns the requests for tokens, in order.
fn token_requests(proxied: &Proxied) -> Vec<String> {
    let targets = proxied.world.cloud_logging.requests().into_iter().map(|request| request.target);
    targets.filter(|target| !target.ends_with("/v2/entries:list")).collect()
}

#[test]
fn every_exchange_for_a_token_trusts_the_authority_of_the_config() {
    let sts = "POST /v1/token".to_owned();
    let iam = format!("POST /v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    let case = |account: Option<&str>, credentials: &dyn Fn(&Proxied) -> Value, asked: &[String]| {
        let proxied = proxied(account);
        proxied.trust_by_config();
        let ran = once(&proxied, &credentials(&proxied));
        ran.assert_code(0);
        assert!(proxied.clusters().contains(&Cloud::Gke.cluster().to_owned()), "{}", ran.stderr);
        // A token serves for all pages.
        assert_eq!(token_requests(&proxied), asked);
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    };
    case(None, &|proxied| federation(proxied, false), std::slice::from_ref(&sts));
    let impersonating = |proxied: &Proxied| {
        let mut file = federation(proxied, true);
        file["service_account_impersonation_url"] = json!(impersonation_url());
        file
    };
    case(Some(ACCOUNT), &impersonating, &[sts.clone(), iam.clone()]);
    let impersonated = |proxied: &Proxied| {
        json!({
            "type": "impersonated_service_account", "service_account_impersonation_url": impersonation_url(),
            "delegates": [], "source_credentials": federation(proxied, false),
        })
    };
    case(Some(ACCOUNT), &impersonated, &[sts, iam]);
    let signed_in = |_: &Proxied| {
        json!({
            "type": "authorized_user", "client_id": "gcloud", "client_secret": "canary", "refresh_token": "canary-refresh",
            "quota_project_id": "acme-dev",
        })
    };
    case(None, &signed_in, &["POST /token".to_owned()]);
}

#[test]
fn a_token_service_that_is_not_trusted_or_refuses_is_named_at_once() {
    let stranger = proxied(None);
    let ran = once(&stranger, &federation(&stranger, false));
    ran.assert_code(1);
    assert!(stranger.hosts().contains(&"sts.googleapis.com:443".to_owned()), "{:?}", stranger.hosts());
    assert!(!stranger.hosts().contains(&"logging.googleapis.com:443".to_owned()), "{:?}", stranger.hosts());
    assert!(ran.stderr.contains("tls: {ca_file: PATH}"), "{}", ran.stderr);

    let proxied = proxied(None);
    proxied.trust_by_config();
    let mut unknown = federation(&proxied, false);
    unknown["audience"] = json!("//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/other");
    let ran = once(&proxied, &unknown);
    ran.assert_code(1);
    assert!(ran.stderr.contains("https://sts.googleapis.com: http status 400: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("invalid_grant") && !ran.stderr.contains("canary"), "{}", ran.stderr);
    assert_eq!(token_requests(&proxied).len(), 1, "{}", ran.stderr);
}

/// A machine of Azure gets the token that is exchanged from its metadata service, which wants a header and answers with JSON.
#[test]
fn a_federated_token_may_come_from_a_url() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let azure = runtime.as_ref().expect("a runtime").block_on(LogAnalytics::start()).expect("a port");
    let once = |headers: Value, member: &str| {
        let proxied = proxied(None);
        proxied.trust_by_config();
        proxied.world.cloud_logging.federate(AUDIENCE, &azure.next_token(), None);
        let mut file = federation(&proxied, false);
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://api.loganalytics.io";
        file["credential_source"] = json!({
            "url": azure.endpoint() + path,
            "headers": headers,
            "format": {"type": "json", "subject_token_field_name": member},
        });
        let asked = azure.requests().len();
        let ran = once(&proxied, &file);
        assert!(!ran.stderr.contains("canary") && !ran.stderr.contains("fake."), "{}", ran.stderr);
        // The metadata service is asked once and directly, whatever it answers.
        assert_eq!(azure.requests().len(), asked + 1, "{}", ran.stderr);
        assert!(!proxied.hosts().iter().any(|host| host.starts_with("127.")), "{:?}", proxied.hosts());
        (ran, token_requests(&proxied))
    };
    let (ran, exchanged) = once(json!({"Metadata": "True"}), "access_token");
    ran.assert_code(0);
    assert_eq!(exchanged, ["POST /v1/token"]);

    for (headers, member, problem) in [
        (json!({}), "access_token", "http status 400: "),
        (json!({"Metadata": "True"}), "id_token", "the source of the federated token holds no token"),
    ] {
        let (ran, exchanged) = once(headers, member);
        ran.assert_code(1);
        assert!(ran.stderr.contains(problem), "{}", ran.stderr);
        assert_eq!(exchanged, Vec::<String>::new());
    }
}

#[test]
fn a_key_that_is_refused_because_of_the_clock_names_the_clock() {
    let proxied = proxied(None);
    proxied.trust_by_config();
    let clock = proxied.world.cloud_logging.clock();
    // A key's token is dated back a little.
    let behind = clock.now().checked_sub(Duration::from_secs(20 * 60 + 30)).expect("a time");
    clock.set(behind);
    let key = json!({
        "type": "service_account", "client_email": ACCOUNT, "private_key_id": "1", "private_key": KEY,
        "project_id": "acme-dev", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let ran = once(&proxied, &key);
    ran.assert_code(1);
    assert!(
        ran.stderr.contains("this machine's clock is about 20 minutes ahead of Google's: set it"),
        "{}",
        ran.stderr
    );
    // It was made anew once, because another token may have helped.
    assert_eq!(proxied.world.cloud_logging.requests().len(), 2);
    assert_eq!(token_requests(&proxied), Vec::<String>::new());
}
