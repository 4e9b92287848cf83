//! The position of a read in its window: the pass, and the service's token.
//!
//! A read with the prefilter is one pass. If the service does not understand what was pushed down, the page token leads
//! to a read without it, so that a caller that follows tokens cannot miss it.

use stakeout_core::record::{FetchError, PageToken};

/// One way through the entries of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Every audit entry of the cluster.
    Whole,
    /// Those that the prefilter may accept.
    Matching,
}

/// A page to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PagePosition {
    /// The pass it belongs to.
    pub(crate) pass: Pass,
    /// The service's token; empty for the pass's first page.
    pub(crate) token: String,
}

impl Pass {
    const ALL: [Pass; 2] = [Pass::Whole, Pass::Matching];

    /// Returns what a page token begins with in this pass.
    fn mark(self) -> &'static str {
        match self {
            Pass::Whole => "whole:",
            Pass::Matching => "matching:",
        }
    }
}

impl PagePosition {
    /// Returns the first page of a pass.
    pub(crate) fn first_of(pass: Pass) -> PagePosition {
        PagePosition { pass, token: String::new() }
    }

    /// Returns whether the request for this page carries a token, which means that all else in it was accepted before.
    pub(crate) fn is_continued(&self) -> bool {
        !self.token.is_empty()
    }

    /// Reads a page token; one that this crate did not write is gone.
    pub(crate) fn read(token: &PageToken) -> Result<PagePosition, FetchError> {
        Pass::ALL
            .into_iter()
            .find_map(|pass| Some(PagePosition { pass, token: token.0.strip_prefix(pass.mark())?.to_owned() }))
            .ok_or_else(|| token_gone("it names no pass"))
    }

    /// Returns the page token that leads here.
    pub(crate) fn to_page_token(&self) -> PageToken {
        PageToken(format!("{}{}", self.pass.mark(), self.token))
    }

    /// Returns the next position, given the token that the service answered with, or `None` after the last page. A token
    /// equal to the one just sent is an error.
    pub(crate) fn next(self, answered: String) -> Result<Option<PagePosition>, FetchError> {
        match answered {
            none if none.is_empty() => Ok(None),
            same if same == self.token => Err(token_gone("the service answered with the token that was sent")),
            token => Ok(Some(PagePosition { token, ..self })),
        }
    }
}

/// Returns the error for a token that cannot be continued.
fn token_gone(reason: &str) -> FetchError {
    FetchError::TokenGone { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pass: Pass, token: &str) -> PagePosition {
        PagePosition { pass, token: token.to_owned() }
    }

    #[test]
    fn a_position_survives_its_token() {
        for position in [PagePosition::first_of(Pass::Whole), at(Pass::Matching, "a:b=="), at(Pass::Whole, "matching:")]
        {
            assert_eq!(PagePosition::read(&position.to_page_token()).expect("written here"), position);
        }
        assert!(matches!(
            PagePosition::read(&PageToken("EAA4suKu3qnLwbtrSg8i".to_owned())),
            Err(FetchError::TokenGone { .. })
        ));
    }

    #[test]
    fn a_read_goes_on_until_there_is_no_token() {
        let next = |position: PagePosition, answered: &str| position.next(answered.to_owned());
        assert_eq!(next(PagePosition::first_of(Pass::Matching), "a").expect("goes on"), Some(at(Pass::Matching, "a")));
        assert_eq!(next(at(Pass::Matching, "a"), "b").expect("goes on"), Some(at(Pass::Matching, "b")));
        assert_eq!(next(at(Pass::Whole, "a"), "").expect("ends"), None);
        assert!(matches!(next(at(Pass::Whole, "a"), "a"), Err(FetchError::TokenGone { .. })));
    }
}
