//! What is known of the addresses of a message.

use stakeout_core::address::SourceIp;

use super::markup::{Markup, VALUES_MAX, code, labelled_lines};
use crate::address_book::{AddressBook, AddressContext};

/// Longest text about an address.
const CONTEXT_UNITS_MAX: usize = 200;

/// Returns a line for each of the first sources of which something is known.
pub(super) fn section(sources: impl IntoIterator<Item = SourceIp>, book: &AddressBook) -> Vec<Markup> {
    let known = book.known(sources, VALUES_MAX);
    let line = |(source, context): (SourceIp, AddressContext)| {
        format!("`{source}` {}", code(&context.to_string(), CONTEXT_UNITS_MAX))
    };
    labelled_lines("Known addresses", known.map(line).collect())
}
