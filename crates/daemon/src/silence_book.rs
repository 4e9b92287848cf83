//! The silences in force: those of the file when it was last good, or at the start those of its entries that are right. It is read at each tick, so that its text can be reviewed and
//! kept in Git.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use stakeout_core::silence::Silences;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use tracing::{info, warn};

use crate::metric;
use crate::silence_file::{self, Parsed};

/// The silences in force. It outlives the config, like the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct SilenceBook(Arc<Mutex<Page>>);

#[derive(Debug, Default)]
struct Page {
    silences: Arc<Silences>,
    /// Whether they are of a file.
    is_of_file: bool,
    /// Why they are not those of the file as it is now.
    error: Option<String>,
}

impl SilenceBook {
    /// Reads the file again. If it is bad, or is gone, what it said before stays in force, and the log says so.
    pub(crate) fn refresh(&self, path: Option<&Path>, now: Second) {
        let Some(path) = path else {
            self.set(Page::default(), now);
            return;
        };
        let known = self.current();
        let shown = path.display();
        let is_of_file = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_of_file;
        let page = match silence_file::read(path, now) {
            Some(Parsed { silences, errors }) if errors.is_empty() => {
                if silences != *known {
                    info!("the silences are those of {shown} from now on");
                }
                Page { silences: Arc::new(silences), is_of_file: true, error: None }
            }
            // `stakeout silence add` creates it.
            None if !is_of_file => Page::default(),
            None => Page { silences: known, is_of_file, error: Some(format!("there is no {shown} any more")) },
            Some(Parsed { silences, errors }) => {
                let others = match errors.len() {
                    0 | 1 => String::new(),
                    more => format!(", and {}", counted(more - 1, "other error")),
                };
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                // A process that has just started knows none that were good before.
                let silences = if is_of_file { known } else { Arc::new(silences) };
                Page { silences, is_of_file, error: Some(format!("{first}{others}")) }
            }
        };
        if let Some(error) = &page.error {
            let in_force = page.silences.iter().filter(|silence| !silence.is_over(now)).count();
            warn!(in_force, "cannot use the file with silences as it is: {error}");
        }
        self.set(page, now);
    }

    /// Returns the silences in force; those that are over are among them.
    pub(crate) fn current(&self) -> Arc<Silences> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).silences.clone()
    }

    /// Returns why the file is bad, if it is.
    pub(crate) fn error(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    fn set(&self, page: Page, now: Second) {
        let in_force = page.silences.iter().filter(|silence| !silence.is_over(now)).count();
        metric::silences(in_force, page.error.is_some());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bad_file_and_one_that_is_gone_leave_what_was_good_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("silences.yaml");
        let now = Second(1_795_222_200);
        let book = SilenceBook::default();
        let ids = || -> Vec<String> { book.current().iter().map(|silence| silence.id.clone()).collect() };
        let refresh = |text: Option<&str>| {
            match text {
                Some(text) => fs::write(&path, text).expect("written"),
                None => drop(fs::remove_file(&path)),
            }
            book.refresh(Some(&path), now);
        };
        refresh(None);
        assert_eq!((ids(), book.error()), (Vec::new(), None), "there may be none yet");
        refresh(Some(&format!("- {{id: z, rule: r, reason: x, owner: ada, until: {}}}\n- {{id: y}}\n", now.plus(60))));
        assert_eq!(ids(), ["z"], "nothing was good before");
        assert!(book.error().is_some());
        let entry = |id: &str| format!("- {{id: {id}, rule: r, reason: x, owner: ada, until: {}}}\n", now.plus(60));
        refresh(Some(&entry("a")));
        assert_eq!((ids(), book.error()), (vec!["a".to_owned()], None));
        refresh(Some("- {id: b}\n"));
        assert_eq!(ids(), ["a"]);
        let error = book.error().expect("an error");
        assert!(error.contains("silences.yaml:1: [0].reason: `reason` is missing"), "{error}");
        refresh(Some(&entry("c")));
        assert_eq!((ids(), book.error()), (vec!["c".to_owned()], None));
        refresh(None);
        assert_eq!(ids(), ["c"]);
        assert!(book.error().expect("an error").ends_with("any more"));
        book.refresh(None, now);
        assert_eq!((ids(), book.error()), (Vec::new(), None), "the config names none any more");
    }
}
