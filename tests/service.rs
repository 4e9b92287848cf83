//! Verbs beside the service of the shipped unit: without its credentials, without its user, and while it reloads.

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A user that is not root; its state must stay its own.
const OTHER_USER: u32 = 65_532;

/// The config of docs/operations.md: a destination whose secret only the service has.
const CONFIG: &str = "state: {path: state}
admin: {listen: \"off\"}
sources: [{name: onprem, file: {path: audit.log}}]
notify: [{name: secops, slack: {webhook_url_file: \"${CREDENTIALS_DIRECTORY}/slack\"}}]
";

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a config and credentials.
struct Host(TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().expect("a folder"));
        fs::write(host.path("stakeout.yaml"), CONFIG).expect("written");
        fs::write(host.path("audit.log"), "").expect("written");
        fs::create_dir(host.path("credentials")).expect("made");
        fs::write(host.path("credentials/slack"), "https://hooks.slack.com/services/T0/B0/x\n").expect("written");
        fs::set_permissions(host.path("credentials/slack"), fs::Permissions::from_mode(0o400)).expect("a mode");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.env_clear().arg("--quiet").args(verb).args(["-c", "stakeout.yaml"]).current_dir(self.0.path());
        command
    }

    fn run(&self, verb: &[&str]) -> Output {
        self.command(verb).output().expect("stakeout starts")
    }

    /// Runs a verb as the service does.
    fn run_in_service(&self, verb: &[&str]) -> Output {
        self.command(verb).env("CREDENTIALS_DIRECTORY", "credentials").output().expect("stakeout starts")
    }
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

#[test]
fn verbs_that_send_nothing_need_no_credentials() {
    let host = Host::new();
    assert_code(&host.run_in_service(&["once"]), 0);
    for verb in [&["state", "show"][..], &["findings", "list"]] {
        let output = host.run(verb);
        assert_code(&output, 0);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("CREDENTIALS_DIRECTORY"), "{output:?}");
    }
    // What it finds of an empty log is not asked here, but it must get that far.
    let doctor = host.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("onprem (file, cluster onprem)"), "{doctor:?}");
    let check = host.run(&["check"]);
    assert_code(&check, 0);
    let printed = String::from_utf8(check.stdout).expect("text");
    let warning = "warning: stakeout.yaml:4: notify[0].slack.webhook_url_file: the secret is not checked: \
                   the environment variable CREDENTIALS_DIRECTORY is unset or empty";
    assert!(printed.contains(warning) && printed.ends_with(": good\n"), "{printed}");
    let in_service = host.run_in_service(&["check"]);
    assert!(!String::from_utf8_lossy(&in_service.stdout).contains("warning"), "{in_service:?}");
}

#[test]
fn verbs_that_send_say_how_to_get_the_credentials() {
    let host = Host::new();
    for verb in [&["once"][..], &["notify", "test", "secops"]] {
        let output = host.run(verb);
        assert_code(&output, 78);
        let printed = String::from_utf8(output.stderr).expect("text");
        let command = format!(
            "-p LoadCredential=slack:/etc/stakeout/slack-webhook {} --quiet {} -c stakeout.yaml",
            env!("CARGO_BIN_EXE_stakeout"),
            verb.join(" ")
        );
        assert!(printed.contains("sudo systemd-run --pipe ") && printed.contains(&command), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
    fs::write(host.path("credentials/slack"), "no URL").expect("written");
    let wrong = host.run_in_service(&["check"]);
    assert_code(&wrong, 78);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("not the URL of a Slack incoming webhook"), "{wrong:?}");
}

/// A destination may be tested where the secrets of the others are missing.
#[test]
fn a_test_of_one_destination_reads_its_secrets_only() {
    let host = Host::new();
    fs::write(host.path("stakeout.yaml"), CONFIG.replace("slack\"}}]\n", "slack\"}}, {name: out, stdout: {}}]\n"))
        .expect("written");
    let output = host.run(&["notify", "test", "out"]);
    assert_code(&output, 0);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with('{'), "{output:?}");
    for verb in [&["notify", "test", "secops"][..], &["notify", "test"]] {
        let output = host.run(verb);
        assert_code(&output, 78);
        assert!(String::from_utf8_lossy(&output.stderr).contains("CREDENTIALS_DIRECTORY"), "{output:?}");
    }
    let output = host.run(&["notify", "test", "secopps"]);
    assert_code(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `secops`?"), "{output:?}");
}

/// `systemctl reload` fails with the first `ExecReload=` that fails, and does not run those behind it.
#[test]
fn a_reload_of_a_broken_config_fails_before_the_signal() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/stakeout.service");
    let unit = fs::read_to_string(unit).expect("the unit");
    let commands: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    let [check, signal] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(signal, "/bin/sh -c 'kill -HUP $MAINPID'");
    let check = check.strip_prefix("/usr/bin/env -u CREDENTIALS_DIRECTORY ").expect("the check sees no credentials");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let [check, start] = [check, start].map(|line| line.split(' ').collect::<Vec<_>>());
    assert_eq!((check[0], &check[2..]), (start[0], &start[2..]));
    let host = Host::new();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.env_clear().current_dir(host.0.path());
        command.args(&check[1..check.len() - 1]).arg("stakeout.yaml").output().expect("stakeout starts")
    };
    assert_code(&run(), 0);
    fs::write(host.path("stakeout.yaml"), CONFIG.replace("onprem", "On Prem")).expect("written");
    assert_code(&run(), 78);
}

/// Root may look at the state of the service; the service must be able to open it afterwards.
#[test]
fn the_state_of_another_user_stays_its_own() {
    let host = Host::new();
    assert_code(&host.run_in_service(&["once"]), 0);
    let state = host.path("state");
    let is_root = fs::metadata("/proc/self").expect("Linux has it").uid() == 0;
    let owner = if is_root { OTHER_USER } else { fs::metadata(&state).expect("a state").uid() };
    if is_root {
        each_below(&state, &mut |path| chown(path, Some(owner), Some(owner)).expect("root may"));
    }
    for verb in [&["state", "show"][..], &["findings", "list"]] {
        assert_code(&host.run(verb), 0);
    }
    assert_code(&host.run_in_service(&["once"]), 0);
    each_below(&state, &mut |path| assert_eq!(fs::metadata(path).expect("there").uid(), owner, "{}", path.display()));
    // Without a daemon, `check` leaves the state of another user alone.
    let check = host.run_in_service(&["check"]);
    assert_eq!(String::from_utf8_lossy(&check.stdout).contains("are not checked"), is_root, "{check:?}");
}

/// As in the image, where the directory of the config is read-only.
#[test]
fn a_relative_state_may_begin_elsewhere() {
    let host = Host::new();
    let once = host
        .command(&["once"])
        .env("CREDENTIALS_DIRECTORY", "credentials")
        .env("STAKEOUT_STATE_BASE", "volume")
        .output();
    assert_code(&once.expect("stakeout starts"), 0);
    assert!(host.path("volume/state/db").is_file() && !host.path("state").exists());
}

#[test]
fn doctor_says_that_there_are_no_credentials_and_how_to_get_some() {
    let host = Host::new();
    let source = "{name: prod, cloudwatch: {region: eu-west-1, log_group: /aws/eks/prod/cluster}}";
    fs::write(host.path("stakeout.yaml"), CONFIG.replace("{name: onprem, file: {path: audit.log}}", source))
        .expect("written");
    let mut command = host.command(&["doctor"]);
    // There is no profile below this home, and the metadata service is not asked.
    let output = command.env("HOME", host.0.path()).env("AWS_EC2_METADATA_DISABLED", "true").output();
    let output = output.expect("stakeout starts");
    assert_code(&output, 1);
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = printed.lines().map(str::trim_start).collect();
    let [source, route, calls, finding, fix] = lines[..] else { panic!("{printed}") };
    assert_eq!(source, "prod (cloudwatch, cluster prod)");
    let reached = "good      route         https://logs.eu-west-1.amazonaws.com: directly: no proxy is set";
    assert_eq!(route, reached);
    assert!(calls.starts_with("good      calls         logs:FilterLogEvents"), "{printed}");
    assert!(
        finding.starts_with("bad       credentials   no credentials: ") && fix.contains("set AWS_PROFILE"),
        "{printed}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Container runtimes and some service managers listen on an abstract socket.
#[test]
fn a_service_manager_may_listen_on_an_abstract_socket() {
    let host = Host::new();
    let name = format!("stakeout-{}", host.path("").display());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let mut command = host.command(&["run"]);
    command.env("CREDENTIALS_DIRECTORY", "credentials").env("NOTIFY_SOCKET", format!("@{name}"));
    let mut daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("stakeout starts");
    let mut buffer = [0; 4096];
    let received = socket.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    daemon.kill().expect("it runs");
    daemon.wait().expect("a child can be waited for");
    assert_eq!(received.expect("a message"), "READY=1\n");
}

#[test]
fn json_has_two_spellings() {
    let host = Host::new();
    assert_code(&host.run_in_service(&["once"]), 0);
    for verb in [&["state", "show"][..], &["findings", "list"]] {
        let of = |options: &[&str]| host.run(&[verb, options].concat());
        for options in [&["--json"][..], &["-o", "json"]] {
            assert_code(&of(options), 0);
        }
        assert_eq!(of(&["--json"]).stdout, of(&["-o", "json"]).stdout, "{verb:?}");
        assert_code(&of(&["--json", "-o", "json"]), 2);
    }
    assert!(host.run(&["state", "show", "--json"]).stdout.starts_with(b"{"));
    assert!(host.run(&["doctor", "--json"]).stdout.starts_with(b"{"));
}

/// As it is for a service that somebody started with `>&-`: Rust puts `/dev/null` in its place.
#[test]
fn a_closed_standard_output_takes_no_message() {
    let host = Host::new();
    let config = CONFIG.split("notify").next().expect("a part").to_owned() + "notify: [{name: out, stdout: {}}]\n";
    fs::write(host.path("stakeout.yaml"), config).expect("written");
    let run = |redirection: &str| {
        let mut command = Command::new("sh");
        let script = format!("exec \"$0\" --quiet notify test -c stakeout.yaml {redirection}");
        command.env_clear().args(["-c", &script, env!("CARGO_BIN_EXE_stakeout")]).current_dir(host.0.path());
        command.output().expect("sh runs")
    };
    let closed = run(">&-");
    assert_code(&closed, 1);
    assert!(String::from_utf8_lossy(&closed.stderr).contains("standard output is closed"), "{closed:?}");
    let full = run(">/dev/full");
    assert_code(&full, 1);
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"), "{full:?}");
    // Somebody wants nothing of it.
    assert_code(&run(">/dev/null"), 0);
}

/// Verbs whose result is cut off or cannot be written say so, or end as their reader wants it.
#[test]
fn a_full_or_closed_standard_output_is_no_panic() {
    let host = Host::new();
    assert_code(&host.run_in_service(&["once"]), 0);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    for verb in [&["state", "show"][..], &["state", "show", "--json"], &["check"], &["doctor"], &["doctor", "--json"]] {
        let with = |stdout: Stdio| {
            let output = host.command(verb).env("CREDENTIALS_DIRECTORY", "credentials").stdout(stdout).output();
            output.expect("stakeout starts")
        };
        let full = with(File::options().write(true).open("/dev/full").expect("Linux has it").into());
        assert_code(&full, 1);
        let closed = with(writer.try_clone().expect("a handle").into());
        assert!(matches!(closed.status.code(), Some(0 | 1)), "{verb:?}: {closed:?}");
        for output in [full, closed] {
            assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{verb:?}: {output:?}");
        }
    }
}

/// Calls `f` for a path and all below it.
fn each_below(path: &Path, f: &mut impl FnMut(&Path)) {
    f(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            each_below(&entry.expect("an entry").path(), f);
        }
    }
}

#[test]
fn a_full_or_closed_standard_error_is_no_panic() {
    let host = Host::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let verbs: [(&[&str], i32); 3] = [(&["once"], 78), (&["state", "show"], 1), (&["once", "-vv"], 0)];
    for (verb, code) in verbs {
        for stderr in [
            Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has it")),
            Stdio::from(writer.try_clone().expect("a handle")),
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
            command.env_clear().args(verb).args(["-c", "stakeout.yaml"]).current_dir(host.0.path());
            if code == 0 {
                command.env("CREDENTIALS_DIRECTORY", "credentials");
            }
            let status = command.stdout(Stdio::null()).stderr(stderr).status().expect("stakeout starts");
            assert_eq!(status.code(), Some(code), "{verb:?}");
        }
    }
}
