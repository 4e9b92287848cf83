//! What of a rule stands in an entry as it is, and can be searched for before the entry is read: the way back from
//! `decode`. What is put together of other words there is left out.

use stakeout_core::field::Field;
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::{Literal, Prefilter};

use crate::decode::{ANONYMOUS, DECISION, UNAUTHENTICATED};
use crate::status;

/// Returns the needles of which every entry holds one whose event fits `prefilter`, or `None` where any entry can fit.
#[must_use]
pub fn needles(prefilter: &Prefilter) -> Option<Needles> {
    Needles::of(&spelled(prefilter).simplified(), Spelling::Native)
}

/// Returns a filter over what entries spell that holds wherever `prefilter` does.
fn spelled(prefilter: &Prefilter) -> Prefilter {
    match prefilter {
        Prefilter::Any => Prefilter::Any,
        Prefilter::Or(parts) => Prefilter::Or(parts.iter().map(spelled).collect()),
        Prefilter::And(parts) => Prefilter::And(parts.iter().map(spelled).collect()),
        Prefilter::Is { field: Field::Named("responseStatus.code"), literal } => code(literal),
        Prefilter::Is { field: Field::Named("user.groups"), literal } => group(literal),
        Prefilter::Is { field, .. } if is_as_it_is(field) => prefilter.clone(),
        Prefilter::Is { .. } => Prefilter::Any,
    }
}

fn is_as_it_is(field: &Field) -> bool {
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

/// An entry has the code of the API server's answer, or one of gRPC for it; a success may be nothing at all.
fn code(literal: &Literal) -> Prefilter {
    let http = match literal {
        Literal::Number(number) => Some(*number),
        Literal::Text { text, .. } => text.parse().ok(),
    };
    let Some(http) = http.filter(|http| status::http_of(0) != Some(*http)) else {
        return Prefilter::Any;
    };
    let is = |number| Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(number) };
    Prefilter::Or(std::iter::once(http).chain(status::grpc_of(http)).map(is).collect())
}

/// Entries name no groups: who is anonymous belongs to one.
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
    fn a_denial_is_found_in_the_words_of_grpc_and_of_http() {
        let refused = is("responseStatus.code", Literal::Number(403));
        for entry in [r#"{"status":{"code":7}}"#, r#"{"status": {"code" : 7.0 }}"#, r#"{"response":{"code":"403"}}"#] {
            assert!(hits(&refused, entry), "{entry}");
        }
        assert!(!hits(&refused, r#"{"status":{"code":5},"uid":"7403-7","time":"17:07:27"}"#));
    }

    #[test]
    fn who_is_anonymous_is_in_the_group_of_the_anonymous() {
        let group = is("user.groups", text(UNAUTHENTICATED));
        assert!(hits(&group, r#"{"principalEmail":"system:anonymous"}"#));
        assert!(!hits(&group, r#"{"principalEmail":"eve@example.com"}"#));
    }

    #[test]
    fn what_is_put_together_of_other_words_is_not_searched_for() {
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
