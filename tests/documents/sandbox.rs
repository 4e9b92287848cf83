//! A folder in which the commands of a page run as they are written, with fakes in place of what they reach.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::block::Block;
use super::checkout;
use super::clouds::{self, Clouds};

/// A program that reaches a real cloud, a real cluster or root, or that another test runs. A script that notes how it was
/// called takes its place.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) program: &'static str,
    /// Why it does not run here.
    #[expect(dead_code, reason = "for readers, and for `Debug`")]
    reason: &'static str,
    /// What it answers: the beginning of its arguments, and a recording.
    pub(crate) answers: &'static [(&'static str, &'static str)],
}

const fn foreign(
    program: &'static str,
    reason: &'static str,
    answers: &'static [(&'static str, &'static str)],
) -> Foreign {
    Foreign { program, reason, answers }
}

/// Every such program that a page may call.
pub(crate) const FOREIGN: &[Foreign] = &[
    foreign("aws", "changes an AWS account", &[("logs filter-log-events", "cloud/kube-hunter.eks.json.gz")]),
    foreign("az", "changes an Azure subscription", &[("monitor log-analytics query", "cloud/kube-hunter.aks.json.gz")]),
    foreign("cargo", ".ci/run runs it, or it builds for minutes", &[]),
    foreign("curl", "scans a cluster", &[]),
    foreign("deploy/iam/aks-log-analytics.sh", "changes an Azure subscription; .ci/run checks its syntax", &[]),
    foreign("gcloud", "changes a Google Cloud project", &[("logging read", "cloud/kube-hunter.gke.json.gz")]),
    foreign("helm", "changes a cluster; tests/chart/run renders the chart", &[]),
    foreign("kubectl", "changes a cluster", &[]),
    foreign("localstack/run.sh", "tests/localstack.rs runs it", &[]),
    foreign("podman", "builds and runs an image", &[]),
    foreign("sudo", "changes this machine", &[]),
];

/// What pages let Cargo do that `.ci/run` does not, with the reason.
pub(crate) const BUILDS: &[(&str, &str)] =
    &[("cargo build --release", "takes minutes, and .ci/run builds the same sources")];

/// Programs of this machine that pages may use.
const LOCAL: &[&str] = &["cat", "grep", "seq"];

/// No page sends a signal to it.
const HEARTBEAT_URL: &str = "https://hc-ping.com/8f0c2a3e-6b1d-4a57-9c47-0d5b2f6e91aa";

/// What in a page cannot run as it is written, and what takes its place.
const WEBHOOK_URL: &str = "https://hooks.slack.com/services/...";

/// A folder for one page.
pub(crate) struct Sandbox<'a> {
    folder: TempDir,
    clouds: &'a Clouds,
}

impl<'a> Sandbox<'a> {
    /// Makes a folder with logs, a config that reads one of them, the shipped rules, and the programs that pages may use.
    pub(crate) fn new(clouds: &'a Clouds) -> Sandbox<'a> {
        let sandbox = Sandbox { folder: tempfile::tempdir().expect("a folder"), clouds };
        let folder = sandbox.folder();
        fs::create_dir(folder.join("bin")).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_stakeout"), folder.join("bin/stakeout")).expect("a link");
        symlink(fs::canonicalize(checkout().join("config")).expect("a path"), folder.join("config")).expect("a link");
        for program in LOCAL {
            symlink(found(program), folder.join("bin").join(program)).expect("a link");
        }
        for foreign in FOREIGN {
            sandbox.fake_program(foreign);
        }
        let recording = checkout().join("tests/data/audit/kube-hunter.audit.log.gz");
        fs::copy(recording, folder.join("audit.log.gz")).expect("a log");
        fs::write(folder.join("audit.log"), clouds::audit_log()).expect("a log");
        symlink("config/rules", folder.join("rules")).expect("a link");
        sandbox.write_config(
            "state: {path: state}\nsources: [{name: onprem, file: {path: audit.log}}]\nnotify: [{name: out, stdout: {}}]\n",
        );
        let credentials = folder.join("credentials");
        fs::create_dir(&credentials).expect("a folder");
        for (name, secret) in [("slack", clouds.slack.webhook_url().as_str()), ("heartbeat", HEARTBEAT_URL)] {
            fs::write(credentials.join(name), secret).expect("a secret");
            fs::set_permissions(credentials.join(name), fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        sandbox
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `stakeout.yaml`, with the fakes in place of the clouds that it names, and no admin page.
    pub(crate) fn write_config(&self, config: &str) {
        let endpoint = |url: String| format!("endpoint: \"{url}\"");
        let log = self.folder().join("audit.log");
        let config = config
            .replace("cloudwatch: {", &format!("cloudwatch: {{{}, ", endpoint(self.clouds.cloudwatch.endpoint())))
            .replace(
                "cloud_logging: {",
                &format!("cloud_logging: {{{}, ", endpoint(self.clouds.cloud_logging.endpoint())),
            )
            .replace(
                "credential: workload_identity",
                &format!("credential: anonymous\n      {}", endpoint(self.clouds.log_analytics.endpoint())),
            )
            .replace("/var/log/kubernetes/audit.log", log.to_str().expect("plain"));
        fs::write(self.folder().join("stakeout.yaml"), format!("{config}admin: {{listen: \"off\"}}\n"))
            .expect("written");
    }

    /// Runs the scripts of a page, one after the other in one shell, and returns how foreign programs were called.
    ///
    /// # Panics
    ///
    /// When a command fails, or a program is neither ours nor named here.
    pub(crate) fn run(&self, page: &str, scripts: &[&Block]) -> Vec<String> {
        let mut script = "set -euo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n".to_owned();
        for block in scripts {
            script.push_str(&block.text.replace(WEBHOOK_URL, &self.clouds.slack.webhook_url()));
        }
        fs::write(self.folder().join("page.sh"), &script).expect("written");
        let output = self.command(found("bash")).arg("page.sh").output().expect("bash starts");
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{page}: {}\n{script}\n{out}\n{errors}", output.status);
        let calls = fs::read_to_string(self.folder().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Runs `stakeout`, and returns what it prints.
    ///
    /// # Panics
    ///
    /// When it fails or warns.
    pub(crate) fn stakeout(&self, place: &str, arguments: &[&str]) -> String {
        let output =
            self.command(env!("CARGO_BIN_EXE_stakeout").into()).arg("-q").args(arguments).output().expect("it starts");
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && errors.is_empty(), "{place}: {arguments:?}: {out}{errors}");
        out.into_owned()
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .current_dir(self.folder())
            .env("PATH", self.folder().join("bin"))
            .env("HOME", self.folder())
            .env("SLACK_WEBHOOK_URL", self.clouds.slack.webhook_url())
            .env("PAGERDUTY_ROUTING_KEY", "fakefakefakefakefakefakefakefake")
            .env("SLACK_BOT_TOKEN", stakeout_fakes::slack_api::BOT_TOKEN)
            .env("HEARTBEAT_URL", HEARTBEAT_URL)
            .env("CREDENTIALS_DIRECTORY", self.folder().join("credentials"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Puts a script in place of a program: of one with a path below the folder, of another one into `bin`.
    fn fake_program(&self, Foreign { program, answers, .. }: &Foreign) {
        let path =
            if program.contains('/') { self.folder().join(program) } else { self.folder().join("bin").join(program) };
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let (bash, calls) = (found("bash"), self.folder().join("calls"));
        let mut script =
            format!("#!{}\necho \"{program} $*\" >> {}\ncase \"$*\" in\n", bash.display(), calls.display());
        for (arguments, recording) in *answers {
            let answer = self.folder().join(format!("{program}-answer.json"));
            fs::write(&answer, clouds::recorded(recording)).expect("written");
            script.push_str(&format!("\"{arguments}\"*) exec cat {} ;;\n", answer.display()));
        }
        script.push_str("*) ;;\nesac\n");
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
}

/// Returns the path of a program of this machine.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut folders = std::env::split_paths(&path);
    let folder = folders.find(|folder| folder.join(program).is_file());
    folder.unwrap_or_else(|| panic!("please install {program}")).join(program)
}
