//! Which module of a crate imports which, read off the text of its files.
//!
//! A module is a top-level module of `src` with all of its children. A path that starts at the root of the crate counts
//! (`crate::`, or enough `super::`); comments, texts and tests do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of a crate in the order in which its root file lists them, and what each imports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Modules {
    /// The names, in order.
    pub(super) listed: Vec<String>,
    /// What each module imports, and the file that does.
    imports: BTreeMap<String, BTreeMap<String, String>>,
    /// Paths from the root that lead to no module.
    pub(super) unresolved: Vec<String>,
}

impl Modules {
    /// Reads the crate whose `src` folder this is.
    pub(super) fn read(src: &Path) -> Modules {
        let root = ["lib.rs", "main.rs"].map(|name| src.join(name)).into_iter().find(|path| path.exists());
        let root = without_tests(&without_comments(&read(&root.expect("a crate has lib.rs or main.rs"))));
        let listed = listed(&root);
        let reexported = reexported(&root, &listed);
        let mut modules = Modules { listed: listed.clone(), imports: BTreeMap::new(), unresolved: Vec::new() };
        for module in &listed {
            for (file, depth) in files_of(src, module) {
                let code = without_tests(&without_comments(&read(&file)));
                let shown = file.strip_prefix(src).expect("below src").display().to_string();
                for name in names_from_root(&code, depth) {
                    let target = if listed.contains(&name) { Some(&name) } else { reexported.get(&name) };
                    match target {
                        Some(target) if target == module => {}
                        Some(target) => {
                            let imports = modules.imports.entry(module.clone()).or_default();
                            imports.entry(target.clone()).or_insert_with(|| shown.clone());
                        }
                        None => modules.unresolved.push(format!("{shown}: crate::{name} is not in a module")),
                    }
                }
            }
        }
        modules
    }

    /// Returns a cycle of imports as `a -> b -> a`, with the file of each import, or `None` if there is none.
    pub(super) fn cycle(&self) -> Option<String> {
        let mut finished = BTreeSet::new();
        self.listed.iter().find_map(|module| self.cycle_from(module, &mut Vec::new(), &mut finished))
    }

    fn cycle_from(&self, module: &str, path: &mut Vec<String>, finished: &mut BTreeSet<String>) -> Option<String> {
        if let Some(start) = path.iter().position(|before| before == module) {
            return Some(self.shown(&path[start..], module));
        }
        if finished.contains(module) {
            return None;
        }
        path.push(module.to_owned());
        for target in self.imports.get(module).into_iter().flat_map(BTreeMap::keys) {
            if let Some(cycle) = self.cycle_from(target, path, finished) {
                return Some(cycle);
            }
        }
        path.pop();
        finished.insert(module.to_owned());
        None
    }

    fn shown(&self, path: &[String], end: &str) -> String {
        let next = path.iter().skip(1).map(String::as_str).chain([end]);
        let steps =
            path.iter().zip(next).map(|(module, next)| format!("{module} ({}) -> ", self.imports[module][next]));
        steps.chain([end.to_owned()]).collect()
    }

    /// Returns the imports from a module that is listed below, as (module, imported module).
    pub(super) fn edges_to_below(&self) -> BTreeSet<(String, String)> {
        let position = |name: &String| self.listed.iter().position(|listed| listed == name);
        let all = self.imports.iter().flat_map(|(module, targets)| targets.keys().map(move |target| (module, target)));
        all.filter(|(module, target)| position(target) > position(module))
            .map(|(module, target)| (module.clone(), target.clone()))
            .collect()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the word that a text begins with.
fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Returns the names behind `mod` in the root file.
fn listed(root: &str) -> Vec<String> {
    let lines = root.lines().map(|line| line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub "));
    let names = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| name.trim_start_matches("r#").to_owned()).collect()
}

/// Returns the names that the root file re-exports, each with the module that it comes from.
fn reexported(root: &str, listed: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in root.split(';') {
        let Some((_, path)) = statement.split_once("use ") else { continue };
        let path = path.trim().trim_start_matches("crate::").trim_start_matches("self::");
        let module = word(path);
        if listed.iter().any(|name| name == module) {
            let names = path[module.len()..].split(|c| !is_word(c)).filter(|name| !name.is_empty());
            found.extend(names.map(|name| (name.to_owned(), module.to_owned())));
        }
    }
    found
}

/// Returns the files of a module with their depth below the root; files of tests are left out.
fn files_of(src: &Path, module: &str) -> Vec<(PathBuf, usize)> {
    let mut found = vec![(src.join(format!("{module}.rs")), 1)];
    let mut folders = vec![(src.join(module), 2)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("plain");
            if path.is_dir() && name != "tests" {
                folders.push((path, depth + 1));
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push((path, depth));
            }
        }
    }
    found.sort();
    found
}

/// Returns the first names of all paths that start at the root of the crate, in a file that lies `depth` below it.
fn names_from_root(code: &str, depth: usize) -> Vec<String> {
    let from_super = "super::".repeat(depth);
    let starts = ["crate::", from_super.as_str()];
    let mut names = Vec::new();
    for start in starts {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|c| is_word(c) || c == '$' || c == ':') {
                continue;
            }
            let rest = code[at + start.len()..].trim_start();
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group_names(group)),
                None => names.push(word(rest).to_owned()),
            }
        }
    }
    names.retain(|name| !name.is_empty() && name != "super");
    names
}

/// Returns the first name of each path in a group, up to its closing brace.
fn group_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut is_start) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_word(c) && is_start => {
                names.push(word(&group[at..]).to_owned());
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

/// Returns code without its comments and without what stands in its texts.
fn without_comments(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => text_length(rest),
            'r' if !kept.ends_with(is_word) && is_raw_text(rest) => raw_text_length(rest),
            // A character, not a lifetime.
            '\'' if rest.starts_with("'\\") => rest[2..].find('\'').map_or(rest.len(), |end| end + 3).max(4),
            '\'' if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(3).map_or(rest.len(), |(end, _)| end),
            c => {
                kept.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken.min(rest.len())..];
    }
    kept
}

fn text_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn is_raw_text(rest: &str) -> bool {
    rest[1..].trim_start_matches('#').starts_with('"')
}

fn raw_text_length(rest: &str) -> usize {
    let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

/// Returns code, which has no comments, without the items that are built for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        rest = &after[item_length(after)..];
    }
    kept + rest
}

/// Returns the length of the item that a text begins with: to its semicolon, or to the end of its block.
fn item_length(text: &str) -> usize {
    let is_use = text.trim_start().trim_start_matches("pub ").starts_with("use ");
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 && !is_use => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the modules of a crate of these files.
    fn modules(files: &[(&str, &str)]) -> Modules {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, code) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, code).expect("written");
        }
        Modules::read(folder.path())
    }

    fn pairs(of: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        of.iter().map(|(module, target)| ((*module).to_owned(), (*target).to_owned())).collect()
    }

    #[test]
    fn a_cycle_is_found_and_shown() {
        let modules = modules(&[
            ("lib.rs", "mod first;\npub mod second;\npub(crate) mod third;\n"),
            ("first.rs", "use crate::second::{Thing, crate_like};\n"),
            ("second.rs", "pub struct Thing;\n"),
            ("second/inner.rs", "fn f() -> crate::third::Other { crate::third::other() }\n"),
            ("third.rs", "use crate::{first::{A, B}, third::Own};\n"),
        ]);
        let cycle = "first (first.rs) -> second (second/inner.rs) -> third (third.rs) -> first";
        assert_eq!(modules.cycle().as_deref(), Some(cycle));
        assert_eq!(modules.edges_to_below(), pairs(&[("first", "second"), ("second", "third")]));
        assert_eq!(modules.unresolved, Vec::<String>::new());
    }

    #[test]
    fn a_path_by_super_and_a_reexport_lead_to_their_module() {
        let modules = modules(&[
            ("main.rs", "mod first;\nmod second;\npub use second::{Deep, inner::Deeper};\nfn main() {}\n"),
            ("first.rs", "use super::second::Thing;\n"),
            ("second.rs", "mod inner;\nuse crate::Deep;\n"),
            ("second/inner.rs", "use super::own;\nuse super::super::first::Thing;\nuse crate::odd;\n"),
        ]);
        assert!(modules.cycle().is_some());
        assert_eq!(modules.unresolved, ["second/inner.rs: crate::odd is not in a module"]);
    }

    #[test]
    fn comments_texts_and_tests_do_not_count() {
        let second = r##"
            //! crate::first
            /* crate::first */
            const QUOTE: char = '"'; // "crate::first
            const ESCAPED: [char; 2] = ['\'', '\u{22}'];
            const TEXT: &str = "\" crate::first";
            const RAW: &str = r#"" crate::first"#;
            fn lifetime<'a>(text: &'a str) -> &'a str { text }
            macro_rules! m { () => { $crate::first::f() } }
            #[cfg(test)]
            use crate::{first::A, first::B};
            #[cfg(test)]
            mod tests {
                use crate::first::A;
                fn f() { { crate::first::f() } }
            }
        "##;
        let files =
            [("lib.rs", "mod first;\nmod second;\n"), ("first.rs", "use crate::second;\n"), ("second.rs", second)];
        let all = [&files[..], &[("second/tests.rs", "use crate::first;\n")]].concat();
        assert_eq!(modules(&all).cycle(), None);
        let after = format!("{second}\nuse crate::first;\n");
        assert!(modules(&[files[0], files[1], ("second.rs", &after)]).cycle().is_some());
    }
}
