//! A rule's comparison in terms of an entry: the inverse of `decode`, by the same tables.

use stakeout_core::field::Field;
use stakeout_core::prefilter::Literal;

use crate::decode::{ANONYMOUS, DECISION, UNAUTHENTICATED};
use crate::status;

/// Where `decode` finds the user's name.
const PRINCIPALS: [&str; 3] = [
    "protoPayload.authenticationInfo.principalEmail",
    "protoPayload.authenticationInfo.principalSubject",
    "protoPayload.authenticationInfo.authoritySelector",
];
/// Where `decode` finds the caller's address.
const CALLERS: [&str; 2] = ["protoPayload.requestMetadata.callerIp", "protoPayload.requestMetadata.callerIP"];
/// Where `decode` finds the gRPC code.
const GRPC_CODE: &str = "protoPayload.status.code";
const METHOD: &str = "protoPayload.methodName";
const PATH: &str = "protoPayload.resourceName";

/// A text that a rule compares with, as far as the service can be trusted to compare in the same way.
#[derive(Clone, Copy)]
struct ComparedText<'a> {
    text: &'a str,
    cased: bool,
}

/// Returns comparisons of which at least one holds wherever the field's value fits, or `None` where there are no such.
pub(super) fn alternatives(field: &Field, literal: &Literal) -> Option<Vec<String>> {
    if *field == Field::Named("responseStatus.code") {
        return codes(literal);
    }
    let number;
    let text = match literal {
        Literal::Text { text, cased } => ComparedText { text, cased: *cased },
        Literal::Number(of) => {
            number = of.to_string();
            ComparedText { text: &number, cased: true }
        }
        Literal::Network(network) => {
            // <https://cloud.google.com/logging/docs/view/logging-query-language#ip_in_net>
            let network = quoted(&network.trunc().to_string());
            let in_net = |caller| format!("ip_in_net({caller}, {network})");
            return (*field == Field::Named("sourceIPs")).then(|| CALLERS.map(in_net).to_vec());
        }
    };
    if !text.is_plain() {
        return None;
    }
    match field {
        Field::Named(name) => named(name, text),
        Field::Annotation(key) => annotation(key, text),
    }
}

/// Returns a text as a literal of the language.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn named(name: &str, text: ComparedText<'_>) -> Option<Vec<String>> {
    match name {
        "auditID" => Some(text.equals(&["operation.id"])),
        "requestURI" => request_uri(text),
        "verb" => text.ends_segments(METHOD, '.').map(one),
        "user.username" => Some(text.equals(&PRINCIPALS)),
        "impersonatedUser.username" => Some(text.equals(&PRINCIPALS[2..])),
        "user.groups" => {
            text.is(UNAUTHENTICATED).then(|| ComparedText { text: ANONYMOUS, cased: true }.equals(&PRINCIPALS))
        }
        "sourceIPs" => Some(text.equals(&CALLERS)),
        "userAgent" => Some(text.equals(&["protoPayload.requestMetadata.callerSuppliedUserAgent"])),
        "objectRef.resource" => text.is_inner_segment(METHOD, '.').map(one),
        "objectRef.subresource" => Some(vec![text.is_inner_segment(METHOD, '.')?, text.is_later_segment(PATH, '/')?]),
        "objectRef.namespace" => text.follows(PATH, "/namespaces/").map(one),
        "objectRef.name" => text.is_later_segment(PATH, '/').map(one),
        "responseStatus.reason" => Some(text.equals(&["protoPayload.response.reason"])),
        "responseStatus.message" => {
            Some(text.equals(&["protoPayload.response.message", "protoPayload.status.message"]))
        }
        _ => None,
    }
}

/// Returns the ways in which an entry may hold a code. A success is often absent.
fn codes(literal: &Literal) -> Option<Vec<String>> {
    let http = match literal {
        Literal::Number(number) => *number,
        Literal::Text { text, .. } => text.parse().ok()?,
        Literal::Network(_) => return None,
    };
    let of_status = status::grpc_of(http).flat_map(|grpc| {
        let absent = (grpc == 0).then(|| format!("NOT {GRPC_CODE}:*"));
        std::iter::once(format!("{GRPC_CODE}={grpc}")).chain(absent)
    });
    (100..600).contains(&http).then(|| of_status.chain([format!("protoPayload.response.code={http}")]).collect())
}

/// Returns the paths from which `decode` composes a URI.
fn request_uri(text: ComparedText<'_>) -> Option<Vec<String>> {
    let without = |prefix: &str| {
        let (head, rest) = text.text.split_at_checked(prefix.len())?;
        ComparedText { text: head, ..text }.is(prefix).then_some(rest)
    };
    let core = without("/api/").map(|rest| format!("core/{rest}"));
    // A path for no resource may have its slash.
    let whole = without("/").map(|_| text.text.to_owned());
    let paths = [whole, without("/").map(str::to_owned), without("/apis/").map(str::to_owned), core];
    let paths: Vec<String> = paths.into_iter().flatten().collect();
    let is_any_empty = paths.iter().any(String::is_empty);
    let equals = |path: &String| ComparedText { text: path, ..text }.equals(&[PATH]);
    (!paths.is_empty() && !is_any_empty).then(|| paths.iter().flat_map(equals).collect())
}

/// Returns the comparison with the label of an annotation. The decision may come from `authorizationInfo` if its label is missing.
fn annotation(key: &str, text: ComparedText<'_>) -> Option<Vec<String>> {
    let is_key_plain = key.contains('/') && ComparedText { text: key, cased: true }.is_plain();
    let label = format!("labels.{}", quoted(key));
    let mut alternatives = is_key_plain.then(|| text.equals(&[label.as_str()]))?;
    if key == DECISION {
        alternatives.push(format!("NOT {label}:*"));
    }
    Some(alternatives)
}

fn one(comparison: String) -> Vec<String> {
    vec![comparison]
}

impl ComparedText<'_> {
    /// Returns whether `=` accepts at least the field values that equal the text for a rule.
    ///
    /// `=` ignores case. Whether a `*` is one there, what an empty text equals, and how case is ignored beyond ASCII is
    /// undocumented. So is that of `k`, which is the lower case of the Kelvin sign as well.
    fn is_plain(self) -> bool {
        !self.text.is_empty()
            && self.text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'*')
            && (self.cased || !self.text.contains(['k', 'K']))
    }

    fn is(self, other: &str) -> bool {
        self.text == other || (!self.cased && self.text.eq_ignore_ascii_case(other))
    }

    fn equals(self, fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| format!("{field}={}", quoted(self.text))).collect()
    }

    /// Compares with the last segment of a field.
    fn ends_segments(self, field: &str, separator: char) -> Option<String> {
        Some(self.fits(field, &format!("[{separator}]{}$", self.pattern()?)))
    }

    /// Compares with every segment of a field but the first and the last.
    fn is_inner_segment(self, field: &str, separator: char) -> Option<String> {
        Some(self.fits(field, &format!("[{separator}]{}[{separator}]", self.pattern()?)))
    }

    /// Compares with every segment of a field but the first.
    fn is_later_segment(self, field: &str, separator: char) -> Option<String> {
        Some(self.fits(field, &format!("[{separator}]{}([{separator}]|$)", self.pattern()?)))
    }

    /// Compares with the segment that follows some text in a field.
    fn follows(self, field: &str, before: &str) -> Option<String> {
        Some(self.fits(field, &format!("{before}{}(/|$)", self.pattern()?)))
    }

    fn fits(self, field: &str, pattern: &str) -> String {
        format!("{field}=~\"{}{pattern}\"", if self.cased { "" } else { "(?i)" })
    }

    /// Returns the text as a part of a regular expression, or `None` where it is not a Kubernetes name; it never
    /// needs a backslash.
    fn pattern(self) -> Option<String> {
        let is_name =
            self.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
        is_name.then(|| self.text.replace('.', "[.]"))
    }
}
