//! The tests of texts. Case is ignored for ASCII letters; for other letters the behaviour of Kusto is undocumented.
//! <https://learn.microsoft.com/en-us/kusto/query/datatypes-string-operators>

use super::syntax::Relation;

/// Returns whether the relation holds between two texts; `None` if that is undocumented.
pub(super) fn holds(relation: Relation, ignores_case: bool, text: &str, part: &str) -> Option<bool> {
    if !ignores_case {
        return relate(relation, text, part);
    }
    let plain = relate(relation, &text.to_ascii_lowercase(), &part.to_ascii_lowercase());
    let is_ascii = text.is_ascii() && part.is_ascii();
    if plain == Some(true) || is_ascii {
        return plain;
    }
    // Letters outside of ASCII may be folded or not, so only a result that holds either way is returned.
    let folded = relate(relation, &text.to_lowercase(), &part.to_lowercase());
    if folded == plain { plain } else { None }
}

fn relate(relation: Relation, text: &str, part: &str) -> Option<bool> {
    match relation {
        Relation::Equals => Some(text == part),
        Relation::Contains => Some(text.contains(part)),
        Relation::EndsWith => Some(text.ends_with(part)),
        Relation::Has => has_term(text, part),
    }
}

/// Whether a term begins or ends between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Between,
    Unknown,
    Inside,
}

/// Searches a part that begins and ends where a term does; terms are runs of letters and digits. Whether an underscore
/// and characters outside of ASCII belong to a term is undocumented.
fn has_term(text: &str, part: &str) -> Option<bool> {
    if part.is_empty() {
        return None;
    }
    let mut is_open = false;
    // Matches may overlap, so `match_indices` would skip some.
    let positions = text.char_indices().map(|(at, _)| at).filter(|at| text[*at..].starts_with(part));
    for at in positions {
        let edges = [edge(text, at), edge(text, at + part.len())];
        if edges == [Edge::Between; 2] {
            return Some(true);
        }
        is_open |= !edges.contains(&Edge::Inside);
    }
    if is_open { None } else { Some(false) }
}

fn edge(text: &str, at: usize) -> Edge {
    let (before, after) = text.split_at(at);
    match (before.chars().next_back(), after.chars().next()) {
        (None, _) | (_, None) => Edge::Between,
        (Some(before), Some(after)) if is_term(before) && is_term(after) => Edge::Inside,
        (Some(before), Some(after)) if is_open(before) || is_open(after) => Edge::Unknown,
        _ => Edge::Between,
    }
}

fn is_term(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn is_open(c: char) -> bool {
    c == '_' || !c.is_ascii()
}
