//! STS over the AWS Query protocol: `AssumeRole` and `AssumeRoleWithWebIdentity`.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! The fake refuses unknown parameters, and roles that nobody created.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::aws_query::{self, Parameters, QueryApi, QueryError, element};
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};
use crate::sigv4;

const API: QueryApi = QueryApi { version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/" };
/// What the access keys begin with that roles get; the role's account follows.
pub(crate) const ROLE_KEY_PREFIX: &str = "ASIAFAKEROLE";
/// How long credentials last, unless the caller asks for another time.
const LIFE_S: i64 = 3_600;

/// A running fake of STS; dropping it stops it.
#[derive(Debug)]
pub struct Sts {
    server: Server,
    roles: Arc<Roles>,
}

/// The roles, by ARN, and the external id that each requires.
#[derive(Debug, Default)]
struct Roles(Guarded<BTreeMap<String, Option<String>>>);

impl Sts {
    /// Starts on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// Where no port is free.
    pub async fn start() -> io::Result<Self> {
        let roles = Arc::new(Roles::default());
        Ok(Self { server: Server::start(Arc::clone(&roles)).await?, roles })
    }

    /// Returns the endpoint URL.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Creates a role that everybody may assume who knows the external id, if there is one.
    pub fn create_role(&self, arn: &str, external_id: Option<&str>) {
        self.roles.0.lock().insert(arn.to_owned(), external_id.map(str::to_owned));
    }

    /// Returns the body of a refusal with a code of STS, for [`crate::Fault::Answer`].
    pub fn refusal(code: &str, message: &str) -> String {
        API.failure_body(400, code, message)
    }
}

impl Deref for Sts {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Service for Roles {
    const NAME: &'static str = "sts";

    fn target(&self, request: &HttpRequest) -> String {
        aws_query::action(request)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        self.assume(request, now).unwrap_or_else(|error| API.failure(&error))
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        let (status, code) = match refusal {
            Refusal::Throttled => (400, "Throttling"),
            Refusal::InternalError => (500, "InternalFailure"),
            Refusal::Unavailable => (503, "ServiceUnavailable"),
            Refusal::Denied => (403, "AccessDenied"),
        };
        API.failure(&QueryError::new(status, code, "injected by the fake"))
    }
}

impl Roles {
    fn assume(&self, request: &HttpRequest, now: Timestamp) -> Result<Answer, QueryError> {
        let invalid = |why: String| QueryError::new(400, "ValidationError", why);
        let mut parameters = Parameters::read(&request.body).map_err(invalid)?;
        let action = parameters.take("Action").unwrap_or_default();
        let is_version = parameters.take("Version").as_deref() == Some(API.version);
        match action.as_str() {
            "AssumeRole" if is_version => drop(sigv4::check(request, "sts")?),
            "AssumeRoleWithWebIdentity" if is_version => {
                let token = parameters.take("WebIdentityToken").unwrap_or_default();
                if token.split('.').count() != 3 {
                    return Err(QueryError::new(400, "InvalidIdentityToken", "The token is not a JWT"));
                }
            }
            _ => return Err(QueryError::unknown_action(&action)),
        }
        let (arn, session) = (parameters.take("RoleArn"), parameters.take("RoleSessionName"));
        let (Some(arn), Some(_)) = (arn, session) else {
            return Err(invalid("RoleArn and RoleSessionName are required".to_owned()));
        };
        let life = parameters.take("DurationSeconds").and_then(|text| text.parse().ok()).unwrap_or(LIFE_S);
        let external_id = parameters.take("ExternalId");
        parameters.finish().map_err(invalid)?;
        match self.0.lock().get(&arn) {
            Some(required) if required.is_none() || *required == external_id => {}
            _ => {
                let message = format!("User is not authorized to perform: sts:{action} on resource: {arn}");
                return Err(QueryError::new(403, "AccessDenied", message));
            }
        }
        let ends = now.saturating_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX).to_string();
        let access_key = format!("{ROLE_KEY_PREFIX}{}", arn.split(':').nth(4).unwrap_or_default());
        let members = [
            ("AccessKeyId", access_key.as_str()),
            ("SecretAccessKey", "secret"),
            ("SessionToken", "session"),
            ("Expiration", ends.as_str()),
        ];
        let members: String = members.iter().map(|(name, value)| element(name, value)).collect();
        Ok(API.success(&action, &format!("<Credentials>{members}</Credentials>")))
    }
}
