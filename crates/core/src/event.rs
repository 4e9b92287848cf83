//! One API request as the API server audited it: `Event` of audit.k8s.io/v1, in snake case.
//!
//! Only what rules, identity and evidence need is kept; request and response bodies are passed over.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

/// An audit event. A field that the record did not carry, or that was cut off, is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `level`: Metadata, Request or RequestResponse.
    pub level: Option<String>,
    /// `auditID`. The client may choose it (request header `Audit-ID`), so it alone is not an identity.
    pub audit_id: Option<String>,
    /// `stage`: RequestReceived, ResponseStarted, ResponseComplete or Panic.
    pub stage: Option<String>,
    /// `requestURI`, as the client sent it.
    pub request_uri: Option<String>,
    /// `verb`: the Kubernetes verb, or the lower-case HTTP method of a non-resource request.
    pub verb: Option<String>,
    /// `user.username`.
    pub username: Option<String>,
    /// `user.groups`.
    pub groups: Vec<String>,
    /// `impersonatedUser.username`.
    pub impersonated_username: Option<String>,
    /// `sourceIPs`: X-Forwarded-For, X-Real-Ip, then the TCP peer, the only one that a client cannot write.
    pub source_ips: Vec<String>,
    /// `userAgent`, as the client sent it. A client that sent none leaves it missing.
    pub user_agent: Option<String>,
    /// `objectRef`.
    pub object_ref: Option<ObjectRef>,
    /// `responseStatus.code`, read from a number, a number with a fraction of zero, or a text of digits.
    pub response_code: Option<i64>,
    /// `responseStatus.reason`.
    pub response_reason: Option<String>,
    /// `responseStatus.message`.
    pub response_message: Option<String>,
    /// `requestReceivedTimestamp`, as written.
    pub request_received_timestamp: Option<String>,
    /// `stageTimestamp`, as written.
    pub stage_timestamp: Option<String>,
    /// `annotations`.
    pub annotations: Vec<(String, String)>,
    /// Whether the provider took the user's name out, as Google does for reads that were denied. Then `username` is
    /// missing although the client was logged in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub principal_redacted: bool,
    /// The fields of which the provider was asked for the beginning only. Rules that read them are not asked.
    #[serde(skip)]
    pub cut_fields: CutFields,
}

/// Fields that clients may make as long as they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutFields {
    /// `requestURI`.
    pub request_uri: bool,
    /// `userAgent`.
    pub user_agent: bool,
}

impl CutFields {
    /// Returns the fields of both sets.
    #[must_use]
    pub fn and(self, other: CutFields) -> CutFields {
        CutFields {
            request_uri: self.request_uri || other.request_uri,
            user_agent: self.user_agent || other.user_agent,
        }
    }

    /// Returns whether a field is in both sets.
    #[must_use]
    pub fn meets(self, other: CutFields) -> bool {
        (self.request_uri && other.request_uri) || (self.user_agent && other.user_agent)
    }
}

/// `objectRef` of an audit event: what the request was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `objectRef.resource`, plural and lower case.
    pub resource: Option<String>,
    /// `objectRef.subresource`.
    pub subresource: Option<String>,
    /// `objectRef.namespace`.
    pub namespace: Option<String>,
    /// `objectRef.name`.
    pub name: Option<String>,
    /// `objectRef.apiGroup`.
    pub api_group: Option<String>,
    /// `objectRef.apiVersion`.
    pub api_version: Option<String>,
}

impl AuditEvent {
    /// Returns whether this event counts as a request, so that each request counts once.
    ///
    /// A request counts at `ResponseComplete` or `Panic`; a failed authentication is audited at
    /// `ResponseStarted` only, with code 401 and no username. An event without a stage counts.
    #[must_use]
    pub fn is_request(&self) -> bool {
        is_request(self.stage.as_deref(), self.response_code, self.username.as_deref())
    }

    /// Returns `stageTimestamp`, the API server's own time, in milliseconds since 1970; `None` where it is missing or
    /// not a time.
    #[must_use]
    pub fn stage_time_ms(&self) -> Option<i64> {
        millis(self.stage_timestamp.as_deref()?)
    }

    /// Returns `requestReceivedTimestamp` in milliseconds since 1970; `None` where it is missing or not a time.
    #[must_use]
    pub fn received_time_ms(&self) -> Option<i64> {
        millis(self.request_received_timestamp.as_deref()?)
    }

    /// Returns how a failed authentication was attempted, or `None` where the code is not 401.
    #[must_use]
    pub fn auth_failure(&self) -> Option<&'static str> {
        if self.response_code != Some(401) {
            return None;
        }
        let message = self.response_message.as_deref().unwrap_or("");
        if message.contains("no credentials provided") {
            return Some("no_credentials");
        }
        let attempted = message.split_once("attempted: ").map_or("", |(_, how)| how);
        Some(match attempted {
            how if how.starts_with("bearer") => "bearer",
            how if how.starts_with("x509") => "x509",
            how if how.starts_with("basic") => "basic",
            _ => "unknown",
        })
    }

    /// Returns whether the client had no valid login: the anonymous user or group, or a failed authentication.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.username.as_deref() == Some("system:anonymous")
            || self.groups.iter().any(|group| group == "system:unauthenticated")
            || self.auth_failure().is_some()
    }

    /// Returns whether the request asked for a health endpoint: /healthz, /livez or /readyz, or below one of them.
    #[must_use]
    pub fn is_health_probe(&self) -> bool {
        let uri = self.request_uri.as_deref().unwrap_or("");
        let path = uri.split('?').next().unwrap_or("");
        ["/healthz", "/livez", "/readyz"]
            .iter()
            .any(|probe| path.strip_prefix(probe).is_some_and(|below| below.is_empty() || below.starts_with('/')))
    }

    /// Returns the requested path in a normal form: without the query, escapes resolved once, runs of `/` reduced to one,
    /// and without `/` at the end. So the number of paths shows how broad a scan is, however a client writes them.
    #[must_use]
    pub fn path(&self) -> Option<Cow<'_, str>> {
        let raw = self.request_uri.as_deref()?.split('?').next().unwrap_or("");
        let has_empty_part = raw.as_bytes().windows(2).any(|pair| pair == b"//");
        let is_normal = !raw.contains('%') && !has_empty_part && (raw.len() < 2 || !raw.ends_with('/'));
        if is_normal {
            return Some(raw.into());
        }
        let mut path = String::with_capacity(raw.len());
        for letter in unescaped(raw).chars() {
            if letter != '/' || !path.ends_with('/') {
                path.push(letter);
            }
        }
        if path.len() > 1 && path.ends_with('/') {
            path.pop();
        }
        Some(path.into())
    }

    /// Returns the user with whose rights the request was decided: the impersonated one where there is one.
    #[must_use]
    pub fn effective_username(&self) -> Option<&str> {
        self.impersonated_username.as_deref().or(self.username.as_deref())
    }

    /// Returns whether a service account asked for objects outside of its own namespace, or of the whole cluster.
    #[must_use]
    pub fn is_in_foreign_namespace(&self) -> bool {
        let account = self.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:"));
        let own = account.and_then(|account| account.split_once(':')).map(|(namespace, _)| namespace);
        match (own, &self.object_ref) {
            (Some(own), Some(object)) => object.namespace.as_deref() != Some(own),
            _ => false,
        }
    }
}

/// Returns whether an event of this stage counts as a request: see [`AuditEvent::is_request`].
pub(crate) fn is_request(stage: Option<&str>, code: Option<i64>, username: Option<&str>) -> bool {
    match stage {
        None | Some("ResponseComplete" | "Panic") => true,
        Some("ResponseStarted") => code == Some(401) && username.unwrap_or("").is_empty(),
        Some(_) => false,
    }
}

/// Returns `text` with each `%` and two hex digits replaced by their byte. Invalid UTF-8 becomes replacement characters.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let (byte, length) = escaped.map_or((*first, 1), |(high, low)| (high << 4 | low, 3));
        bytes.push(byte);
        rest = &rest[length..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Returns a timestamp in milliseconds since 1970; `None` where it is not one.
pub(crate) fn millis(timestamp: &str) -> Option<i64> {
    usual_millis(timestamp).or_else(|| timestamp.parse::<Timestamp>().ok().map(Timestamp::as_millisecond))
}

/// Returns the milliseconds of a timestamp as the API server writes it, `2026-11-21T10:00:00.041212Z`; `None` where it is
/// another one, or none. Every event has two of them, and the library takes eight times as long, because it reads all forms.
fn usual_millis(timestamp: &str) -> Option<i64> {
    /// The days of each month, and those of a year before it.
    const MONTHS: [(u32, u32); 12] = [
        (31, 0),
        (28, 31),
        (31, 59),
        (30, 90),
        (31, 120),
        (30, 151),
        (31, 181),
        (31, 212),
        (30, 243),
        (31, 273),
        (30, 304),
        (31, 334),
    ];
    let [digits @ .., b'.', a, b, c, _, _, _, b'Z'] = timestamp.as_bytes() else { return None };
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2] = digits else {
        return None;
    };
    if !timestamp.as_bytes()[20..26].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        let add = |sum: u32, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'));
        digits.iter().try_fold(0, add)
    };
    let (year, month) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*o1, *o2])?);
    let (day, hour) = (number(&[*d1, *d2])?, number(&[*h1, *h2])?);
    let (minute, second) = (number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    let (days, days_before) = *MONTHS.get((month as usize).checked_sub(1)?)?;
    // The library knows what else there is: leap days, leap seconds, and years of other rules.
    if !(1970..2100).contains(&year) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap_days = (year - 1969) / 4 + u32::from(year % 4 == 0 && month > 2);
    let days = (year - 1970) * 365 + leap_days + days_before + day - 1;
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(seconds * 1000 + i64::from(number(&[*a, *b, *c])?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(uri: &str) -> AuditEvent {
        AuditEvent { request_uri: Some(uri.to_owned()), ..AuditEvent::default() }
    }

    proptest! {
        #[test]
        fn a_usual_timestamp_is_read_as_the_library_reads_it(
            (year, month, day) in (1968..2102_u32, 0..14_u32, 0..33_u32),
            (hour, minute, second, micros) in (0..25_u32, 0..61_u32, 0..61_u32, 0..1_000_000_u32),
            other in prop_oneof![9 => Just(None), 1 => (0..27_usize, "[0-9a-zA-Z:+. -]").prop_map(Some)],
        ) {
            let mut text = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
            if let Some((at, letter)) = &other {
                text.replace_range(*at..=*at, letter);
            }
            let expected = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            prop_assert_eq!(millis(&text), expected, "{}", text);
            let is_usual = (1970..2100).contains(&year) && (month, day) != (2, 29) && second < 60 && other.is_none();
            prop_assert!(!is_usual || usual_millis(&text) == expected, "{text}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for uri in ["/api/v1/pods", "/api/v1/pods?limit=500", "/api/v1/pods/", "//api///v1/pods", "/api/v1/%70ods%2F"] {
            assert_eq!(event(uri).path().as_deref(), Some("/api/v1/pods"), "{uri}");
        }
        for (uri, path) in [("/", "/"), ("//?x", "/"), ("", ""), ("/%2570", "/%70"), ("/a%", "/a%"), ("/%f", "/%f")] {
            assert_eq!(event(uri).path().as_deref(), Some(path), "{uri}");
        }
        assert_eq!(event("/%ff%c3%a9").path().as_deref(), Some("/\u{fffd}é"));
        assert_eq!(AuditEvent::default().path(), None);
    }

    #[test]
    fn a_service_account_is_at_home_in_its_own_namespace_only() {
        let foreign = |username: &str, namespace: Option<&str>| {
            let object = ObjectRef { namespace: namespace.map(str::to_owned), ..ObjectRef::default() };
            let event =
                AuditEvent { username: Some(username.to_owned()), object_ref: Some(object), ..AuditEvent::default() };
            event.is_in_foreign_namespace()
        };
        assert!(foreign("system:serviceaccount:prod:web", Some("kube-system")));
        assert!(foreign("system:serviceaccount:prod:web", None));
        assert!(!foreign("system:serviceaccount:prod:web", Some("prod")));
        assert!(!foreign("alice", Some("prod")));
        assert!(!foreign("system:serviceaccount:prod", None));
        assert!(!event("/version").is_in_foreign_namespace());
    }
}
