//! The section `daily`: the destinations that get one line a day.

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::yaml::Map;

use super::notify::{Destination, DestinationKind};

/// Reads the section. `destinations` are those of the config, or `None` where these have an error of their own.
pub(super) fn read(top: &Map<'_>, destinations: Option<&[Destination]>) -> Result<Vec<String>, Diagnostic> {
    let Some(at) = top.get("daily") else { return Ok(Vec::new()) };
    let mut names: Vec<String> = Vec::new();
    for at in at.list()? {
        let name = at.text()?;
        if names.iter().any(|named| named == name) {
            return Err(at.error(format!("`{name}` is named twice"), "name each destination once"));
        }
        let of_name = |destination: &&Destination| destination.name == name;
        if let Some(DestinationKind::PagerDuty(_) | DestinationKind::Alertmanager(_)) =
            destinations.and_then(|all| Some(&all.iter().find(of_name)?.kind))
        {
            return Err(at.error(format!("`{name}` makes alerts"), "name a destination that wakes nobody"));
        }
        if let Some(destinations) = destinations {
            let known: Vec<&str> = destinations.iter().map(|destination| &*destination.name).collect();
            if !known.contains(&name) {
                return Err(at.error(format!("`{name}` is not a destination of `notify`"), suggestion(name, &known)));
            }
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
