//! Which of the clusters that are found are watched, and what they are called: `include`, `exclude` and `cluster` of a
//! discovery. What the variables of a name are is the matter of each cloud.

use glob::Pattern;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::text::bounded;
use stakeout_core::yaml::{At, Map};

/// The keys that this module reads.
pub(crate) const KEYS: [&str; 3] = ["include", "exclude", "cluster"];
/// The variable that each name has.
pub(crate) const CLUSTER: &str = "{cluster}";
/// Longest part of a name that is not of its variables.
const PLAIN_CHARS_MAX: usize = 32;
/// Longest name of a cluster, with its account and region.
const NAME_CHARS_MAX: usize = 192;

/// Which clusters are watched, and what they are called.
#[derive(Clone, Debug)]
pub(crate) struct ClusterChoice {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// The name of a cluster, with variables.
    template: String,
}

impl ClusterChoice {
    /// Reads the keys. A name may have the variable [`CLUSTER`] and `others`; it is `usual` where the config does not say.
    pub(crate) fn read(map: &Map<'_>, others: &[&str], usual: String) -> Result<ClusterChoice, Diagnostic> {
        let template = map.get("cluster").map(|at| template(&at, others)).transpose()?.unwrap_or(usual);
        let [include, exclude] = [patterns(map, "include")?, patterns(map, "exclude")?];
        Ok(ClusterChoice { include, exclude, template })
    }

    /// Returns whether a cluster is watched, by the name that the cloud has for it.
    pub(crate) fn has(&self, cluster: &str) -> bool {
        let is_included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(cluster));
        is_included && !self.exclude.iter().any(|pattern| pattern.matches(cluster))
    }

    /// Returns what a cluster is called. No value of a variable has a brace, so no variable comes of one.
    pub(crate) fn name(&self, variables: &[(&str, &str)]) -> String {
        let name =
            variables.iter().fold(self.template.clone(), |name, (variable, value)| name.replace(variable, value));
        bounded(&name, NAME_CHARS_MAX)
    }
}

fn patterns(map: &Map<'_>, key: &str) -> Result<Vec<Pattern>, Diagnostic> {
    let Some(at) = map.get(key) else { return Ok(Vec::new()) };
    let mut patterns = Vec::new();
    for at in at.list_or_one()? {
        let text = at.text()?;
        let pattern = Pattern::new(text).map_err(|error| {
            at.error(format!("`{text}` is not a pattern: {}", error.msg), "write a name, or a pattern such as prod-*")
        });
        patterns.push(pattern?);
    }
    if patterns.is_empty() {
        return Err(at.error("the list is empty", "name at least one, or remove the key"));
    }
    Ok(patterns)
}

/// Reads how clusters are named.
fn template(at: &At<'_>, others: &[&str]) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let rest = others.iter().chain(&[CLUSTER]).fold(text.to_owned(), |rest, variable| rest.replace(variable, ""));
    let is_plain =
        rest.len() <= PLAIN_CHARS_MAX && rest.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}' | '~'));
    if text.contains(CLUSTER) && is_plain {
        return Ok(text.to_owned());
    }
    let (all, last) = (others.join(" or "), others.last().copied().unwrap_or_default());
    Err(at.error(
        format!("`{text}` does not name each cluster"),
        format!("write {{cluster}}, and {all} where names are not unique, such as {{cluster}}.{last}"),
    ))
}
