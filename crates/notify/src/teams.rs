//! Microsoft Teams, by the webhook of a workflow: an Adaptive Card for each message.
//!
//! The workflow answers 202 before it posts, so a message that was taken is one that is queued there. Every text is a `TextRun`:
//! unlike a `TextBlock`, it knows no Markdown, so no text of an attacker becomes a link or a heading.
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>

mod card;

use secrecy::{ExposeSecret, SecretString};
use stakeout_http::{Client, Endpoint, Network};

use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Answer, Secrets};
use crate::notification::Message;
use crate::ocsf::to_line;
use crate::slack::Rendering;

pub use card::{MESSAGE_BYTES_MAX, message};

/// Where connectors were, which Microsoft has retired.
const RETIRED_HOST: &str = ".webhook.office.com";

/// A workflow of Teams. Its address is a secret: everybody who knows it can post.
#[derive(Debug)]
pub struct Teams {
    url: SecretString,
    client: Client,
}

impl Teams {
    /// Returns the workflow at `url`: https, or plain http on this machine (a fake).
    pub fn new(url: SecretString, network: &Network) -> Result<Teams, SetupError> {
        let endpoint = Endpoint::parse(url.expose_secret())?;
        if !is_workflow(&endpoint) {
            return Err(SetupError::Address {
                reason: "the connectors of Teams are retired: make a workflow that posts to the channel, and copy its URL",
            });
        }
        Ok(Teams { url, client: http::client(network)? })
    }

    /// Posts the card of `message`.
    pub(crate) async fn send(&self, message: &Message<'_>, rendering: &Rendering<'_>) -> Result<Receipt, SendError> {
        let request = self.client.post(self.url.expose_secret());
        let answer =
            http::post(request, to_line(&card::message(message, rendering)), &Secrets::of(&self.url, None)).await?;
        match answer.status {
            200..=299 => Ok(Receipt::default()),
            _ => Err(failure(&answer)),
        }
    }
}

/// Returns whether an address can be the webhook of a workflow. These have several hosts, a cloud of a government its own, so
/// only the hosts of retired connectors are known not to be.
#[must_use]
pub fn is_workflow(endpoint: &Endpoint) -> bool {
    !endpoint.url().host_str().unwrap_or_default().ends_with(RETIRED_HOST)
}

/// Returns what an answer means. The owner of a workflow can switch it off, and it ends with their account.
fn failure(answer: &Answer) -> SendError {
    match answer.failure() {
        SendError::Refused { reason } if matches!(answer.status, 401 | 403 | 404) => SendError::refused(format!(
            "{reason} (check in Power Automate that the workflow is on, that anyone may trigger it, and that the URL is its own)"
        )),
        failure => failure,
    }
}
