//! Lines one by one, lines with needles, and times that lines have from those before them.

use proptest::prelude::*;
use stakeout_core::field::Field;
use stakeout_core::needle::Spelling;
use stakeout_core::prefilter::{Literal, Prefilter};

use super::*;

fn needles() -> Needles {
    let code = Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) };
    Needles::of(&code, Spelling::Native).expect("a number is a needle")
}

/// Gives its bytes in pieces of the given sizes, in a cycle.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().unwrap_or(1).min(buffer.len()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(size);
        buffer[..size].copy_from_slice(piece);
        self.bytes = rest;
        Ok(size)
    }
}

#[test]
fn lines_know_where_they_begin_and_whether_they_ended() {
    let mut lines = Lines::new(&b"one\n\ntwo"[..], 100);
    let mut read = Vec::new();
    while let Some(line) = lines.next(None).expect("memory reads") {
        read.push((line.offset, line.is_ended, line.is_blank()));
    }
    let expected = [(100, true, false), (104, true, true), (105, false, false)];
    assert_eq!(read, expected);
    assert_eq!(lines.bytes(), 108);
}

#[test]
fn of_a_long_line_the_beginning_and_the_end_are_kept() {
    for body in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX] {
        let event = |verb: &str| {
            let pad = "A".repeat(body);
            format!(r#"{{"verb":"{verb}","requestObject":"{pad}","stageTimestamp":"2026-11-21T10:00:00Z"}}"#)
        };
        let text = format!("{}\n{}\n", event("get"), event("list"));
        let mut lines = Lines::new(text.as_bytes(), 0);
        for verb in ["get", "list"] {
            let line = lines.next(None).expect("memory reads").expect("a line");
            let event = line.borrowed_event().expect("an event").into_decoded().event;
            assert_eq!(event.verb.as_deref(), Some(verb));
            assert_eq!(event.stage_time_ms(), Some(1_795_255_200_000));
        }
        assert!(lines.next(None).expect("memory reads").is_none());
    }
}

#[test]
fn other_text_between_lines_is_left_to_the_caller() {
    let line = |verb: &str| format!("{{\"kind\":\"Event\",\"verb\":\"{verb}\"}}\n");
    let long = line(&"x".repeat(2 * BLOCK_BYTES));
    let text = [line("a"), "other\n".repeat(3), line("b"), long, "{}\n".to_owned(), line("c")].concat();
    for sizes in [vec![1, 7], vec![usize::MAX]] {
        let pieces = Pieces { bytes: text.as_bytes(), sizes: sizes.into_iter().cycle() };
        let mut lines = Lines::new(pieces, 0).checked();
        let (mut read, mut others) = (Vec::new(), 0);
        loop {
            match lines.next_or_other(None).expect("memory reads") {
                Next::Line(line) => read.push(line.offset),
                Next::Other => {
                    while memchr(b'\n', lines.rest()).is_none() && lines.read_on().expect("memory reads") {}
                    let end = memchr(b'\n', lines.rest()).expect("a line end");
                    lines.pass(end + 1);
                    lines.resume();
                    others += 1;
                }
                Next::End => break,
            }
        }
        let at = |verb: &str| text.find(&line(verb)).expect("there") as u64;
        assert_eq!(read, [at("a"), at("b"), at("b") + line("b").len() as u64, at("c")]);
        assert_eq!((lines.lines(), others, lines.bytes()), (4, 4, text.len() as u64));
    }
}

/// Returns lines of an audit log: with and without a needle, with and without a time, damaged, blank, and long.
fn log() -> impl Strategy<Value = String> {
    let line = (any::<bool>(), 0..6_u8, 0..60_i64).prop_map(|(is_refused, kind, second)| {
        let code = if is_refused { 403 } else { 200 };
        let begin = format!(r#"{{"verb":"get","responseStatus":{{"code":{code}}}"#);
        let time = format!(r#","stageTimestamp":"2026-11-21T10:00:{second:02}Z"}}"#);
        match kind {
            0 => format!("{begin}}}"),
            1 => format!(r#"{begin},"requestObject":{{"verb":"get"{time}}}"#),
            2 => format!("{begin},damaged{time}"),
            3 => String::from("  "),
            4 => format!(r#"{begin},"requestObject":"{}"{time}"#, "x".repeat(9_000)),
            _ => format!("{begin}{time}"),
        }
    });
    let end = proptest::sample::select(&["\n", "\r\n"][..]);
    (proptest::collection::vec(line, 0..60), end, any::<bool>()).prop_map(|(lines, end, is_ended)| {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        if is_ended { text } else { text.trim_end_matches(end).to_owned() }
    })
}

/// Where a line begins, how long it is, and when it was written.
type Found = (u64, Option<Second>);

/// Returns the lines in which some needle stands, each with the time that it has of its own or of a line before it.
fn read(text: &str, limit: usize, sizes: Vec<usize>, passing: Option<&Needles>) -> (Vec<Found>, Option<Second>) {
    let pieces = Pieces { bytes: text.as_bytes(), sizes: sizes.into_iter().cycle() };
    let mut lines = Lines::with_limit(pieces, limit);
    let mut found = Vec::new();
    let needles = needles();
    while let Some(line) = lines.next(passing).expect("memory reads") {
        if line.is_blank() {
            continue;
        }
        let time = line.stage_time(&line.borrowed_event()).or_else(|| line.time_before());
        if needles.occur_in(line.prefix) {
            found.push((line.offset, time));
        }
        lines.set_time(time);
    }
    assert_eq!(lines.bytes(), text.len() as u64);
    (found, lines.time())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_are_passed_over_change_nothing(
        text in log(),
        sizes in proptest::collection::vec(prop_oneof![1..200_usize, 1..20_000_usize], 1..6),
        limit in prop_oneof![Just(TAIL_BYTES), Just(LINE_BYTES_MAX)],
    ) {
        let all = read(&text, limit, vec![usize::MAX], None);
        prop_assert_eq!(&read(&text, limit, sizes.clone(), None), &all);
        prop_assert_eq!(&read(&text, limit, sizes, Some(&needles())), &all);
    }
}
