//! The identity that Google sees: Application Default Credentials.
//!
//! `google-cloud-auth` reads keys. What is exchanged for a token over the network is exchanged here ([`exchange`]), with the
//! proxies and certificate authorities of all other requests. The metadata server is asked here as well, because the library
//! would ask it through the proxy of the environment, which reaches another machine's metadata or none.

mod exchange;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use serde::Deserialize;
use stakeout_http::header::{AUTHORIZATION, HeaderMap};
use stakeout_http::{Client, Network, TimeLimits};

use crate::config::{CloudLoggingConfig, Credential};
use crate::failure::Failure;
use exchange::Exchange;

/// Where the token of the machine's or the pod's service account comes from.
/// <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// The metadata server, unless GCE_METADATA_HOST names another.
const METADATA_HOST: &str = "metadata.google.internal";
/// Longest wait for a token. The metadata server of GKE takes seconds while it starts.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How far this machine's clock may be off before it is to blame for a refused key, in seconds. Google accepts a few minutes.
const CLOCK_SKEW_MAX_S: i64 = 120;

/// Who asks.
#[derive(Clone)]
pub(crate) enum Identity {
    /// Nobody: a fake is asked.
    Anonymous,
    /// A key, which signs tokens on this machine.
    Key(Credentials),
    /// What a file describes and a token service turns into a token: federation, impersonation, or a person's sign-in.
    Exchange(Arc<Exchange>),
    /// The service account of the machine or the pod.
    Machine { client: Client, url: String },
}

/// The part of a signed token that says when it was made.
#[derive(Deserialize)]
struct Claims {
    iat: i64,
}

impl Identity {
    /// Looks for credentials, and sends no request yet.
    pub(crate) fn find(config: &CloudLoggingConfig, network: &Network) -> Result<Identity, Failure> {
        if config.credential == Credential::Anonymous {
            return Ok(Identity::Anonymous);
        }
        if let Some(path) = file() {
            if let Some(exchange) = Exchange::read(&path, network)? {
                return Ok(Identity::Exchange(Arc::new(exchange)));
            }
            let credentials = Builder::default().build();
            return credentials.map(Identity::Key).map_err(|error| Failure::no_credentials(&error, false));
        }
        let host = variable("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned());
        let client = network.client(TimeLimits::of_answer(TOKEN_TIMEOUT));
        let client = client.map_err(|error| Failure::no_credentials(&error, false))?;
        Ok(Identity::Machine { client, url: format!("http://{host}{TOKEN_PATH}") })
    }

    /// Returns the headers of a request.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Failure> {
        match self {
            Identity::Anonymous => Ok(HeaderMap::new()),
            Identity::Key(credentials) => signed(credentials).await,
            Identity::Exchange(exchange) => exchange.headers().await,
            // The server itself keeps the token until shortly before its end, so there is no need to keep it here.
            Identity::Machine { client, url } => machine_token(client, url).await,
        }
    }

    /// Returns the domain of the service: another than `googleapis.com` in a cloud of its own.
    pub(crate) async fn universe_domain(&self) -> Option<String> {
        match self {
            Identity::Key(credentials) => credentials.universe_domain().await,
            Identity::Exchange(exchange) => exchange.universe_domain(),
            Identity::Anonymous | Identity::Machine { .. } => None,
        }
    }

    /// Returns the addresses that tokens come from, the metadata server aside.
    pub(crate) fn issuers(&self) -> Vec<String> {
        match self {
            Identity::Exchange(exchange) => exchange.issuers(),
            Identity::Anonymous | Identity::Key(_) | Identity::Machine { .. } => Vec::new(),
        }
    }

    /// Returns whether a refused token may be replaced by another.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(self, Identity::Anonymous)
    }
}

/// Returns the headers of a request with credentials of the library, which signs or renews tokens itself.
async fn signed(credentials: &Credentials) -> Result<HeaderMap, Failure> {
    match credentials.headers(Default::default()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
        Err(error) => Err(Failure::no_credentials(&error, error.is_transient())),
    }
}

async fn machine_token(client: &Client, url: &str) -> Result<HeaderMap, Failure> {
    let request = client.get(url).header("Metadata-Flavor", "Google");
    exchange::token("the metadata server", request).await.map(|issued| issued.headers)
}

/// Returns the file that describes the credentials, if there is one in the places where Google's own libraries look.
/// <https://cloud.google.com/docs/authentication/application-default-credentials>
fn file() -> Option<PathBuf> {
    let of_gcloud = |home: String| PathBuf::from(home).join(".config/gcloud/application_default_credentials.json");
    let named = variable("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    named.or_else(|| variable("HOME").map(of_gcloud).filter(|path| path.exists()))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns what is wrong with this machine's clock, by the time at which it made the token in `sent`, and the time at which
/// the service refused it. Only a key's token contains a time that a person can read.
pub(crate) fn clock_problem(sent: &HeaderMap, answered: &HeaderMap) -> Option<String> {
    let token = sent.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let made = serde_json::from_slice::<Claims>(&claims).ok()?.iat;
    let date = answered.get("date")?.to_str().ok()?;
    let refused = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    // A token serves for an hour, so one that was made within the last hour says nothing of a slow clock.
    let (seconds, direction) = match made.saturating_sub(refused) {
        ahead if ahead > CLOCK_SKEW_MAX_S => (ahead, "ahead of"),
        behind if behind < -(3_600 + CLOCK_SKEW_MAX_S) => (-behind, "behind"),
        _ => return None,
    };
    Some(format!("this machine's clock is about {} minutes {direction} Google's", seconds / 60))
}

/// Shows the kind, and nothing secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Identity::Anonymous => "Anonymous",
            Identity::Key(_) => "Key",
            Identity::Exchange(_) => "Exchange",
            Identity::Machine { .. } => "Machine",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let name = stakeout_http::header::HeaderName::from_static(name);
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn a_clock_that_is_off_is_named() {
        let problem = |iat: i64| {
            let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"a","iat":{iat}}}"#));
            let sent = headers("authorization", &format!("Bearer e30.{claims}.c2ln"));
            // 2026-11-22T01:00:00Z is 1,795,309,200.
            clock_problem(&sent, &headers("date", "Sun, 22 Nov 2026 01:00:00 GMT"))
        };
        let at = 1_795_309_200;
        assert_eq!(problem(at + 900).as_deref(), Some("this machine's clock is about 15 minutes ahead of Google's"));
        assert_eq!(problem(at - 7_200).as_deref(), Some("this machine's clock is about 120 minutes behind Google's"));
        assert_eq!([at - 3_000, at, at + 60].map(problem), [None, None, None]);
        for token in ["Bearer opaque", "Bearer a.!.c", "Basic x", "Bearer a.e30.c"] {
            let sent = headers("authorization", token);
            assert_eq!(clock_problem(&sent, &headers("date", "Sun, 22 Nov 2026 01:00:00 GMT")), None, "{token}");
        }
    }
}
