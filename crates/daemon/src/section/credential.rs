//! The key `credential`, and the rule that a fake gets a credential only if the config says so.

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::yaml::Map;
use stakeout_http::Endpoint;

/// The word for requests without a credential.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Returns the word under `credential`, one of `known` or [`ANONYMOUS`]. Without the key it is `None`, or [`ANONYMOUS`] for
/// a plain http endpoint: that is a fake on this machine, which gets no real credential unless the config says so.
pub(crate) fn word<'a>(
    map: &Map<'a>,
    endpoint: Option<&Endpoint>,
    known: &[&'static str],
) -> Result<Option<&'static str>, Diagnostic> {
    let is_fake = endpoint.is_some_and(Endpoint::is_plain_http);
    let Some(at) = map.get("credential") else {
        return Ok(is_fake.then_some(ANONYMOUS));
    };
    let word = at.text()?;
    match known.iter().find(|known| **known == word) {
        Some(known) => Ok(Some(known)),
        None if word == ANONYMOUS && is_fake => Ok(Some(ANONYMOUS)),
        None if word == ANONYMOUS => Err(at.error(
            "an anonymous credential is for an endpoint on this machine only",
            "remove it, or add an endpoint such as http://127.0.0.1:4566",
        )),
        None => {
            let all = [known, &[ANONYMOUS]].concat();
            Err(at.error(format!("unknown credential `{word}`"), suggestion(word, &all)))
        }
    }
}
