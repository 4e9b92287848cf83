//! A few distinct names, such as the clusters of a group: sorted, each once, and in little memory, because every row has
//! some.

use serde::{Deserialize, Serialize};

/// Distinct names, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(Vec<String>);

impl Names {
    /// Adds all of `other`.
    pub fn join(&mut self, other: &Names) {
        for name in &other.0 {
            if let Err(index) = self.0.binary_search(name) {
                self.0.reserve_exact(1);
                self.0.insert(index, name.clone());
            }
        }
    }

    /// Returns the names, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Names {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        names.shrink_to_fit();
        Names(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Names>();
        let mut joined = names(&["prod", "dev", "prod"]);
        joined.join(&names(&["stage", "dev", "a"]));
        assert_eq!(joined, names(&["a", "dev", "prod", "stage"]));
        assert_eq!(joined.iter().collect::<Vec<_>>(), ["a", "dev", "prod", "stage"]);
    }
}
