//! The position of a read in its window: the pass, and the service's token.
//!
//! EKS cuts long messages, which then end in `[Truncated...]` and are not JSON, so no JSON pattern finds them: with a
//! pattern alone, a long request would be invisible. A filtered read therefore takes two passes, and the page token
//! leads from one to the other, so that a caller that follows tokens cannot miss the second.

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

/// A page to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PagePosition {
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

impl PagePosition {
    /// Returns the first page of a pass.
    pub(crate) fn first_of(pass: Pass) -> PagePosition {
        PagePosition { pass, token: None }
    }

    /// Returns whether the request for this page is the first to carry its pattern.
    pub(crate) fn opens_filtered(&self) -> bool {
        self.token.is_none() && self.pass != Pass::Whole
    }

    /// Reads a page token; one that this crate did not write is gone.
    pub(crate) fn read(token: &PageToken) -> Result<PagePosition, FetchError> {
        Pass::ALL
            .into_iter()
            .find_map(|pass| {
                let rest = token.0.strip_prefix(pass.mark())?;
                Some(PagePosition { pass, token: (!rest.is_empty()).then(|| rest.to_owned()) })
            })
            .ok_or_else(|| token_gone("it names no pass"))
    }

    /// Returns the page token that leads here.
    pub(crate) fn to_page_token(&self) -> PageToken {
        PageToken(format!("{}{}", self.pass.mark(), self.token.as_deref().unwrap_or("")))
    }

    /// Returns the next position, given the token that the service answered with, or `None` after the last page.
    ///
    /// A token equal to the one just sent is an error. The SDK's paginator would stop there as if all had been read.
    pub(crate) fn next(self, answered: Option<String>) -> Result<Option<PagePosition>, FetchError> {
        match answered.filter(|token| !token.is_empty()) {
            None => Ok(self.pass.following().map(PagePosition::first_of)),
            same if same == self.token => Err(token_gone("the service answered with the token that was sent")),
            token => Ok(Some(PagePosition { token, ..self })),
        }
    }
}

/// Returns the error for a token that cannot be continued.
pub(crate) fn token_gone(reason: &str) -> FetchError {
    FetchError::TokenGone { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pass: Pass, token: &str) -> PagePosition {
        PagePosition { pass, token: Some(token.to_owned()) }
    }

    #[test]
    fn a_position_survives_its_token() {
        for position in [
            PagePosition::first_of(Pass::Whole),
            PagePosition::first_of(Pass::Cut),
            at(Pass::Matching, "a:b=="),
            at(Pass::Cut, "cut:"),
        ] {
            assert_eq!(PagePosition::read(&position.to_page_token()).expect("written here"), position);
        }
        assert!(matches!(PagePosition::read(&PageToken("f/3715".to_owned())), Err(FetchError::TokenGone { .. })));
    }

    #[test]
    fn cut_events_follow_the_matching_ones() {
        let next = |position: PagePosition, answered: Option<&str>| position.next(answered.map(str::to_owned));
        assert_eq!(next(at(Pass::Matching, "a"), Some("b")).expect("goes on"), Some(at(Pass::Matching, "b")));
        assert_eq!(next(at(Pass::Matching, "a"), None).expect("goes on"), Some(PagePosition::first_of(Pass::Cut)));
        assert_eq!(next(at(Pass::Cut, "a"), None).expect("ends"), None);
        assert_eq!(next(PagePosition::first_of(Pass::Whole), Some("")).expect("ends"), None);
        assert!(matches!(next(at(Pass::Whole, "a"), Some("a")), Err(FetchError::TokenGone { .. })));
    }
}
