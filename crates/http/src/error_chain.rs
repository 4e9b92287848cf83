//! An error and everything that caused it: found by type, and as one line of text.

use std::error::Error;
use std::io;

/// Returns the error and all of its causes, the error first.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Returns the first `E` among the error and its causes, also where an [`io::Error`] wraps it.
#[must_use]
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    // What an `io::Error` wraps is not its source, but the source of it is.
    let wrapped = |cause: &'a (dyn Error + 'static)| Some(cause.downcast_ref::<io::Error>()?.get_ref()? as &dyn Error);
    chain(error).find_map(|cause| {
        cause.downcast_ref().or_else(|| {
            let mut inner: &'a (dyn Error + 'static) = wrapped(cause)?;
            loop {
                if let Some(found) = inner.downcast_ref() {
                    return Some(found);
                }
                inner = wrapped(inner).or_else(|| inner.source())?;
            }
        })
    })
}

/// Returns the messages of the error and its causes, each once. The text is neither shortened nor made visible.
#[must_use]
pub fn message(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    for cause in chain(error).skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// Returns the message of the innermost cause. The text is neither shortened nor made visible.
#[must_use]
pub fn root_message(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("no route")]
    struct NoRoute;

    #[derive(Debug, Error)]
    #[error("{message}")]
    struct Failed {
        message: &'static str,
        source: NoRoute,
    }

    #[test]
    fn a_cause_is_found_by_type_and_named_once() {
        let failed = |message| Failed { message, source: NoRoute };
        assert_eq!(message(&failed("cannot connect")), "cannot connect: no route");
        assert_eq!(message(&failed("no route to the host")), "no route to the host");
        assert_eq!([root_message(&failed("cannot connect")), root_message(&NoRoute)], ["no route", "no route"]);
        assert!(find::<NoRoute>(&failed("")).is_some() && find::<Failed>(&NoRoute).is_none());
        let wrapped = io::Error::other(io::Error::other(failed("")));
        assert!(find::<Failed>(&wrapped).is_some() && find::<NoRoute>(&wrapped).is_some());
    }
}
