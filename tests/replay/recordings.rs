//! The recordings of a real API server: for the shipped rules exactly the counts that stand beside them.

use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{BTreeMap, Counts, counts, data, findings, replay, replay_stdin, stdout};

fn recording(name: &str) -> PathBuf {
    data(&format!("audit/{name}.audit.log.gz"))
}

fn text_of(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(recording(name)).expect("the recording");
    let mut text = Vec::new();
    GzDecoder::new(file).read_to_end(&mut text).expect("gzip");
    text
}

/// Returns the expected counts of every recording by its name; rules without any are left out.
fn expected() -> BTreeMap<String, Counts> {
    let text = std::fs::read_to_string(data("audit/expected.json")).expect("readable");
    let all: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>> = serde_json::from_str(&text).expect("JSON");
    all.into_iter()
        .map(|(file, rules)| {
            let rules = rules.into_iter().filter(|(_, sources)| !sources.is_empty());
            let name = file.strip_suffix(".audit.log").expect("a recording").to_owned();
            (name, rules.map(|(rule, sources)| (rule, sources.into_iter().collect())).collect())
        })
        .collect()
}

fn json_of(path: &str) -> Counts {
    counts(&findings(&replay(&["-o", "json", path])))
}

#[test]
fn every_recording_gives_exactly_the_expected_counts() {
    let expected = expected();
    assert_eq!(expected.len(), 8);
    for (name, expected) in expected {
        assert_eq!(json_of(recording(&name).to_str().expect("plain")), expected, "{name}");
    }
}

/// The lines for people say the same: rule, source, requests.
#[test]
fn text_says_the_same_as_json() {
    for (name, expected) in expected() {
        let output = replay(&[recording(&name).to_str().expect("plain")]);
        let mut said = Counts::new();
        for line in finding_lines(&stdout(&output)) {
            let [_level, rule, source, n, unit, ..] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            assert_eq!(unit, if n == "1" { "request" } else { "requests" }, "{line}");
            let n = n.replace(',', "").parse().expect("a number");
            said.entry(rule.to_owned()).or_default().push((source.to_owned(), n));
        }
        said.values_mut().for_each(|sources| sources.sort());
        assert_eq!(said, expected, "{name}");
    }
}

/// Returns the lines of the findings, which follow the incidents.
fn finding_lines(text: &str) -> Vec<&str> {
    let mut lines = text.lines().skip_while(|line| !line.ends_with(" findings") && *line != "1 finding");
    let number = lines.next().map_or(0, |line| line.split(' ').next().expect("a number").parse().expect("a number"));
    let findings: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(findings.len(), number, "{text}");
    findings
}

/// What a file is shows in its first bytes: plain, gzip, several gzip members, zstd, several frames, or standard input.
#[test]
fn the_form_of_a_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = text_of("anonymous-scan");
    let cut = text.iter().rposition(|byte| *byte == b'\n').map(|end| end / 2).expect("lines");
    let gzip = std::fs::read(recording("anonymous-scan")).expect("readable");
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    let forms: [(&str, Vec<u8>); 4] = [
        ("plain.log", text.clone()),
        ("gzip-without-its-ending", gzip.clone()),
        ("zstd.zst", zstd(&text)),
        ("two-frames.zst", [zstd(&text[..cut]), zstd(&text[cut..])].concat()),
    ];
    let expected = expected().remove("anonymous-scan").expect("there");
    for (name, bytes) in forms {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(json_of(path.to_str().expect("plain")), expected, "{name}");
        let piped = replay_stdin(&["-o", "json", "-"], &bytes);
        assert_eq!(counts(&findings(&piped)), expected, "{name} on standard input");
    }
}

/// Files are one input: a file beside itself holds the same requests, and the counts of different ones come together.
#[test]
fn several_files_are_one_input() {
    let paths: Vec<PathBuf> = expected().keys().map(|name| recording(name)).collect();
    let mut arguments = vec!["-o", "json"];
    arguments.extend(paths.iter().map(|path| path.to_str().expect("plain")));
    let together = counts(&findings(&replay(&arguments)));
    let mut joined: Vec<u8> = Vec::new();
    for name in expected().keys() {
        joined.extend(text_of(name));
    }
    assert_eq!(counts(&findings(&replay_stdin(&["-o", "json", "-"], &joined))), together);
    let twice: Vec<&str> = arguments.iter().chain(&arguments[2..]).copied().collect();
    assert_eq!(counts(&findings(&replay(&twice))), together, "each file twice");
    let requests = |counts: &Counts| counts.values().flatten().map(|(_, n)| n).sum::<u64>();
    assert!(requests(&together) >= expected().values().map(requests).sum(), "what is joined can only be more");
}

/// Behind a trusted proxy the address before it counts, and one step at a time: what stands further left is hearsay.
#[test]
fn the_address_behind_a_trusted_proxy_is_the_source() {
    let path = recording("xff");
    let path = path.to_str().expect("plain");
    let through = counts(&findings(&replay(&["-o", "json", "--trusted-proxy", "10.0.0.50/32", path])));
    let senders = [
        "10.0.0.7",
        "2a00:1450:4001::/64",
        "5.5.5.86",
        "5.5.5.88",
        "5.5.5.89",
        "5.5.5.90",
        "5.5.5.92",
        "5.5.5.93",
        "5.5.5.94",
        "5.5.5.96",
        "5.5.5.98",
        "5.5.5.99",
        "5.5.6.99",
        "64:ff9b::/64",
        "0.0.0.0",
    ];
    let mut expected: Vec<(String, u64)> = senders.iter().map(|sender| ((*sender).to_owned(), 12)).collect();
    // Four cases sent nothing that the API server takes for an address, so that the proxy itself is all there is.
    expected.push(("10.0.0.50".to_owned(), 48));
    expected.sort();
    assert_eq!(through["kubernetes-scanning-by-unauthenticated-ip"], expected);
    let both = counts(&findings(&replay(&[
        "-o",
        "json",
        "--trusted-proxy",
        "10.0.0.50",
        "--trusted-proxy",
        "10.0.0.7/32",
        path,
    ])));
    let sources: Vec<&str> =
        both["kubernetes-scanning-by-unauthenticated-ip"].iter().map(|(source, _)| source.as_str()).collect();
    assert!(sources.contains(&"5.5.5.91") && !sources.contains(&"10.0.0.7"), "{sources:?}");
}

#[test]
fn rules_of_ones_own_replace_the_shipped_ones() {
    let folder = data("rules");
    let path = recording("rbac-enumeration");
    let arguments = ["-o", "json", "--cluster", "prod", "--rules", folder.to_str().expect("plain")];
    let found = findings(&replay(&[&arguments[..], &[path.to_str().expect("plain")]].concat()));
    let mut by_user: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8(text_of("rbac-enumeration")).expect("text").lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event["stage"] == "ResponseComplete" && event["verb"] == "create" {
            let user = event["user"]["username"].as_str().expect("a user");
            *by_user.entry(user.to_owned()).or_default() += 1;
        }
    }
    let counted: BTreeMap<String, u64> = found
        .iter()
        .map(|finding| {
            assert_eq!(finding["finding_info"]["analytic"]["name"], "create-requests-of-one-user");
            assert_eq!(finding["resources"][0]["name"], "prod");
            let user = finding["unmapped"]["group"]["user.username"].as_str().expect("a user").to_owned();
            (user, finding["count"].as_u64().expect("a count"))
        })
        .collect();
    assert!(!counted.is_empty());
    assert_eq!(counted, by_user);
}
