//! The documents speak of what is there: links, paths, metrics, the commands of CI; and the README is short.

use std::collections::BTreeSet;

use super::{checkout, files, metric_names, text};

/// Words of README.md, as `wc -w` counts them: what a stranger reads before a first try.
const README_WORDS_MAX: usize = 1_200;

/// Returns every document, as paths from the checkout.
fn documents() -> Vec<String> {
    let root = std::fs::read_dir(checkout()).expect("the checkout");
    let root = root.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain"));
    let documents: Vec<String> = root.chain(files("docs", &[""])).filter(|name| name.ends_with(".md")).collect();
    assert!(documents.len() > 10, "only {documents:?} were found");
    documents
}

/// Returns a document without its fenced blocks.
fn prose(document: &str) -> String {
    text(document).split("```").step_by(2).collect()
}

/// Returns the fragments by which forges link to a document's headings.
fn fragments(document: &str) -> BTreeSet<String> {
    let prose = prose(document);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// Tells whether a piece of code in a document is a path of this checkout.
fn is_path(code: &str) -> bool {
    let folders = ["config/", "crates/", "deploy/", "docs/", "localstack/", "tests/"];
    folders.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '*', '{', '\n'])
}

/// Returns the document to which `link` leads from `document`, as a path from the checkout, or what is wrong with it.
fn target(document: &str, link: &str) -> Result<Option<String>, String> {
    if link.starts_with("https://") {
        return Ok(None);
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let found = if path.is_empty() { document.to_owned() } else { parts.join("/") };
    if !checkout().join(&found).exists() {
        return Err(format!("{document}: {link}: there is no {found}"));
    }
    if !fragment.is_empty() && !fragments(&found).contains(fragment) {
        return Err(format!("{document}: {link}: {found} has no such heading"));
    }
    Ok(Some(found))
}

#[test]
fn links_and_paths_lead_somewhere() {
    let mut faults = Vec::new();
    let mut linked = BTreeSet::from(["README.md".to_owned()]);
    for document in documents() {
        let prose = prose(&document);
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let pictures = prose.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for link in links.chain(pictures) {
            match target(&document, link) {
                Ok(found) => linked.extend(found),
                Err(fault) => faults.push(fault),
            }
        }
        let named = prose.split('`').skip(1).step_by(2).filter(|code| is_path(code));
        let missing = named.filter(|path| !checkout().join(path.trim_end_matches('/')).exists());
        faults.extend(missing.map(|path| format!("{document}: `{path}` is not there")));
    }
    let unlinked = documents().into_iter().filter(|document| !linked.contains(document));
    faults.extend(unlinked.map(|document| format!("no document links to {document}")));
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_readme_is_short() {
    let words = text("README.md").split_whitespace().count();
    assert!(words <= README_WORDS_MAX, "{words} words: move what is not for a first try to docs/");
}

#[test]
fn the_first_commands_of_the_readme_are_those_that_ci_runs() {
    let (readme, ci) = (text("README.md"), text(".ci/run"));
    let blocks = readme.split("```").skip(1).step_by(2).flat_map(str::lines);
    let commands: Vec<&str> = blocks.filter(|line| line.starts_with("cargo ")).take(2).collect();
    assert_eq!(commands, ["cargo run -- demo", "cargo test --workspace"]);
    for command in commands {
        assert!(ci.contains(command), ".ci/run does not run `{command}`");
    }
}

/// Reads the code of the metrics: (name, text) of each description, and the code around them.
fn described() -> (Vec<(String, String)>, String) {
    let file = text("crates/daemon/src/metric.rs");
    let mut pieces = file.split("describe_");
    let mut code = pieces.next().unwrap_or_default().to_owned();
    let mut described = Vec::new();
    for piece in pieces {
        let is_macro = piece.starts_with("counter!(") || piece.starts_with("gauge!(");
        let (description, rest) = piece.split_once(");").filter(|_| is_macro).unwrap_or(("", piece));
        if let [name, text] = description.split('"').skip(1).step_by(2).collect::<Vec<_>>()[..] {
            described.push((name.to_owned(), text.to_owned()));
        }
        code.push_str(rest);
    }
    (described, code)
}

#[test]
fn every_metric_is_described_counted_and_documented() {
    let (described, code) = described();
    let names: BTreeSet<String> = described.into_iter().map(|(name, _)| name).collect();
    let is_crate = |name: &String| ["stakeout_core", "stakeout_notify"].contains(&name.as_str());
    let counted: BTreeSet<String> = metric_names(&code).into_iter().filter(|name| !is_crate(name)).collect();
    assert_eq!(counted, names);
    assert_eq!(metric_names(&text("docs/operations.md")), names);
    let alerted = metric_names(&text("deploy/prometheus/alerts.yml"));
    assert_eq!(alerted.difference(&names).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_documents_say_of_a_metric_what_prometheus_shows() {
    let page = text("docs/operations.md");
    let said = |name: &str| {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")))?;
        Some(row.trim_end_matches(" |").rsplit("| ").next()?.to_owned())
    };
    let mut differ = described().0;
    differ.retain(|(name, text)| said(name).as_ref() != Some(text));
    assert_eq!(differ, Vec::<(String, String)>::new(), "docs/operations.md says something different");
}

/// The commented config names every key; a test of the daemon reads it.
#[test]
fn every_key_of_the_config_is_documented() {
    let (config, page) = (text("config/stakeout.yaml"), text("docs/configuration.md"));
    let lines = config.lines().map(|line| line.trim_start_matches("#~").trim_start().trim_start_matches("- "));
    let keys = lines.filter_map(|line| line.split_once(':')).map(|(key, _)| key);
    let is_key = |key: &&str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let keys: BTreeSet<&str> = keys.filter(is_key).collect();
    assert!(keys.len() > 40, "only {keys:?} were found");
    let is_named = |key: &str| page.split('`').skip(1).step_by(2).any(|code| code.rsplit('.').next() == Some(key));
    let missing: Vec<&str> = keys.into_iter().filter(|key| !is_named(key)).collect();
    assert_eq!(missing, [""; 0], "docs/configuration.md does not name these keys");
}
