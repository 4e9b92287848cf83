//! Shrinks an object to a size: drops the least useful parts first, and keeps the attributes that tools rely on.

use serde_json::{Value, json};
use stakeout_core::text::bounded;

use super::to_line;

/// Evidences and samples that a shrunk object keeps.
const SAMPLES_MIN: usize = 1;
/// Findings and sources that a shrunk incident keeps.
const LISTED_MIN: usize = 16;
/// Clusters and techniques that a shrunk object keeps.
const RESOURCES_MIN: usize = 10;
/// Characters of each text of the rule that a shrunk object keeps.
const WORDS_CHARS_MAX: usize = 512;
/// Characters of each text of a rule that a shrunk incident keeps.
const LISTED_CHARS_MAX: usize = 128;

/// Drops samples, then evidences, then lists and words, until the object's line has at most `bytes_max` bytes. Of an
/// incident, it drops findings, then sources, then other lists.
///
/// `unmapped.shrunk` names the dropped parts. The fixed attributes stay: uid, title, analytic, times, activity,
/// count, severity, the first evidence, the first clusters, and the first sources and findings of an incident. They need
/// less than 128 KiB.
pub fn shrink_to(object: &mut Value, bytes_max: usize) {
    let steps = if object.get("finding_info_list").is_some() { INCIDENT_STEPS } else { STEPS };
    for step in steps {
        if to_line(object).len() <= bytes_max {
            return;
        }
        step(object, bytes_max);
    }
}

/// Drops one kind of part.
type Step = fn(&mut Value, usize);

/// What is dropped of a finding, the least useful first.
const STEPS: &[Step] = &[
    |object, bytes_max| halve(object, "/unmapped/addresses", 0, bytes_max),
    |object, bytes_max| halve(object, "/unmapped/samples", SAMPLES_MIN, bytes_max),
    |object, bytes_max| halve(object, "/evidences", SAMPLES_MIN, bytes_max),
    |object, _| drop_unmapped(object),
    |object, bytes_max| halve(object, "/resources", RESOURCES_MIN, bytes_max),
    |object, _| cut_words(object),
];

/// What is dropped of an incident, the least useful first.
const INCIDENT_STEPS: &[Step] = &[
    |object, bytes_max| halve(object, "/unmapped/incident/addresses", 0, bytes_max),
    |object, bytes_max| halve(object, "/finding_info_list", LISTED_MIN, bytes_max),
    |object, bytes_max| halve(object, "/unmapped/incident/sources", LISTED_MIN, bytes_max),
    |object, bytes_max| halve(object, "/unmapped/incident/clusters", RESOURCES_MIN, bytes_max),
    |object, bytes_max| halve(object, "/unmapped/incident/rules", RESOURCES_MIN, bytes_max),
    |object, bytes_max| halve(object, "/unmapped/incident/tactics", RESOURCES_MIN, bytes_max),
    |object, bytes_max| halve(object, "/attacks", RESOURCES_MIN, bytes_max),
    |object, _| cut_words(object),
];

/// Halves the list at `pointer` until the object fits or `length_min` entries are left.
fn halve(object: &mut Value, pointer: &str, length_min: usize, bytes_max: usize) {
    let mut is_shrunk = false;
    while let Some(list) = object.pointer_mut(pointer).and_then(Value::as_array_mut)
        && list.len() > length_min
    {
        list.truncate((list.len() / 2).max(length_min));
        is_shrunk = true;
        if to_line(object).len() <= bytes_max {
            break;
        }
    }
    if is_shrunk {
        note(object, pointer.rsplit('/').next().unwrap_or(pointer));
    }
}

/// Keeps only the short parts of `unmapped`.
fn drop_unmapped(object: &mut Value) {
    if let Some(unmapped) = object.get_mut("unmapped").and_then(Value::as_object_mut) {
        unmapped.retain(|name, value| name == "shrunk" || !(value.is_array() || value.is_object()));
    }
    note(object, "unmapped");
}

fn cut_words(object: &mut Value) {
    for pointer in
        ["/finding_info/title", "/finding_info/desc", "/finding_info/analytic/name", "/finding_info/analytic/uid"]
    {
        if let Some(Value::String(words)) = object.pointer_mut(pointer) {
            *words = bounded(words, WORDS_CHARS_MAX);
        }
    }
    for info in object.get_mut("finding_info_list").and_then(Value::as_array_mut).into_iter().flatten() {
        for pointer in ["/title", "/analytic/name", "/analytic/uid"] {
            if let Some(Value::String(words)) = info.pointer_mut(pointer) {
                *words = bounded(words, LISTED_CHARS_MAX);
            }
        }
    }
    if let Some(attacks) = object.pointer_mut("/finding_info/attacks").and_then(Value::as_array_mut) {
        attacks.truncate(RESOURCES_MIN);
    }
    note(object, "words");
}

fn note(object: &mut Value, what: &str) {
    let unmapped = &mut object["unmapped"];
    match unmapped.get_mut("shrunk").and_then(Value::as_array_mut) {
        Some(shrunk) => shrunk.push(json!(what)),
        None => unmapped["shrunk"] = json!([what]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_before_evidences_and_the_fixed_attributes_stay() {
        let long = "x".repeat(900);
        let mut object = json!({
            "finding_info": {"uid": "u", "title": "t"},
            "evidences": vec![json!({"data": long}); 8],
            "unmapped": {"samples": vec![json!(long); 8], "late": false},
        });
        shrink_to(&mut object, 9_000);
        assert_eq!(object["unmapped"]["shrunk"], json!(["samples"]));
        assert_eq!(object["evidences"].as_array().map(Vec::len), Some(8));
        assert_eq!(object["unmapped"]["samples"].as_array().map(Vec::len), Some(1));
        shrink_to(&mut object, 2_000);
        assert_eq!(object["evidences"].as_array().map(Vec::len), Some(1));
        assert_eq!(object["finding_info"], json!({"uid": "u", "title": "t"}));
    }
}
