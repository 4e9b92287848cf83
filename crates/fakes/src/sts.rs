//! STS over the AWS Query protocol: `AssumeRole` and `AssumeRoleWithWebIdentity`.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! The fake refuses unknown parameters, and roles that nobody created.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::form;
use crate::guarded::Guarded;
use crate::server::{Server, Service};
use crate::sigv4::{self, Unsigned};

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
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

/// An error in the form that the SDKs read.
struct StsError {
    status: u16,
    code: &'static str,
    message: String,
}

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
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        )
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
        let pairs = form::decode(&request.body).unwrap_or_default();
        pairs.into_iter().find(|(name, _)| name == "Action").map(|(_, action)| action).unwrap_or_default()
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        self.assume(request, now).unwrap_or_else(|error| error.answer())
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        let (status, code) = match refusal {
            Refusal::Throttled => (400, "Throttling"),
            Refusal::InternalError => (500, "InternalFailure"),
            Refusal::Unavailable => (503, "ServiceUnavailable"),
            Refusal::Denied => (403, "AccessDenied"),
        };
        StsError { status, code, message: "injected by the fake".to_owned() }.answer()
    }
}

impl Roles {
    fn assume(&self, request: &HttpRequest, now: Timestamp) -> Result<Answer, StsError> {
        let mut parameters: BTreeMap<String, String> =
            form::decode(&request.body).unwrap_or_default().into_iter().collect();
        let action = parameters.remove("Action").unwrap_or_default();
        let is_version = parameters.remove("Version").as_deref() == Some(VERSION);
        match action.as_str() {
            "AssumeRole" if is_version => drop(sigv4::check(request, "sts")?),
            "AssumeRoleWithWebIdentity" if is_version => {
                let token = parameters.remove("WebIdentityToken").unwrap_or_default();
                if token.split('.').count() != 3 {
                    return Err(StsError::new(400, "InvalidIdentityToken", "The token is not a JWT"));
                }
            }
            _ => return Err(StsError::new(400, "InvalidAction", "Could not find operation")),
        }
        let (arn, session) = (parameters.remove("RoleArn"), parameters.remove("RoleSessionName"));
        let (Some(arn), Some(_)) = (arn, session) else {
            return Err(StsError::new(400, "ValidationError", "RoleArn and RoleSessionName are required"));
        };
        let life = parameters.remove("DurationSeconds").and_then(|text| text.parse().ok()).unwrap_or(LIFE_S);
        let external_id = parameters.remove("ExternalId");
        if let Some(unknown) = parameters.into_keys().next() {
            return Err(StsError::new(400, "ValidationError", &format!("{unknown} is unknown to the fake")));
        }
        match self.0.lock().get(&arn) {
            Some(required) if required.is_none() || *required == external_id => {}
            _ => {
                let message = format!("User is not authorized to perform: sts:{action} on resource: {arn}");
                return Err(StsError::new(403, "AccessDenied", &message));
            }
        }
        let ends = now.saturating_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX);
        let credentials = format!(
            "<Credentials><AccessKeyId>ASIAFAKEROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        );
        let body = format!(
            "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{credentials}</{action}Result></{action}Response>"
        );
        Ok(Answer::new(200, "text/xml", body))
    }
}

impl StsError {
    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned() }
    }

    fn answer(&self) -> Answer {
        Answer::new(self.status, "text/xml", Sts::refusal(self.code, &self.message))
    }
}

impl From<Unsigned> for StsError {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::MissingToken => Self::new(403, "MissingAuthenticationToken", "Request is missing a token"),
            Unsigned::Incomplete(why) => Self::new(400, "IncompleteSignature", &why),
            Unsigned::Mismatch(why) => Self::new(403, "SignatureDoesNotMatch", &why),
        }
    }
}
