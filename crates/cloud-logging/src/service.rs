//! One request of `entries.list`, over the HTTP that the rest of Stakeout uses. Google's own client has no setting for a
//! proxy, a certificate authority or the length of an answer, and makes a tree of every entry, which is a multiple of its
//! text. The API is one POST: <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stakeout_http::{BodyLimit, Client, Network, TimeLimits, exchange};

use crate::config::CloudLoggingConfig;
use crate::failure::{Failure, Refusal};
use crate::identity::{Identity, clock_problem};

/// Longest wait for a whole answer, with the credentials that it may need first: the service gives a page back within
/// seconds even where it found nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer that are read. A page of 1,000 entries usually has one to four megabytes, but an entry alone may
/// have 256 kB, most of which its sender chooses. A page that is longer is asked for in smaller ones.
/// <https://cloud.google.com/logging/quotas#log-limits>
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The service, with an identity.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    client: Client,
    identity: Identity,
    url: String,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListRequest<'a> {
    pub(crate) resource_names: Vec<String>,
    pub(crate) filter: &'a str,
    pub(crate) order_by: &'static str,
    pub(crate) page_size: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) page_token: &'a str,
}

/// What came: the entries as they were written, and where the next page begins; empty after the last one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListAnswer {
    pub(crate) entries: Vec<Box<RawValue>>,
    pub(crate) next_page_token: String,
}

impl Service {
    /// Looks for credentials, and sends no request of the service yet.
    pub(crate) async fn connect(config: &CloudLoggingConfig, network: &Network) -> Result<Service, Failure> {
        if !config.is_credential_allowed() {
            return Err(Failure::CredentialNotAllowed);
        }
        let identity = Identity::find(config, network)?;
        let client = network.client(TimeLimits::of_answer(ANSWER_TIMEOUT)).map_err(Failure::NoClient)?;
        let base = match &config.endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => {
                let domain = identity.universe_domain().await;
                format!("https://logging.{}", domain.as_deref().unwrap_or("googleapis.com"))
            }
        };
        Ok(Service { client, identity, url: format!("{base}/v2/entries:list") })
    }

    /// Returns whether a refused token may be replaced by another.
    pub(crate) fn is_renewable(&self) -> bool {
        self.identity.is_renewable()
    }

    /// Sends the request, once.
    pub(crate) async fn list(&self, request: &ListRequest<'_>) -> Result<ListAnswer, Failure> {
        let headers = self.identity.headers().await?;
        let sent = self.client.post(&self.url).headers(headers.clone()).json(request);
        let answer = exchange(sent, BodyLimit::Refuse(ANSWER_BYTES_MAX)).await.map_err(Failure::Unanswered)?;
        if answer.status != 200 {
            let clock = (answer.status == 401).then(|| clock_problem(&headers, &answer.headers)).flatten();
            return Err(Failure::Refused(Box::new(Refusal { clock, ..Refusal::read(&answer) })));
        }
        if let Some(problem) = answer.web_page() {
            return Err(Failure::Garbled(problem));
        }
        // A list would be read as an answer without entries.
        if !answer.body.trim_ascii_start().starts_with(b"{") {
            return Err(Failure::Garbled("the answer is not a page of entries".to_owned()));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Garbled(format!("the answer is damaged or breaks off: {error}")))
    }
}
