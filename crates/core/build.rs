//! Lists the files in `config/rules`, so that `src/shipped.rs` compiles them in: a new rule is a new file, and no list.

#![expect(clippy::disallowed_methods, reason = "a build script reads cargo's variables and writes the list of rules")]

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let folder = variable("CARGO_MANIFEST_DIR").join("../../config/rules");
    // Cargo looks at everything below a directory.
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    let mut list = "&[\n".to_owned();
    for file in files {
        let name = file.strip_prefix(&folder).expect("below the folder").display().to_string();
        let path = fs::canonicalize(&file).expect("the file exists");
        let _ = writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string());
    }
    list.push_str("]\n");
    fs::write(variable("OUT_DIR").join("rule_files.rs"), list).expect("the output folder is writable");
}

fn variable(name: &str) -> PathBuf {
    env::var_os(name).expect("cargo sets it").into()
}

/// Adds the rule files in `folder` and below.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of the rules is readable") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            files.push(path);
        }
    }
}
