//! Lines as they come: very long ones, untimed ones, garbage, and line ends of another system.

use super::{Counts, counts, findings, replay_stdin, stderr};

const SCANNING: &str = "kubernetes-scanning-by-unauthenticated-ip";
const REFUSED: &str = "kubernetes-api-multiple-403-from-public-ip";
/// Longest line that is read whole.
const LIMIT: usize = 16 << 20;

/// Returns an anonymous refused request from 8.8.8.8, `second` seconds after ten o'clock, in the API server's order.
fn line(second: usize) -> String {
    let at = format!("2026-11-21T10:{:02}:{:02}", second / 60, second % 60);
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"mine","stage":"ResponseComplete","requestURI":"/api/v1/secrets","verb":"list","user":{{"username":"system:anonymous","groups":["system:unauthenticated"]}},"sourceIPs":["8.8.8.8"],"responseStatus":{{"code":403}},"requestReceivedTimestamp":"{at}.000000Z","stageTimestamp":"{at}.001000Z"}}"#
    )
}

/// Returns the line with a body of so many bytes in front of its times, where the API server writes it.
fn with_body(line: &str, bytes: usize) -> String {
    let body = format!("\"requestObject\":{{\"data\":\"{}\"}},\"requestReceivedTimestamp\"", "A".repeat(bytes));
    line.replacen("\"requestReceivedTimestamp\"", &body, 1)
}

fn joined(lines: &[String], end: &str) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, end]).collect::<String>().into_bytes()
}

fn counted(input: &[u8]) -> Counts {
    counts(&findings(&replay_stdin(&["-o", "json", "-"], input)))
}

fn of_8_8_8_8(n: u64) -> Vec<(String, u64)> {
    vec![("8.8.8.8".to_owned(), n)]
}

/// Headers of 700 KB make lines of more than a megabyte: an address of two characters needs three more in JSON, and an
/// ampersand in a URI needs six.
#[test]
fn long_headers_hide_no_scan() {
    let chain = format!("\"sourceIPs\":[{}\"8.8.8.8\"]", "\"::\",".repeat(700_000 / "::,".len()));
    let of_chain = |second| line(second).replace("\"sourceIPs\":[\"8.8.8.8\"]", &chain);
    let uri = format!("/api/v1/secrets?{}", "\\u0026".repeat(700_000));
    let of_uri = |second| line(second).replace("/api/v1/secrets", &uri);
    for hidden in [(0..12).map(of_chain).collect::<Vec<_>>(), (0..12).map(of_uri).collect()] {
        assert!(hidden.iter().all(|line| line.len() > 1 << 20));
        for arguments in [&["-o", "json", "-"][..], &["-o", "json", "--strict", "-"]] {
            let output = replay_stdin(arguments, &joined(&hidden, "\n"));
            let found = counts(&findings(&output));
            assert_eq!(found.get(SCANNING), Some(&of_8_8_8_8(12)), "{}", stderr(&output));
            assert_eq!(found.get(REFUSED), Some(&of_8_8_8_8(12)));
        }
    }
}

#[test]
fn lines_over_the_limit_are_counted_at_their_own_time() {
    let lines: Vec<String> = (0..12).map(|minute| with_body(&line(minute * 60), LIMIT)).collect();
    let output = replay_stdin(&["-o", "json", "-"], &joined(&lines, "\n"));
    let found = findings(&output);
    assert_eq!(counts(&found)[SCANNING], of_8_8_8_8(12));
    let of_rule = |finding: &&serde_json::Value| finding["finding_info"]["analytic"]["name"] == SCANNING;
    let finding = found.iter().find(of_rule).expect("found");
    let ten = 1_795_255_200_000_i64;
    assert_eq!(finding["finding_info"]["first_seen_time"], ten);
    assert_eq!(finding["finding_info"]["last_seen_time"], ten + 11 * 60_000);
    assert!(stderr(&output).contains("records=12") && stderr(&output).contains("cut off"), "{}", stderr(&output));
}

/// Around the limit, with and without a line end behind the last one.
#[test]
fn lines_around_the_limit_are_counted_once() {
    let around: Vec<usize> = (0..8).map(|step| LIMIT - 520 + step * 37).collect();
    let lines: Vec<String> = around.iter().enumerate().map(|(place, bytes)| with_body(&line(place), *bytes)).collect();
    let text = joined(&lines, "\n");
    assert!(lines.iter().any(|line| line.len() <= LIMIT) && lines.iter().any(|line| line.len() > LIMIT));
    assert_eq!(counted(&text)[SCANNING], of_8_8_8_8(8));
    assert_eq!(counted(&text[..text.len() - 1])[SCANNING], of_8_8_8_8(8));
}

#[test]
fn a_line_without_a_time_has_that_of_the_line_before() {
    let untimed = |second| line(second).replace("stageTimestamp", "stageTimestump");
    let lines: Vec<String> = [vec![line(0)], (1..6).map(untimed).collect(), vec![line(50)]].concat();
    let output = replay_stdin(&["-o", "json", "-"], &joined(&lines, "\n"));
    let found = findings(&output);
    assert_eq!(counts(&found)[SCANNING], of_8_8_8_8(7));
    assert!(found.iter().all(|finding| finding["finding_info"]["first_seen_time"] == 1_795_255_200_000_i64));
    assert!(
        stderr(&output).contains("records=5") && stderr(&output).contains("no stageTimestamp"),
        "{}",
        stderr(&output)
    );
}

/// Where a line names no identity of its own, its place in the file is one: equal lines are different requests.
#[test]
fn equal_lines_without_an_audit_id_are_requests_of_their_own() {
    let nameless = line(0).replace("\"auditID\":\"mine\",", "");
    assert_eq!(counted(&joined(&vec![nameless; 9], "\n"))[SCANNING], of_8_8_8_8(9));
    assert_eq!(counted(&joined(&vec![line(0); 9], "\n")).get(SCANNING), None, "nine records of one request");
}

#[test]
fn garbage_is_counted_and_reported_and_stops_nothing() {
    // An empty list is an answer without records.
    let garbage = ["not JSON", "{", "[]", "\u{0}\u{1}", "{\"kind\":\"Pod\"}", "42", "\"text\"", "{\"verb\":}"];
    let mut lines: Vec<String> = Vec::new();
    for (second, garbage) in garbage.iter().enumerate() {
        lines.extend([line(second), (*garbage).to_owned(), String::new(), "  ".to_owned()]);
    }
    let mut text = joined(&lines, "\n");
    text.extend_from_slice(b"\xff\xfe\xfd\n");
    let output = replay_stdin(&["-o", "json", "--strict", "-"], &text);
    assert_eq!(counts(&findings(&output))[SCANNING], of_8_8_8_8(8));
    assert_eq!(counted(&text)[SCANNING], of_8_8_8_8(8), "what holds no needle is not looked at");
    let said = stderr(&output);
    assert!(said.contains("records are not audit events") && said.contains("records=8"), "{said}");
    assert_eq!(said.matches("record is not an audit event").count(), 5, "the first ones are named: {said}");
}

#[test]
fn line_ends_of_another_system_change_nothing() {
    let lines: Vec<String> = (0..7).map(line).collect();
    let plain = counted(&joined(&lines, "\n"));
    assert_eq!(plain[SCANNING], of_8_8_8_8(7));
    assert_eq!(counted(&joined(&lines, "\r\n")), plain);
    assert_eq!(counted(&[b"\xef\xbb\xbf".as_slice(), &joined(&lines, "\r\n")].concat()), plain, "a byte order mark");
}

/// The client chooses the audit id: one id for all requests hides none, and a request counts once however it comes.
#[test]
fn a_chosen_audit_id_neither_hides_nor_adds() {
    let first_stages = (0..7).map(|second| line(second).replace("ResponseComplete", "RequestReceived"));
    let lines: Vec<String> = first_stages.chain((0..7).map(line)).chain((0..7).map(line)).collect();
    assert_eq!(counted(&joined(&lines, "\n"))[SCANNING], of_8_8_8_8(7));
}

/// Two API servers behind one name may see one identity at once: what counts for another source is another request.
#[test]
fn a_reused_audit_id_hides_no_request() {
    let lines: Vec<String> = (0..7).map(line).collect();
    let other = lines.iter().map(|line| line.replace("8.8.8.8", "9.9.9.9"));
    let both: Vec<String> = lines.iter().cloned().zip(other).flat_map(|(one, other)| [one, other]).collect();
    let expected = [("8.8.8.8".to_owned(), 7), ("9.9.9.9".to_owned(), 7)];
    assert_eq!(counted(&joined(&both, "\n"))[SCANNING], expected);
}
