//! As whom a provider is asked: `credential`, and the rule that no credential of ours goes to a fake unasked.

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::yaml::Map;
use stakeout_http::Endpoint;

/// The word for asking without a credential.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Returns the word under `credential`, one of `known` or [`ANONYMOUS`]; without the key `None`, or anonymous where a
/// fake is asked. Plain http is allowed to this machine only: there a fake takes the provider's place, and no
/// credential of ours is for it unless the config says so.
pub(crate) fn word<'a>(
    map: &Map<'a>,
    endpoint: Option<&Endpoint>,
    known: &[&'static str],
) -> Result<Option<&'static str>, Diagnostic> {
    let is_stand_in = endpoint.is_some_and(Endpoint::is_plain_http);
    let Some(at) = map.get("credential") else {
        return Ok(is_stand_in.then_some(ANONYMOUS));
    };
    let word = at.text()?;
    match known.iter().find(|known| **known == word) {
        Some(known) => Ok(Some(known)),
        None if word == ANONYMOUS && is_stand_in => Ok(Some(ANONYMOUS)),
        None if word == ANONYMOUS => Err(at.fault(
            "an anonymous credential where no fake is asked",
            "take it out, or name an endpoint on this machine, such as http://127.0.0.1:4566",
        )),
        None => {
            let all = [known, &[ANONYMOUS]].concat();
            Err(at.fault(format!("unknown credential `{word}`"), suggestion(word, &all)))
        }
    }
}
