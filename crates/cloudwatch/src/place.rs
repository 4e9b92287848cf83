//! Where the read of a window stands: in which pass, and at which token of the service.
//!
//! EKS cuts long messages, which then end in `[Truncated...]` and are no JSON, so no JSON pattern finds them: with a
//! pattern alone, a long request would be invisible. So a filtered read takes two passes, and the way from the one to
//! the other lies in the page token, where a caller that follows tokens cannot miss it.

use stakeout_core::record::{FetchError, PageToken};

/// One way through the events of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Every event, no filter. It needs no second pass.
    Whole,
    /// The events that fit the JSON pattern.
    Matching,
    /// The events that hold `[Truncated...]`; it follows `Matching`.
    Cut,
}

/// A page to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The pass it belongs to.
    pub(crate) pass: Pass,
    /// The service's token, or `None` for the pass's first page.
    pub(crate) token: Option<String>,
}

impl Pass {
    const ALL: [Pass; 3] = [Pass::Whole, Pass::Matching, Pass::Cut];

    /// Returns what a page token begins with in this pass.
    fn mark(self) -> &'static str {
        match self {
            Pass::Whole => "whole:",
            Pass::Matching => "matching:",
            Pass::Cut => "cut:",
        }
    }

    fn following(self) -> Option<Pass> {
        (self == Pass::Matching).then_some(Pass::Cut)
    }
}

impl Place {
    /// Returns the first page of a pass.
    pub(crate) fn first_of(pass: Pass) -> Place {
        Place { pass, token: None }
    }

    /// Tells whether the request for this page is the first to carry its pattern.
    pub(crate) fn opens_filtered(&self) -> bool {
        self.token.is_none() && self.pass != Pass::Whole
    }

    /// Reads a page token; one that this crate did not write is gone.
    pub(crate) fn read(token: &PageToken) -> Result<Place, FetchError> {
        Pass::ALL
            .into_iter()
            .find_map(|pass| {
                let rest = token.0.strip_prefix(pass.mark())?;
                Some(Place { pass, token: (!rest.is_empty()).then(|| rest.to_owned()) })
            })
            .ok_or_else(|| gone("it names no pass"))
    }

    /// Returns the page token that leads here.
    pub(crate) fn to_page_token(&self) -> PageToken {
        PageToken(format!("{}{}", self.pass.mark(), self.token.as_deref().unwrap_or("")))
    }

    /// Returns the place after this one, given the token that the service answered with, or `None` after the last.
    ///
    /// A token that is the one just sent leads nowhere. The SDK's paginator ends there as if all had been read; here it
    /// is an error.
    pub(crate) fn next(self, answered: Option<String>) -> Result<Option<Place>, FetchError> {
        match answered.filter(|token| !token.is_empty()) {
            None => Ok(self.pass.following().map(Place::first_of)),
            same if same == self.token => Err(gone("the service answered with the token that was sent")),
            token => Ok(Some(Place { token, ..self })),
        }
    }
}

/// Returns the error of a token that leads nowhere.
pub(crate) fn gone(reason: &str) -> FetchError {
    FetchError::TokenGone { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pass: Pass, token: &str) -> Place {
        Place { pass, token: Some(token.to_owned()) }
    }

    #[test]
    fn a_place_survives_its_token() {
        for place in [
            Place::first_of(Pass::Whole),
            Place::first_of(Pass::Cut),
            at(Pass::Matching, "a:b=="),
            at(Pass::Cut, "cut:"),
        ] {
            assert_eq!(Place::read(&place.to_page_token()).expect("written here"), place);
        }
        assert!(matches!(Place::read(&PageToken("f/3715".to_owned())), Err(FetchError::TokenGone { .. })));
    }

    #[test]
    fn what_was_cut_off_follows_what_matched() {
        let next = |place: Place, answered: Option<&str>| place.next(answered.map(str::to_owned));
        assert_eq!(next(at(Pass::Matching, "a"), Some("b")).expect("goes on"), Some(at(Pass::Matching, "b")));
        assert_eq!(next(at(Pass::Matching, "a"), None).expect("goes on"), Some(Place::first_of(Pass::Cut)));
        assert_eq!(next(at(Pass::Cut, "a"), None).expect("ends"), None);
        assert_eq!(next(Place::first_of(Pass::Whole), Some("")).expect("ends"), None);
        assert!(matches!(next(at(Pass::Whole, "a"), Some("a")), Err(FetchError::TokenGone { .. })));
    }
}
