//! Errors in a file that a person wrote: where, what is wrong, and how to fix it.

use std::fmt;

/// A shorter part of a name says little.
const PART_BYTES_MIN: usize = 3;

/// One error in a config or rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1; 0 where the error concerns the whole file.
    pub line: usize,
    /// The path of keys, such as `sources[0].cloudwatch.region`; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

/// Writes `FILE:LINE: KEY: PROBLEM (FIX)` on one line, with control characters escaped.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", crate::text::visible(&self.key))?;
        }
        write!(f, ": {} ({})", crate::text::visible(&self.problem), crate::text::visible(&self.fix))
    }
}

impl std::error::Error for Diagnostic {}

/// Returns the name in `known` that `word` was probably meant to be: the nearest one within a third of its letters.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters = word.chars().count();
    let distance_max = |name: &str| name.chars().count().div_ceil(3);
    // A distance is at least the difference of the lengths.
    let may_be_near = |name: &&&str| letters.abs_diff(name.chars().count()) <= distance_max(name);
    known
        .iter()
        .filter(may_be_near)
        .map(|name| (edit_distance(word, name), *name))
        .filter(|(distance, name)| *distance <= distance_max(name))
        .min()
        .map(|(_, name)| name)
}

/// Returns a sentence with the known name that `word` is a part of or nearest to, or with all known names if none is.
#[must_use]
pub fn suggestion(word: &str, known: &[&str]) -> String {
    let longer = known.iter().copied().filter(|name| word.len() >= PART_BYTES_MIN && name.contains(word));
    match longer.min_by_key(|name| name.len()).or_else(|| nearest(word, known)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected one of: {}", known.join(", ")),
    }
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_suggests_its_word_and_nonsense_suggests_none() {
        assert_eq!(nearest("regoin", &["region", "log_group"]), Some("region"));
        assert_eq!(nearest("banana", &["region", "log_group"]), None);
        let rules = ["kubernetes-token-spray", "kubernetes-pod-scan-by-anonymous"];
        for part in ["kubernetes-pod-scan", "pod-scan", "kubernetes-pod-scan-by-anonymos"] {
            assert_eq!(suggestion(part, &rules), "did you mean `kubernetes-pod-scan-by-anonymous`?");
        }
        assert_eq!(suggestion("banana", &["a", "b"]), "expected one of: a, b");
    }
}
