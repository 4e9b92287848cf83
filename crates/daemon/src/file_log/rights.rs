//! The commands that let a user read a log, now and after its next rotation.
//!
//! At each rotation the API server creates the file with the mode, the owner and the group of the one before it. So a group
//! stays, and an access control list of the file does not.
//! <https://github.com/natefinch/lumberjack/blob/v2.2.1/lumberjack.go>

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::folder_of;

/// The group that is made for a user without a group of its own.
const GROUP: &str = "audit-readers";
/// The users that systemd makes for the time of a service.
/// <https://github.com/systemd/systemd/blob/main/docs/UIDS-GIDS.md>
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// The user that runs this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
    /// Its name, and that of its group, where the system's files have them.
    name: Option<String>,
    group: Option<String>,
}

/// The group of files whose own group is not in the user namespace of this process.
const UNMAPPED: u32 = 65_534;

/// What is missing: a right of the group of a file or directory.
#[derive(Debug)]
struct Missing {
    path: PathBuf,
    right: &'static str,
    /// `None` where the user may not see it.
    found: Option<Metadata>,
}

impl User {
    /// Returns the user of this process.
    pub(super) fn of_process() -> io::Result<User> {
        let process = fs::metadata("/proc/self")?;
        let (uid, gid) = (process.uid(), process.gid());
        Ok(User { uid, gid, name: name_in("/etc/passwd", uid), group: name_in("/etc/group", gid) })
    }

    /// Returns its name, or its number where it has none.
    pub(super) fn shown(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("the user with number {}", self.uid))
    }

    /// Returns the commands of root that let this user read the current file of a log at `path`, and the files `rotated`.
    pub(super) fn advice(&self, path: &Path, rotated: &[PathBuf]) -> String {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let missing = missing(&path, rotated);
        let group = self.group_for(&missing);
        let mut commands = group.commands;
        for Missing { path, right, found } in &missing {
            let shown = quoted(path);
            if found.as_ref().is_none_or(|found| group_name(found.gid()) != group.name) {
                commands.push(format!("chgrp {} {shown}", group.name));
            }
            commands.push(format!("chmod g+{right} {shown}"));
        }
        format!(
            "run as root: {}{}. The API server gives each new file the group and mode of the one before it",
            commands.join(" && "),
            group.then
        )
    }

    /// Returns the group that gets the rights.
    fn group_for(&self, missing: &[Missing]) -> Grant {
        let is_of_root = |missing: &Missing| missing.found.as_ref().is_none_or(|found| found.gid() == 0);
        let other = missing.iter().find(|missing| !is_of_root(missing)).and_then(|missing| missing.found.as_ref());
        // The members of another group must keep their rights.
        let shared = other
            .filter(|found| ![self.gid, UNMAPPED].contains(&found.gid()))
            .and_then(|found| name_in("/etc/group", found.gid()));
        if DYNAMIC_USERS.contains(&self.uid) {
            let then =
                |name: &str| format!(", and add `SupplementaryGroups={name}` to the unit (`systemctl edit stakeout`)");
            return match shared {
                Some(name) => Grant { then: then(&name), name, commands: Vec::new() },
                None => Grant {
                    then: then(GROUP),
                    name: GROUP.to_owned(),
                    commands: vec![format!("groupadd -f --system {GROUP}")],
                },
            };
        }
        match (&self.name, &self.group, shared) {
            (Some(user), _, Some(name)) => Grant {
                commands: vec![format!("usermod -aG {name} {user}")],
                then: ", then start it again".to_owned(),
                name,
            },
            // A group that has the name of the user has no other members.
            (Some(user), Some(group), None) if user != group => Grant {
                name: GROUP.to_owned(),
                commands: vec![format!("groupadd -f --system {GROUP}"), format!("usermod -aG {GROUP} {user}")],
                then: ", then start it again".to_owned(),
            },
            _ => Grant { name: group_name(self.gid), commands: Vec::new(), then: String::new() },
        }
    }
}

/// A group that gets rights.
struct Grant {
    name: String,
    /// What makes the user a member.
    commands: Vec<String>,
    /// What is to be done after the commands.
    then: String,
}

/// Returns what the group lacks: to enter directories, to list the last one, and to read the files.
fn missing(path: &Path, rotated: &[PathBuf]) -> Vec<Missing> {
    let mut missing = Vec::new();
    let folder = folder_of(path);
    let mut is_closed = false;
    let mut folders: Vec<&Path> = folder.ancestors().collect();
    folders.reverse();
    for (at, ancestor) in folders.iter().enumerate() {
        let next = folders.get(at + 1).copied().unwrap_or(path);
        let is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        is_closed |= fs::symlink_metadata(next).is_err_and(is_denied);
        let is_unlisted = *ancestor == folder && fs::read_dir(ancestor).is_err_and(is_denied);
        if is_closed || is_unlisted {
            let right = if *ancestor == folder { "rx" } else { "x" };
            missing.push(Missing { path: (*ancestor).to_owned(), right, found: fs::metadata(ancestor).ok() });
        }
    }
    let files = std::iter::once(path).chain(rotated.iter().map(PathBuf::as_path));
    let is_unreadable = |path: &&Path| File::open(path).is_err();
    missing.extend(files.filter(is_unreadable).map(|path| Missing {
        path: path.to_owned(),
        right: "r",
        found: fs::metadata(path).ok(),
    }));
    missing
}

/// Returns the name with this number in a table of users or groups.
fn name_in(table: &str, number: u32) -> Option<String> {
    let text = fs::read_to_string(table).ok()?;
    let number = number.to_string();
    let mut rows = text.lines().map(|row| row.split(':').collect::<Vec<_>>());
    rows.find(|row| row.get(2) == Some(&number.as_str())).map(|row| row[0].to_owned())
}

/// Returns the name of a group, or its number where it has none.
fn group_name(gid: u32) -> String {
    name_in("/etc/group", gid).unwrap_or_else(|| gid.to_string())
}

/// Returns a path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
