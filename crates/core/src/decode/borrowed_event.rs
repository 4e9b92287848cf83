//! An event as it lies in its line: read to the end, but nothing of it is copied before somebody wants it whole.

use std::borrow::Cow;

use super::Decoded;
use crate::event::{self, AuditEvent, ObjectRef};
use crate::field::Field;
use crate::json::{Fault, Reader};

type Text<'a> = Option<Cow<'a, str>>;

/// The event of a line, which lends its texts. Its fields are those of [`AuditEvent`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BorrowedEvent<'a> {
    pub(super) kind: Text<'a>,
    pub(super) audit_id: Text<'a>,
    pub(super) stage: Text<'a>,
    pub(super) verb: Text<'a>,
    pub(super) request_received_timestamp: Text<'a>,
    pub(super) stage_timestamp: Text<'a>,
    pub(super) is_truncated: bool,
    level: Text<'a>,
    request_uri: Text<'a>,
    user: User<'a>,
    impersonated_user: User<'a>,
    source_ips: Vec<Cow<'a, str>>,
    user_agent: Text<'a>,
    object_ref: Option<Object<'a>>,
    response_code: Option<i64>,
    response_reason: Text<'a>,
    response_message: Text<'a>,
    annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct User<'a> {
    username: Text<'a>,
    groups: Vec<Cow<'a, str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Object<'a> {
    resource: Text<'a>,
    subresource: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
    api_group: Text<'a>,
    api_version: Text<'a>,
}

impl<'a> BorrowedEvent<'a> {
    /// Tells whether the record was cut off or damaged behind what the event holds.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Tells what [`AuditEvent::is_request`] tells.
    #[must_use]
    pub fn is_request(&self) -> bool {
        event::is_request(self.stage.as_deref(), self.response_code, self.user.username.as_deref())
    }

    /// Returns what [`AuditEvent::stage_time_ms`] returns.
    #[must_use]
    pub fn stage_time_ms(&self) -> Option<i64> {
        event::millis(self.stage_timestamp.as_deref()?)
    }

    /// Returns what [`AuditEvent::received_time_ms`] returns.
    #[must_use]
    pub fn received_time_ms(&self) -> Option<i64> {
        event::millis(self.request_received_timestamp.as_deref()?)
    }

    /// Tells whether `field` may hold a text or a number of which these tell that it is sought. What cannot be told by
    /// looking at the record may always be.
    pub(super) fn may_hold(
        &self,
        field: &Field,
        is_text: impl Fn(&str) -> bool,
        is_number: impl Fn(i64) -> bool,
    ) -> bool {
        let is = |text: &Text<'_>| text.as_deref().is_some_and(&is_text);
        let name = match field {
            Field::Named(name) => *name,
            Field::Annotation(key) => {
                return self.annotations.iter().any(|(name, value)| name == key && is_text(value));
            }
        };
        let object = self.object_ref.as_ref();
        match name {
            "level" => is(&self.level),
            "auditID" => is(&self.audit_id),
            "stage" => is(&self.stage),
            "requestURI" => is(&self.request_uri),
            "verb" => is(&self.verb),
            "user.username" => is(&self.user.username),
            "user.groups" => self.user.groups.iter().any(|group| is_text(group)),
            "impersonatedUser.username" => is(&self.impersonated_user.username),
            // An address may be spelled in several ways.
            "sourceIPs" => self.source_ips.iter().any(|entry| entry.contains(':') || is_text(entry)),
            "userAgent" => is(&self.user_agent),
            "objectRef.resource" => object.is_some_and(|object| is(&object.resource)),
            "objectRef.subresource" => object.is_some_and(|object| is(&object.subresource)),
            "objectRef.namespace" => object.is_some_and(|object| is(&object.namespace)),
            "objectRef.name" => object.is_some_and(|object| is(&object.name)),
            "objectRef.apiGroup" => object.is_some_and(|object| is(&object.api_group)),
            "objectRef.apiVersion" => object.is_some_and(|object| is(&object.api_version)),
            "responseStatus.code" => self.response_code.is_some_and(is_number),
            "responseStatus.reason" => is(&self.response_reason),
            "responseStatus.message" => is(&self.response_message),
            _ => true,
        }
    }

    /// Returns the event, which lends nothing any more.
    #[must_use]
    pub fn into_decoded(self) -> Decoded {
        let event = AuditEvent {
            level: owned(self.level),
            audit_id: owned(self.audit_id),
            stage: owned(self.stage),
            request_uri: owned(self.request_uri),
            verb: owned(self.verb),
            username: owned(self.user.username),
            groups: all_owned(self.user.groups),
            impersonated_username: owned(self.impersonated_user.username),
            source_ips: all_owned(self.source_ips),
            user_agent: owned(self.user_agent),
            object_ref: self.object_ref.map(Object::into_owned),
            response_code: self.response_code,
            response_reason: owned(self.response_reason),
            response_message: owned(self.response_message),
            request_received_timestamp: owned(self.request_received_timestamp),
            stage_timestamp: owned(self.stage_timestamp),
            annotations: self
                .annotations
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            principal_redacted: false,
        };
        Decoded { event, is_truncated: self.is_truncated }
    }

    /// Reads the event's own level. Values of another type than the known ones are passed over.
    pub(super) fn read(&mut self, json: &mut Reader<'a>) -> Result<(), Fault> {
        json.object(|json, key| {
            match &*key {
                "kind" => self.kind = text(json)?,
                "level" => self.level = text(json)?,
                "auditID" => self.audit_id = text(json)?,
                "stage" => self.stage = text(json)?,
                "requestURI" => self.request_uri = text(json)?,
                "verb" => self.verb = text(json)?,
                "user" => self.user.read(json)?,
                "impersonatedUser" => self.impersonated_user.read(json)?,
                "sourceIPs" => self.source_ips = texts(json)?,
                "userAgent" => self.user_agent = text(json)?,
                "objectRef" => self.object_ref.insert(Object::default()).read(json)?,
                "responseStatus" => self.read_response_status(json)?,
                "requestReceivedTimestamp" => self.request_received_timestamp = text(json)?,
                "stageTimestamp" => self.stage_timestamp = text(json)?,
                "annotations" => self.read_annotations(json)?,
                _ => drop(json.skip()?),
            }
            Ok(())
        })
    }

    fn read_response_status(&mut self, json: &mut Reader<'a>) -> Result<(), Fault> {
        // A code that was read may have been cut off: `40` of `403`. What follows it tells.
        let mut number = None;
        json.object(|json, key| {
            self.response_code = number.take().or(self.response_code);
            match &*key {
                "code" => number = code(std::str::from_utf8(json.skip()?).map_err(|_| Fault)?),
                "reason" => self.response_reason = text(json)?,
                "message" => self.response_message = text(json)?,
                _ => drop(json.skip()?),
            }
            Ok(())
        })?;
        self.response_code = number.or(self.response_code);
        Ok(())
    }

    /// Reads `annotations`, whose keys are free.
    fn read_annotations(&mut self, json: &mut Reader<'a>) -> Result<(), Fault> {
        json.object(|json, key| {
            self.annotations.extend(text(json)?.map(|value| (key, value)));
            Ok(())
        })
    }
}

impl<'a> User<'a> {
    fn read(&mut self, json: &mut Reader<'a>) -> Result<(), Fault> {
        json.object(|json, key| {
            match &*key {
                "username" => self.username = text(json)?,
                "groups" => self.groups = texts(json)?,
                _ => drop(json.skip()?),
            }
            Ok(())
        })
    }
}

impl<'a> Object<'a> {
    fn read(&mut self, json: &mut Reader<'a>) -> Result<(), Fault> {
        json.object(|json, key| {
            let field = match &*key {
                "resource" => &mut self.resource,
                "subresource" => &mut self.subresource,
                "namespace" => &mut self.namespace,
                "name" => &mut self.name,
                "apiGroup" => &mut self.api_group,
                "apiVersion" => &mut self.api_version,
                _ => return json.skip().map(drop),
            };
            *field = text(json)?;
            Ok(())
        })
    }

    fn into_owned(self) -> ObjectRef {
        ObjectRef {
            resource: owned(self.resource),
            subresource: owned(self.subresource),
            namespace: owned(self.namespace),
            name: owned(self.name),
            api_group: owned(self.api_group),
            api_version: owned(self.api_version),
        }
    }
}

fn owned(text: Text<'_>) -> Option<String> {
    text.map(Cow::into_owned)
}

fn all_owned(texts: Vec<Cow<'_, str>>) -> Vec<String> {
    texts.into_iter().map(Cow::into_owned).collect()
}

/// Reads a text; anything else, and an empty one, is `None`.
fn text<'a>(json: &mut Reader<'a>) -> Result<Text<'a>, Fault> {
    Ok(json.text()?.filter(|text| !text.is_empty()))
}

/// Reads a list of texts; a lone text is a list of one.
fn texts<'a>(json: &mut Reader<'a>) -> Result<Vec<Cow<'a, str>>, Fault> {
    let mut texts = Vec::new();
    let is_list = json.list(|json| {
        texts.extend(text(json)?);
        Ok(())
    })?;
    if !is_list {
        texts.extend(json.text()?);
    }
    Ok(texts)
}

/// Returns the status code that a JSON value spells: a whole number, one with a fraction of zero, or text of digits
/// without zeros in front.
fn code(json: &str) -> Option<i64> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).ok()?;
        // Zeros in front would make a text of which no provider's filter knows that it is this number.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        return is_plain.then(|| text.parse().ok())?;
    }
    let whole = match json.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => json,
    };
    whole.parse().ok()
}
