//! The pages of the admin address that people look at: HTML without a script, with one style in the page. They only show.
//!
//! What an event may hold is escaped by the templates, and made visible and short by `text`. `admin` answers with them.

mod text;
mod days;
mod strip;
mod incident_list;
mod logs;
mod destinations;
pub(crate) mod incident;
pub(crate) mod overview;

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use stakeout_core::time::Second;

/// The only style. It is in the page, so that a page needs no second request.
const STYLE: &str = include_str!("html/style.css");
/// A picture for the tab of the browser, which would else ask for one that is not there.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' \
                    cy='8' r='6' fill='none' stroke='%23b45309' stroke-width='3'/%3E%3Ccircle cx='8' cy='8' r='2' \
                    fill='%23b45309'/%3E%3C/svg%3E";

/// What a browser may do with a page: show it, with this style alone.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// Returns a whole page with a title. `now` is the time that it shows.
fn document(title: &str, now: Second, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Stakeout" }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.brand { a href="/" { "Stakeout" } }
                    nav aria-label="Pages" {
                        ul {
                            li { a href="/" { "Overview" } }
                            li { a href="/incidents" { "Incidents" } }
                            li { a href="/state?format=text" { "State" } }
                            li { a href="/metrics" { "Metrics" } }
                        }
                    }
                }
                main { (main) }
                footer { p { "Stakeout " (env!("CARGO_PKG_VERSION")) ", as of " (text::time(now)) ". Nothing here reloads by itself." } }
            }
        }
    };
    page.into_string()
}
