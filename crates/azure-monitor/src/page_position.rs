//! What a page asks for: all rows of a window at once, or, of a second whose rows do not fit into one answer, less of each
//! row or some of the rows.
//!
//! Log Analytics has no pages of its own. A page token leads to the next query, so that a caller that follows tokens misses
//! nothing.

use stakeout_core::record::{FetchError, PageToken};

use crate::config::AuditTable;

/// Into how many parts the rows of a second are split, by a hash of each: first into few, and if one of these does not fit,
/// into many.
const PARTS: [u32; 2] = [16, 256];

/// A query for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PagePosition {
    /// Whether rows come that the prefilter does not accept.
    pub(crate) is_whole: bool,
    /// Which part of the rows.
    pub(crate) share: Share,
}

/// The part of a window's rows that one query asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    #[default]
    All,
    /// All, without the ends of the fields that clients may make as long as they like.
    Cut,
    /// Those whose hash is `index` of `of`.
    Part {
        /// The hash.
        index: u32,
        /// How many hashes there are.
        of: u32,
    },
}

impl PagePosition {
    /// Returns the first query for a window.
    pub(crate) fn first(is_whole: bool) -> PagePosition {
        PagePosition { is_whole, share: Share::All }
    }

    /// Reads a page token; one that this crate did not write is gone.
    pub(crate) fn read(token: &PageToken) -> Result<PagePosition, FetchError> {
        PagePosition::parse(&token.0)
            .ok_or_else(|| FetchError::TokenGone { reason: "Log Analytics has no pages".to_owned() })
    }

    fn parse(token: &str) -> Option<PagePosition> {
        let (pass, share) = token.split_once(':')?;
        let is_whole = match pass {
            "whole" => true,
            "matching" => false,
            _ => return None,
        };
        let share = match share {
            "all" => Share::All,
            "cut" => Share::Cut,
            part => {
                let (index, of) = part.split_once('/')?;
                let (index, of) = (index.parse().ok()?, of.parse().ok()?);
                PARTS.contains(&of).then_some(Share::Part { index, of }).filter(|_| index < of)?
            }
        };
        Some(PagePosition { is_whole, share })
    }

    /// Returns the page token that leads here.
    pub(crate) fn to_page_token(self) -> PageToken {
        let pass = if self.is_whole { "whole" } else { "matching" };
        PageToken(match self.share {
            Share::All => format!("{pass}:all"),
            Share::Cut => format!("{pass}:cut"),
            Share::Part { index, of } => format!("{pass}:{index}/{of}"),
        })
    }

    /// Returns the query after this one was answered, or `None` after the last.
    pub(crate) fn next(self) -> Option<PagePosition> {
        match self.share {
            Share::Part { index, of } if index + 1 < of => {
                Some(PagePosition { share: Share::Part { index: index + 1, of }, ..self })
            }
            Share::All | Share::Cut | Share::Part { .. } => None,
        }
    }

    /// Returns the query whose answers are shorter, for a window that cannot be split; `None` where there is none. It begins
    /// with the first rows again.
    ///
    /// A row of the shared table is one text, which cannot be cut without losing what rules read, so its rows are split.
    pub(crate) fn smaller(self, table: AuditTable) -> Option<PagePosition> {
        let share = match (table, self.share) {
            (AuditTable::AksAudit | AuditTable::AksAuditAdmin, Share::All) => Share::Cut,
            (AuditTable::AzureDiagnostics, Share::All) => Share::Part { index: 0, of: PARTS[0] },
            (AuditTable::AzureDiagnostics, Share::Part { of, .. }) if of == PARTS[0] => {
                Share::Part { index: 0, of: PARTS[1] }
            }
            _ => return None,
        };
        Some(PagePosition { share, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_token() {
        for is_whole in [false, true] {
            for share in [Share::All, Share::Cut, Share::Part { index: 3, of: 16 }, Share::Part { index: 255, of: 256 }]
            {
                let position = PagePosition { is_whole, share };
                assert_eq!(PagePosition::read(&position.to_page_token()).expect("written here"), position);
            }
        }
        for other in ["", "whole", "whole:", "whole:16/16", "whole:0/17", "part:all", "another provider's"] {
            assert!(PagePosition::read(&PageToken(other.to_owned())).is_err(), "{other}");
        }
    }

    #[test]
    fn a_second_is_asked_for_in_ever_smaller_shares() {
        let first = PagePosition::first(false);
        let shares = |table| {
            let smaller = std::iter::successors(Some(first), |position| position.smaller(table));
            smaller.map(|position| position.share).collect::<Vec<_>>()
        };
        assert_eq!(shares(AuditTable::AksAudit), [Share::All, Share::Cut]);
        let parts = [Share::All, Share::Part { index: 0, of: 16 }, Share::Part { index: 0, of: 256 }];
        assert_eq!(shares(AuditTable::AzureDiagnostics), parts);
        let part = first.smaller(AuditTable::AzureDiagnostics).expect("a part");
        assert_eq!(std::iter::successors(Some(part), |position| position.next()).count(), 16);
        assert_eq!(first.next(), None);
    }
}
