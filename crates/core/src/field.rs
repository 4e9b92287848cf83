//! The fields that rules may name: those of audit.k8s.io/v1, and those that are derived from them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address;
use crate::diagnostic::nearest;
use crate::observation::Observation;

/// A field of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// One of the fixed names in [`Field::NAMES`].
    Named(&'static str),
    /// `annotations.KEY`.
    Annotation(String),
}

/// The value of a field in one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// The event does not have it.
    Missing,
    /// A text.
    Text(&'a str),
    /// A text that is made for the occasion, such as an address.
    Made(String),
    /// Several texts: a condition holds where any one of them fits.
    Texts(&'a [String]),
    /// A number.
    Number(i64),
    /// A fact.
    Fact(bool),
}

impl Field {
    /// Every fixed name, first as audit.k8s.io/v1 spells it, then the derived ones.
    pub const NAMES: &'static [&'static str] = &[
        "level",
        "auditID",
        "stage",
        "requestURI",
        "verb",
        "user.username",
        "user.groups",
        "impersonatedUser.username",
        "sourceIPs",
        "userAgent",
        "objectRef.resource",
        "objectRef.subresource",
        "objectRef.namespace",
        "objectRef.name",
        "objectRef.apiGroup",
        "objectRef.apiVersion",
        "responseStatus.code",
        "responseStatus.reason",
        "responseStatus.message",
        "source_ip",
        "source_ip_public",
        "cluster",
        "provider",
        "unauthenticated",
        "auth_failure",
        "health_probe",
        "forwarded_for",
        "principal_redacted",
        "path",
        "foreign_namespace",
        "forwarded_for_forged",
        "source_ip_is_proxy",
    ];

    /// Returns the field's name as rules spell it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Field::Named(name) => (*name).to_owned(),
            Field::Annotation(key) => format!("annotations.{key}"),
        }
    }

    /// Returns the field that `name`, which is none, was probably meant to be.
    #[must_use]
    pub fn meant(name: &str) -> Option<&'static str> {
        let below = format!(".{}", name.to_ascii_lowercase());
        let deeper = Field::NAMES.iter().copied().find(|known| known.to_ascii_lowercase().ends_with(&below));
        deeper.or_else(|| nearest(name, Field::NAMES))
    }

    /// Returns what to do about `name`, which is no field: the one that was probably meant, or the choice.
    #[must_use]
    pub fn suggestion(name: &str) -> String {
        match Field::meant(name) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known here: {}", Field::NAMES.join(", ")),
        }
    }

    /// Tells whether a provider's record holds the field itself, so that a prefilter can name it.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        match self {
            Field::Named(name) => {
                name.contains('.') || name.contains(char::is_uppercase) || matches!(*name, "level" | "stage" | "verb")
            }
            Field::Annotation(_) => true,
        }
    }

    /// Tells whether the field holds several values.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self, Field::Named("user.groups" | "sourceIPs"))
    }

    /// Tells whether the field only ever holds a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Field::Named("responseStatus.code"))
    }

    /// Tells whether the field only ever holds true or false.
    #[must_use]
    pub fn is_fact(&self) -> bool {
        const FACTS: [&str; 5] =
            ["source_ip_public", "unauthenticated", "health_probe", "forwarded_for", "principal_redacted"];
        matches!(self, Field::Named(name) if FACTS.contains(name))
    }

    /// Returns the field's value in `observation`, with `client` as the address that sent it.
    #[must_use]
    pub fn value_of<'a>(&self, observation: &'a Observation, client: Option<IpAddr>) -> FieldValue<'a> {
        let event = &observation.event;
        let object = |of: fn(&'a crate::event::ObjectRef) -> &'a Option<String>| {
            text(event.object_ref.as_ref().and_then(|object| of(object).as_deref()))
        };
        let name = match self {
            Field::Named(name) => *name,
            Field::Annotation(key) => {
                return text(event.annotations.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()));
            }
        };
        match name {
            "level" => text(event.level.as_deref()),
            "auditID" => text(event.audit_id.as_deref()),
            "stage" => text(event.stage.as_deref()),
            "requestURI" => text(event.request_uri.as_deref()),
            "verb" => text(event.verb.as_deref()),
            "user.username" => text(event.username.as_deref()),
            "user.groups" => texts(&event.groups),
            "impersonatedUser.username" => text(event.impersonated_username.as_deref()),
            "sourceIPs" => texts(&event.source_ips),
            "userAgent" => text(event.user_agent.as_deref()),
            "objectRef.resource" => object(|object| &object.resource),
            "objectRef.subresource" => object(|object| &object.subresource),
            "objectRef.namespace" => object(|object| &object.namespace),
            "objectRef.name" => object(|object| &object.name),
            "objectRef.apiGroup" => object(|object| &object.api_group),
            "objectRef.apiVersion" => object(|object| &object.api_version),
            "responseStatus.code" => event.response_code.map_or(FieldValue::Missing, FieldValue::Number),
            "responseStatus.reason" => text(event.response_reason.as_deref()),
            "responseStatus.message" => text(event.response_message.as_deref()),
            "source_ip" => client.map_or(FieldValue::Missing, |client| FieldValue::Made(client.to_string())),
            "source_ip_public" => FieldValue::Fact(client.is_some_and(address::is_public)),
            "cluster" => FieldValue::Text(&observation.cluster),
            "provider" => FieldValue::Text(observation.provider.as_str()),
            "unauthenticated" => FieldValue::Fact(event.is_unauthenticated()),
            "auth_failure" => text(event.auth_failure()),
            "health_probe" => FieldValue::Fact(event.is_health_probe()),
            "forwarded_for" => FieldValue::Fact(observation.is_forwarded()),
            "principal_redacted" => FieldValue::Fact(event.principal_redacted),
            "path" => match event.path() {
                Some(Cow::Borrowed(path)) => FieldValue::Text(path),
                Some(Cow::Owned(path)) => FieldValue::Made(path),
                None => FieldValue::Missing,
            },
            "foreign_namespace" => FieldValue::Fact(event.is_in_foreign_namespace()),
            "forwarded_for_forged" => FieldValue::Fact(observation.is_forged()),
            "source_ip_is_proxy" => FieldValue::Fact(observation.is_client_proxy),
            _ => FieldValue::Missing,
        }
    }
}

fn text(value: Option<&str>) -> FieldValue<'_> {
    value.map_or(FieldValue::Missing, FieldValue::Text)
}

fn texts(values: &[String]) -> FieldValue<'_> {
    if values.is_empty() { FieldValue::Missing } else { FieldValue::Texts(values) }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Field {
    type Err = ();

    /// Reads a field's name; an unknown one is an error.
    fn from_str(name: &str) -> Result<Field, ()> {
        if let Some(key) = name.strip_prefix("annotations.").filter(|key| !key.is_empty()) {
            return Ok(Field::Annotation(key.to_owned()));
        }
        Field::NAMES.iter().find(|known| **known == name).map(|known| Field::Named(known)).ok_or(())
    }
}
