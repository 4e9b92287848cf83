//! Addresses in the config, read by the rules of `stakeout_http`.

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;
use stakeout_http::{Endpoint, EndpointError};

/// Reads the address at `at` that replaces a provider's own.
pub(crate) fn endpoint(at: &At<'_>) -> Result<Endpoint, Diagnostic> {
    Endpoint::parse_base(at.text()?).map_err(|error| fault(at, error))
}

/// Returns what is wrong with the address at `at`, without the address: it may be a secret.
pub(crate) fn fault(at: &At<'_>, error: EndpointError) -> Diagnostic {
    at.error(error.problem(), error.fix())
}
