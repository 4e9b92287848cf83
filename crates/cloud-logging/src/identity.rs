//! The identity that Google sees: Application Default Credentials.
//!
//! `google-cloud-auth` reads key files, federation and gcloud's own file. The metadata server is asked here, because the
//! library would ask it through the proxy of the environment, which reaches another machine's metadata or none.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use serde::Deserialize;
use stakeout_http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use stakeout_http::{BodyLimit, Client, ExchangeError, Network, TimeLimits, exchange};

use crate::config::{CloudLoggingConfig, Credential};
use crate::failure::Failure;

/// Where the token of the machine's or the pod's service account comes from.
/// <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// The metadata server, unless GCE_METADATA_HOST names another.
const METADATA_HOST: &str = "metadata.google.internal";
/// Longest wait for a token. The metadata server of GKE takes seconds while it starts.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);
/// A token has one to two kilobytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How far this machine's clock may be off before it is to blame for a refused key, in seconds. Google accepts a few minutes.
const CLOCK_SKEW_MAX_S: i64 = 120;

/// Who asks.
#[derive(Clone)]
pub(crate) enum Identity {
    /// Nobody: a fake is asked.
    Anonymous,
    /// What a file describes: a key, federation, or a person's sign-in.
    File(Credentials),
    /// The service account of the machine or the pod.
    Machine { client: Client, url: String },
}

/// What the metadata server answers.
#[derive(Deserialize)]
struct Token {
    access_token: String,
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
        if has_file() {
            let credentials = Builder::default().build();
            return credentials.map(Identity::File).map_err(|error| Failure::no_credentials(&error, false));
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
            Identity::File(credentials) => match credentials.headers(Default::default()).await {
                Ok(CacheableResource::New { data, .. }) => Ok(data),
                Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
                Err(error) => Err(Failure::no_credentials(&error, error.is_transient())),
            },
            // The server itself keeps the token until shortly before its end, so there is no need to keep it here.
            Identity::Machine { client, url } => machine_token(client, url).await,
        }
    }

    /// Returns the domain of the service: another than `googleapis.com` in a cloud of its own.
    pub(crate) async fn universe_domain(&self) -> Option<String> {
        match self {
            Identity::File(credentials) => credentials.universe_domain().await,
            Identity::Anonymous | Identity::Machine { .. } => None,
        }
    }

    /// Returns whether a refused token may be replaced by another.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(self, Identity::Anonymous)
    }
}

async fn machine_token(client: &Client, url: &str) -> Result<HeaderMap, Failure> {
    let request = client.get(url).header("Metadata-Flavor", "Google");
    let answer = exchange(request, BodyLimit::Refuse(TOKEN_BYTES_MAX)).await.map_err(|error| match error {
        ExchangeError::Interrupted { problem, .. } => {
            Failure::of_credentials(format!("the metadata server: {problem}"), true)
        }
        error => Failure::of_credentials(format!("the metadata server: {error}"), false),
    })?;
    if answer.status != 200 {
        let text = String::from_utf8_lossy(&answer.body);
        let reason = format!("the metadata server: http status {}: {}", answer.status, text.trim());
        return Err(Failure::of_credentials(reason, matches!(answer.status, 429 | 500..=599)));
    }
    let token = serde_json::from_slice::<Token>(&answer.body).ok();
    let header = token.and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.access_token)).ok());
    let Some(mut header) = header else {
        return Err(Failure::of_credentials("the metadata server answered without a token".to_owned(), true));
    };
    header.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, header)]))
}

/// Returns whether a file describes the credentials, in the places where Google's own libraries look.
/// <https://cloud.google.com/docs/authentication/application-default-credentials>
fn has_file() -> bool {
    let of_gcloud = |home: String| PathBuf::from(home).join(".config/gcloud/application_default_credentials.json");
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some()
        || variable("HOME").is_some_and(|home| of_gcloud(home).exists())
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
            Identity::File(_) => "File",
            Identity::Machine { .. } => "Machine",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let name = stakeout_http::header::HeaderName::from_static(name);
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).expect("a header"))])
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
