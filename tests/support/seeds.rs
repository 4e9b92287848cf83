//! The seed rules alone, for tests that compare with what was counted for them by hand. What the recon rules beside
//! them find, and whom they leave in peace, is judged in `tests/quality`.

use std::path::Path;

/// Returns the paths of the seed rules: those of `config/rules` itself, not of the folders below.
pub(crate) fn seed_rules() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/rules");
    let entries = std::fs::read_dir(folder).expect("the rules are there").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    let mut files: Vec<String> = files.map(|path| path.to_str().expect("plain").to_owned()).collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    files
}
