//! Each line of a selection of a shipped rule matters: without it, a case fails or the file is refused.

use std::thread;

use stakeout_core::rule::{self, CaseResult, RuleFile};
use stakeout_core::shipped;

/// Lines that need no case, each as it is written in the rule files, with the reason.
const WITHOUT_CASE: &[(&str, &str)] = &[(
    "user.username|cased|startswith: \"system:serviceaccount:\"",
    "`foreign_namespace` beside it implies the line, but no provider can filter by that",
)];

/// Returns the lines of selections in the detections of a file: all that are indented deeper than the names of the selections.
fn selection_lines(text: &str) -> Vec<usize> {
    let mut is_detection = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if !line.starts_with(' ') || line.starts_with("  condition:") {
            is_detection = line.starts_with("detection:");
        } else if is_detection && line.starts_with("    ") && !line.trim_start().starts_with('#') {
            lines.push(number);
        }
    }
    lines
}

/// Returns a rule file without its cases.
fn without_cases(text: &str) -> String {
    let mut is_case = false;
    let mut kept = String::new();
    for line in text.lines() {
        is_case = line == "  tests:" || is_case && line.starts_with("    ");
        // An empty mapping is refused.
        if line == "  tests:" && kept.ends_with("\nstakeout:\n") {
            kept.truncate(kept.len() - "stakeout:\n".len());
        }
        if !is_case {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Returns whether the rules load and pass their cases without a line of one file.
fn passes_without(mut files: Vec<RuleFile>, file: usize, line: usize) -> bool {
    let kept = files[file].text.lines().enumerate().filter(|(number, _)| *number != line);
    files[file].text = kept.map(|(_, text)| format!("{text}\n")).collect();
    rule::load(&files).is_ok_and(|rules| rules.test().iter().all(CaseResult::is_passed))
}

/// Returns the files, with the cases of one of them only.
fn with_cases_of(files: &[RuleFile], file: usize) -> Vec<RuleFile> {
    let only_own = files.iter().enumerate().map(|(number, rules)| RuleFile {
        text: if number == file { rules.text.clone() } else { without_cases(&rules.text) },
        ..rules.clone()
    });
    only_own.collect()
}

/// Returns whether no case needs a line. The cases of its own file are tried first, because reading all takes long.
fn is_unguarded(files: &[RuleFile], file: usize, line: usize) -> bool {
    passes_without(with_cases_of(files, file), file, line) && passes_without(files.to_vec(), file, line)
}

/// A kind of objects in a list of many is a value like the others, and needs no case of its own. Neither does a line that has
/// a reason above.
fn is_excused(files: &[RuleFile], file: usize, line: usize) -> bool {
    let text = files[file].text.lines().nth(line).unwrap_or_default().trim();
    let is_kind = text.strip_prefix("- ").is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_lowercase()));
    is_kind || WITHOUT_CASE.iter().any(|(excused, _)| *excused == text)
}

#[test]
fn without_a_line_of_a_selection_a_case_fails() {
    let files = shipped::rule_files();
    let lines: Vec<(usize, usize)> = files
        .iter()
        .enumerate()
        .flat_map(|(file, rules)| selection_lines(&rules.text).into_iter().map(move |line| (file, line)))
        .filter(|(file, line)| !is_excused(&files, *file, *line))
        .collect();
    assert!(lines.len() > 200, "{} lines", lines.len());
    assert!(
        (0..files.len()).all(|file| passes_without(with_cases_of(&files, file), file, usize::MAX)),
        "they pass as they are"
    );
    let parts = lines.chunks(lines.len().div_ceil(thread::available_parallelism().map_or(1, usize::from)));
    let unguarded: Vec<String> = thread::scope(|scope| {
        let files = &files;
        let check = |part: &'_ [(usize, usize)]| {
            let unguarded = part.iter().filter(|(file, line)| is_unguarded(files, *file, *line));
            unguarded.map(|(file, line)| format!("{}:{}", files[*file].name, line + 1)).collect::<Vec<_>>()
        };
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || check(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("the thread ends")).collect()
    });
    assert!(unguarded.is_empty(), "no case needs these lines: {unguarded:#?}");
}

#[test]
fn the_lines_of_selections_are_found() {
    let text = "title: A\ndetection:\n  selection:\n    verb: list\n    # A comment.\n    objectRef.resource:\n      - pods\n  condition: selection\nlevel: low\nstakeout:\n  tests:\n    - name: a\n";
    assert_eq!(selection_lines(text), [3, 5, 6]);
    assert_eq!(without_cases(text).lines().last(), Some("level: low"));
}
