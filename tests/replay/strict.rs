//! Records that are passed over change nothing: with `--strict`, which reads all of them, and on any number of threads,
//! the output is the same to the byte.

use std::fmt::Write;

use super::{counts, data, findings, replay, replay_stdin, stdout};

const MULTIPLE_403: &str = "kubernetes-api-multiple-403-from-public-ip";

/// Returns a refused request from 8.8.8.8 whose code is spelled so, `second` seconds after ten o'clock.
fn refused(second: usize, code: &str) -> String {
    let at = format!("2026-11-21T10:{:02}:{:02}", second / 60, second % 60);
    format!(
        r#"{{"kind":"Event","auditID":"mine","stage":"ResponseComplete","verb":"list","user":{{"username":"eve"}},"sourceIPs":["8.8.8.8"],"responseStatus":{{"code":{code}}},"requestReceivedTimestamp":"{at}.000000Z","stageTimestamp":"{at}.001000Z"}}"#
    )
}

fn plain(second: usize) -> String {
    refused(second, "200")
}

/// Replays `input` strictly and not, on one thread and on three, and returns the one output of all.
fn output_of_all(input: &[u8], expected: u64) -> String {
    let outputs = [&["--strict"][..], &[], &["--threads", "1"], &["--threads", "3", "--strict"], &["--threads", "3"]]
        .map(|extra| replay_stdin(&[extra, &["-o", "json", "-"]].concat(), input));
    for output in &outputs {
        let found = counts(&findings(output));
        let found = found.get(MULTIPLE_403).map_or(0, |sources| sources.iter().map(|(_, n)| n).sum());
        assert_eq!(found, expected);
        assert!(output.stdout == outputs[0].stdout, "{}\n{}", stdout(output), stdout(&outputs[0]));
    }
    stdout(&outputs[0])
}

#[test]
fn recordings_give_the_same_output() {
    for name in ["anonymous-scan", "auth-failures", "benign", "kube-hunter", "limited", "rbac-enumeration", "xff"] {
        let path = data(&format!("audit/{name}.audit.log.gz"));
        let path = path.to_str().expect("plain");
        let strict = replay(&["-o", "json", "--strict", path]);
        let fast = replay(&["-o", "json", path]);
        assert!(findings(&strict).len() == findings(&fast).len() && strict.stdout == fast.stdout, "{name}");
    }
    let all: Vec<String> = ["anonymous-scan", "benign", "kube-hunter", "rbac-enumeration", "xff"]
        .map(|name| data(&format!("audit/{name}.audit.log.gz")).to_str().expect("plain").to_owned())
        .into();
    let run = |extra: &[&str]| {
        let files = all.iter().map(String::as_str);
        replay(&["-o", "json"].into_iter().chain(extra.iter().copied()).chain(files).collect::<Vec<_>>())
    };
    let outputs = [run(&["--threads", "1"]), run(&["--threads", "4"]), run(&["--strict", "--threads", "2"])];
    assert!(findings(&outputs[0]).len() > 50);
    assert!(outputs.iter().all(|output| output.stdout == outputs[0].stdout));
}

/// Exports of the clouds, whose records are passed over as they are spelled there.
#[test]
fn exports_give_the_same_output() {
    for name in ["anonymous-scan", "auth-failures", "kube-hunter", "limited"] {
        for kind in ["eks", "aks", "aks-audit", "gke"] {
            let path = data(&format!("cloud/{name}.{kind}.json.gz"));
            let path = path.to_str().expect("plain");
            let strict = replay(&["-o", "json", "--strict", path]);
            let fast = replay(&["-o", "json", path]);
            assert!(findings(&strict).len() == findings(&fast).len() && strict.stdout == fast.stdout, "{name} {kind}");
        }
    }
}

#[test]
fn lines_that_want_to_be_passed_over_are_not() {
    let mut lines = Vec::new();
    for (second, code) in
        ["403", "403.0", "\"403\"", " 403 ", "403.00", r#""\u0034\u00303""#, r#""4\u0030\u0033""#].iter().enumerate()
    {
        lines.push(refused(second, code));
    }
    let spelled = refused(20, "403");
    lines.push(spelled.replace(r#""responseStatus":{"code":403}"#, r#""r\u0065sponseStatus" : {"cod\u0065" : 403 }"#));
    lines.push(
        spelled
            .replace("T10:00:20", "T10:00:21")
            .replace("\"verb\":\"list\",", "")
            .replace(r#""stage":"#, r#""verb":"list","stage":"#),
    );
    lines.push(
        spelled
            .replace("T10:00:20", "T10:00:22")
            .replace(':', ": ")
            .replace("10: 00: 22", "10:00:22")
            .replace(',', "\t,\t"),
    );
    assert_eq!(lines.len(), 10);
    // What only looks like it, and counts for nothing.
    for (second, code) in ["4031", "1403", "4.03e2", "\"0403\"", "{\"code\":403}", "[403]", "403.5"].iter().enumerate()
    {
        lines.push(refused(40 + second, code));
        lines.push(plain(40 + second).replace("eve", "system:anonymous:403").replace("\"list\"", "\"403\""));
    }
    for end in ["\n", "\r\n"] {
        let text: String = lines.iter().flat_map(|line| [line, end]).collect();
        output_of_all(text.as_bytes(), 10);
        output_of_all(format!("\u{feff}{}", text.trim_end()).as_bytes(), 10);
        output_of_all(format!("{}[Truncated...]", text.trim_end()).as_bytes(), 10);
    }
}

/// Blocks are 256 KiB: refused lines begin at every place around their borders, and some lines are longer than a block.
#[test]
fn a_needle_across_the_border_of_two_blocks_is_found() {
    let mut text = String::new();
    let mut number = 0;
    for step in 0..40 {
        let border = ((text.len() + 2_000) / (256 << 10) + 1) * (256 << 10);
        let filler = border - text.len() - 700 + 16 * step;
        let line = plain(0).replace("\"eve\"", &format!("\"{}\"", "e".repeat(filler.saturating_sub(300))));
        writeln!(text, "{line}\n{}", refused(number, "403")).expect("memory takes it");
        number += 1;
    }
    for bytes in [300_000, 600_000, 1_100_000] {
        let body = format!(r#""requestObject":"{}","requestReceivedTimestamp""#, "A".repeat(bytes));
        writeln!(text, "{}", refused(number, "403").replace("\"requestReceivedTimestamp\"", &body)).expect("memory");
        writeln!(text, "{}", plain(number).replace("\"requestReceivedTimestamp\"", &body)).expect("memory");
        number += 1;
    }
    output_of_all(text.as_bytes(), 43);
}

/// Lines without a time have that of the line before, also where that one was passed over, and the end of the input is
/// where its last line says.
#[test]
fn skipped_lines_still_set_the_time() {
    let untimed = |code: &str| refused(0, code).replace("stageTimestamp", "stageTimestump");
    let mut text = String::new();
    for minute in 0..12 {
        writeln!(text, "{}\n{}\nnot JSON\n\n{}", plain(minute * 60), untimed("200"), untimed("403")).expect("memory");
    }
    // They are records of one request, by their identity, and count at the earliest time: a minute holds one of each id.
    let text: String = text.lines().enumerate().fold(String::new(), |text, (place, line)| {
        text + &line.replace("\"mine\"", &format!("\"mine-{place}\"")) + "\n"
    });
    let output = output_of_all(text.as_bytes(), 12);
    assert!(output.contains("\"last_seen_time\":1795255860"), "eleven minutes past ten: {output}");
    let quiet = output_of_all((text + &plain(3599) + "\n").as_bytes(), 12);
    assert!(quiet.contains("\"activity_id\":3") && !output.contains("\"activity_id\":3"), "{quiet}");
}

/// A plain file of more than 64 MiB is read in ranges; the first line of a range may need the time of one before it.
#[test]
fn ranges_of_a_large_file_are_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let body = "A".repeat(4_000);
    let mut text = String::new();
    let mut number = 0;
    while text.len() < 70 << 20 {
        let line = plain(number % 600).replace("\"eve\"", &format!("\"{body}\""));
        text.push_str(&if number % 100 < 98 {
            line
        } else {
            refused(number % 600, "403").replace("mine", &number.to_string())
        });
        text.push('\n');
        if number % 100 == 99 {
            let untimed =
                refused(0, "403").replace("stageTimestamp", "x").replace("mine", &format!("untimed-{number}"));
            text.push_str(&untimed);
            text.push('\n');
        }
        number += 1;
    }
    std::fs::write(&path, &text).expect("written");
    let run = |extra: &[&str]| replay(&[extra, &["-o", "json", path.to_str().expect("plain")]].concat());
    let one = run(&["--threads", "1"]);
    let found = counts(&findings(&one));
    assert_eq!(found[MULTIPLE_403].iter().map(|(_, n)| n).sum::<u64>(), number as u64 / 100 * 3);
    assert!(run(&["--threads", "3"]).stdout == one.stdout);
}
