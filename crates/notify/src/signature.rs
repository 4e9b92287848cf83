//! The signature of a webhook's request, as Standard Webhooks has it: HMAC-SHA256 over the id, the time and the body, in base64.
//!
//! A receiver verifies it with any library of that name, and refuses what is older than some minutes.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The header with the id of the message, which stays the same when it is sent again.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// What every secret begins with; the rest is the key in base64.
const SECRET_PREFIX: &str = "whsec_";
/// The lengths of a key, in bytes, that the specification allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key for signatures, and the secret that it was made from.
#[derive(Clone, Debug)]
pub struct SigningKey {
    secret: SecretString,
    key: hmac::Key,
}

impl SigningKey {
    /// Returns the key that `secret` holds: `whsec_` and 24 to 64 bytes in base64. `None` if it is another text.
    #[must_use]
    pub fn parse(secret: &SecretString) -> Option<SigningKey> {
        let key = STANDARD.decode(secret.expose_secret().strip_prefix(SECRET_PREFIX)?).ok()?;
        KEY_BYTES
            .contains(&key.len())
            .then(|| SigningKey { secret: secret.clone(), key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    /// Returns the value of the header for a request with this id, time in seconds, and body.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// Returns the text that it was made from.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_reference() {
        let key = SigningKey::parse(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).expect("a secret");
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_a_prefix_and_a_length() {
        for bad in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_MfKQ9r8G", "whsec_not base64 at all, is it?"]
        {
            assert!(SigningKey::parse(&SecretString::from(bad)).is_none(), "{bad}");
        }
    }
}
