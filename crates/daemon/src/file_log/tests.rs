//! Windows that are read from several files: rotated, damaged, cut and filtered ones.

use std::fs;
use std::io::Write;

use stakeout_core::field::Field;
use stakeout_core::prefilter::Literal;

use super::*;

fn line(verb: &str, at: &str) -> String {
    format!("{{\"kind\":\"Event\",\"verb\":\"{verb}\",\"stageTimestamp\":\"2020-11-22T{at}Z\"}}\n")
}

/// Returns the hour from ten to eleven.
fn window() -> Window {
    let at = |text: &str| Second::from(format!("2020-11-22T{text}Z").parse::<jiff::Timestamp>().expect("a time"));
    Window::new(at("10:00:00"), at("11:00:00")).expect("not empty")
}

#[test]
fn a_name_that_went_to_another_file_is_not_read_for_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, rotated) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    fs::write(&path, "first\n").expect("written");
    let first = fs::metadata(&path).expect("there");
    let identity = (first.dev(), first.ino());
    fs::rename(&path, &rotated).expect("rotated");
    assert!(open_same(&path, identity).expect("no error").is_none());
    fs::write(&path, "second\n").expect("written");
    assert!(open_same(&path, identity).expect("no error").is_none());
    assert!(open_same(&rotated, identity).expect("no error").is_some());
}

#[test]
fn a_window_is_read_from_the_file_and_its_siblings() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    fs::write(folder.path().join("audit.log.1"), line("first", "10:00:00") + &line("second", "10:30:00"))
        .expect("written");
    let mut file = fs::File::create(&path).expect("a file");
    write!(file, "{}nonsense\n{}", line("third", "10:59:59"), line("outside", "11:00:00")).expect("written");
    write!(file, "{{\"verb\":\"unfinished\",\"stageTimestamp\":\"2020-11-22T10:59:59Z\"}}").expect("written");
    let window = window();
    let log = FileLog::new(path.clone(), None);
    let mut verbs = Vec::new();
    let read = log
        .read(window, &FileFilter::counting_all(&Prefilter::Any), |event, _, _| verbs.extend(event.verb.take()))
        .expect("read");
    verbs.sort();
    assert_eq!(verbs, ["first", "second", "third"]);
    assert_eq!((read.files, read.lines, read.undecodable, read.lost), (2, 3, 1, Vec::new()));
    let other = tempfile::tempdir().expect("a folder");
    let link = other.path().join("linked.log");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    fs::write(other.path().join("linked.log.1"), line("beside the link", "10:00:00")).expect("written");
    let linked = FileLog::new(link, None).read(window, &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {});
    assert_eq!(linked.expect("read").files, 3, "what is beside the link and beside its target");
    fs::write(&path, "").expect("written");
    let lost = log.read(window, &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read").lost;
    assert_eq!(lost, [LostFile { path, reason: "it has lost lines: it is shorter than before".to_owned() }]);
}

#[test]
fn an_event_behind_zeros_or_a_part_of_another_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let event = |verb: &str| {
        format!(r#"{{"kind":"Event","auditID":"{verb}","verb":"{verb}","stageTimestamp":"2020-11-22T10:00:00Z"}}"#)
    };
    let cut = &event("cut")[..60];
    fs::write(&path, format!("{}{}\n{cut}{}\n", "\0".repeat(4_096), event("get"), event("list"))).expect("written");
    let mut verbs = Vec::new();
    let log = FileLog::new(path, None);
    let read = log
        .read(window(), &FileFilter::counting_all(&Prefilter::Any), |event, _, _| verbs.extend(event.verb.take()))
        .expect("read");
    assert_eq!(verbs, ["get", "cut", "list"]);
    assert_eq!((read.undecodable, read.truncated), (0, 1));
}

#[test]
fn events_that_the_filter_drops_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let lines = [line("list", "10:00:00"), line("get", "10:00:01"), "nonsense\n".to_owned(), line("get", "11:00:00")];
    let begun = line("get", "10:00:02").replace(r#""verb""#, r#""stage":"RequestReceived","verb""#);
    let cut = line("get", "10:00:03").replace("}\n", ",\"user\":\n");
    fs::write(&path, lines.concat() + &begun + &cut).expect("written");
    let literal = Literal::Text { text: "list".to_owned(), cased: true };
    let is_list = Prefilter::Is { field: Field::Named("verb"), literal };
    let mut handed = Vec::new();
    let log = FileLog::new(path.clone(), None);
    let read = log
        .read(window(), &FileFilter::counting_all(&is_list), |event, at, record_id| {
            handed.push((event.verb.take(), at, record_id()));
        })
        .expect("read");
    assert_eq!(handed, [(Some("list".to_owned()), window().earliest(), format!("{}:0", path.display()))]);
    let bytes = fs::metadata(&path).expect("there").len();
    let expected =
        FileRead { files: 1, lines: 4, bytes, undecodable: 1, truncated: 1, filtered_out: 2, ..FileRead::default() };
    assert_eq!(read, expected);
    let whole = log.read(window(), &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read");
    assert_eq!(whole, FileRead { filtered_out: 0, ..expected.clone() });
    let mut verbs = Vec::new();
    let skipping = FileFilter::skipping_others(&is_list);
    let found = log.read(window(), &skipping, |event, _, _| verbs.extend(event.verb.take())).expect("read");
    assert_eq!(verbs, ["list"]);
    assert_eq!(found, FileRead { files: 1, lines: 1, bytes, undecodable: 1, ..FileRead::default() });
}

/// Docker writes each quote of an event with a backslash, and cuts long lines.
#[test]
fn no_line_is_skipped_that_another_program_wrapped_or_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let wrapped = |text: &str| {
        let text = serde_json::to_string(text).expect("a text");
        format!("{{\"log\":{text},\"stream\":\"stdout\",\"time\":\"2020-11-22T10:00:04Z\"}}\n")
    };
    let cut = line("list", "10:00:03");
    let (first, second) = cut.split_at(30);
    let others = [wrapped(&line("list", "10:00:01")), line("get", "10:00:02"), wrapped(first), wrapped(second)];
    let lines = [
        &[line("list", "10:00:00"), "\n".to_owned()],
        &others[..],
        &[line("get", "10:00:05"), line("list", "10:00:06")],
    ];
    fs::write(&path, lines.concat().concat()).expect("written");
    let literal = Literal::Text { text: "list".to_owned(), cased: true };
    let is_list = Prefilter::Is { field: Field::Named("verb"), literal };
    let mut seconds = Vec::new();
    let log = FileLog::new(path, None);
    log.read(window(), &FileFilter::skipping_others(&is_list), |event, at, _| {
        if event.verb.as_deref() == Some("list") {
            seconds.push(at.0 - window().earliest().0);
        }
    })
    .expect("read");
    assert_eq!(seconds.len(), 4, "{seconds:?}");
}

/// Returns what is lost of the window.
fn lost(log: &FileLog) -> Vec<String> {
    let read = log.read(window(), &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read");
    read.lost.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_lost_lines_is_reported_for_windows_that_it_may_have_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, rotated) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    fs::write(&path, line("get", "10:59:00")).expect("written");
    fs::write(&rotated, line("get", "09:00:00") + &line("get", "10:30:00")).expect("written");
    let log = FileLog::new(path.clone(), None);
    assert_eq!(lost(&log), [""; 0]);
    // logrotate's `copytruncate` makes a copy.
    fs::copy(&path, folder.path().join("audit.log.0")).expect("copied");
    fs::write(&path, "").expect("written");
    assert_eq!(lost(&log), [""; 0]);
    let first = line("get", "09:00:00").len() as u64;
    File::options().write(true).open(&rotated).and_then(|file| file.set_len(first)).expect("cut");
    let cut = format!("{}: it has lost lines: it is shorter than before", rotated.display());
    assert_eq!(fs::read(&rotated).expect("there"), line("get", "09:00:00").as_bytes());
    assert_eq!((lost(&log), lost(&log)), (vec![cut.clone()], vec![cut]));
    let later = line("get", "11:02:00");
    fs::write(&rotated, later.clone() + &later).expect("written");
    assert_eq!(lost(&log), [""; 0], "what is lost of it is later than the window");
}

#[test]
fn a_line_of_another_time_is_not_decoded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let damaged = |at: &str| line("get", at).replace(r#""verb":"#, r#""verb":\u{0},"#);
    fs::write(&path, damaged("09:59:59") + &damaged("10:00:00") + &damaged("11:00:00")).expect("written");
    let log = FileLog::new(path, None);
    let read = log.read(window(), &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read");
    assert_eq!((read.lines, read.undecodable), (0, 1));
}

/// Returns lines of many shapes with two times: that of the event, and one that another object or text holds.
fn shaped(shape: u8, own: &str, other: &str) -> String {
    let own = format!(r#""stageTimestamp":"2020-11-22T{own}Z""#);
    let other = format!(r#""stageTimestamp":"2020-11-22T{other}Z""#);
    let quoted = other.replace('"', r#"\""#);
    let members = match shape % 10 {
        0 => own,
        1 => format!(r#"{own},"annotations":{{"a":"b"}}"#),
        2 => format!(r#""requestObject":{{"a":1,{other}}},{own}"#),
        3 => format!(r#"{own},"requestObject":{{"a":1,{other}}}"#),
        4 => format!(r#"{own},"userAgent":"x,{quoted}}}""#),
        5 => format!(r#"{own},"annotations":{{"a":"b",{other}}}"#),
        6 => format!(r#"{other},{own}"#),
        7 => format!(r#"{own},"annotations":{{"a":"b"}},"verb":"get""#),
        8 => format!(r#""annotations":{{"a":"b"}},{own}"#),
        _ => format!(r#"{own},"annotations":{{"a":{{"b":"c",{other}}}}}"#),
    };
    format!(r#"{{"kind":"Event","verb":"get","auditID":"a",{members}}}"#) + if shape < 10 { "\n" } else { "\r\n" }
}

proptest::proptest! {
    #[test]
    fn no_line_of_the_window_is_skipped(drawn in proptest::collection::vec((0..20u8, 0..4usize, 0..4usize), 1..30)) {
        let times = ["09:59:59.999999", "10:00:00", "10:59:59.999999", "11:00:00"];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let lines: Vec<String> = drawn.iter().map(|(shape, own, other)| shaped(*shape, times[*own], times[*other])).collect();
        fs::write(&path, lines.concat()).expect("written");
        let mut seconds = Vec::new();
        let log = FileLog::new(path, None);
        log.read(window(), &FileFilter::counting_all(&Prefilter::Any), |_, at, _| seconds.push(at.0)).expect("read");
        // A JSON reader that shares no code with ours.
        let expected = lines.iter().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let at: jiff::Timestamp = event["stageTimestamp"].as_str().expect("a text").parse().expect("a time");
            Some(Second::from(at)).filter(|at| window().contains(*at)).map(|at| at.0)
        });
        proptest::prop_assert_eq!(&seconds, &expected.collect::<Vec<_>>());
    }
}
