//! An audit event that borrows its texts from its line. Most events are dropped after a filter has seen them, so a copy is
//! made only of those that a rule may want.

use std::borrow::Cow;

use super::Decoded;
use crate::event::{self, AuditEvent, CutFields, ObjectRef};
use crate::field::Field;

type Text<'a> = Option<Cow<'a, str>>;

/// An audit event that borrows from its line. Its fields are those of [`AuditEvent`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BorrowedEvent<'a> {
    pub(super) kind: Text<'a>,
    pub(super) level: Text<'a>,
    pub(super) audit_id: Text<'a>,
    pub(super) stage: Text<'a>,
    pub(super) request_uri: Text<'a>,
    pub(super) verb: Text<'a>,
    pub(super) user: User<'a>,
    pub(super) impersonated_user: User<'a>,
    pub(super) source_ips: Vec<Cow<'a, str>>,
    pub(super) user_agent: Text<'a>,
    pub(super) object_ref: Option<BorrowedObject<'a>>,
    pub(super) response_status: ResponseStatus<'a>,
    pub(super) request_received_timestamp: Text<'a>,
    pub(super) stage_timestamp: Text<'a>,
    pub(super) annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) is_truncated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User<'a> {
    pub(super) username: Text<'a>,
    pub(super) groups: Vec<Cow<'a, str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BorrowedObject<'a> {
    pub(super) resource: Text<'a>,
    pub(super) subresource: Text<'a>,
    pub(super) namespace: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) api_group: Text<'a>,
    pub(super) api_version: Text<'a>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseStatus<'a> {
    pub(super) code: Option<i64>,
    /// The code that was read last. It may be cut off, as `40` is of `403`, until more of the object follows.
    pub(super) unconfirmed_code: Option<i64>,
    pub(super) reason: Text<'a>,
    pub(super) message: Text<'a>,
}

impl BorrowedEvent<'_> {
    /// Returns whether the record is cut off or damaged after the members that the event holds.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Returns the same as [`AuditEvent::is_request`].
    #[must_use]
    pub fn is_request(&self) -> bool {
        event::is_request(self.stage.as_deref(), self.response_status.code, self.user.username.as_deref())
    }

    /// Returns whether the event has neither a client address nor a response code.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.source_ips.is_empty() && self.response_status.code.is_none()
    }

    /// Returns the same as [`AuditEvent::stage_time_ms`].
    #[must_use]
    pub fn stage_time_ms(&self) -> Option<i64> {
        event::millis(self.stage_timestamp.as_deref()?)
    }

    /// Returns the same as [`AuditEvent::received_time_ms`].
    #[must_use]
    pub fn received_time_ms(&self) -> Option<i64> {
        event::millis(self.request_received_timestamp.as_deref()?)
    }

    /// Returns whether `field` may hold a text or a number that the given function accepts. The answer is `true` for
    /// fields that are derived from more than this record.
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
            // An IPv6 address has several spellings.
            "sourceIPs" => self.source_ips.iter().any(|entry| entry.contains(':') || is_text(entry)),
            "userAgent" => is(&self.user_agent),
            "objectRef.resource" => object.is_some_and(|object| is(&object.resource)),
            "objectRef.subresource" => object.is_some_and(|object| is(&object.subresource)),
            "objectRef.namespace" => object.is_some_and(|object| is(&object.namespace)),
            "objectRef.name" => object.is_some_and(|object| is(&object.name)),
            "objectRef.apiGroup" => object.is_some_and(|object| is(&object.api_group)),
            "objectRef.apiVersion" => object.is_some_and(|object| is(&object.api_version)),
            "responseStatus.code" => self.response_status.code.is_some_and(is_number),
            "responseStatus.reason" => is(&self.response_status.reason),
            "responseStatus.message" => is(&self.response_status.message),
            _ => true,
        }
    }

    /// Returns the event with texts of its own.
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
            object_ref: self.object_ref.map(BorrowedObject::into_owned),
            response_code: self.response_status.code,
            response_reason: owned(self.response_status.reason),
            response_message: owned(self.response_status.message),
            request_received_timestamp: owned(self.request_received_timestamp),
            stage_timestamp: owned(self.stage_timestamp),
            annotations: self
                .annotations
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            principal_redacted: false,
            cut_fields: CutFields::default(),
        };
        Decoded { event, is_truncated: self.is_truncated }
    }
}

impl BorrowedObject<'_> {
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
