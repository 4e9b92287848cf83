//! Words that stand for one thing in the heads of those who wrote them, and for nothing in the reader's. `words.txt` lists
//! them with the word to use.

use super::{checkout, files, text};

/// Where the words must not appear. The tests' data holds recordings, in which others choose the words.
const FOLDERS: &[&str] = &["config", "crates", "docs"];

/// Returns each forbidden word with the one to use.
fn forbidden() -> Vec<(String, String)> {
    let list = text("tests/tidy/words.txt");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").expect("`word: the one to use`"))
        .map(|(word, use_)| (word.into(), use_.into()))
        .collect()
}

/// Returns the documents in the root.
fn documents() -> Vec<String> {
    let entries = std::fs::read_dir(checkout()).expect("the checkout");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain"));
    names.filter(|name| name.ends_with(".md")).collect()
}

/// Returns the lines of `text` that hold `word` as a whole word, in any case.
fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| line.to_lowercase().split(|c| !is_part(c)).any(|found| found == word);
    text.lines().enumerate().filter(|(_, line)| has(line)).map(|(index, _)| index + 1).collect()
}

#[test]
fn one_concept_has_one_word() {
    let forbidden = forbidden();
    let mut faults = Vec::new();
    for file in FOLDERS.iter().flat_map(|folder| files(folder, &[""])).chain(documents()) {
        let bytes = std::fs::read(checkout().join(&file)).expect("the file is there");
        let text = String::from_utf8_lossy(&bytes);
        for (word, instead) in &forbidden {
            let lines = lines_with(&text, word);
            faults.extend(lines.iter().map(|line| format!("{file}:{line}: `{word}`: write {instead}")));
        }
    }
    assert!(faults.is_empty(), "{} lines:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_word_counts_whole_and_in_any_case() {
    assert_eq!(lines_with("Told.\nuntold, told_at\nhe was told", "told"), [1, 3]);
    assert_eq!(lines_with("look_around: medium\nlook around", "look_around"), [1]);
}
