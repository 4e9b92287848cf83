//! The section `heartbeat`: the URL that hears of each tick.

use secrecy::{ExposeSecret, SecretString};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::Map;
use stakeout_http::Endpoint;

use crate::section::secret::SecretPolicy;
use crate::section::{SectionReader, keys, secret, url};

/// The URL that hears of each tick.
#[derive(Clone, Debug)]
pub(crate) struct HeartbeatConfig {
    /// https or on this machine; `None` if the verb does not need it. It is a secret, because whoever has it can say that
    /// all is well.
    pub(crate) url: Option<SecretString>,
}

/// Reads the section.
pub(super) fn read(
    top: &Map<'_>,
    secrets: SecretPolicy,
    reader: &mut SectionReader<'_>,
) -> Result<Option<HeartbeatConfig>, Diagnostic> {
    let Some(at) = top.get("heartbeat") else { return Ok(None) };
    let map = keys(&at, &["url", "url_file"])?;
    reader.set_secrets(secrets);
    let secret = secret::need(&map, "url", "the URL that hears of each tick", reader)?;
    if let Some(url) = &secret.value {
        Endpoint::parse(url.expose_secret()).map_err(|error| url::fault(&secret.at, error))?;
    }
    Ok(Some(HeartbeatConfig { url: secret.value }))
}
