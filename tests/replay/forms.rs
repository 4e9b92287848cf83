//! One recording in the forms in which tools write audit logs. Each gives the findings of the recording itself, or exit
//! code 65 and a sentence.

use std::io::{Read, Write};
use std::process::{Command, Output};

use base64::Engine;
use flate2::read::{GzDecoder, GzEncoder};
use proptest::prelude::*;
use proptest::sample::Index;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use super::{data, stderr, stdout};
use crate::support::child;

/// Rule, source if there is one, and number of requests of each finding, in order.
type Findings = Vec<(String, Option<String>, u64)>;

/// Runs `stakeout replay` with the shipped rules.
fn replay(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.arg("replay").args(arguments).env_remove("STAKEOUT_LOG");
    child::run(&mut command, stdin).expect("stakeout starts")
}

fn findings_of(input: &[u8]) -> Findings {
    findings_in(&replay(&["-o", "json", "-"], input))
}

fn findings_in(output: &Output) -> Findings {
    let finding = |line: &str| {
        let finding: Value = serde_json::from_str(line).expect("JSON");
        let rule = finding["finding_info"]["analytic"]["name"].as_str().expect("a rule").to_owned();
        let source = finding["unmapped"]["source_ip"].as_str().map(str::to_owned);
        (rule, source, finding["count"].as_u64().expect("a count"))
    };
    let mut findings: Findings = stdout(output).lines().map(finding).collect();
    findings.sort();
    findings
}

fn unpacked(name: &str) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(data(&format!("forms/{name}.gz"))).expect("a recording");
    GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text
}

fn recording() -> Vec<String> {
    unpacked("scan.audit.log").lines().map(str::to_owned).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut compressed).expect("memory reads");
    compressed
}

fn base64_of(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn time(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("JSON");
    event["stageTimestamp"].as_str().expect("a time").to_owned()
}

fn millis(line: &str) -> i64 {
    time(line).parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// Returns the members of an object with keys joined by dots, and lists as they are.
fn flat(value: &Value, prefix: &str, members: &mut serde_json::Map<String, Value>) {
    for (key, value) in value.as_object().expect("an object") {
        if value.is_object() {
            flat(value, &format!("{prefix}{key}."), members);
        } else {
            members.insert(format!("{prefix}{key}"), value.clone());
        }
    }
}

/// Something with a name, for the message of a failure.
type Named<T> = (&'static str, T);
/// Wraps a record, given as text, in another one.
type Wrapper = fn(&str, &str) -> String;
/// Returns the prefix of an event.
type Prefix = fn(&str) -> String;
/// Encodes a text.
type Encoding = fn(&str) -> Vec<u8>;
/// Compresses bytes.
type Compression = fn(&[u8]) -> Vec<u8>;

/// The name of each wrapper, and how it wraps a text. Its second argument is the event, for the time.
const WRAPPERS: [Named<Wrapper>; 18] = [
    ("plain", |text, _| text.to_owned()),
    ("spaced", |text, _| {
        serde_json::from_str::<Value>(text).map_or(text.to_owned(), |it| it.to_string().replace("\":", "\": "))
    }),
    ("docker", |text, event| json!({"log": format!("{text}\n"), "stream": "stdout", "time": time(event)}).to_string()),
    ("fluent bit", |text, event| json!({"date": millis(event) as f64 / 1_000.0, "log": text}).to_string()),
    ("vector", |text, event| json!({"host": "h", "message": text, "timestamp": time(event)}).to_string()),
    ("splunk", |text, event| json!({"result": {"_raw": text, "_time": time(event)}}).to_string()),
    ("logcli", |text, event| json!({"labels": {}, "line": text, "timestamp": time(event)}).to_string()),
    ("otlp", |text, event| {
        let record = json!({"timeUnixNano": (millis(event) * 1_000_000).to_string(), "body": {"stringValue": text}});
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string()
    }),
    ("event hub", |text, event| {
        json!({"category": "kube-audit", "time": time(event), "properties": {"log": text}}).to_string()
    }),
    ("filter-log-events", |text, event| {
        json!({"events": [{"timestamp": millis(event), "message": text, "eventId": "7"}], "searchedLogStreams": []})
            .to_string()
    }),
    ("firehose", |text, event| {
        let event = json!({"id": "1", "timestamp": millis(event), "message": text});
        json!({"messageType": "DATA_MESSAGE", "logStream": "kube-apiserver-audit-1", "logEvents": [event]}).to_string()
    }),
    ("kinesis", |text, event| {
        let event = json!({"timestamp": millis(event), "message": text});
        let data = base64_of(&gzip(json!({"logEvents": [event]}).to_string().as_bytes()));
        json!({"Records": [{"kinesis": {"data": data}}]}).to_string()
    }),
    ("pub/sub", |text, _| json!({"message": {"data": base64_of(text.as_bytes()), "messageId": "1"}}).to_string()),
    ("elastic", |text, event| {
        let inner = serde_json::from_str(text).unwrap_or(Value::from(text));
        json!({"_source": {"@timestamp": time(event), "kubernetes": {"audit": inner}}}).to_string()
    }),
    ("event list", |text, _| {
        let inner = serde_json::from_str(text).unwrap_or(Value::from(text));
        json!({"kind": "EventList", "items": [inner]}).to_string()
    }),
    ("insights", |text, event| {
        json!({"results": [[{"field": "@timestamp", "value": time(event)}, {"field": "@message", "value": text}]]})
            .to_string()
    }),
    ("loki", |text, event| {
        json!({"data": {"result": [{"values": [[(millis(event) * 1_000_000).to_string(), text]]}]}}).to_string()
    }),
    ("array", |text, _| format!("[{text}]")),
];

/// Texts before a record. They are no wrappers of objects, so they come last.
const PREFIXES: [Named<Prefix>; 9] = [
    ("none", |_| String::new()),
    ("cri", |event| format!("{} stdout F ", time(event))),
    ("node-logs", |_| "master-0.example ".to_owned()),
    ("aws logs tail", |event| format!("{} kube-apiserver-audit-92eb5ffee6ae ", time(event))),
    ("s3 export", |event| format!("{} ", time(event))),
    ("syslog 3164", |_| "<134>Nov 22 01:00:52 master-0 kube-apiserver[12]: ".to_owned()),
    ("syslog 5424", |event| format!("<134>1 {} m kube-apiserver 12 - [a@1 b=\"c\"] ", time(event))),
    ("kubectl --prefix", |_| "[pod/kube-apiserver-0/kube-apiserver] ".to_owned()),
    ("record separator", |_| "\u{1e}".to_owned()),
];

const DELIMITERS: [&str; 5] = ["\n", "\r\n", "", ",\n", "\n\nI1122 01:01:20.123456       1 httplog.go:132] \"HTTP\"\n"];

const ENCODINGS: [Named<Encoding>; 5] = [
    ("UTF-8", |text| text.as_bytes().to_vec()),
    ("UTF-8 with a mark", |text| format!("\u{feff}{text}").into_bytes()),
    ("UTF-16LE", |text| [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()),
    ("UTF-16BE", |text| [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()),
    ("zeros before it", |text| [vec![0; 3_000], text.as_bytes().to_vec()].concat()),
];

/// A skippable frame of zstd.
const SKIPPED: &[u8] = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";

const COMPRESSIONS: [Named<Compression>; 6] = [
    ("none", <[u8]>::to_vec),
    ("gzip", gzip),
    ("gzip members with padding", |bytes| {
        let (one, two) = bytes.split_at(bytes.len() / 2);
        [gzip(one), gzip(two), vec![0; 1_000]].concat()
    }),
    ("gzip and other bytes", |bytes| [gzip(bytes), b"other bytes".to_vec()].concat()),
    ("gzip in gzip", |bytes| gzip(&gzip(bytes))),
    ("zstd with skippable frames", |bytes| {
        let (one, two) = bytes.split_at(bytes.len() / 2);
        let frame = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        [SKIPPED, &frame(one), SKIPPED, &frame(two)].concat()
    }),
];

/// Every wrapper and every prefix, each with another delimiter, encoding and compression.
#[test]
fn a_recording_gives_its_findings_in_every_form() {
    let lines = recording();
    let expected = findings_of(lines.join("\n").as_bytes());
    assert_eq!(expected.len(), 8);
    let of_wrappers = WRAPPERS.iter().flat_map(|wrapper| [0, 1, 2].map(|shift| (wrapper, &PREFIXES[0], shift)));
    let of_prefixes = PREFIXES.iter().flat_map(|prefix| [0, 1].map(|shift| (&WRAPPERS[0], prefix, shift)));
    for (number, (wrapper, prefix, shift)) in of_wrappers.chain(of_prefixes).enumerate() {
        let delimiter = DELIMITERS[if prefix.0 == "none" { (number + shift) % DELIMITERS.len() } else { shift }];
        let encoding = ENCODINGS[(number + 2 * shift) % ENCODINGS.len()];
        let compression = COMPRESSIONS[(number + shift) % COMPRESSIONS.len()];
        let record = |line: &String| format!("{}{}{delimiter}", prefix.1(line), wrapper.1(line, line));
        let text: String = lines.iter().map(record).collect();
        let found = findings_of(&compression.1(&encoding.1(&text)));
        let form = [wrapper.0, prefix.0, delimiter, encoding.0, compression.0];
        assert!(found == expected, "{form:?}: {found:?}");
    }
}

/// Returns the findings in the text of a recorded form.
fn of_form(name: &str) -> usize {
    findings_of(unpacked(name).as_bytes()).len()
}

#[test]
fn records_of_clouds_and_documents_give_the_findings_too() {
    for name in ["scan.aks-audit.json", "scan.eventhub.json", "scan.gke.json", "scan.insights.json"] {
        assert_eq!(of_form(name), 8, "{name}");
    }
    let lines = recording();
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let expected = findings_of(lines.join("\n").as_bytes());
    let flattened = |event: &Value| {
        let mut members = serde_json::Map::new();
        flat(event, "", &mut members);
        Value::Object(members).to_string()
    };
    let as_texts = |event: &Value| {
        let members = event.as_object().expect("an object").iter();
        let text = |value: &Value| if value.is_string() { value.clone() } else { Value::from(value.to_string()) };
        members.map(|(key, value)| (key.clone(), text(value))).collect::<Value>().to_string()
    };
    let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    let gke: Vec<Value> = serde_json::from_str(&unpacked("scan.gke.json")).expect("JSON");
    let minimal =
        |entry: &Value| json!({"protoPayload": entry["protoPayload"], "timestamp": entry["timestamp"]}).to_string();
    let cell = |line: &String| format!("{},\"{}\"\n", time(line), line.replace('"', "\"\""));
    let part = |line: &String| {
        let (first, last) = line.split_at(300);
        format!("{0} stdout P {first}\n{0} stdout F {last}\n", time(line))
    };
    let of_docker = |line: &String| {
        let record = |log: &str| json!({"log": log, "stream": "stdout", "time": time(line)}).to_string() + "\n";
        let (first, rest) = line.split_at(300);
        let (second, last) = rest.split_at(rest.len() / 2);
        record(first) + &record(second) + &record(&format!("{last}\n"))
    };
    let joined = |event: &Value| {
        let mut members = serde_json::Map::new();
        flat(event, "", &mut members);
        members.into_iter().map(|(key, value)| (key.replace('.', "_"), value)).collect::<Value>().to_string()
    };
    let of_xml = |line: &String| format!("<entry><![CDATA[{line}]]></entry>");
    let of_tail = |event: &Value| format!("2026-11-22T01:00:52+00:00 kube-apiserver-audit-1 {}\n", pretty(event));
    let forms = [
        ("a list over several lines", pretty(&json!(events))),
        ("documents over several lines", events.iter().map(pretty).collect()),
        ("a document behind a prefix", events.iter().map(of_tail).collect()),
        ("fields with dots", events.iter().map(flattened).collect::<Vec<_>>().join("\n")),
        ("fields with underscores", events.iter().map(joined).collect::<Vec<_>>().join("\n")),
        ("records in parts", lines.iter().map(of_docker).collect()),
        ("records in parts, the last without its end", {
            let text: String = lines.iter().map(of_docker).collect();
            text.trim_end().replacen("\\n\",\"stream\"", "\",\"stream\"", lines.len())
        }),
        ("many records in a line of XML", lines.iter().map(of_xml).collect()),
        ("fields as texts", events.iter().map(as_texts).collect::<Vec<_>>().join("\n")),
        ("a table", format!("@timestamp,@message\n{}", lines.iter().map(cell).collect::<String>())),
        ("lines in parts", lines.iter().map(part).collect()),
        ("a first line that is cut", format!("{}\n{}", &lines[0][100..], lines.join("\n"))),
        ("a comment first", format!("# my log\n{}", lines.join("\n"))),
    ];
    for (name, text) in forms {
        assert_eq!(findings_of(text.as_bytes()), expected, "{name}");
    }
    let minimal = gke.iter().map(minimal).collect::<Vec<_>>().join("\n");
    assert_eq!(findings_of(minimal.as_bytes()).len(), 8, "entries without ids");
    for name in ["scan.audit.log.xz", "scan.audit.log.bz2"] {
        let bytes = std::fs::read(data(&format!("forms/{name}"))).expect("readable");
        assert_eq!(findings_of(&bytes), expected, "{name}");
    }
}

/// All kinds in one input are read, whatever the first line is.
#[test]
fn one_input_may_hold_all_kinds() {
    let lines = recording();
    let expected = findings_of(lines.join("\n").as_bytes());
    let mut text = "I1122 01:01:20.123456       1 httplog.go:132] \"HTTP\"\n".to_owned();
    for (number, line) in lines.iter().enumerate() {
        let (_, wrapper) = WRAPPERS[number % WRAPPERS.len()];
        let (_, prefix) = PREFIXES[number % PREFIXES.len()];
        text += &format!("{}{}\n", prefix(line), wrapper(line, line));
    }
    assert_eq!(findings_of(text.as_bytes()), expected);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mixed");
    std::fs::write(&path, &text).expect("written");
    for arguments in [&["--strict"][..], &["--threads", "3"]] {
        let arguments = [arguments, &["-o", "json", path.to_str().expect("text")]].concat();
        assert_eq!(findings_in(&replay(&arguments, b"")), expected, "{arguments:?}");
    }
}

/// A login at OpenShift's OAuth server with a wrong password.
const LOGIN: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"d0","stage":"ResponseComplete","requestURI":"/oauth/authorize?client_id=openshift-challenging-client","verb":"get","user":{"username":"system:anonymous","groups":["system:unauthenticated"]},"sourceIPs":["8.8.8.8"],"userAgent":"Go-http-client/1.1","responseStatus":{"metadata":{},"code":401},"requestReceivedTimestamp":"2026-11-22T01:00:10.000000Z","stageTimestamp":"2026-11-22T01:00:10.000000Z","annotations":{"authentication.openshift.io/decision":"deny","authentication.openshift.io/username":"eve","authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}"#;

/// An input without usable records has exit code 65, and the message names what it is.
#[test]
fn what_is_no_audit_log_is_named() {
    let klog = "I1122 01:01:20.123456       1 httplog.go:132] \"HTTP\" verb=\"GET\"\n".repeat(302);
    let rancher = r#"{"auditID":"a","requestURI":"/v3/x","user":{"name":"u"},"method":"GET","responseCode":200}"#;
    let gdc = r#"{"auditID":"g0","action":"list","user":{"identity":"x"},"sourceIPs":["8.8.8.8"],"serviceName":"iam"}"#;
    let damaged: String = recording().iter().map(|line| format!("{}\n", &line[..60])).collect();
    let entry = r#"{"protoPayload":{"serviceName":"k8s.io","methodName":"io.k8s.core.v1.pods.list"}}"#;
    for (input, said) in [
        (klog.as_str(), "0 of 302 records are audit events; the first is a klog line, -, line 1: \\\"I1122"),
        (rancher, "0 of 1 record is an audit event; the first is a record of Rancher's API audit log"),
        (gdc, "Google Distributed Cloud's platform audit log"),
        (&unpacked("scan.gke.yaml"), "YAML, as gcloud prints it, -, line 1: \\\"---\\\"; add --format=json"),
        (&damaged, "0 of 48 records are audit events; the first is a damaged audit event"),
        (entry, "no timestamp in the entry"),
        (r#"{"kind":"Event","apiVersion":"v1","reason":"Killing"}"#, "a Kubernetes object of kind Event of v1"),
        ("\u{0}\u{1}\u{2}{", "the first is"),
        (
            &format!("{LOGIN}\n").repeat(40),
            "0 of 40 records are audit events; the first is a record of another service (OpenShift's OAuth server",
        ),
        (&format!("master-0.example {LOGIN}"), "use the API server's log: oc adm node-logs"),
        (&json!({"log": LOGIN, "stream": "stdout"}).to_string(), "OpenShift's OAuth server"),
    ] {
        for extra in [&["-"][..], &["--strict", "-"], &["--exit-on-finding", "-"]] {
            let output = replay(extra, input.as_bytes());
            let log = stderr(&output);
            assert_eq!(output.status.code(), Some(65), "{input}: {log}");
            assert!(log.contains(&said.replace("\\\"", "\"")), "{said}: {log}");
        }
    }
    let most_are_damaged = format!("{}{}", recording()[..20].join("\n"), damaged);
    let output = replay(&["-o", "json", "-"], most_are_damaged.as_bytes());
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    for empty in ["", "\n \n", "[]", r#"{"events":[],"searchedLogStreams":[]}"#] {
        let output = replay(&["-"], empty.as_bytes());
        assert_eq!(output.status.code(), Some(65), "{empty}: {}", stderr(&output));
        assert!(stderr(&output).contains("the input is empty"), "{empty}: {}", stderr(&output));
    }
}

/// `tune` and `explain` read as `replay` does, and end as it does.
#[test]
fn tune_and_explain_end_in_the_same_way() {
    let run = |arguments: &[&str], stdin: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.args(arguments).env_remove("STAKEOUT_LOG");
        child::run(&mut command, stdin.as_bytes()).expect("stakeout starts")
    };
    let klog = "I1122 01:01:20.123456       1 httplog.go:132] \"HTTP\"\n";
    let wrapped: String =
        recording().iter().map(|line| format!("{}\n{klog}", json!({"log": line, "stream": "stdout"}))).collect();
    for verb in [&["tune", "-"][..], &["explain", "kubernetes-scanning-by-unauthenticated-ip", "-"]] {
        let output = run(verb, klog);
        assert_eq!(output.status.code(), Some(65), "{verb:?}: {}", stderr(&output));
        let output = run(verb, &wrapped);
        assert_eq!(output.status.code(), Some(0), "{verb:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("kubernetes-scanning-by-unauthenticated-ip"), "{}", stdout(&output));
    }
}

/// Other lines beside audit events are counted and named, and change neither findings nor exit code.
#[test]
fn other_lines_are_counted_and_named() {
    let lines = recording();
    let text = lines.join("\nI1122 01:01:20.123456       1 leaderelection.go:1] renewed\n");
    let output = replay(&["--exit-on-finding", "-"], text.as_bytes());
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{log}");
    let others = lines.len() - 1;
    assert!(log.contains(&format!("records={others}")) && log.contains("a klog line, -, line 2"), "{log}");
    let bare = r#"{"kind":"Event","auditID":"a","stage":"ResponseComplete","verb":"list","requestURI":"/api"}"#;
    let log = stderr(&replay(&["--strict", "-"], bare.as_bytes()));
    assert!(log.contains("neither a client address nor a response code"), "{log}");
}

/// Logins in the same file are no requests of the Kubernetes API.
#[test]
fn logins_at_openshift_count_for_no_finding() {
    let lines = recording();
    let expected = findings_of(lines.join("\n").as_bytes());
    let logins = format!("\n{LOGIN}\n").repeat(3);
    let output = replay(&["-o", "json", "-"], lines.join(&logins).as_bytes());
    assert_eq!(findings_in(&output), expected);
    let others = 3 * (lines.len() - 1);
    assert!(stderr(&output).contains(&format!("records={others} unreadable=0")), "{}", stderr(&output));
}

/// What a client writes into a body is not an event, however its record is wrapped or damaged.
#[test]
fn a_body_is_not_searched() {
    let lines = recording();
    let inner: Value = serde_json::from_str(&lines[0]).expect("JSON");
    let outer = |number: usize| {
        let object = json!({"items": lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>(), "data": lines.join("\n")});
        let mut event = inner.clone();
        event["auditID"] = json!(format!("outer-{number}"));
        event["requestObject"] = object;
        event
    };
    let events: Vec<Value> = (0..3).map(outer).collect();
    let texts: Vec<String> = events.iter().map(Value::to_string).collect();
    let wrapped: Vec<String> = texts.iter().map(|text| json!({"log": text}).to_string()).collect();
    let cut: Vec<String> = texts.iter().map(|text| text[..text.len() - 9].to_owned()).collect();
    for input in
        [texts.join("\n"), wrapped.join("\n"), serde_json::to_string_pretty(&events).expect("JSON"), cut.join("\n")]
    {
        assert_eq!(findings_of(input.as_bytes()), Findings::new());
    }
}

/// Events of a recording, each in three wrappers, with noise between them, and cut anywhere.
#[derive(Debug)]
struct Wrapped {
    text: String,
    /// Where each event begins and ends in the text.
    places: Vec<(usize, usize)>,
}

fn wrapped(wrappers: &[Index], prefix: &Index, noise: &[Index]) -> Wrapped {
    const NOISE: [&str; 6] = [
        "",
        "I1122 01:01:20.123456       1 a.go:1] x\n",
        "\n",
        "# a comment\n",
        "time=\"x\" level=info msg=\"y\"\n",
        "{}\n",
    ];
    let mut wrapped = Wrapped { text: String::new(), places: Vec::new() };
    for (number, line) in recording().iter().enumerate() {
        wrapped.text += NOISE[noise[number % noise.len()].index(NOISE.len())];
        let begin = wrapped.text.len();
        wrapped.text += &PREFIXES[prefix.index(PREFIXES.len())].1(line);
        let wrap = |text: String, wrapper: &Index| WRAPPERS[wrapper.index(WRAPPERS.len())].1(&text, line);
        wrapped.text += &wrappers.iter().fold(line.clone(), wrap);
        wrapped.places.push((begin, wrapped.text.len()));
        wrapped.text.push('\n');
    }
    wrapped
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wrapped_and_cut_text_gives_the_findings_of_what_is_left(
        wrappers in proptest::collection::vec(any::<Index>(), 3),
        prefix in any::<Index>(),
        noise in proptest::collection::vec(any::<Index>(), 1..6),
        cut in any::<Index>(),
        keeps_the_end in any::<bool>(),
    ) {
        let Wrapped { text, places } = wrapped(&wrappers, &prefix, &noise);
        let mut cut = cut.index(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let left = if keeps_the_end { &text[cut..] } else { &text[..cut] };
        let lines = recording();
        let findings_where = |is_left: &dyn Fn(usize, usize) -> bool| {
            let left = lines.iter().zip(&places).filter(|(_, (begin, end))| is_left(*begin, *end));
            findings_of(left.map(|(line, _)| format!("{line}\n")).collect::<String>().as_bytes())
        };
        let whole = findings_where(&|begin, end| if keeps_the_end { begin >= cut } else { end <= cut });
        // Enough of the event at the cut may be left to count.
        let touched = findings_where(&|begin, end| if keeps_the_end { end > cut } else { begin < cut });
        let found = findings_of(left.as_bytes());
        let names = wrappers.iter().map(|wrapper| WRAPPERS[wrapper.index(WRAPPERS.len())].0).collect::<Vec<_>>();
        prop_assert!(found == whole || found == touched, "{names:?} {prefix:?} {cut}: {found:?} {whole:?}");
    }
}

/// Standard input and a pipe are as good as a file: a sequence whose end is in its second reading is found.
#[test]
fn standard_input_is_read_as_a_file_is() {
    let (name, text) = ("replay", recording().join("\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
    let of_file = replay(&["-o", "json", path.to_str().expect("text")], b"");
    let of_input = replay(&["-o", "json", "-"], text.as_bytes());
    let of_pipe = replay(&["-o", "json", "/dev/stdin"], text.as_bytes());
    assert!(stdout(&of_file).lines().count() == 8 && of_file.stdout == of_input.stdout);
    assert_eq!(of_file.stdout, of_pipe.stdout);
}
