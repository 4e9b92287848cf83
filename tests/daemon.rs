//! `stakeout run` as a process: its admin page, signals, reload, and its word to systemd.

mod browser;
mod dashboard;
mod findings;
mod heartbeat;
mod pages;
mod scene;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the daemon may take to end after a signal.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How long the admin page may take beside idle connections: less than their own time limit.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// Idle connections that a test holds: more than the daemon may have open files.
const CONNECTIONS_HELD: usize = 600;
const FILES_MAX: usize = 256;

const AUDIT_LINE: &str =
    r#"{"kind":"Event","stage":"ResponseComplete","verb":"get","stageTimestamp":"2020-01-01T00:00:00Z"}"#;

/// A folder with a config, a log and a state, and the daemon that uses them.
struct Daemon {
    folder: TempDir,
    admin: SocketAddr,
    systemd: mpsc::Receiver<String>,
    child: Option<Child>,
}

impl Daemon {
    fn start() -> Daemon {
        Daemon::start_as(Command::new(env!("CARGO_BIN_EXE_stakeout")))
    }

    /// Starts the daemon with at most `files_max` open files, connections included.
    fn start_with_files(files_max: usize) -> Daemon {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files_max} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_stakeout")]);
        Daemon::start_as(command)
    }

    fn start_as(command: Command) -> Daemon {
        Daemon::start_with(command, &format!("{AUDIT_LINE}\n"))
    }

    /// Starts the daemon on an audit log.
    fn start_with(command: Command, log: &str) -> Daemon {
        Daemon::start_listening(command, log, "127.0.0.1:0", "[]")
    }

    /// Starts the daemon with an admin page at a free port of an address, for `hosts` too.
    fn start_listening(mut command: Command, log: &str, listen: &str, hosts: &str) -> Daemon {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("audit.log"), log).expect("written");
        let admin = TcpListener::bind(listen).and_then(|free| free.local_addr()).expect("a free port");
        configure_page(folder.path(), &format!("{{listen: \"{admin}\", hosts: {hosts}}}"), "");
        let socket = folder.path().join("notify");
        let systemd = read_messages(UnixDatagram::bind(&socket).expect("a socket"));
        let child = command
            .args(["run", "-c", "stakeout.yaml"])
            .current_dir(folder.path())
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "200000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("stakeout starts");
        Daemon { folder, admin, systemd, child: Some(child) }
    }

    /// Waits until systemd received a message that begins with `word`.
    #[expect(clippy::disallowed_methods, reason = "the deadline bounds the test itself")]
    fn wait_for(&self, word: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(reported) = self.systemd.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(line) = reported.lines().find(|line| line.starts_with(word)) {
                return line.to_owned();
            }
        }
        panic!("systemd never received {word}");
    }

    /// Asks the admin page, and returns the status line and the body.
    fn ask(&self, method: &str, path: &str) -> (String, String) {
        self.ask_host(&self.admin.to_string(), method, path)
    }

    fn ask_host(&self, host: &str, method: &str, path: &str) -> (String, String) {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.admin).expect("the admin page listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream
    }

    fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it runs"), name);
    }

    fn metric(&self, line: &str) -> bool {
        self.ask("GET", "/metrics").1.lines().any(|found| found.starts_with(line))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it was killed");
        }
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
}

/// Returns how a daemon ended that was asked to, or panics when it takes too long.
fn ended(mut child: Child) -> ExitStatus {
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    let status = ended.recv_timeout(STOP_WITHIN).expect("the daemon does not end");
    status.expect("the child is ours")
}

/// Reads the messages as systemd does: at once. A daemon that cannot send one would wait.
fn read_messages(socket: UnixDatagram) -> mpsc::Receiver<String> {
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let (sender, messages) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                break;
            }
        }
    });
    messages
}

/// Tells whether the daemon closes a connection, or has closed it.
fn is_closed(connection: &mut TcpStream) -> bool {
    match connection.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn configure(folder: &Path, admin: SocketAddr, more: &str) {
    configure_page(folder, &format!("{{listen: \"{admin}\"}}"), more);
}

fn configure_page(folder: &Path, admin: &str, more: &str) {
    let minute = last_tick() % 3_600 / 60;
    let text = format!(
        "state: {{path: state}}\nschedule: {{cron: \"{minute} * * * *\"}}\nadmin: {admin}\nsources:\n  - {{name: onprem, file: {{path: audit.log}}}}\n\
         notify:\n  - {{name: out, stdout: {{}}}}\n{more}"
    );
    std::fs::write(folder.join("stakeout.yaml"), text).expect("written");
}

/// Returns when the daemon of a test was last due: about half an hour ago, so that the next tick comes when the test is over.
#[expect(clippy::disallowed_methods, reason = "the daemon goes by the clock")]
fn last_tick() -> i64 {
    let ten_minutes = 600;
    (jiff::Timestamp::now().as_second() - 25 * 60).div_euclid(ten_minutes) * ten_minutes
}

fn utc(at: i64) -> String {
    jiff::Timestamp::from_second(at).expect("a time").to_string()
}

#[test]
fn it_is_ready_after_its_first_tick_and_shows_what_it_does() {
    let daemon = Daemon::start();
    daemon.wait_for("READY=1");
    assert!(daemon.wait_for("STATUS=tick ").contains("0 logs and 0 messages pending"));
    daemon.wait_for("WATCHDOG=1");
    assert_eq!(daemon.ask("GET", "/healthz").0, "HTTP/1.1 200 OK");
    assert_eq!(daemon.ask("GET", "/readyz"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    assert!(daemon.ask("POST", "/state").0.contains("405"));
    assert!(daemon.metric("stakeout_windows_total{source=\"onprem\"}"));
    assert!(daemon.metric("stakeout_cursor_timestamp_seconds{source=\"onprem\"}"));
    assert!(daemon.metric("stakeout_state_blobs 0"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the deadline bounds the test itself")]
fn idle_connections_to_the_admin_page_do_not_silence_it() {
    let daemon = Daemon::start_with_files(FILES_MAX);
    daemon.wait_for("STATUS=tick ");
    let held: Vec<TcpStream> = (0..CONNECTIONS_HELD).map(|_| daemon.connect()).collect();
    let asked = Instant::now();
    assert_eq!(daemon.ask("GET", "/healthz").0, "HTTP/1.1 200 OK");
    assert!(asked.elapsed() < ANSWERED_WITHIN, "it answers only when idle connections have ended");
    assert!(daemon.metric("stakeout_admin_connections_closed_total "));
    // A reload opens the config, the rules and the log.
    daemon.signal("HUP");
    daemon.wait_for("RELOADING=1");
    daemon.wait_for("READY=1");
    assert!(daemon.metric("stakeout_reloads_total{outcome=\"done\"} 1"));
    // The daemon closes even the last of them, which never sends a request, within its time limit.
    for mut connection in held {
        assert!(is_closed(&mut connection), "an idle connection stays open");
    }
}

#[test]
fn a_request_that_never_ends_is_cut_off() {
    let daemon = Daemon::start();
    daemon.wait_for("READY=1");
    let mut slow = daemon.connect();
    write!(slow, "GET /state HTTP/1.1\r\nHost: {}\r\nX-Slow: ", daemon.admin).expect("sent");
    assert!(is_closed(&mut slow), "a request that does not end keeps its connection");
}

#[test]
fn the_admin_page_refuses_the_host_name_of_a_stranger() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    for path in ["/state", "/metrics", "/healthz", "/readyz"] {
        let (status, body) = daemon.ask_host("attacker.example:9403", "GET", path);
        assert_eq!(status, "HTTP/1.1 421 Misdirected Request", "{path}");
        assert!(body.contains("attacker.example") && body.lines().count() == 1, "{body}");
        for host in ["localhost", "localhost:9403", "127.0.0.1", "[::1]:9403"] {
            assert_eq!(daemon.ask_host(host, "GET", path).0, "HTTP/1.1 200 OK", "{host} {path}");
        }
    }
}

/// A browser in the network of the cluster reaches the page too.
#[test]
fn a_page_that_other_machines_reach_refuses_strangers_as_well() {
    let command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    let log = format!("{AUDIT_LINE}\n");
    let daemon = Daemon::start_listening(command, &log, "0.0.0.0:0", "[Stakeout.Example]");
    daemon.wait_for("STATUS=tick ");
    for path in ["/state", "/findings", "/metrics", "/healthz", "/readyz"] {
        let status_for = |host: &str| daemon.ask_host(host, "GET", path).0;
        for stranger in ["attacker.example:9403", "stakeout.example.attacker.test"] {
            assert_eq!(status_for(stranger), "HTTP/1.1 421 Misdirected Request", "{stranger} {path}");
        }
        for host in ["10.244.1.7:9403", "stakeout.example:9403", "localhost"] {
            assert_eq!(status_for(host), "HTTP/1.1 200 OK", "{host} {path}");
        }
    }
    for (path, status) in [("/metrics", "200 OK"), ("/readyz", "200 OK"), ("/state", "421 Misdirected Request")] {
        let of_service = daemon.ask_host("stakeout.monitoring.svc:9403", "GET", path).0;
        assert_eq!(of_service, format!("HTTP/1.1 {status}"), "{path}");
    }
}

#[test]
fn a_state_that_is_held_is_shown_by_the_daemon_that_holds_it() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    let stakeout = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.args(arguments).current_dir(daemon.folder.path()).output().expect("stakeout starts")
    };
    let shown = stakeout(&["state", "show", "-c", "stakeout.yaml"]);
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("audit.log: read until "));
    assert_eq!(stakeout(&["once", "-c", "stakeout.yaml"]).status.code(), Some(75));
}

#[test]
fn a_reload_keeps_the_last_good_config() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    configure(daemon.folder.path(), daemon.admin, "trusted_proxys: []\n");
    daemon.signal("HUP");
    daemon.wait_for("RELOADING=1");
    daemon.wait_for("READY=1");
    assert!(daemon.metric("stakeout_reloads_total{outcome=\"refused\"} 1"));
    assert_eq!(daemon.ask("GET", "/readyz").0, "HTTP/1.1 200 OK");
    configure(daemon.folder.path(), daemon.admin, "trusted_proxies: [10.0.0.50]\n");
    daemon.signal("HUP");
    daemon.wait_for("RELOADING=1");
    daemon.wait_for("READY=1");
    assert!(daemon.metric("stakeout_reloads_total{outcome=\"done\"} 1"));
}

/// A restart makes no room, so the service manager must not restart the daemon for that.
#[test]
fn a_full_disk_does_not_stop_the_messages_to_the_watchdog() {
    let mut command = Command::new("sh");
    // With a limit on the size of files and without its signal, a write fails as on a full disk. A block has 512 bytes.
    let script = "trap '' XFSZ && ulimit -f 600 && exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_stakeout")]);
    let log: String = (1..=250).map(|host| findings::recent_scan(&format!("203.0.113.{host}"))).collect();
    let daemon = Daemon::start_with(command, &log);
    daemon.wait_for("READY=1");
    while daemon.ask("GET", "/healthz").0 == "HTTP/1.1 200 OK" {
        daemon.wait_for("WATCHDOG=1");
    }
    assert!(daemon.ask("GET", "/healthz").1.contains("the disk of the state is full"));
    daemon.systemd.try_iter().for_each(drop);
    for _ in 0..3 {
        daemon.wait_for("WATCHDOG=1");
    }
}

/// `systemctl reload` may come at any time after the process is there.
#[test]
fn a_reload_during_the_start_does_not_end_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("audit.log"), format!("{AUDIT_LINE}\n")).expect("written");
    configure_page(folder.path(), "{listen: \"off\"}", "");
    let config = folder.path().join("stakeout.yaml");
    let text = std::fs::read(&config).expect("written before");
    let slow = folder.path().join("slow.yaml");
    assert!(Command::new("mkfifo").arg(&slow).status().expect("mkfifo runs").success());
    let systemd = read_messages(UnixDatagram::bind(folder.path().join("notify")).expect("a socket"));
    let child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["run", "-c", "slow.yaml"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("stakeout starts");
    // This waits until the daemon opens its config, whose text it gets only after the signal.
    let mut pipe = std::fs::File::options().write(true).open(&slow).expect("the daemon reads");
    std::fs::rename(&config, &slow).expect("renamed");
    signal(&child, "HUP");
    pipe.write_all(&text).expect("the daemon reads");
    drop(pipe);
    let mut daemon = Daemon { folder, admin: SocketAddr::from(([127, 0, 0, 1], 0)), systemd, child: Some(child) };
    for word in ["READY=1", "RELOADING=1", "READY=1"] {
        daemon.wait_for(word);
    }
    daemon.signal("TERM");
    assert_eq!(ended(daemon.child.take().expect("it runs")).code(), Some(0));
}

#[test]
fn a_signal_ends_it_cleanly_and_frees_the_state() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        daemon.wait_for("STATUS=tick ");
        daemon.signal(signal);
        assert_eq!(ended(daemon.child.take().expect("it runs")).code(), Some(0));
        daemon.wait_for("STOPPING=1");
        let mut again = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        let shown = again.args(["state", "show", "-c", "stakeout.yaml"]).current_dir(daemon.folder.path()).output();
        assert_eq!(shown.expect("stakeout starts").status.code(), Some(0));
    }
}

#[test]
fn a_signal_ends_it_while_a_provider_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = silent.local_addr().expect("an address");
    let text = format!(
        "state: {{path: state}}\nadmin: {{listen: \"off\"}}\nsources:\n  - {{name: dev, cloudwatch: {{region: eu-west-1, \
         log_group: /aws/eks/dev/cluster, endpoint: \"http://{endpoint}\"}}}}\nnotify:\n  - {{name: out, stdout: {{}}}}\n"
    );
    std::fs::write(folder.path().join("stakeout.yaml"), text).expect("written");
    let child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["run", "-c", "stakeout.yaml"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("stakeout starts");
    let _asked = silent.accept().expect("the provider is asked");
    signal(&child, "TERM");
    assert_eq!(ended(child).code(), Some(0));
}
