//! What an error of a client's says, with what caused it: found by type, and in words that are fit for a log.

use std::error::Error;

use crate::text::{bounded, visible};

/// Longest text of a service that goes into an error, in characters: its messages are a sentence or two, a proxy's may be
/// a page.
pub const REASON_CHARS_MAX: usize = 600;

/// Returns an error and all that caused it, the error first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Returns the first of an error and its causes that is an `E`.
#[must_use]
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the words of an error and of all that caused it, each once; neither bounded nor made visible.
#[must_use]
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// Returns foreign words fit for an error: visible, and at most [`REASON_CHARS_MAX`] characters.
#[must_use]
pub fn shown(words: &str) -> String {
    // A page is cut before it is looked through, and what was spelled out is cut again.
    bounded(&visible(&bounded(words, REASON_CHARS_MAX)), REASON_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("no route")]
    struct NoRoute;

    #[derive(Debug, Error)]
    #[error("{said}")]
    struct Failed {
        said: &'static str,
        source: NoRoute,
    }

    #[test]
    fn what_caused_an_error_is_found_and_said_once() {
        let failed = |said| Failed { said, source: NoRoute };
        assert_eq!(words(&failed("cannot connect")), "cannot connect: no route");
        assert_eq!(words(&failed("no route to the host")), "no route to the host");
        assert!(find::<NoRoute>(&failed("")).is_some() && find::<Failed>(&NoRoute).is_none());
    }

    #[test]
    fn foreign_words_are_bounded_however_long_they_get_when_spelled_out() {
        assert_eq!(shown(&"\u{7}".repeat(5_000)).chars().count(), REASON_CHARS_MAX);
        assert_eq!(shown("a\nb"), "a\\u{a}b");
    }
}
