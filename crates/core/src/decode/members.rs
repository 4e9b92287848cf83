//! The members of an audit event, and how each is read into a [`BorrowedEvent`].

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess};
use serde_json::de::{Deserializer, Read};
use serde_json::value::RawValue;

use super::borrowed_event::{BorrowedEvent, BorrowedObject, ResponseStatus, User};
use super::lenient::{Lenient, Members, Text, Texts};

/// Reads `line` into `event`. When the line breaks off, the event holds the members before that point.
pub(super) fn read<'a>(line: &'a [u8], event: &mut BorrowedEvent<'a>) -> Result<(), serde_json::Error> {
    // One check of the whole line for UTF-8 is faster than a check of each of its texts.
    match std::str::from_utf8(line) {
        Ok(line) => read_from(Deserializer::from_str(line), event),
        Err(_) => read_from(Deserializer::from_slice(line), event),
    }
}

fn read_from<'a, R: Read<'a>>(
    mut json: Deserializer<R>,
    event: &mut BorrowedEvent<'a>,
) -> Result<(), serde_json::Error> {
    Lenient(event).deserialize(&mut json)?;
    json.end()
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
pub(super) enum EventKey {
    Kind,
    Level,
    #[serde(rename = "auditID")]
    AuditId,
    Stage,
    #[serde(rename = "requestURI")]
    RequestUri,
    Verb,
    User,
    ImpersonatedUser,
    #[serde(rename = "sourceIPs")]
    SourceIps,
    UserAgent,
    ObjectRef,
    ResponseStatus,
    RequestReceivedTimestamp,
    StageTimestamp,
    Annotations,
    #[serde(other)]
    Other,
}

impl<'a> Members<'a> for BorrowedEvent<'a> {
    type Key = EventKey;

    fn read_value<M: MapAccess<'a>>(&mut self, key: EventKey, object: &mut M) -> Result<(), M::Error> {
        match key {
            EventKey::Kind => self.kind = object.next_value_seed(Lenient(Text))?,
            EventKey::Level => self.level = object.next_value_seed(Lenient(Text))?,
            EventKey::AuditId => self.audit_id = object.next_value_seed(Lenient(Text))?,
            EventKey::Stage => self.stage = object.next_value_seed(Lenient(Text))?,
            EventKey::RequestUri => self.request_uri = object.next_value_seed(Lenient(Text))?,
            EventKey::Verb => self.verb = object.next_value_seed(Lenient(Text))?,
            EventKey::User => object.next_value_seed(Lenient(&mut self.user))?,
            EventKey::ImpersonatedUser => object.next_value_seed(Lenient(&mut self.impersonated_user))?,
            EventKey::SourceIps => self.source_ips = object.next_value_seed(Lenient(Texts))?,
            EventKey::UserAgent => self.user_agent = object.next_value_seed(Lenient(Text))?,
            EventKey::ObjectRef => {
                let object_ref = self.object_ref.insert(BorrowedObject::default());
                object.next_value_seed(Lenient(object_ref))?;
            }
            EventKey::ResponseStatus => object.next_value_seed(Lenient(&mut self.response_status))?,
            EventKey::RequestReceivedTimestamp => {
                self.request_received_timestamp = object.next_value_seed(Lenient(Text))?;
            }
            EventKey::StageTimestamp => self.stage_timestamp = object.next_value_seed(Lenient(Text))?,
            EventKey::Annotations => object.next_value_seed(Lenient(&mut self.annotations))?,
            EventKey::Other => skip_value(object)?,
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
pub(super) enum UserKey {
    Username,
    Groups,
    #[serde(other)]
    Other,
}

impl<'a> Members<'a> for User<'a> {
    type Key = UserKey;

    fn read_value<M: MapAccess<'a>>(&mut self, key: UserKey, object: &mut M) -> Result<(), M::Error> {
        match key {
            UserKey::Username => self.username = object.next_value_seed(Lenient(Text))?,
            UserKey::Groups => self.groups = object.next_value_seed(Lenient(Texts))?,
            UserKey::Other => skip_value(object)?,
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
pub(super) enum ObjectKey {
    Resource,
    Subresource,
    Namespace,
    Name,
    ApiGroup,
    ApiVersion,
    #[serde(other)]
    Other,
}

impl<'a> Members<'a> for BorrowedObject<'a> {
    type Key = ObjectKey;

    fn read_value<M: MapAccess<'a>>(&mut self, key: ObjectKey, object: &mut M) -> Result<(), M::Error> {
        let field = match key {
            ObjectKey::Resource => &mut self.resource,
            ObjectKey::Subresource => &mut self.subresource,
            ObjectKey::Namespace => &mut self.namespace,
            ObjectKey::Name => &mut self.name,
            ObjectKey::ApiGroup => &mut self.api_group,
            ObjectKey::ApiVersion => &mut self.api_version,
            ObjectKey::Other => return skip_value(object),
        };
        *field = object.next_value_seed(Lenient(Text))?;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
pub(super) enum StatusKey {
    Code,
    Reason,
    Message,
    #[serde(other)]
    Other,
}

impl<'a> Members<'a> for ResponseStatus<'a> {
    type Key = StatusKey;

    fn read_value<M: MapAccess<'a>>(&mut self, key: StatusKey, object: &mut M) -> Result<(), M::Error> {
        match key {
            StatusKey::Code => self.unconfirmed_code = code(object.next_value::<&RawValue>()?.get()),
            StatusKey::Reason => self.reason = object.next_value_seed(Lenient(Text))?,
            StatusKey::Message => self.message = object.next_value_seed(Lenient(Text))?,
            StatusKey::Other => skip_value(object)?,
        }
        Ok(())
    }

    fn confirm_last(&mut self) {
        self.code = self.unconfirmed_code.take().or(self.code);
    }
}

/// A key of `annotations`, where any text may be one.
#[derive(Deserialize)]
pub(super) struct AnnotationKey<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> for Vec<(Cow<'a, str>, Cow<'a, str>)> {
    type Key = AnnotationKey<'a>;

    fn read_value<M: MapAccess<'a>>(&mut self, key: AnnotationKey<'a>, object: &mut M) -> Result<(), M::Error> {
        let value = object.next_value_seed(Lenient(Text))?;
        self.extend(value.map(|value| (key.0, value)));
        Ok(())
    }
}

fn skip_value<'a, M: MapAccess<'a>>(object: &mut M) -> Result<(), M::Error> {
    object.next_value::<IgnoredAny>().map(drop)
}

/// Returns the status code in a JSON value: a whole number, a number with a fraction of zero, or a text of digits without
/// leading zeros.
fn code(json: &str) -> Option<i64> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).ok()?;
        // A provider's filter does not recognize the number in a text with leading zeros.
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
