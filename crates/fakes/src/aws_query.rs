//! The AWS Query protocol of SNS and STS: flattened parameters in, XML out.
//! <https://docs.aws.amazon.com/sns/latest/api/CommonParameters.html>

use std::collections::BTreeMap;

use crate::exchange::{Answer, HttpRequest};
use crate::form;
use crate::sigv4::Unsigned;

const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// One service: the version of its API, and the namespace of its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryApi {
    pub(crate) version: &'static str,
    pub(crate) namespace: &'static str,
}

/// The parameters of a request; those that nothing takes are unknown.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// An error in the form that the SDKs read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Returns the action that a request asks for; empty if it names none.
pub(crate) fn action(request: &HttpRequest) -> String {
    let pairs = form::decode(&request.body).unwrap_or_default();
    pairs.into_iter().find(|(name, _)| name == "Action").map(|(_, action)| action).unwrap_or_default()
}

impl Parameters {
    /// Reads them; the error is the problem.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let pairs = form::decode(body).ok_or("the body is not a URL-encoded form")?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.insert(name.clone(), value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Takes a map that was flattened to `{map}.entry.{n}.{key}` and `{map}.entry.{n}.{member}`, counted from 1.
    /// Returns each key with all members of its value.
    pub(crate) fn take_map(&mut self, map: &str, key: &str) -> Vec<(String, BTreeMap<String, String>)> {
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

    /// Refuses parameters that nothing took; the error is the problem.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("{name} is unknown to this operation of the fake")),
            None => Ok(()),
        }
    }
}

impl QueryError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn unknown_action(action: &str) -> Self {
        Self::new(400, "InvalidAction", format!("Could not find operation {action}"))
    }
}

impl From<Unsigned> for QueryError {
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

impl QueryApi {
    /// Returns the answer of an operation around its result, which is XML.
    pub(crate) fn success(self, action: &str, result: &str) -> Answer {
        let namespace = self.namespace;
        let metadata = format!("<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>");
        let result = format!("<{action}Result>{result}</{action}Result>");
        xml(200, format!("<{action}Response xmlns=\"{namespace}\">{result}{metadata}</{action}Response>"))
    }

    /// Returns the answer that reports an error.
    pub(crate) fn failure(self, error: &QueryError) -> Answer {
        xml(error.status, self.failure_body(error.status, error.code, &error.message))
    }

    pub(crate) fn failure_body(self, status: u16, code: &str, message: &str) -> String {
        let namespace = self.namespace;
        let kind = if status < 500 { "Sender" } else { "Receiver" };
        let error = format!("<Type>{kind}</Type>{}{}", element("Code", code), element("Message", message));
        format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error>{error}</Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        )
    }
}

/// Returns an element with text.
pub(crate) fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    format!("<{name}>{text}</{name}>")
}

fn xml(status: u16, body: String) -> Answer {
    Answer::new(status, "text/xml", body).with_header("x-amzn-requestid", REQUEST_ID)
}
