//! A PostgreSQL server for tests: other people's program, in a temporary directory, with fsync on.
//!
//! Tests of several crates include this file by its path. It runs as a user without rights, because PostgreSQL refuses to run
//! as root. Its shell ends it when the process that started it ends, however that happens. Without PostgreSQL the tests that
//! need it say so on the terminal, and pass.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The user and group `nobody`, where this process is root.
const NOBODY: u32 = 65_534;
/// Starts the server in the background, says when it answers, and stops it when its input ends or has a word: `fast` closes
/// the connections, `immediate` is a crash.
const SHELL: &str = r#"
"$1/pg_ctl" -D "$2" -w -t 60 -l "$2/log" start >/dev/null </dev/null || { cat "$2/log" >&2; exit 1; }
echo started
read mode
"$1/pg_ctl" -D "$2" -w -t 60 -m "${mode:-immediate}" stop >/dev/null </dev/null
[ -n "$mode" ] || rm -rf "$2"
"#;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Holds the data and the socket.
    directory: PathBuf,
    programs: PathBuf,
    port: u16,
    shell: Option<Child>,
}

impl Postgres {
    /// Starts a server of the caller's own, which may be stopped and started again. Returns `None`, and says so aloud,
    /// where PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// Where it is installed and does not start; with its words.
    pub(crate) fn start() -> Option<Postgres> {
        let Some(programs) = programs() else {
            say_that_it_is_missing();
            return None;
        };
        let directory = tempfile::Builder::new().prefix("pg").tempdir().expect("a directory").keep();
        if is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let port = free_port();
        let mut postgres = Postgres { directory, programs, port, shell: None };
        let mut initdb = postgres.command("initdb");
        initdb.args(["--auth=trust", "--username=stakeout", "--encoding=UTF8", "--no-locale", "-D"]);
        let output = initdb.arg(&postgres.directory).output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        postgres.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
             fsync = on\nmax_connections = 200\nshared_buffers = 32MB\nlogging_collector = off\n",
            postgres.directory.display()
        ));
        postgres.start_again();
        Some(postgres)
    }

    /// Returns the server that the tests of this process share, or `None` as [`Postgres::start`] does.
    pub(crate) fn shared() -> Option<&'static Postgres> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Postgres::start).as_ref()
    }

    /// Returns a URL of the database over the socket of this machine. No password is asked for.
    pub(crate) fn url(&self) -> String {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        format!("postgresql://stakeout@{directory}:{}/postgres", self.port)
    }

    /// Returns the port on the loopback address.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of the data, with `pg_hba.conf`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns a name of a schema that no other test of this process uses.
    pub(crate) fn new_schema(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// Adds lines to `postgresql.conf`; the next start reads them.
    pub(crate) fn configure(&self, lines: &str) {
        let path = self.directory.join("postgresql.conf");
        let mut text = fs::read_to_string(&path).expect("initdb wrote it");
        text.push_str(lines);
        fs::write(&path, text).expect("it is ours");
    }

    /// Runs SQL with `psql`, and returns what it printed: values with `|` between.
    ///
    /// # Panics
    ///
    /// Where the server refuses it.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let mut psql = self.command("psql");
        let output = psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// Crashes the server: nothing is written any more, and connections break.
    pub(crate) fn crash(&mut self) {
        self.stop("immediate");
    }

    /// Stops the server as an administrator does: it ends the connections with a word.
    pub(crate) fn stop_fast(&mut self) {
        self.stop("fast");
    }

    /// Starts a server that was stopped, on the same data.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub(crate) fn start_again(&mut self) {
        let mut shell = self.command_of(Path::new("sh"));
        shell.args(["-c", SHELL, "postgres"]).arg(&self.programs).arg(&self.directory);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut started = [0; 8];
        let answer = shell.stdout.as_mut().expect("it is piped").read_exact(&mut started);
        assert!(answer.is_ok(), "PostgreSQL does not start: {:?}", shell.wait());
        self.shell = Some(shell);
    }

    fn stop(&mut self, mode: &str) {
        if let Some(mut shell) = self.shell.take() {
            writeln!(shell.stdin.take().expect("it is piped"), "{mode}").expect("the shell waits for it");
            assert!(shell.wait().expect("the shell ends").success(), "PostgreSQL does not stop");
        }
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    /// Returns a command as the user of the server.
    fn command_of(&self, program: &Path) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            command.args([&user, &group, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.directory).env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input tells the shell to stop the server and to remove its directory.
        match self.shell.take() {
            Some(mut shell) => {
                drop(shell.stdin.take());
                let _ = shell.wait();
            }
            None => {
                let _ = fs::remove_dir_all(&self.directory);
            }
        }
    }
}

/// Returns the directory with PostgreSQL's programs: Debian has it outside of the `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    found.into_iter().rev().find(|directory| ["initdb", "pg_ctl", "psql"].iter().all(|it| directory.join(it).exists()))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// Writes to the terminal itself: the test runner shows nothing of tests that pass.
fn say_that_it_is_missing() {
    let line = "PostgreSQL is not installed: its tests are skipped (Debian: postgresql)\n";
    if let Ok(mut terminal) = fs::OpenOptions::new().write(true).open("/dev/stderr") {
        let _ = terminal.write_all(line.as_bytes());
    }
}
