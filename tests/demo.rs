//! The demo: what a stranger sees in half a minute, the commands that it ends with, and that it leaves nothing behind. Its
//! messages are the pictures of the documentation; `STAKEOUT_BLESS=1` draws them again.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Most messages of the two windows.
const MESSAGES_MAX: usize = 8;
const COLUMNS_MAX: usize = 80;
/// How many of the messages are pictures.
const PICTURES: usize = 4;

fn stakeout() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs a command that the demo printed, and returns what it prints.
fn run(command: &str) -> String {
    let words: Vec<&str> = command.split(" #").next().unwrap_or("").split_whitespace().collect();
    assert_eq!(words[0], "stakeout");
    let output = stakeout().args(&words[1..]).output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    // The doctor says what is doubtful of the fakes.
    assert!(output.status.code() == Some(0), "{command}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// Returns the lines of each message.
fn messages(printed: &str) -> Vec<Vec<&str>> {
    let mut messages: Vec<Vec<&str>> = Vec::new();
    for line in printed.lines() {
        if line.starts_with('╭') {
            messages.push(Vec::new());
        } else if let (Some(text), Some(message)) = (line.strip_prefix("│ "), messages.last_mut()) {
            message.push(text.trim_end_matches('│').trim_end());
        } else if let (true, Some(message)) = (line.starts_with('├'), messages.last_mut()) {
            message.push("");
        }
    }
    messages
}

#[test]
fn the_demo_tells_a_story() {
    let output = stakeout().arg("demo").output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{printed}");
    let messages = messages(&printed);
    assert!((1..=MESSAGES_MAX).contains(&messages.len()), "{} messages", messages.len());
    for line in printed.lines() {
        // Each mark of a level takes two columns.
        let columns = line.chars().map(|c| if c >= '\u{1f300}' { 2 } else { 1 }).sum::<usize>();
        assert!(columns <= COLUMNS_MAX, "{columns} columns: {line}");
    }
    for unwanted in ["::/64", "INFO", "WARN"] {
        assert!(!printed.contains(unwanted), "{unwanted} in {printed}");
    }
    for message in &messages {
        assert!(message.contains(&"Next step"), "{message:#?}");
    }
    let (_, next) = printed.split_once("Next:\n").expect("next commands");
    let commands: Vec<&str> = next.lines().map(str::trim).collect();
    assert_eq!(commands.len(), 3, "{next}");
    // The first is the other test's.
    assert!(commands[0].starts_with("stakeout demo --keep"));
    commands[1..].iter().for_each(|command| drop(run(command)));
    pictures_are_current(&messages);
}

/// Returns a message without times, which differ by run, and without the ends of its lines, which depend on them.
fn without_times(text: &str) -> String {
    let is_time =
        |word: &&str| word.chars().all(|c| c.is_ascii_digit() || "-:.".contains(c)) && word.contains([':', '-']);
    text.split_whitespace().filter(|word| !is_time(word) && *word != "UTC").collect::<Vec<_>>().join(" ")
}

fn pictures_are_current(messages: &[Vec<&str>]) {
    for (number, message) in messages.iter().take(PICTURES).enumerate() {
        let path = checkout().join(format!("docs/demo-message-{}.svg", number + 1));
        if std::env::var_os("STAKEOUT_BLESS").is_some() {
            fs::write(&path, picture(message)).expect("written");
        }
        let drawn = fs::read_to_string(&path).unwrap_or_default();
        let texts: Vec<String> = drawn
            .lines()
            .filter_map(|line| line.strip_prefix("<text ")?.split_once('>')?.1.strip_suffix("</text>"))
            .map(|text| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
            .collect();
        let fix = "draw it again: STAKEOUT_BLESS=1 cargo test --test outside demo::";
        assert_eq!(without_times(&texts.join(" ")), without_times(&message.join(" ")), "{} ({fix})", path.display());
    }
}

/// Draws a message.
fn picture(message: &[&str]) -> String {
    let colour = match message[0].chars().next() {
        Some('🔴') => "#d1242f",
        Some('🟠') => "#e36209",
        Some('🟡') => "#d4a72c",
        Some('🔵') => "#0969da",
        _ => "#8c959f",
    };
    let title = message.iter().position(|line| line.is_empty()).unwrap_or(0);
    let height = 34 + message.len() * 18;
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"700\" height=\"{height}\" viewBox=\"0 0 700 {height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"700\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>\n\
         <rect x=\"10\" y=\"12\" width=\"4\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\n",
        height - 24
    );
    for (number, line) in message.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let is_heading = number < title || ["Steps", "Next step"].contains(line);
        let weight = if is_heading { " font-weight=\"bold\"" } else { "" };
        let text = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let y = 30 + number * 18;
        writeln!(drawn, "<text x=\"24\" y=\"{y}\" xml:space=\"preserve\"{weight} fill=\"#1f2328\">{text}</text>")
            .expect("a text takes everything");
    }
    drawn + "</svg>\n"
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Begins the demo that goes on, and returns it with what it printed.
fn kept() -> (Kept, String) {
    let child = stakeout().args(["demo", "--keep"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut kept = Kept(child.expect("it runs"));
    let mut printed = String::new();
    for line in BufReader::new(kept.0.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("UTF-8");
        printed += &line;
        printed.push('\n');
        if line.trim_start().starts_with("config ") {
            break;
        }
    }
    (kept, printed)
}

#[test]
fn what_is_kept_works_for_every_verb_and_is_gone_at_the_end() {
    let (mut child, printed) = kept();
    let config = printed.lines().last().and_then(|line| line.split_whitespace().last()).expect("a config").to_owned();
    let (_, next) = printed.split_once("Next:\n").expect("next commands");
    let commands: Vec<&str> = next.lines().map(str::trim).take(3).collect();
    let printed: Vec<String> = commands.iter().map(|command| run(command)).collect();
    assert!(printed[0].contains("probed 3 clusters") && printed[1].contains("probed"), "{printed:#?}");
    for verb in ["check", "once", "state show", "findings list", "notify test secops"] {
        run(&format!("stakeout {verb} -c {config}"));
    }
    let folder = Path::new(&config).parent().expect("a directory");
    assert!(folder.exists());
    child.terminate();
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

/// A demo that goes on; dropping it ends it, also where a test fails.
struct Kept(Child);

impl Kept {
    /// Ends it as a service manager would.
    fn terminate(&mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the demo is gone already");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
