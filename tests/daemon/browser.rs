//! The pages in Chromium, where it is installed: the console has nothing to complain of, nothing is wider than a phone, and
//! axe-core finds no serious fault.

use std::path::PathBuf;

use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::scene;
use crate::support::node::node;

/// Where the picture in README.md is.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/page.webp");
/// Most bytes of the picture, which every clone has.
const PICTURE_BYTES_MAX: u64 = 150_000;

/// Returns the browser, or `None` where it is not installed.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|program| program.exists())
}

#[test]
fn a_browser_finds_no_fault() {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: there is no chromium on this machine");
        return;
    };
    let daemon = scene::start();
    let url = |path: &str| format!("http://{}{path}", daemon.admin);
    let overview = Html::parse_document(&daemon.browse("/").text);
    let link = Selector::parse("ol.incidents h3 > a").expect("a selector");
    let incident = overview.select(&link).next().and_then(|link| link.value().attr("href")).expect("an incident");
    let urls = [url("/"), url("/incidents"), url(incident)];
    let looks = node("pages.js", &json!({"chromium": chromium, "urls": urls}).to_string());
    let looks: Vec<Value> = looks.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(looks.len(), urls.len() * 5);
    for look in &looks {
        match look["complaints"].as_array() {
            Some(complaints) => {
                assert!(complaints.is_empty(), "{look:#}");
                assert_eq!((&look["styled"], &look["requests"]), (&json!(true), &json!([look["url"]])));
            }
            None => {
                assert!(look["width"].as_i64() <= look["screen"].as_i64(), "{look:#}");
                assert_eq!(look["faults"], json!([]), "{look:#}");
            }
        }
    }
}

/// Takes the picture in README.md: `cargo test --test outside the_picture_of_the_page -- --ignored`.
#[test]
#[ignore = "it writes a file of the checkout"]
fn the_picture_of_the_page_is_taken() {
    let chromium = chromium().expect("the picture needs chromium");
    let daemon = scene::start();
    let url = format!("http://{}/", daemon.admin);
    node("pages.js", &json!({"chromium": chromium, "urls": [url], "picture": PICTURE}).to_string());
}

#[test]
fn the_picture_of_the_page_is_small() {
    let bytes = std::fs::metadata(PICTURE).expect("the picture is there").len();
    assert!(bytes <= PICTURE_BYTES_MAX, "{bytes} bytes");
}
