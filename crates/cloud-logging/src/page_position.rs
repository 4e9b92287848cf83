//! The position of a read in its window: the pass, and the service's token.
//!
//! A read with the prefilter is one pass. If the service does not understand what was pushed down, the page token leads
//! to a read without it, so that a caller that follows tokens cannot miss it. A pass whose pages are too long begins again
//! with smaller ones: a token of the service belongs to the size that it was given for.

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
    /// Entries of a page, where larger pages were too long.
    pub(crate) page_size: Option<i32>,
}

/// How much smaller the pages of the next attempt are.
const SMALLER: i32 = 4;

impl Pass {
    const ALL: [Pass; 2] = [Pass::Whole, Pass::Matching];

    /// Returns what a page token begins with in this pass.
    fn mark(self) -> &'static str {
        match self {
            Pass::Whole => "whole",
            Pass::Matching => "matching",
        }
    }
}

impl PagePosition {
    /// Returns the first page of a pass.
    pub(crate) fn first_of(pass: Pass) -> PagePosition {
        PagePosition { pass, token: String::new(), page_size: None }
    }

    /// Returns whether the request for this page carries a token, which means that all else in it was accepted before.
    pub(crate) fn is_continued(&self) -> bool {
        !self.token.is_empty()
    }

    /// Reads a page token; one that this crate did not write is gone.
    pub(crate) fn read(token: &PageToken) -> Result<PagePosition, FetchError> {
        PagePosition::parse(&token.0).ok_or_else(|| token_gone("it names no pass"))
    }

    fn parse(token: &str) -> Option<PagePosition> {
        let (head, token) = token.split_once(':')?;
        let (mark, size) = head.split_once('/').map_or((head, None), |(mark, size)| (mark, Some(size)));
        let pass = Pass::ALL.into_iter().find(|pass| pass.mark() == mark)?;
        let page_size = size.map(str::parse).transpose().ok()?;
        Some(PagePosition { pass, token: token.to_owned(), page_size })
    }

    /// Returns the page token that leads here.
    pub(crate) fn to_page_token(&self) -> PageToken {
        let PagePosition { pass, token, page_size } = self;
        PageToken(match page_size {
            None => format!("{}:{token}", pass.mark()),
            Some(size) => format!("{}/{size}:{token}", pass.mark()),
        })
    }

    /// Returns the beginning of the pass with smaller pages than those of `page_size`, or `None` where they hold one entry.
    pub(crate) fn smaller(&self, page_size: i32) -> Option<PagePosition> {
        let smaller = Some((page_size / SMALLER).max(1));
        (page_size > 1).then(|| PagePosition { page_size: smaller, ..PagePosition::first_of(self.pass) })
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
        PagePosition { pass, token: token.to_owned(), page_size: None }
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
    fn a_pass_begins_again_with_smaller_pages() {
        let mut position = at(Pass::Matching, "a:b");
        let mut sizes = vec![1_000];
        while let Some(smaller) = position.smaller(*sizes.last().expect("one")) {
            assert_eq!(PagePosition::read(&smaller.to_page_token()).expect("written here"), smaller);
            let next = smaller.clone().next("t".to_owned()).expect("goes on").expect("there is one");
            assert_eq!(PagePosition::read(&next.to_page_token()).expect("written here"), next);
            assert_eq!((smaller.pass, smaller.token.as_str()), (Pass::Matching, ""));
            sizes.extend(smaller.page_size);
            position = next;
        }
        assert_eq!(sizes, [1_000, 250, 62, 15, 3, 1]);
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
