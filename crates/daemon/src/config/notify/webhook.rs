//! The section `webhook` of a destination: where it is, and how it knows who sends.

use secrecy::{ExposeSecret, SecretString};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};
use stakeout_http::Endpoint;
use stakeout_notify::signature::SigningKey;
use stakeout_notify::webhook::{Credentials, Header};

use crate::section::{SectionReader, keys, mapping, secret, url};

const KEYS: [&str; 8] = ["url", "url_file", "token", "token_file", "secret", "secret_file", "headers", "headers_file"];
/// Most headers of the user; servers take 8 KB of all headers.
const HEADERS_MAX: usize = 16;

/// A URL that accepts findings and incidents as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// The URL, https or on this machine. It is a secret, because many URLs contain a token.
    pub(crate) url: SecretString,
    /// How it knows who sends.
    pub(crate) credentials: Credentials,
}

/// Parses the section.
pub(super) fn read(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Webhook, Diagnostic> {
    let map = keys(at, &KEYS)?;
    let secret = secret::need(&map, "url", "the URL that accepts the findings", reader)?;
    if let Some(url) = &secret.value {
        Endpoint::parse(url.expose_secret()).map_err(|error| url::fault(&secret.at, error))?;
    }
    let bearer_token = token(&map, reader)?;
    let signing_key = signing_key(&map, reader)?;
    let headers = headers(&map, reader)?;
    Ok(Webhook {
        url: secret.value.unwrap_or_default(),
        credentials: Credentials { bearer_token, signing_key, headers },
    })
}

/// Reads the bearer token of a section, if it has one.
pub(super) fn token(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Option<SecretString>, Diagnostic> {
    if map.get("token").is_none() && map.get("token_file").is_none() {
        return Ok(None);
    }
    let secret = secret::need(map, "token", "the token", reader)?;
    if secret.value.as_ref().is_none_or(|token| token.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
        return Ok(secret.value);
    }
    Err(secret.at.error(
        "the token contains a space, a line break or a non-ASCII character",
        "write only the token, on one line and without `Bearer`",
    ))
}

fn signing_key(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Option<SigningKey>, Diagnostic> {
    if map.get("secret").is_none() && map.get("secret_file").is_none() {
        return Ok(None);
    }
    let secret = secret::need(map, "secret", "the secret that signs", reader)?;
    let Some(value) = secret.value else { return Ok(None) };
    SigningKey::parse(&value).map(Some).ok_or_else(|| {
        secret.at.error(
            "not a secret of Standard Webhooks",
            "write `whsec_` and 24 to 64 bytes in base64, as this prints it: echo whsec_$(head -c 32 /dev/urandom | base64)",
        )
    })
}

/// Reads the headers: a mapping whose values may have variables, or a file with a line `NAME: VALUE` for each.
fn headers(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Vec<Header>, Diagnostic> {
    let mut headers = Vec::new();
    if map.get("headers_file").is_some() {
        let secret = secret::need(map, "headers", "the headers", reader)?;
        let text = secret.value.unwrap_or_default();
        for (index, line) in text.expose_secret().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("line {} of the file", index + 1);
            let Some((name, value)) = line.split_once(':') else {
                let fix = "write each header on a line of its own, such as X-Api-Key: 0123";
                return Err(secret.at.error(format!("{place} has no colon"), fix));
            };
            let header = Header::new(name.trim(), SecretString::from(value.trim()));
            let header = header.map_err(|problem| fault(&secret.at, &format!("{place}: {problem}")))?;
            push(&mut headers, header, map, &secret.at)?;
        }
        return Ok(headers);
    }
    let Some(at) = map.get("headers") else { return Ok(headers) };
    for (name, at) in mapping(&at, &["X-Api-Key"])?.entries() {
        // The value may be a secret that the verb does not read, and the name is checked in any case.
        Header::name(name).map_err(|problem| fault(&at, problem))?;
        let Some(value) = secret::inline(&at, reader)? else { continue };
        let header = Header::new(name, value).map_err(|problem| fault(&at, problem))?;
        push(&mut headers, header, map, &at)?;
    }
    Ok(headers)
}

fn push(headers: &mut Vec<Header>, header: Header, map: &Map<'_>, at: &At<'_>) -> Result<(), Diagnostic> {
    if headers.len() == HEADERS_MAX {
        return Err(at.error(format!("more than {HEADERS_MAX} headers"), "keep those that the receiver needs"));
    }
    if headers.iter().any(|other| header.has_name_of(other)) {
        return Err(at.error("a header with this name is there already", "keep one of the two"));
    }
    if header.is_authorization() && (map.get("token").is_some() || map.get("token_file").is_some()) {
        return Err(at.error("`token` is sent in the header Authorization already", "keep one of the two"));
    }
    headers.push(header);
    Ok(())
}

fn fault(at: &At<'_>, problem: &str) -> Diagnostic {
    at.error(problem, "write a header that the receiver reads beside the message, such as X-Api-Key: 0123")
}
