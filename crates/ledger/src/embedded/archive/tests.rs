//! What was stored is read again, whatever was behind it; damage is an error and no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use stakeout_core::finding::FindingKey;
use tempfile::TempDir;

use super::*;
use crate::archived_finding::FindingHead;

const DAY: i64 = 24 * 60 * 60;

fn state() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn new(state: &TempDir) -> Archive {
    Archive::open(state.path(), ArchivePosition::default()).expect("a new archive")
}

/// Returns finding `n`, which ended on day `day`.
fn finding(n: u64, day: i64) -> ArchivedFinding {
    let head = FindingHead {
        key: FindingKey(u128::MAX - u128::from(n)),
        first: Second(i64::MIN),
        last: Second(day * DAY),
        level: u8::try_from(n % 5).expect("few"),
    };
    ArchivedFinding { head, body: format!("{n} kube\u{202e}").repeat(usize::try_from(n % 40).expect("few")).into() }
}

/// Returns a finding whose body does not compress.
fn noise(n: u64, day: i64, bytes: usize) -> ArchivedFinding {
    let mut random = n;
    let byte = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.to_be_bytes()[0]
    };
    ArchivedFinding { body: std::iter::repeat_with(byte).take(bytes).collect(), ..finding(n, day) }
}

fn read_in(archive: &Archive, order: ArchiveOrder) -> Vec<ArchivedFinding> {
    archive.reader().findings(order, |_| true).map(|finding| finding.expect("intact")).collect()
}

fn read(archive: &Archive) -> Vec<ArchivedFinding> {
    read_in(archive, ArchiveOrder::OldestFirst)
}

/// Returns the intact findings and the errors, which must be those of damage.
fn read_damaged(archive: &Archive) -> (Vec<ArchivedFinding>, usize) {
    let (mut intact, mut errors) = (Vec::new(), 0);
    for finding in archive.reader().findings(ArchiveOrder::NewestFirst, |_| true) {
        match finding {
            Ok(finding) => intact.push(finding),
            Err(LedgerError::Damaged { .. }) => errors += 1,
            Err(other) => panic!("not the error of damage: {other}"),
        }
    }
    intact.reverse();
    (intact, errors)
}

fn file(state: &TempDir, number: u64) -> PathBuf {
    path_of(&state.path().join(ARCHIVE), number)
}

#[test]
fn findings_are_read_in_both_orders() {
    let state = state();
    let mut archive = new(&state);
    let findings: Vec<_> = (0..200).map(|n| finding(n, 0)).collect();
    archive.append(&findings[..1]).expect("written");
    let position = archive.append(&findings[1..]).expect("written");
    assert_eq!(archive.append(&[]).expect("nothing"), position);
    let mut archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read(&archive), findings);
    let mut reverse = read_in(&archive, ArchiveOrder::NewestFirst);
    reverse.reverse();
    assert_eq!(reverse, findings);
    archive.append(&[finding(200, 0)]).expect("written");
    assert_eq!(read(&archive).len(), 201);
    assert_eq!((archive.segments(), archive.bytes()), (1, fs::metadata(file(&state, 0)).expect("there").len()));
}

#[test]
fn a_block_without_a_wanted_head_is_not_decoded() {
    let state = state();
    let mut archive = new(&state);
    archive.append(&[finding(3, 0)]).expect("written");
    let position = archive.append(&[finding(8, 0), finding(5, 0)]).expect("written");
    // The last byte of the first block is data.
    let path = file(&state, 0);
    let mut bytes = fs::read(&path).expect("there");
    let first = NewBlock::new(&[finding(3, 0)]).expect("small").bytes();
    bytes[usize::try_from(first).expect("small") - 1] ^= 1;
    fs::write(&path, bytes).expect("written");
    let archive = Archive::open(state.path(), position).expect("opens");
    let wanted = archive.reader().findings(ArchiveOrder::NewestFirst, |head| head.level == 0);
    assert_eq!(wanted.map(|one| one.expect("intact")).collect::<Vec<_>>(), [finding(5, 0)]);
    assert_eq!(read_damaged(&archive), (vec![finding(8, 0), finding(5, 0)], 1));
}

#[test]
fn only_the_owner_can_read_it() {
    let state = state();
    new(&state).append(&[finding(1, 0)]).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&state.path().join(ARCHIVE)), 0o700);
    assert_eq!(mode(&file(&state, 0)), 0o600);
}

#[test]
fn a_segment_is_cut_by_size_and_by_age() {
    let state = state();
    let mut archive = new(&state);
    let large: Vec<_> = (0..9).map(|n| noise(n, 0, 1 << 20)).collect();
    for finding in &large {
        archive.append(std::slice::from_ref(finding)).expect("written");
    }
    assert_eq!(archive.segments(), 3);
    let week_later = [finding(9, 7), finding(10, 8), finding(11, 0)];
    for finding in &week_later {
        archive.append(std::slice::from_ref(finding)).expect("written");
    }
    assert_eq!(archive.segments(), 4);
    let position = archive.append(&[noise(12, 8, 5 << 20)]).expect("a block larger than a segment");
    assert_eq!(position.segment, 4);
    let sizes = (0..4).map(|number| fs::metadata(file(&state, number)).expect("there").len());
    assert!(sizes.max() <= Some(SEGMENT_BYTES_MAX + 24));
    let reopened = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read(&reopened), [&large[..], &week_later, &[noise(12, 8, 5 << 20)]].concat());
    assert_eq!((reopened.segments(), reopened.bytes()), (archive.segments(), archive.bytes()));
    assert_eq!(reopened.full.iter().map(|one| one.findings).collect::<Vec<_>>(), [3, 3, 4, 2]);
}

#[test]
fn findings_that_are_appended_together_share_their_strings() {
    let findings: Vec<_> = (0..64).map(|n| finding(n, 0)).collect();
    let (one, each) = (state(), state());
    let (mut together, mut alone) = (new(&one), new(&each));
    together.append(&findings).expect("written");
    for finding in &findings {
        alone.append(std::slice::from_ref(finding)).expect("written");
    }
    assert!(together.bytes() * 3 < alone.bytes() * 2, "{} and {}", together.bytes(), alone.bytes());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Appends findings and stores the position.
    Store(u64, i64),
    /// Appends findings and dies before the position is stored, with this many bytes of garbage written.
    Crash(u64, i64, usize),
    /// Dies and loses up to this many bytes that are behind the position.
    Truncate(u64, i64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..150_u64, 0..30_i64).prop_map(|(n, day)| Step::Store(n, day)),
        1 => (0..150_u64, 0..30_i64, 0..99_usize).prop_map(|(n, day, garbage)| Step::Crash(n, day, garbage)),
        1 => (0..150_u64, 0..30_i64, 0..9999_u64).prop_map(|(n, day, lost)| Step::Truncate(n, day, lost)),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exactly_what_was_stored_is_read(steps in steps()) {
        let state = state();
        let mut archive = new(&state);
        let mut stored = Vec::new();
        let mut position = ArchivePosition::default();
        for step in steps {
            let (Step::Store(n, day) | Step::Crash(n, day, _) | Step::Truncate(n, day, _)) = step;
            let findings: Vec<_> = (0..n).map(|n| finding(n, day)).collect();
            let end = archive.append(&findings).expect("written");
            match step {
                Step::Store(..) => {
                    position = end;
                    stored.extend(findings);
                }
                Step::Crash(_, _, garbage) => {
                    fs::create_dir_all(state.path().join(ARCHIVE)).expect("created");
                    let path = file(&state, end.segment);
                    let mut bytes = fs::read(&path).unwrap_or_default();
                    bytes.extend(vec![0xa5; garbage]);
                    fs::write(&path, bytes).expect("written");
                    archive = Archive::open(state.path(), position).expect("opens");
                }
                Step::Truncate(_, _, lost) => {
                    let kept = if end.segment == position.segment { position.bytes } else { 0 };
                    if let Ok(file) = OpenOptions::new().write(true).open(file(&state, end.segment)) {
                        file.set_len(end.bytes.saturating_sub(lost).max(kept)).expect("cut");
                    }
                    archive = Archive::open(state.path(), position).expect("opens");
                }
            }
            prop_assert_eq!(&read(&archive), &stored);
        }
        let findings: u64 = archive.full.iter().chain([&archive.last]).map(|one| one.findings).sum();
        prop_assert_eq!(findings, stored.len() as u64);
        let reopened = Archive::open(state.path(), position).expect("opens");
        prop_assert_eq!(reopened.bytes(), archive.bytes());
        prop_assert_eq!(reopened.segments(), archive.segments());
    }
}

#[test]
fn whatever_is_behind_the_position_never_happened() {
    let state = state();
    let mut archive = new(&state);
    let position = archive.append(&[finding(1, 0), finding(2, 0)]).expect("written");
    let end = archive.append(&[finding(3, 0)]).expect("written");
    archive.append(&[finding(4, 20)]).expect("written");
    let (path, next) = (file(&state, 0), file(&state, 1));
    let (whole, other) = (fs::read(&path).expect("there"), fs::read(&next).expect("there"));
    assert!(end.bytes < whole.len() as u64, "a footer follows");
    for cut in usize::try_from(position.bytes).expect("small")..=whole.len() {
        for garbage in [&b""[..], b"\0\0\0\0", &whole] {
            fs::write(&path, [&whole[..cut], garbage].concat()).expect("written");
            fs::write(&next, &other[..cut.min(other.len())]).expect("written");
            let mut archive = Archive::open(state.path(), position).expect("opens");
            assert_eq!(read(&archive), [finding(1, 0), finding(2, 0)]);
            assert_eq!(archive.bytes(), position.bytes);
            assert!(!next.exists());
            archive.append(&[finding(5, 0)]).expect("written");
            let end = archive.append(&[finding(6, 20)]).expect("written to the next segment");
            let archive = Archive::open(state.path(), end).expect("opens");
            assert_eq!(read(&archive), [finding(1, 0), finding(2, 0), finding(5, 0), finding(6, 20)]);
        }
    }
}

#[test]
fn an_append_that_fails_changes_nothing() {
    let state = state();
    let mut archive = new(&state);
    let position = archive.append(&[finding(1, 0)]).expect("written");
    // The next segment cannot be made.
    fs::create_dir(file(&state, 1)).expect("created");
    archive.append(&[finding(2, 20)]).expect_err("a directory is in the way");
    assert_eq!(read(&archive), [finding(1, 0)]);
    fs::remove_dir(file(&state, 1)).expect("removed");
    let next = archive.append(&[finding(3, 0)]).expect("written");
    assert_eq!((next.segment, position.segment), (0, 0));
    archive.append(&[finding(4, 20)]).expect("written");
    let position = archive.append(&[finding(5, 20)]).expect("written");
    let archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read(&archive), [finding(1, 0), finding(3, 0), finding(4, 20), finding(5, 20)]);
}

/// Returns an archive of three segments, with its end and its findings.
fn three_segments() -> (TempDir, ArchivePosition, Vec<ArchivedFinding>) {
    let state = state();
    let mut archive = new(&state);
    let findings: Vec<_> = (0..6).map(|n| finding(n + 3, i64::try_from(n).expect("few") / 2 * 20)).collect();
    let appended = findings.iter().map(|one| archive.append(std::slice::from_ref(one)).expect("written"));
    let position = appended.last().expect("six");
    assert_eq!(archive.segments(), 3);
    (state, position, findings)
}

/// Checks an archive of which only segment `number` was changed, to `bytes`.
fn check_damaged(state: &TempDir, position: ArchivePosition, findings: &[ArchivedFinding], number: u64, bytes: &[u8]) {
    fs::write(file(state, number), bytes).expect("written");
    let mut archive = match Archive::open(state.path(), position) {
        Ok(archive) => archive,
        Err(LedgerError::Damaged { .. }) if number == 2 && (bytes.len() as u64) < position.bytes => return,
        Err(error) => panic!("{error}"),
    };
    let (mut intact, errors) = read_damaged(&archive);
    assert!(errors <= 2);
    assert!(intact.iter().all(|one| findings.contains(one)), "a finding that was never archived");
    assert!(intact.len() == findings.len() || errors > 0, "a loss without an error");
    // What comes after the damage can be read.
    let later = finding(9, 40);
    archive.append(std::slice::from_ref(&later)).expect("written");
    assert_eq!(read_damaged(&archive).0.last(), Some(&later));
    remove(&file(state, position.segment + 1)).expect("removed");
    let first = usize::try_from(number).expect("small") * 2;
    let expected = [&findings[..first], &findings[first + 2..]].concat();
    intact.retain(|one| expected.contains(one));
    assert_eq!(intact, expected, "the other segments");
}

#[test]
fn damage_anywhere_costs_at_most_the_rest_of_its_segment() {
    let (state, position, findings) = three_segments();
    let whole = [0, 1, 2].map(|number| fs::read(file(&state, number)).expect("there"));
    for number in 0..3 {
        let bytes = &whole[usize::try_from(number).expect("small")];
        let check = |damaged: &[u8]| {
            check_damaged(&state, position, &findings, number, damaged);
            fs::write(file(&state, 2), &whole[2]).expect("written");
        };
        for at in 0..bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                check(&damaged);
            }
            check(&bytes[..at]);
        }
        check(&[&bytes[..], bytes].concat());
        fs::write(file(&state, number), bytes).expect("written");
    }
}

#[test]
fn a_footer_that_is_damaged_costs_no_finding() {
    let (state, position, findings) = three_segments();
    let whole = Archive::open(state.path(), position).expect("opens");
    let path = file(&state, 0);
    let mut bytes = fs::read(&path).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&path, bytes).expect("written");
    let archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read_damaged(&archive), (findings, 1));
    let known = |archive: &Archive| (archive.full[0].newest, archive.full[0].findings, archive.bytes());
    assert_eq!(known(&archive), known(&whole));
}

#[test]
fn a_segment_under_the_name_of_another_is_damaged() {
    let (state, position, findings) = three_segments();
    fs::copy(file(&state, 0), file(&state, 1)).expect("copied");
    let archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read_damaged(&archive), ([&findings[..2], &findings[4..]].concat(), 1));
}

#[test]
fn a_block_in_the_place_of_another_is_damaged() {
    let state = state();
    let mut archive = new(&state);
    let (one, other) = (noise(1, 0, 9), ArchivedFinding { head: finding(2, 0).head, ..noise(1, 0, 9) });
    archive.append(std::slice::from_ref(&one)).expect("written");
    let position = archive.append(&[other]).expect("written");
    let mut bytes = fs::read(file(&state, 0)).expect("there");
    let half = bytes.len() / 2;
    bytes.copy_within(..half, half);
    fs::write(file(&state, 0), bytes).expect("written");
    let archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read_damaged(&archive), (vec![one], 1));
}

#[test]
fn an_archive_that_is_too_short_is_damaged() {
    let (state, position, _) = three_segments();
    let path = file(&state, 2);
    let damaged = || {
        let error = Archive::open(state.path(), position).expect_err("too short").to_string();
        assert!(error.contains("0000000002.findings") && error.contains("move the directory `archive`"), "{error}");
    };
    let file = OpenOptions::new().write(true).open(&path).expect("there");
    file.set_len(position.bytes - 1).expect("cut");
    damaged();
    fs::remove_file(&path).expect("removed");
    damaged();
}

#[test]
fn an_archive_that_was_moved_away_begins_again() {
    let (state, mut position, _) = three_segments();
    fs::remove_dir_all(state.path().join(ARCHIVE)).expect("removed");
    let mut archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!((read(&archive), archive.bytes(), archive.segments()), (vec![], 0, 0));
    archive.append(&[finding(1, 0)]).expect("written");
    // The batch with the new position is lost.
    let mut archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!(read(&archive), []);
    position = archive.append(&[finding(2, 0)]).expect("written");
    assert_eq!(position.segment, 3);
    assert_eq!(read(&Archive::open(state.path(), position).expect("opens")), [finding(2, 0)]);
}

#[test]
fn foreign_files_are_left_alone() {
    let (state, position, findings) = three_segments();
    let dir = state.path().join(ARCHIVE);
    let names = ["note", "1.findings", "00000000009.findings", "+000000009.findings", "0000000009.findings.gz"];
    for name in names {
        fs::write(dir.join(name), "a").expect("written");
    }
    assert_eq!(read(&Archive::open(state.path(), position).expect("opens")), findings);
    assert!(names.iter().all(|name| dir.join(name).exists()));
}

#[test]
fn old_segments_are_deleted_and_the_last_stays() {
    let (state, position, findings) = three_segments();
    let mut archive = Archive::open(state.path(), position).expect("opens");
    let expire = |archive: &mut Archive, day| archive.expire(Second(day * DAY), u64::MAX).expect("deleted");
    assert_eq!(expire(&mut archive, 0), ExpiredFindings::default());
    let bytes = fs::metadata(file(&state, 0)).expect("there").len();
    let reader = archive.reader();
    assert_eq!(expire(&mut archive, 1), ExpiredFindings { findings: 2, bytes });
    assert_eq!(read(&archive), findings[2..]);
    let read_late = reader.findings(ArchiveOrder::OldestFirst, |_| true);
    assert_eq!(read_late.map(|one| one.expect("intact")).collect::<Vec<_>>(), findings[2..]);
    assert_eq!(expire(&mut archive, i64::MAX / DAY).findings, 2);
    assert_eq!(read(&archive), findings[4..]);
    let mut archive = Archive::open(state.path(), position).expect("opens");
    assert_eq!((read(&archive), archive.segments()), (findings[4..].to_vec(), 1));
    // All of the last one is old, so that a later finding begins another.
    archive.append(&[finding(9, 60)]).expect("written");
    assert_eq!(expire(&mut archive, 60).findings, 2);
    assert_eq!(read(&archive), [finding(9, 60)]);
}

#[test]
fn the_oldest_segments_are_deleted_until_the_rest_fits() {
    let (state, position, findings) = three_segments();
    let mut archive = Archive::open(state.path(), position).expect("opens");
    let bytes = archive.bytes();
    let expire = |archive: &mut Archive, bytes_max| archive.expire(Second(i64::MIN), bytes_max).expect("deleted");
    assert_eq!(expire(&mut archive, bytes), ExpiredFindings::default());
    assert_eq!(expire(&mut archive, bytes - 1).findings, 2);
    assert_eq!(read(&archive), findings[2..]);
    let bytes = archive.bytes();
    assert_eq!(expire(&mut archive, 0).bytes, bytes - archive.bytes());
    assert_eq!(read(&archive), findings[4..]);
    // What is old goes first, and then nothing is in excess.
    let (state, position, findings) = three_segments();
    let mut archive = Archive::open(state.path(), position).expect("opens");
    archive.expire(Second(DAY), archive.bytes() - 1).expect("deleted");
    assert_eq!(read(&archive), findings[2..]);
}
