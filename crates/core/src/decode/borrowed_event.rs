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
        let (mut event, is_truncated) = (AuditEvent::default(), self.is_truncated);
        self.write_to(&mut event);
        Decoded { event, is_truncated }
    }

    /// Writes the event over `event`. Who reads one event after another uses the memory of the last one again: in a flood, a
    /// sixth of the time of a scan was spent on the memory of these texts.
    pub fn write_to(self, event: &mut AuditEvent) {
        write(self.level, &mut event.level);
        write(self.audit_id, &mut event.audit_id);
        write(self.stage, &mut event.stage);
        write(self.request_uri, &mut event.request_uri);
        write(self.verb, &mut event.verb);
        write(self.user.username, &mut event.username);
        write_all(self.user.groups, &mut event.groups, write_text);
        write(self.impersonated_user.username, &mut event.impersonated_username);
        write_all(self.source_ips, &mut event.source_ips, write_text);
        write(self.user_agent, &mut event.user_agent);
        match self.object_ref {
            Some(object) => object.write_to(event.object_ref.get_or_insert_default()),
            None => event.object_ref = None,
        }
        event.response_code = self.response_status.code;
        write(self.response_status.reason, &mut event.response_reason);
        write(self.response_status.message, &mut event.response_message);
        write(self.request_received_timestamp, &mut event.request_received_timestamp);
        write(self.stage_timestamp, &mut event.stage_timestamp);
        write_all(self.annotations, &mut event.annotations, |(key, value), to| {
            write_text(key, &mut to.0);
            write_text(value, &mut to.1);
        });
        event.principal_redacted = false;
        event.cut_fields = CutFields::default();
    }
}

impl BorrowedObject<'_> {
    fn write_to(self, object: &mut ObjectRef) {
        write(self.resource, &mut object.resource);
        write(self.subresource, &mut object.subresource);
        write(self.namespace, &mut object.namespace);
        write(self.name, &mut object.name);
        write(self.api_group, &mut object.api_group);
        write(self.api_version, &mut object.api_version);
    }
}

fn write(text: Text<'_>, to: &mut Option<String>) {
    match text {
        Some(text) => write_text(text, to.get_or_insert_default()),
        None => *to = None,
    }
}

fn write_text(text: Cow<'_, str>, to: &mut String) {
    match text {
        Cow::Borrowed(text) => {
            to.clear();
            to.push_str(text);
        }
        Cow::Owned(text) => *to = text,
    }
}

fn write_all<T, O: Default>(from: Vec<T>, to: &mut Vec<O>, write: impl Fn(T, &mut O)) {
    to.resize_with(from.len(), O::default);
    from.into_iter().zip(to).for_each(|(from, to)| write(from, to));
}
