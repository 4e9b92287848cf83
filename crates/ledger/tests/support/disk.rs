//! A disk whose power can be cut: an ext4 file system in an image.
//!
//! What a process wrote and did not sync is in the kernel's memory and not in the image. A copy of the image, mounted as
//! another disk, is what a machine finds that lost its power at that moment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Bytes of a disk; the image is sparse.
const DISK_BYTES: &str = "96M";

/// A mounted disk.
pub(crate) struct Disk {
    files: TempDir,
}

impl Disk {
    /// Returns a new disk, or `None`, said aloud, where this user cannot mount one. A continuous integration that runs as
    /// root must be able to.
    pub(crate) fn new() -> Option<Disk> {
        let disk = Disk::unmounted();
        let made = run("truncate", &["-s", DISK_BYTES, &disk.image()]).and_then(|()| {
            run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", &disk.image()])
        });
        match made.and_then(|()| disk.mount()) {
            Ok(()) => Some(disk),
            Err(refused) => {
                eprintln!("skipped: this machine lets nobody mount a disk image: {refused}");
                None
            }
        }
    }

    /// Returns where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.files.path().join("mounted")
    }

    /// Returns the disk as a machine finds it that lost its power now.
    pub(crate) fn cut(self) -> Disk {
        let after = Disk::unmounted();
        run("cp", &["--sparse=always", &self.image(), &after.image()]).expect("copied");
        after.mount().expect("a journal brings the file system into order");
        after
    }

    fn unmounted() -> Disk {
        let disk = Disk { files: tempfile::tempdir().expect("a temporary directory") };
        std::fs::create_dir(disk.path()).expect("made");
        disk
    }

    fn mount(&self) -> Result<(), String> {
        // Without `commit`, the kernel writes by itself every five seconds.
        run("mount", &["-o", "loop,commit=300", &self.image(), &text(&self.path())])
    }

    fn image(&self) -> String {
        text(&self.files.path().join("image"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", &text(&self.path())]);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of a test is text").to_owned()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(format!("{program}: {}", String::from_utf8_lossy(&stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
