//! A webhook of the user: one OCSF object for each POST.

use secrecy::{ExposeSecret, SecretString};
use stakeout_http::{Client, Endpoint, Network};

use crate::address_book::AddressBook;
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Secrets};
use crate::notification::Message;
use crate::ocsf;
use jiff::Timestamp;

/// The header that names the delivery; it stays the same when the message is sent again.
pub const DELIVERY_HEADER: &str = "X-Stakeout-Delivery";

/// An HTTP endpoint for OCSF objects. Its address may hold a token, so it is a secret like the token itself.
#[derive(Debug)]
pub struct Webhook {
    url: SecretString,
    bearer_token: Option<SecretString>,
    client: Client,
}

impl Webhook {
    /// Returns the webhook at `url`: https, or plain http on a loopback address.
    pub fn new(
        url: SecretString,
        bearer_token: Option<SecretString>,
        network: &Network,
    ) -> Result<Webhook, SetupError> {
        Endpoint::parse(url.expose_secret())?;
        Ok(Webhook { url, bearer_token, client: http::client(network)? })
    }

    /// Posts `message`; every 2xx status is a success.
    pub async fn send(&self, message: &Message<'_>, book: &AddressBook, now: Timestamp) -> Result<Receipt, SendError> {
        let mut request = self.client.post(self.url.expose_secret()).header(DELIVERY_HEADER, &message.id);
        if let Some(token) = &self.bearer_token {
            request = request.bearer_auth(token.expose_secret());
        }
        let secrets = Secrets::of(&self.url, self.bearer_token.as_ref());
        let mut object = ocsf::message(message, now);
        ocsf::add_addresses(&mut object, book);
        let answer = http::post(request, ocsf::to_line(&object), &secrets).await?;
        match answer.status {
            200..=299 => Ok(Receipt::default()),
            _ => Err(answer.failure()),
        }
    }
}
