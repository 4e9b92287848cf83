//! Credentials that are exchanged for a token over the network: workload identity federation, impersonation, and a person's
//! sign-in with gcloud.
//!
//! `google-cloud-auth` makes these requests with a client of its own, which trusts no certificate authority of the config.
//! It still reads keys, which sign tokens on this machine, and the two sources of federation that are no plain request: AWS
//! and programs. <https://google.aip.dev/auth/4117>

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, external_account, service_account};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use stakeout_http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use stakeout_http::{
    Answer, BodyLimit, Client, DirectReason, Endpoint, ExchangeError, Network, RequestBuilder, Route, TimeLimits, Url,
    exchange,
};
use tokio::time::Instant;

use super::{TOKEN_TIMEOUT, signed};
use crate::failure::Failure;

/// What a token may be used for. Roles limit it to what the account may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a sign-in is renewed, unless its file names another place.
const OAUTH_URL: &str = "https://oauth2.googleapis.com/token";
/// A token has one to two kilobytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How long a token of an impersonated account lives, unless the file says otherwise.
const LIFE: Duration = Duration::from_secs(3_600);
/// How long before its end a token is replaced, as Google's own libraries do.
const EARLY: Duration = Duration::from_secs(225);
/// The kinds of credentials that are exchanged for a token over the network.
const EXCHANGED: [&str; 3] = ["authorized_user", "external_account", "impersonated_service_account"];
/// Whose quota a request counts against, where that is another project than the account's.
const QUOTA_PROJECT: &str = "x-goog-user-project";

/// A file of credentials. Other members are not needed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CredentialFile {
    #[serde(rename = "type")]
    kind: String,
    quota_project_id: Option<String>,
    universe_domain: Option<String>,
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: SubjectSource,
    workforce_pool_user_project: Option<String>,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: ImpersonationSettings,
    delegates: Vec<String>,
    source_credentials: Value,
}

/// Where the token comes from that is exchanged.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SubjectSource {
    file: Option<String>,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    format: SubjectFormat,
    environment_id: Option<IgnoredAny>,
    executable: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SubjectFormat {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImpersonationSettings {
    token_lifetime_seconds: Option<u32>,
}

/// What becomes a token.
enum Source {
    /// What the library turns into one.
    Library(Credentials),
    /// A form that is sent to a token service.
    SignIn { url: Endpoint, form: Vec<(&'static str, String)> },
    /// A token of another provider.
    Federation {
        url: Endpoint,
        subject: SubjectSource,
        form: Vec<(&'static str, String)>,
        client: Option<(String, String)>,
    },
    /// The right of another source to act as a service account.
    Impersonation { url: Endpoint, delegates: Vec<String>, life: Duration, of: Box<Source> },
}

/// The headers of a request, and how long they are good.
pub(super) struct Issued {
    pub(super) headers: HeaderMap,
    /// `None` where somebody else keeps count.
    life: Option<Duration>,
}

/// Credentials, and the last token that they were exchanged for.
pub(crate) struct Exchange {
    network: Network,
    client: Client,
    source: Source,
    quota_project: Option<HeaderValue>,
    universe_domain: Option<String>,
    kept: Mutex<Option<(HeaderMap, Instant)>>,
}

type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Issued, Failure>> + Send + 'a>>;

impl Exchange {
    /// Reads a file of credentials, and sends no request yet. Returns `None` where nothing in it is exchanged here.
    pub(super) fn read(path: &Path, network: &Network) -> Result<Option<Exchange>, Failure> {
        let unusable = |problem: String| Failure::of_credentials(format!("{}: {problem}", path.display()), false);
        let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let json: Value = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        // The library's words would repeat the value, which may be a secret.
        let file = CredentialFile::deserialize(&json).map_err(|_| unusable("a member has another type".to_owned()))?;
        let quota_project = file.quota_project_id.clone();
        let universe_domain = file.universe_domain.clone();
        if !EXCHANGED.contains(&file.kind.as_str()) {
            return Ok(None);
        }
        let source = Source::of(file, json).map_err(unusable)?;
        let client = network.client(TimeLimits::of_answer(TOKEN_TIMEOUT)).map_err(Failure::NoClient)?;
        let quota_project = super::variable("GOOGLE_CLOUD_QUOTA_PROJECT").or(quota_project);
        Ok(Some(Exchange {
            network: network.clone(),
            client,
            source,
            quota_project: quota_project.and_then(|project| HeaderValue::try_from(project).ok()),
            universe_domain,
            kept: Mutex::default(),
        }))
    }

    /// Returns the headers of a request. They are asked for again shortly before the token ends.
    pub(super) async fn headers(&self) -> Result<HeaderMap, Failure> {
        if let Some(headers) = self.kept() {
            return Ok(headers);
        }
        let asked = now();
        let Issued { mut headers, life } = self.issue(&self.source).await?;
        headers.extend(self.quota_project.clone().map(|project| (HeaderName::from_static(QUOTA_PROJECT), project)));
        if let Some(life) = life {
            let end = asked + life.saturating_sub(EARLY);
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((headers.clone(), end));
        }
        Ok(headers)
    }

    /// Returns the domain of the service that the file names.
    pub(super) fn universe_domain(&self) -> Option<String> {
        self.universe_domain.clone()
    }

    /// Returns the addresses that tokens come from.
    pub(super) fn issuers(&self) -> Vec<String> {
        self.source.issuers()
    }

    fn kept(&self) -> Option<HeaderMap> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(_, end)| now() < *end).map(|(headers, _)| headers.clone())
    }

    fn issue<'a>(&'a self, source: &'a Source) -> Issuing<'a> {
        Box::pin(async move {
            match source {
                Source::Library(credentials) => Ok(Issued { headers: signed(credentials).await?, life: None }),
                Source::SignIn { url, form } => {
                    token(&url.to_string(), self.client.post(url.as_str()).form(form)).await
                }
                Source::Federation { url, subject, form, client } => {
                    let subject_token = self.subject(subject).await?;
                    let form: Vec<_> = form.iter().cloned().chain([("subject_token", subject_token)]).collect();
                    let request = self.client.post(url.as_str()).form(&form);
                    let request = match client {
                        Some((id, secret)) => request.basic_auth(id, Some(secret)),
                        None => request,
                    };
                    token(&url.to_string(), request).await
                }
                Source::Impersonation { url, delegates, life, of } => {
                    let Issued { headers, .. } = self.issue(of).await?;
                    let wanted =
                        json!({"scope": [SCOPE], "delegates": delegates, "lifetime": format!("{}s", life.as_secs())});
                    let request = self.client.post(url.as_str()).headers(headers).json(&wanted);
                    let Issued { headers, .. } = token(&url.to_string(), request).await?;
                    Ok(Issued { headers, life: Some(*life) })
                }
            }
        })
    }

    /// Returns the token that is exchanged. Files of it are renewed by somebody else, so they are read each time.
    async fn subject(&self, source: &SubjectSource) -> Result<String, Failure> {
        let text = match (&source.file, &source.url) {
            (Some(file), _) => {
                let text = fs::read_to_string(file);
                text.map_err(|error| Failure::of_credentials(format!("{file}: {error}"), false))?
            }
            (None, Some(url)) => {
                let parsed = self.source_url(url)?;
                let request = self.client.get(parsed.clone());
                let request = source.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
                let answer = answered(parsed.host_str().unwrap_or_default(), request).await?;
                String::from_utf8_lossy(&answer.body).into_owned()
            }
            (None, None) => String::new(),
        };
        let token = match source.format.kind.as_str() {
            "json" => serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|json| json.get(&source.format.subject_token_field_name)?.as_str().map(str::to_owned))
                .unwrap_or_default(),
            _ => text.trim().to_owned(),
        };
        match token.is_empty() {
            true => Err(Failure::of_credentials("the source of the federated token holds no token".to_owned(), false)),
            false => Ok(token),
        }
    }

    /// Returns the address of a federated token: https, or plain http to this machine or a metadata service.
    fn source_url(&self, text: &str) -> Result<Url, Failure> {
        let wrong = |problem: &str| Failure::of_credentials(format!("credential_source.url: {problem}"), false);
        let url = Url::parse(text).map_err(|_| wrong("not a URL"))?;
        let is_near = || {
            let near = [DirectReason::MetadataService, DirectReason::ThisMachine];
            matches!(self.network.proxies().route(&url), Route::Direct(reason) if near.contains(&reason))
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_near() => Ok(url),
            _ => Err(wrong("plain http to another machine")),
        }
    }
}

impl Source {
    /// Reads what a file describes; `json` is the file. The error is the problem.
    fn of(file: CredentialFile, json: Value) -> Result<Source, String> {
        let address = |key: &str, text: &str| Endpoint::parse(text).map_err(|error| format!("{key}: {error}"));
        match file.kind.as_str() {
            "authorized_user" => Ok(Source::SignIn {
                url: address("token_uri", file.token_uri.as_deref().unwrap_or(OAUTH_URL))?,
                form: vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("client_id", file.client_id),
                    ("client_secret", file.client_secret),
                    ("refresh_token", file.refresh_token),
                ],
            }),
            "external_account" => {
                let impersonated = file.service_account_impersonation_url.clone();
                let life = file.service_account_impersonation.token_lifetime_seconds;
                let source = &file.credential_source;
                if source.environment_id.is_some() || source.executable.is_some() {
                    let library = external_account::Builder::new(json).build();
                    return library.map(Source::Library).map_err(|error| error.to_string());
                }
                let federation = Source::Federation {
                    url: address("token_url", &file.token_url)?,
                    form: federation_form(&file),
                    client: (!file.client_id.is_empty()).then_some((file.client_id, file.client_secret)),
                    subject: file.credential_source,
                };
                match impersonated {
                    None => Ok(federation),
                    Some(url) => Ok(Source::Impersonation {
                        url: address("service_account_impersonation_url", &url)?,
                        delegates: Vec::new(),
                        life: life.map_or(LIFE, |seconds| Duration::from_secs(seconds.into())),
                        of: Box::new(federation),
                    }),
                }
            }
            "impersonated_service_account" => {
                let url = file.service_account_impersonation_url.as_deref().unwrap_or_default();
                let inner = CredentialFile::deserialize(&file.source_credentials);
                let inner = inner.map_err(|_| "source_credentials: a member has another type".to_owned())?;
                if inner.kind == file.kind {
                    return Err(
                        "source_credentials: impersonation of an impersonation: name both in delegates".to_owned()
                    );
                }
                Ok(Source::Impersonation {
                    url: address("service_account_impersonation_url", url)?,
                    delegates: file.delegates,
                    life: LIFE,
                    of: Box::new(Source::of(inner, file.source_credentials)?),
                })
            }
            _ => {
                let key = service_account::Builder::new(json).build();
                key.map(Source::Library).map_err(|error| error.to_string())
            }
        }
    }

    fn issuers(&self) -> Vec<String> {
        match self {
            Source::Library(_) => Vec::new(),
            Source::SignIn { url, .. } | Source::Federation { url, .. } => vec![url.to_string()],
            Source::Impersonation { url, of, .. } => of.issuers().into_iter().chain([url.to_string()]).collect(),
        }
    }
}

/// Returns what the exchange of a federated token says beside the token.
/// <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>
fn federation_form(file: &CredentialFile) -> Vec<(&'static str, String)> {
    let project = file.workforce_pool_user_project.as_ref().filter(|_| file.client_id.is_empty());
    let options = project.map(|project| ("options", json!({"userProject": project}).to_string()));
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
        ("scope", SCOPE.to_owned()),
        ("audience", file.audience.clone()),
        ("subject_token_type", file.subject_token_type.clone()),
    ];
    form.into_iter().chain(options).collect()
}

/// Sends a request for a token to `server`, and returns it as the header of a request.
pub(super) async fn token(server: &str, request: RequestBuilder) -> Result<Issued, Failure> {
    /// Both spellings: OAuth's, and that of Google's own APIs.
    #[derive(Deserialize)]
    struct Token {
        #[serde(alias = "accessToken")]
        access_token: String,
        expires_in: Option<u32>,
    }
    let answer = answered(server, request).await?;
    let token = serde_json::from_slice::<Token>(&answer.body).ok();
    let header = token.as_ref().and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.access_token)).ok());
    let Some(mut header) = header else {
        return Err(Failure::of_credentials(format!("{server} answered without a token"), true));
    };
    header.set_sensitive(true);
    let life = token.and_then(|token| token.expires_in).map(|seconds| Duration::from_secs(seconds.into()));
    Ok(Issued { headers: HeaderMap::from_iter([(AUTHORIZATION, header)]), life })
}

/// Sends a request to `server`, and returns an answer with status 200.
async fn answered(server: &str, request: RequestBuilder) -> Result<Answer, Failure> {
    let answer = exchange(request, BodyLimit::Refuse(TOKEN_BYTES_MAX)).await.map_err(|error| match error {
        ExchangeError::Interrupted { problem, .. } => Failure::of_credentials(format!("{server}: {problem}"), true),
        error @ ExchangeError::Misconfigured { .. } => Failure::Unanswered(error),
        error => Failure::of_credentials(format!("{server}: {error}"), false),
    })?;
    if answer.status != 200 {
        let text = answer.web_page().unwrap_or_else(|| String::from_utf8_lossy(&answer.body).trim().to_owned());
        let reason = format!("{server}: http status {}: {text}", answer.status);
        return Err(Failure::of_credentials(reason, matches!(answer.status, 429 | 500..=599)));
    }
    Ok(answer)
}

#[expect(clippy::disallowed_methods, reason = "a token service says how long its token lives, not until when")]
fn now() -> Instant {
    Instant::now()
}
