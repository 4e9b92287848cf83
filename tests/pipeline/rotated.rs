//! Rotated files of an audit log: damaged, cut, and in other directories. A file that cannot be read loses its own lines only,
//! aloud, until it can be read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::Value;

use super::audit::{DAY, HOUR, Line, MINUTE, refused, utc};
use super::ocsf::WATCH;
use super::world::World;

const TICK: i64 = DAY + HOUR;
const SCAN: &str = "kubernetes-api-multiple-403-from-public-ip";

fn text(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.text.as_bytes(), b"\n"].concat()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut compressed).expect("memory reads");
    compressed
}

/// Returns twelve refused requests of a source in the first window.
fn scan(source: &str) -> Vec<Line> {
    refused(source, DAY + 20 * MINUTE, 12, 10)
}

fn write(world: &World, name: &str, bytes: &[u8]) {
    fs::write(world.path(name), bytes).expect("written");
}

/// Sets the time at which a file was last written.
fn set_written(path: &Path, at: i64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.unsigned_abs());
    File::options().append(true).open(path).and_then(|file| file.set_modified(at)).expect("the time is set");
}

/// Returns the sources of which all twelve requests were found.
fn found(world: &World) -> Vec<String> {
    let reported = world.reported().into_iter().map(|reported| reported.episode);
    let mut sources: Vec<String> =
        reported.filter(|it| it.rule == SCAN && it.count == 12).map(|episode| episode.source).collect();
    sources.sort();
    sources.dedup();
    sources
}

/// Returns title and reason of each notice.
fn notices(world: &World) -> Vec<(String, String)> {
    let reported = world.reported().into_iter().zip(world.sns.messages());
    let notices = reported.filter(|(reported, _)| reported.episode.rule == WATCH).map(|(reported, message)| {
        let message: Value = serde_json::from_str(&message.message).expect("JSON");
        (reported.title, message["unmapped"]["reason"].as_str().unwrap_or_default().to_owned())
    });
    notices.collect()
}

/// Returns the reasons of the gaps that the state has.
fn gaps(world: &World) -> Vec<String> {
    let log = &world.state()["logs"][0];
    let gaps = log["gaps"].as_array().expect("gaps").iter();
    gaps.map(|gap| gap["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[test]
fn a_damaged_file_loses_its_own_lines_only_until_it_is_whole() {
    let world = World::of_file(&scan("8.8.8.8"));
    let (lost, whole) = (scan("8.8.4.4"), gzip(&text(&scan("1.1.1.1"))));
    let compressed = gzip(&text(&lost));
    write(&world, "lines.log.1.gz", &compressed[..compressed.len() / 2]);
    write(&world, "lines.log.2.xz", b"\xfd7zXZ\0 and nothing else");
    write(&world, "lines.log.3", &text(&lost)[..200]);
    write(&world, "lines.log.4.gz", &whole);
    // The compression of the last one is not finished.
    write(&world, "lines.log.5", &text(&scan("9.9.9.9")));
    write(&world, "lines.log.5.gz", &whole[..30]);

    let ran = world.once_done(TICK);
    assert_eq!(found(&world), ["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
    let [(title, reason)] = &notices(&world)[..] else { panic!("one notice: {:?}", notices(&world)) };
    assert_eq!(title, "Audit log read in part");
    assert_eq!(&gaps(&world), std::slice::from_ref(reason));
    for name in ["lines.log.1.gz: ", "lines.log.2.xz: ", "lines.log.3: it is cut off in its last line"] {
        assert!(reason.contains(name) && ran.stderr.contains(name), "{name} in {reason} and {}", ran.stderr);
    }
    assert!(!reason.contains("lines.log.4") && !reason.contains("lines.log.5"), "{reason}");

    // They may hold lines of the next hour, too. Nobody hears of them a second time.
    world.once_done(TICK + HOUR);
    assert_eq!((gaps(&world).len(), notices(&world).len()), (2, 1));

    write(&world, "lines.log.1.gz", &compressed);
    fs::remove_file(world.path("lines.log.2.xz")).expect("removed");
    fs::remove_file(world.path("lines.log.3")).expect("removed");
    world.once_done(TICK + 25 * HOUR);
    assert_eq!(found(&world), ["1.1.1.1", "8.8.4.4", "8.8.8.8", "9.9.9.9"]);
    let titles: Vec<String> = notices(&world).into_iter().map(|(title, _)| title).collect();
    let expected = ["Audit log read in part", "No audit records", "Audit log gap closed", "Audit log gap closed"];
    assert_eq!((gaps(&world).len(), titles), (0, expected.map(str::to_owned).to_vec()));
}

#[test]
fn a_damaged_file_of_another_time_is_no_loss() {
    let world = World::of_file(&scan("8.8.8.8"));
    let damaged = b"\x1f\x8b\x08 damaged";
    write(&world, "lines.log.7.gz", damaged);
    set_written(&world.path("lines.log.7.gz"), DAY - HOUR);
    // Its name says that it was written before the window, though it was copied later.
    write(&world, "lines-2025-03-03T23-00-00.000.log.gz", damaged);
    // It begins when the one before it was rotated, which is after the window.
    write(&world, "lines-2025-03-04T00-55-00.000.log", b"");
    write(&world, "lines-2025-03-04T00-58-00.000.log.gz", damaged);
    // What was read of it is after the window.
    let later = [scan("1.1.1.1"), refused("1.1.1.1", DAY + 55 * MINUTE, 900, 1)].concat();
    let later = gzip(&text(&later));
    write(&world, "lines.log.8.gz", &later[..later.len() - 20]);
    world.once_done(TICK);
    assert_eq!((gaps(&world).len(), notices(&world).len()), (0, 0), "{:?}", notices(&world));
    assert_eq!(found(&world), ["1.1.1.1", "8.8.8.8"]);
}

#[test]
fn a_current_file_that_cannot_be_read_fails_the_window() {
    let world = World::of_file(&[]);
    write(&world, "lines.log.1", &text(&scan("8.8.8.8")));
    let current = world.path("lines.log");
    fs::rename(&current, world.path("kept")).and_then(|()| fs::create_dir(&current)).expect("a directory");
    let ran = world.once(TICK);
    ran.assert_code(1);
    assert!(ran.stderr.contains("it is not a file"), "{}", ran.stderr);
    fs::remove_dir(&current).and_then(|()| fs::rename(world.path("kept"), &current)).expect("a file");
    world.once_done(TICK);
    assert_eq!((found(&world), gaps(&world).len()), (vec!["8.8.8.8".to_owned()], 0));
}

/// The key `rotated` names files in other directories. Each is read once, also where links and other patterns lead to it.
#[test]
fn a_glob_adds_rotated_files_of_other_directories() {
    let world = World::of_file(&scan("8.8.8.8"));
    write(&world, "lines.log.1", &text(&scan("1.1.1.1")));
    for folder in ["old [1]", "old [1]/a", "old [1]/b"] {
        fs::create_dir(world.path(folder)).expect("a directory");
    }
    write(&world, "old [1]/a/any.gz", &gzip(&text(&scan("8.8.4.4"))));
    write(&world, "old [1]/b/any.zst", b"\x28\xb5\x2f\xfd");
    for (target, link) in
        [("lines.log", "a/current.gz"), ("lines.log.1", "b/first.gz"), ("old [1]/a/any.gz", "b/again.gz")]
    {
        symlink(world.path(target), world.path("old [1]").join(link)).expect("linked");
    }
    world.reconfigure("lines.log\"}", "lines.log\", rotated: \"old [[]1]/*/*.gz\"}");
    let ran = world.once_done(TICK);
    assert_eq!(found(&world), ["1.1.1.1", "8.8.4.4", "8.8.8.8"]);
    assert!(ran.stderr.contains("pages=3 ") && gaps(&world).is_empty(), "{}", ran.stderr);

    world.reconfigure("/*.gz", "/*.bz2");
    let checks = doctor(&world);
    assert!(has(&checks, "rotated files", "doubtful", "`rotated` matches no file"), "{checks:#?}");
}

/// Runs `doctor` on the only source.
fn doctor(world: &World) -> Vec<[String; 4]> {
    world.doctor(TICK + 5 * MINUTE).1.concat()
}

/// Returns whether a check has this status, and these words in its finding or fix.
fn has(checks: &[[String; 4]], subject: &str, status: &str, words: &str) -> bool {
    checks.iter().any(|[its, how, finding, fix]| {
        its == subject && how == status && (finding.contains(words) || fix.contains(words))
    })
}

#[test]
fn doctor_names_the_files_that_it_follows_ignores_and_cannot_read() {
    let world = World::of_file(&scan("8.8.8.8"));
    let compressed = gzip(&text(&scan("1.1.1.1")));
    (1..=12).for_each(|n| write(&world, &format!("lines.log.{n}.gz"), &compressed));
    write(&world, "lines.log.13.gz", &compressed[..40]);
    write(&world, "lines.log.old", b"");
    fs::create_dir(world.path("archive")).expect("a directory");
    write(&world, "archive/lines.log.20", b"");
    let checks = doctor(&world);
    let archive = format!("`rotated: {}/*`", world.path("archive").display());
    for (subject, status, words) in [
        ("permission", "good", "can read"),
        ("rotated files", "good", "followed: "),
        ("rotated files", "good", " and 4 more"),
        ("rotated files", "good", "stakeout.yaml (its name)"),
        ("rotated files", "doubtful", "archive (a directory with rotated files), lines.log.old (its name)"),
        ("rotated files", "bad", "lines.log.13.gz: "),
        ("scans", "good", "12 of the first 12 lines"),
    ] {
        assert!(has(&checks, subject, status, words), "{subject} {status} {words}: {checks:#?}");
    }
    assert!(
        checks.iter().any(|check| check[3].contains(&archive) || check[3].contains("lines.log.old`")),
        "{checks:#?}"
    );
    assert!(!checks.concat().concat().contains("lines.log.12.gz: "), "{checks:#?}");

    // The first line says nothing about the others.
    let cut = [&text(&scan("8.8.8.8"))[100..], b"I1122 01:01:20.123456       1 httplog.go:132] \"HTTP\"\n"].concat();
    write(&world, "lines.log", &cut);
    assert!(has(&doctor(&world), "scans", "good", "11 of the first 13 lines"), "{:#?}", doctor(&world));
    write(&world, "lines.log", b"I1122 01:01:20.123456       1 httplog.go:132] \"HTTP\"\n");
    assert!(has(&doctor(&world), "scans", "bad", "line 1 is a klog line"), "{:#?}", doctor(&world));
}

#[test]
fn a_missing_file_is_no_matter_of_rights() {
    let world = World::of_file(&[]);
    fs::rename(world.path("lines.log"), world.path("lines-audit.log")).expect("renamed");
    for (path, words) in [
        ("lines.log", "similar names there: lines-audit.log"),
        ("nowhere/lines.log", "has no such directory"),
        ("link.log", "is a link to /nowhere, which is not there"),
        ("folder.log", "is a directory"),
    ] {
        if path == "link.log" {
            symlink("/nowhere", world.path(path)).expect("linked");
            fs::create_dir(world.path("folder.log")).expect("a directory");
        }
        let before = fs::read_to_string(world.path("stakeout.yaml")).expect("a config");
        world.reconfigure("lines.log\"}", &format!("{path}\"}}"));
        let checks = doctor(&world);
        assert!(has(&checks, "log", "bad", words), "{checks:#?}");
        assert!(checks.iter().all(|[subject, ..]| subject != "permission"), "{checks:#?}");
        fs::write(world.path("stakeout.yaml"), before).expect("written");
    }
}

/// The commands that `doctor` prints work for the user that runs it, and still do after a rotation by the API server, which
/// gives the new file the mode and the owner of the one before it.
#[test]
fn the_commands_for_rights_work_and_outlast_a_rotation() {
    const USER: u32 = 54_321;
    let world = World::of_file(&[]);
    fs::create_dir(world.path("logs")).expect("a directory");
    let (folder, log) = (world.path("logs"), world.path("logs/audit.log"));
    write(&world, "logs/audit.log", &text(&scan("8.8.8.8")));
    write(&world, "logs/audit.log.1", &text(&scan("1.1.1.1")));
    world.reconfigure("lines.log\"}", "logs/audit.log\"}");
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    let is_root = fs::metadata("/proc/self").expect("a process").uid() == 0;
    // Root may read everything, so it becomes somebody else, for whom the binary must be in a directory of the test.
    let binary = world.path("stakeout");
    if is_root {
        fs::copy(env!("CARGO_BIN_EXE_stakeout"), &binary).expect("copied");
        set_mode(&world.path(""), 0o755);
    }
    let doctor = || {
        let mut command = world.command(&["doctor", "-o", "json", "--at", &utc(TICK)]);
        if is_root {
            let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = Command::new(&binary);
            command.args(arguments).env_clear().uid(USER).gid(USER);
        }
        World::doctor_with(&mut command).1.concat()
    };
    for path in [&log, &world.path("logs/audit.log.1")] {
        set_mode(path, if is_root { 0o600 } else { 0 });
    }
    set_mode(&folder, if is_root { 0o700 } else { 0 });
    let checks = doctor();
    let [subject, status, finding, fix] = &checks[0];
    assert_eq!((checks.len(), subject.as_str(), status.as_str()), (1, "permission", "bad"), "{checks:#?}");
    assert!(finding.contains(log.to_str().expect("plain")), "{finding}");
    let commands = fix.strip_prefix("run as root: ").and_then(|fix| fix.split_once(". The API server"));
    let (commands, _) = commands.expect("commands");
    if !is_root {
        set_mode(&folder, 0o700);
        return assert!(commands.contains(&format!("chmod g+r {}", log.display())), "{fix}");
    }
    let run = |commands: &str| Command::new("sh").args(["-e", "-c", commands]).status().is_ok_and(|it| it.success());
    assert!(run(commands), "{commands}");
    // The rotated file has rights of its own, and so a command of its own.
    let checks = doctor();
    assert!(has(&checks, "permission", "good", "can read"), "{checks:#?}");
    let of_rotated =
        checks.iter().find(|check| check[0] == "permission" && check[1] == "bad").expect("not yet readable");
    assert!(of_rotated[2].contains("audit.log.1"), "{of_rotated:?}");
    let (commands, _) = of_rotated[3]
        .strip_prefix("run as root: ")
        .and_then(|fix| fix.split_once(". The API server"))
        .expect("commands");
    assert!(run(commands), "{commands}");

    let found = fs::metadata(&log).expect("there");
    fs::rename(&log, world.path("logs/audit-2025-03-04T00-30-00.000.log")).expect("rotated");
    write(&world, "logs/audit.log", &text(&scan("9.9.9.9")));
    set_mode(&log, found.mode());
    chown(&log, Some(found.uid()), Some(found.gid())).expect("changed");
    let checks = doctor();
    assert!(checks.iter().all(|check| check[1] == "good" || check[0] == "newest event"), "{checks:#?}");
    assert!(has(&checks, "rotated files", "good", "audit-2025-03-04T00-30-00.000.log"), "{checks:#?}");
}
