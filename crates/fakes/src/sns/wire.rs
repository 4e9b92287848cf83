//! The AWS Query format of SNS: flattened parameters in, XML out.

use std::collections::BTreeMap;

use crate::exchange::Answer;
use crate::fault::Refusal;
use crate::form;
use crate::sigv4::Unsigned;

pub(super) const VERSION: &str = "2010-03-31";
const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// The parameters of a request; those that nothing takes are unknown.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn read(body: &[u8]) -> Result<Self, SnsError> {
        let pairs = form::decode(body).ok_or_else(|| SnsError::invalid("the body is not a URL-encoded form"))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.insert(name.clone(), value).is_some() {
                return Err(SnsError::invalid(format!("{name} is given twice")));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Takes a map that was flattened to `{map}.entry.{n}.{key}` and `{map}.entry.{n}.{member}`, counted from 1.
    /// Returns each key with all members of its value.
    pub(super) fn take_map(&mut self, map: &str, key: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let mut entries = Vec::new();
        for index in 1.. {
            let prefix = format!("{map}.entry.{index}.");
            let Some(name) = self.take(&format!("{prefix}{key}")) else {
                break;
            };
            let members: Vec<String> = self.0.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
            let taken = members.iter().filter_map(|member| self.0.remove_entry(member));
            entries.push((name, taken.map(|(member, value)| (member[prefix.len()..].to_owned(), value)).collect()));
        }
        entries
    }

    /// Refuses parameters that nothing took.
    pub(super) fn finish(self) -> Result<(), SnsError> {
        match self.0.into_keys().next() {
            Some(name) => Err(SnsError::invalid(format!("{name} is unknown to this operation of the fake"))),
            None => Ok(()),
        }
    }
}

/// An error in the form that the SDKs read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnsError {
    status: u16,
    code: &'static str,
    message: String,
}

impl SnsError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn invalid(why: impl AsRef<str>) -> Self {
        Self::new(400, "InvalidParameter", format!("Invalid parameter: {}", why.as_ref()))
    }

    pub(super) fn invalid_value(why: impl AsRef<str>) -> Self {
        Self::new(400, "ParameterValueInvalid", format!("The message attribute is invalid: {}", why.as_ref()))
    }

    pub(super) fn topic_not_found() -> Self {
        Self::new(404, "NotFound", "Topic does not exist")
    }

    pub(super) fn unknown_action(action: &str) -> Self {
        Self::new(400, "InvalidAction", format!("Could not find operation {action}"))
    }

    pub(super) fn from_refusal(refusal: Refusal, action: &str) -> Self {
        match refusal {
            Refusal::Throttled => Self::new(400, "Throttling", "Rate exceeded"),
            Refusal::InternalError => Self::new(500, "InternalError", "injected internal error of the fake"),
            Refusal::Unavailable => Self::new(503, "ServiceUnavailable", "Service is unavailable"),
            Refusal::Denied => {
                let who = format!("arn:aws:iam::{}:user/fake", super::ACCOUNT);
                let why = "because no identity-based policy allows the action";
                Self::new(
                    403,
                    "AuthorizationError",
                    format!("User: {who} is not authorized to perform: SNS:{action} {why}"),
                )
            }
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let Self { status, code, message } = self;
        let kind = if *status < 500 { "Sender" } else { "Receiver" };
        let error = format!("<Type>{kind}</Type><Code>{code}</Code><Message>{}</Message>", escape(message));
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{error}</Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        );
        xml(*status, body)
    }
}

impl From<Unsigned> for SnsError {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::MissingToken => {
                Self::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
            }
            Unsigned::Incomplete(why) => Self::new(400, "IncompleteSignature", why),
            Unsigned::Mismatch(why) => Self::new(403, "SignatureDoesNotMatch", why),
        }
    }
}

/// Returns the answer of an operation around its result, which is XML.
pub(super) fn success(action: &str, result: &str) -> Answer {
    let metadata = format!("<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>");
    let result = format!("<{action}Result>{result}</{action}Result>");
    xml(200, format!("<{action}Response xmlns=\"{NAMESPACE}\">{result}{metadata}</{action}Response>"))
}

/// Returns an element with text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

fn xml(status: u16, body: String) -> Answer {
    Answer::new(status, "text/xml", body).with_header("x-amzn-requestid", REQUEST_ID)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
