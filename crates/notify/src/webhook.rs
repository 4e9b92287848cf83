//! A webhook of the user: one OCSF object for each POST, signed if there is a secret, with headers of the user.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use stakeout_http::header::{HeaderName, HeaderValue};
use stakeout_http::{Client, Endpoint, Network, RequestBuilder};

use crate::address_book::AddressBook;
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Secrets};
use crate::notification::Message;
use crate::ocsf;
use crate::signature::{self, SigningKey};

/// The header that names the delivery; it stays the same when the message is sent again.
pub const DELIVERY_HEADER: &str = "x-stakeout-delivery";

/// Headers that belong to the connection or to Stakeout: an own value would break the request or the proof of its origin.
const RESERVED_HEADERS: [&str; 20] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    DELIVERY_HEADER,
    signature::ID_HEADER,
    signature::TIMESTAMP_HEADER,
    signature::SIGNATURE_HEADER,
];

/// An HTTP endpoint for OCSF objects. Its address may hold a token, so it is a secret like the token itself.
#[derive(Debug)]
pub struct Webhook {
    url: SecretString,
    credentials: Credentials,
    client: Client,
}

/// How a webhook knows who sends, as far as its address does not say it. All of it is secret.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Sent as `Authorization: Bearer`.
    pub bearer_token: Option<SecretString>,
    /// Signs each request.
    pub signing_key: Option<SigningKey>,
    /// Headers of the user.
    pub headers: Vec<Header>,
}

/// A header of the user. Its value is a secret, because many services take a key in one.
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    value: SecretString,
}

impl Header {
    /// Returns the header, or what is wrong with it, without its value.
    pub fn new(name: &str, value: SecretString) -> Result<Header, &'static str> {
        let name = Header::name(name)?;
        if !value.expose_secret().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err("the value contains a line break or a non-ASCII character");
        }
        Ok(Header { name, value })
    }

    /// Returns the name of a header of the user, or why it cannot be one.
    pub fn name(text: &str) -> Result<HeaderName, &'static str> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not the name of a header")?;
        if RESERVED_HEADERS.contains(&name.as_str()) {
            return Err("Stakeout or the connection sets this header");
        }
        Ok(name)
    }

    /// Returns whether it is the header of the bearer token.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        self.name == stakeout_http::header::AUTHORIZATION
    }

    /// Returns whether both are the same header.
    #[must_use]
    pub fn has_name_of(&self, other: &Header) -> bool {
        self.name == other.name
    }

    fn add_to(&self, request: RequestBuilder) -> Result<RequestBuilder, SendError> {
        let mut value = HeaderValue::from_str(self.value.expose_secret())
            .map_err(|_| SendError::refused("a header of the config cannot be sent"))?;
        value.set_sensitive(true);
        Ok(request.header(&self.name, value))
    }
}

impl Credentials {
    fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let key = self.signing_key.as_ref().map(SigningKey::secret);
        self.bearer_token.iter().chain(key).chain(self.headers.iter().map(|header| &header.value))
    }
}

impl Webhook {
    /// Returns the webhook at `url`: https, or plain http on a loopback address.
    pub fn new(url: SecretString, credentials: Credentials, network: &Network) -> Result<Webhook, SetupError> {
        Endpoint::parse(url.expose_secret())?;
        Ok(Webhook { url, credentials, client: http::client(network)? })
    }

    /// Posts `message`; every 2xx status is a success. A signature is of this attempt: it has the time `now`.
    pub async fn send(&self, message: &Message<'_>, book: &AddressBook, now: Timestamp) -> Result<Receipt, SendError> {
        let mut object = ocsf::message(message, now);
        ocsf::add_addresses(&mut object, book);
        let body = ocsf::to_line(&object);
        let Credentials { bearer_token, signing_key, headers } = &self.credentials;
        let mut request = self.client.post(self.url.expose_secret()).header(DELIVERY_HEADER, &message.id);
        if let Some(token) = bearer_token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(key) = signing_key {
            request = request
                .header(signature::ID_HEADER, &message.id)
                .header(signature::TIMESTAMP_HEADER, now.as_second())
                .header(signature::SIGNATURE_HEADER, key.sign(&message.id, now.as_second(), &body));
        }
        for header in headers {
            request = header.add_to(request)?;
        }
        let secrets = Secrets::of(&self.url, self.credentials.secrets());
        let answer = http::post(request, body, &secrets).await?;
        match answer.status {
            200..=299 => Ok(Receipt::default()),
            _ => Err(answer.failure()),
        }
    }
}
