//! The values of a rule that an entry contains literally, so that a text search finds them before the entry is decoded.
//! Values that `decode` composes of several parts are left out.

use stakeout_core::field::Field;
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::{Literal, Prefilter};

use crate::decode::{ANONYMOUS, DECISION, UNAUTHENTICATED};
use crate::status;

/// Returns needles of which every entry whose event fits `prefilter` contains one, or `None` where any entry can fit.
#[must_use]
pub fn needles(prefilter: &Prefilter) -> Option<Needles> {
    Needles::of(&literal_filter(prefilter).simplified(), Spelling::Native)
}

/// Returns a filter over the literal text of entries that accepts at least what `prefilter` accepts.
fn literal_filter(prefilter: &Prefilter) -> Prefilter {
    match prefilter {
        Prefilter::Any => Prefilter::Any,
        Prefilter::Or(parts) => Prefilter::Or(parts.iter().map(literal_filter).collect()),
        Prefilter::And(parts) => Prefilter::And(parts.iter().map(literal_filter).collect()),
        Prefilter::Is { field: Field::Named("responseStatus.code"), literal } => code(literal),
        Prefilter::Is { field: Field::Named("user.groups"), literal } => group(literal),
        // In which of its spellings Google writes an address is undocumented.
        Prefilter::Is { literal: Literal::Network(_), .. } => Prefilter::Any,
        Prefilter::Is { field, .. } if is_literal(field) => prefilter.clone(),
        Prefilter::Is { .. } => Prefilter::Any,
    }
}

fn is_literal(field: &Field) -> bool {
    match field {
        Field::Annotation(key) => key != DECISION,
        Field::Named(name) => matches!(
            *name,
            "auditID"
                | "user.username"
                | "sourceIPs"
                | "userAgent"
                | "responseStatus.reason"
                | "responseStatus.message"
        ),
    }
}

/// An entry contains the code of the API server's answer, or a gRPC code for it; a success may be absent.
fn code(literal: &Literal) -> Prefilter {
    let http = match literal {
        Literal::Number(number) => Some(*number),
        Literal::Text { text, .. } => text.parse().ok(),
        Literal::Network(_) => None,
    };
    let Some(http) = http.filter(|http| status::http_of(0) != Some(*http)) else {
        return Prefilter::Any;
    };
    let is = |number| Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(number) };
    Prefilter::Or(std::iter::once(http).chain(status::grpc_of(http)).map(is).collect())
}

/// Entries name no groups; anonymous requests belong to one.
fn group(literal: &Literal) -> Prefilter {
    let is_theirs = matches!(literal, Literal::Text { text, .. } if text.eq_ignore_ascii_case(UNAUTHENTICATED));
    let anonymous = Literal::Text { text: ANONYMOUS.to_owned(), cased: true };
    if is_theirs { Prefilter::Is { field: Field::Named("user.username"), literal: anonymous } } else { Prefilter::Any }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(field: &'static str, literal: Literal) -> Prefilter {
        Prefilter::Is { field: Field::Named(field), literal }
    }

    fn text(text: &str) -> Literal {
        Literal::Text { text: text.to_owned(), cased: true }
    }

    fn hits(prefilter: &Prefilter, entry: &str) -> bool {
        needles(prefilter).expect("needles").occur_in(entry.as_bytes())
    }

    #[test]
    fn a_denial_is_found_by_its_grpc_and_its_http_code() {
        let refused = is("responseStatus.code", Literal::Number(403));
        for entry in [r#"{"status":{"code":7}}"#, r#"{"status": {"code" : 7.0 }}"#, r#"{"response":{"code":"403"}}"#] {
            assert!(hits(&refused, entry), "{entry}");
        }
        assert!(!hits(&refused, r#"{"status":{"code":5},"uid":"7403-7","time":"17:07:27"}"#));
    }

    #[test]
    fn the_group_of_anonymous_requests_is_found_by_their_user_name() {
        let group = is("user.groups", text(UNAUTHENTICATED));
        assert!(hits(&group, r#"{"principalEmail":"system:anonymous"}"#));
        assert!(!hits(&group, r#"{"principalEmail":"eve@example.com"}"#));
    }

    #[test]
    fn composed_values_are_not_searched_for() {
        for prefilter in [
            is("verb", text("list")),
            is("requestURI", text("/api/v1/pods")),
            is("responseStatus.code", Literal::Number(200)),
            Prefilter::Is { field: Field::Annotation(DECISION.to_owned()), literal: text("forbid") },
        ] {
            assert!(needles(&prefilter).is_none(), "{prefilter:?}");
        }
    }
}
