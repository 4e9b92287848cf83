//! How documents name each other: by the `name` or the `id` of a rule.

use crate::diagnostic::Diagnostic;
use crate::yaml::At;

/// The names of a document.
pub(super) struct RuleNames {
    pub(super) title: String,
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
}

impl RuleNames {
    /// Returns the name that the rule is shown by.
    pub(super) fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.title)
    }

    /// Returns whether `reference` names the rule.
    pub(super) fn are_named(&self, reference: &str) -> bool {
        self.name.as_deref() == Some(reference)
            || self.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(reference))
    }
}

/// A rule that a correlation or a filter names, by its `name` or `id`.
pub(super) struct Reference {
    pub(super) target: String,
    /// The error, if no rule has this name or id.
    pub(super) error: Diagnostic,
}

impl Reference {
    /// Reads the rules that a correlation or filter names.
    pub(super) fn list(at: &At<'_>) -> Result<Vec<Reference>, Diagnostic> {
        let mut references: Vec<Reference> = Vec::new();
        for item in at.list_or_one()? {
            let target = item.text()?.to_owned();
            if references.iter().any(|earlier| earlier.target == target) {
                return Err(item.error(format!("`{target}` is named twice"), "remove one of the two"));
            }
            let error = item.error(
                format!("no rule has the name or id `{target}`"),
                "use the `name` or `id` of a rule that is loaded as well, not its title; `builtin` loads the built-in rules",
            );
            references.push(Reference { target, error });
        }
        if references.is_empty() {
            return Err(at.error("no rule is named", "add the `name` or `id` of at least one rule"));
        }
        Ok(references)
    }
}
