//! The pages that people look at, over the wire: what they hold, what they forbid, and that no text of an event leaves its
//! place.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, REFERRER_POLICY};
use scraper::{ElementRef, Html, Selector};
use serde_json::json;

use super::findings::recent_scan;
use super::{AUDIT_LINE, Daemon, configure_page, last_tick, utc};

/// Every page has one style, one title and one picture for the tab.
const ELEMENTS: &[&str] = &[
    "a", "article", "body", "caption", "code", "dd", "details", "div", "dl", "dt", "footer", "g", "h1", "h2", "h3",
    "head", "header", "html", "li", "line", "link", "main", "meta", "nav", "ol", "p", "pre", "rect", "section", "span",
    "strong", "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead", "time", "title", "tr", "ul",
];
/// Most bytes of any page, however many incidents there are.
const PAGE_BYTES_MAX: usize = 400_000;

/// An answer to a browser.
pub(super) struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    pub(super) text: String,
}

impl Daemon {
    /// Asks as a browser does.
    pub(super) fn browse(&self, path: &str) -> Shown {
        self.browse_host(&self.admin.to_string(), path)
    }

    fn browse_host(&self, host: &str, path: &str) -> Shown {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            stakeout_http::install_crypto_provider();
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let request = client.get(format!("http://{}{path}", self.admin)).header(HOST, host);
            let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
            let answer = request.header(ACCEPT, accept).send().await.expect("an answer");
            let (status, headers) = (answer.status(), answer.headers().clone());
            Shown { status, headers, text: answer.text().await.expect("text") }
        })
    }
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn text_of(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Asserts what holds for every page, whatever is on it.
fn judged(shown: &Shown) -> Html {
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert!(shown.text.len() <= PAGE_BYTES_MAX, "{} bytes", shown.text.len());
    let page = Html::parse_document(&shown.text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    for element in page.tree.nodes().filter_map(ElementRef::wrap) {
        let value = element.value();
        assert!(ELEMENTS.contains(&value.name()), "<{}>", value.name());
        for (name, text) in value.attrs() {
            assert!(!name.starts_with("on") && name != "style" && name != "src", "{name}={text:?}");
            let is_here = |text: &str| text.starts_with('/') && !text.starts_with("//");
            assert!(name != "href" || is_here(text) || text.starts_with("data:image/svg+xml,"), "{name}={text:?}");
        }
    }
    for (selector, number) in [("style", 1), ("html[lang=en]", 1), ("head > title", 1), ("main", 1), ("h1", 1)] {
        assert_eq!(select(&page, selector).len(), number, "{selector}");
    }
    let ids: Vec<&str> = select(&page, "[id]").iter().filter_map(|element| element.value().id()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    // No character without a shape is on a page.
    let invisible = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert_eq!(shown.text.chars().find(invisible), None);
    page
}

/// A rule that opens a finding for each user.
const RULE: &str = "title: Secrets read
id: 6a2f6f4e-5b0b-4a53-9a63-7c6b5ff1f2c1
name: secrets-read
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: get, objectRef.resource: secrets}, condition: selection}
level: high
---
title: Secrets were read
id: 1df0a6c1-3f0c-4d3f-9f5f-3ad5e2b1c4d2
name: secrets-were-read
correlation:
  type: event_count
  rules: [secrets-read]
  group-by: [user.username, cluster]
  timespan: 10m
  condition: {gte: 1}
level: high
";

/// Each of these users reads a secret, in the hour that the first tick reads.
fn read_secrets<'u>(users: impl Iterator<Item = &'u str>) -> String {
    let at = utc(last_tick() - 3_600);
    let mut log = String::new();
    for (n, user) in users.enumerate() {
        let event = json!({
            "kind": "Event", "auditID": n.to_string(), "stage": "ResponseComplete", "verb": "get",
            "requestURI": "/api/v1/namespaces/default/secrets/x", "user": {"username": user}, "sourceIPs": ["203.0.113.9"],
            "userAgent": user, "objectRef": {"resource": "secrets", "namespace": "default", "apiVersion": "v1"},
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": at, "stageTimestamp": at,
        });
        writeln!(log, "{event}").expect("a string takes it");
    }
    log
}

/// Starts the daemon with [`RULE`] on what these users did, and waits for its first tick.
fn daemon_of<'u>(users: impl Iterator<Item = &'u str>) -> Daemon {
    let mut command = Command::new("sh");
    // The daemon reads its config when the test has written all of it.
    let script = "printf '%s' \"$STAKEOUT_TEST_RULE\" > own.yml && printf 'rules: [own.yml]\\ncontext_query: off\\n' >> \
                  stakeout.yaml && sed -i 's/stdout:/min_severity: critical, stdout:/' stakeout.yaml && exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_stakeout")]).env("STAKEOUT_TEST_RULE", RULE);
    let daemon = Daemon::start_with(command, &read_secrets(users));
    daemon.wait_for("STATUS=tick ");
    daemon
}

/// Returns texts that try to leave their place: tags, quotes, ends of elements, and characters that have no shape.
fn hostile_texts() -> Vec<String> {
    let parts = [
        "<script>alert(1)</script>",
        "</style><script>",
        "</title><h1>x",
        "\"><img src=x onerror=alert(1)>",
        "' onload='x",
        "</svg><svg onload=alert(1)>",
        "--><!--",
        "<![CDATA[x]]>",
        "&lt;b&gt;&amp;&#60;",
        "{{7*7}}${7*7}<%= 1 %>",
        "javascript:alert(1)",
        "\u{202e}txt.exe\u{202c}",
        "\u{0}\u{1}\u{8}\u{1b}[31m",
        "\u{1f469}\u{200d}\u{1f4bb}\u{10ffff}",
        "a\r\nSet-Cookie: x=1\r\n\r\n<p>",
        "\u{feff}\u{200b}\u{2028}\u{2029}",
        "</textarea></select></template><plaintext>",
        "<a href=//attacker.example>",
        "`${x}`",
        "\\\"\\u003cb",
    ];
    let longest = "<b>".repeat(400);
    let two = |n: usize| format!("{n} {}{}", parts[n % parts.len()], parts[(n / parts.len() + n * 7) % parts.len()]);
    (0..199).map(two).chain([longest]).collect()
}

#[test]
fn a_hostile_text_stays_in_its_place() {
    let texts = hostile_texts();
    let daemon = daemon_of(texts.iter().map(String::as_str));
    let mut links = BTreeSet::new();
    for number in 1..=2 {
        for path in [format!("/?page={number}"), format!("/incidents?page={number}")] {
            let page = judged(&daemon.browse(&path));
            let entries = select(&page, "ol.incidents > li > article");
            assert_eq!(entries.len(), 100, "{path}");
            for entry in entries {
                let names = select(&page, "ol.incidents > li > article > h3 > a");
                assert_eq!(names.len(), 100);
                links.extend(names.iter().filter_map(|link| link.value().attr("href").map(str::to_owned)));
                let children = |element: ElementRef<'_>| -> Vec<String> {
                    element.child_elements().map(|child| child.value().name().to_owned()).collect()
                };
                assert_eq!(children(entry), ["h3", "ul", "dl"]);
            }
        }
    }
    assert_eq!(links.len(), texts.len());
    let mut titles = BTreeSet::new();
    for link in &links {
        let page = judged(&daemon.browse(link));
        let title = text_of(select(&page, "h1")[0]);
        assert_eq!(text_of(select(&page, "head > title")[0]), format!("{title} · Stakeout"));
        assert!(title.contains(" matched Secrets were read") || title.ends_with('…'), "{title}");
        titles.insert(title);
    }
    assert_eq!(titles.len(), texts.len());
    // The texts are there, as texts.
    for text in [
        "<script>alert(1)</script>",
        "</style><script>",
        "&lt;b&gt;&amp;&#60;",
        "\\u{202e}txt.exe\\u{202c}",
        "\\u{0}\\u{1}",
    ] {
        assert!(titles.iter().any(|title| title.contains(text)), "{text}");
    }
}

#[test]
fn five_thousand_incidents_are_pages_of_a_hundred() {
    let users: Vec<String> = (0..5_000).map(|n| format!("system:serviceaccount:shop:worker-{n}")).collect();
    let daemon = daemon_of(users.iter().map(String::as_str));
    for path in ["/", "/?page=50", "/incidents", "/incidents?page=50"] {
        #[expect(clippy::disallowed_methods, reason = "printed, and nothing depends on it")]
        let asked = Instant::now();
        let shown = daemon.browse(path);
        eprintln!("{path}: {} bytes in {} ms", shown.text.len(), asked.elapsed().as_millis());
        let page = judged(&shown);
        assert_eq!(select(&page, "ol.incidents > li").len(), 100, "{path}");
    }
    let page = judged(&daemon.browse("/"));
    assert_eq!(text_of(select(&page, "h2#open")[0]), "5000 open incidents");
    assert_eq!(text_of(select(&page, "nav.paging")[0]), "Page 1 of 50Next");
    let beyond = judged(&daemon.browse("/?page=51"));
    assert_eq!(select(&beyond, "ol.incidents > li").len(), 0);
    assert!(daemon.browse("/?page=x").status == StatusCode::BAD_REQUEST);
}

#[test]
fn the_pages_say_what_the_commands_say_and_forbid_all_else() {
    let daemon = Daemon::start_with(Command::new(env!("CARGO_BIN_EXE_stakeout")), &recent_scan("203.0.113.9"));
    daemon.wait_for("STATUS=tick ");
    let shown = daemon.browse("/");
    let page = judged(&shown);
    let header = |name| shown.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header(CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!((header(CACHE_CONTROL), header(REFERRER_POLICY)), ("no-store", "no-referrer"));
    let policy = header(CONTENT_SECURITY_POLICY).to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.ends_with("base-uri 'none'; form-action 'none'; frame-ancestors 'none'"), "{policy}");

    let title = "203.0.113.9 probed cluster onprem without credentials";
    let link = select(&page, "ol.incidents h3 > a")[0];
    assert_eq!(text_of(link), title);
    assert_eq!(text_of(select(&page, "p.health")[0]), "The last tick read every log and sent every message.");
    assert!(text_of(select(&page, "svg.strip + p")[0]).starts_with("Read until "));
    let label = select(&page, "svg.strip")[0].value().attr("aria-label").unwrap_or_default().to_owned();
    assert!(label.starts_with("The last 7 days of onprem: read "), "{label}");
    assert_eq!(text_of(select(&page, "#destinations ~ table tbody th")[0]), "out");
    assert_eq!(select(&page, "#days ~ details tbody tr").len(), 14);

    let incident = link.value().attr("href").expect("a link").to_owned();
    let of_incident = judged(&daemon.browse(&incident));
    assert_eq!(text_of(select(&of_incident, "h1")[0]), title);
    let (_, text) = daemon.ask("GET", &format!("{incident}?format=text"));
    let steps = text.lines().filter(|line| line.contains(" UTC  ")).count();
    assert_eq!(select(&of_incident, "ol.steps > li").len(), steps, "{text}");
    for finding in select(&of_incident, "#findings ~ table a") {
        let path = finding.value().attr("href").expect("a link");
        let shown = daemon.browse(path);
        let kind = shown.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        assert_eq!((shown.status, kind), (StatusCode::OK, Some("text/plain; charset=utf-8")));
    }
    // What a command asks for is what it was, also from a browser.
    for path in ["/incidents?format=json", "/incidents?limit=1", &format!("{incident}?format=json")] {
        let (_, as_command) = daemon.ask("GET", path);
        let shown = daemon.browse(path);
        assert_eq!((shown.text.as_str(), as_command.starts_with('{')), (as_command.as_str(), true), "{path}");
        let policy = shown.headers.get(CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok());
        assert_eq!(policy, Some("default-src 'none'; frame-ancestors 'none'"));
    }
    assert_eq!(daemon.ask("GET", "/incidents").1, daemon.ask("GET", "/incidents?format=json").1);
    assert_eq!(daemon.browse("/incidents/00000000").status, StatusCode::NOT_FOUND);
    assert_eq!(daemon.browse("/incidents/0").status, StatusCode::BAD_REQUEST);
    assert_eq!(daemon.browse_host("attacker.example", "/").status, StatusCode::MISDIRECTED_REQUEST);
    assert!(daemon.ask("POST", "/").0.contains("405"));
}

/// A daemon that was down for three hours catches up two windows late. The log has no record after that.
#[test]
fn a_strip_shows_what_was_late_and_silent() {
    let at = |hours: i64| utc(last_tick() - hours * 3_600);
    let mut command = Command::new("sh");
    let script = "for at in $STAKEOUT_TEST_TICKS; do \"$0\" once -c stakeout.yaml --at $at; done; exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_stakeout")]);
    command.env("STAKEOUT_TEST_TICKS", format!("{} {}", at(6), at(3)));
    let line = |hours: i64| AUDIT_LINE.replace("2020-01-01T00:00:00Z", &at(hours)) + "\n";
    let daemon = Daemon::start_with(command, &(4..9).rev().map(line).collect::<String>());
    daemon.wait_for("STATUS=tick ");
    let page = judged(&daemon.browse("/"));
    let label = select(&page, "svg.strip")[0].value().attr("aria-label").unwrap_or_default();
    assert!(label.contains("read 2 h 0 min, late 2 h 0 min, silent 3 h"), "{label}");
    assert!(text_of(select(&page, "ul.trouble")[0]).starts_with("Silent: no record in the last 3 windows"));
}

#[test]
fn a_reload_changes_what_the_pages_show_and_for_whom() {
    let daemon = Daemon::start_with(Command::new(env!("CARGO_BIN_EXE_stakeout")), &recent_scan("203.0.113.9"));
    daemon.wait_for("STATUS=tick ");
    let level = || {
        let page = judged(&daemon.browse("/"));
        text_of(select(&page, "ol.incidents .marks strong")[0])
    };
    assert_eq!(
        (level().as_str(), daemon.browse_host("new.example", "/").status),
        ("low", StatusCode::MISDIRECTED_REQUEST)
    );
    let admin = format!("{{listen: \"{}\", hosts: [new.example]}}", daemon.admin);
    configure_page(daemon.folder.path(), &admin, "incidents: {risk: {medium: 1, high: 2, critical: 1000000}}\n");
    daemon.signal("HUP");
    daemon.wait_for("RELOADING=1");
    daemon.wait_for("READY=1");
    assert!(daemon.metric("stakeout_reloads_total{outcome=\"done\"} 1"));
    assert_eq!((level().as_str(), daemon.browse_host("new.example", "/").status), ("high", StatusCode::OK));
}
