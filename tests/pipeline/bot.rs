//! Slack with a bot: one message for each incident, which is edited over restarts, kills and failures, and its thread.

use serde_json::Value;
use stakeout_fakes::slack_api::{BOT_TOKEN, CHANNEL, ChannelProblem, PostedMessage, TokenProblem};
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::ran::Ran;
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;

fn world() -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.reconfigure("send: findings, min_severity: informational, slack", "slack");
    world.use_bot();
    world
}

/// Appends what an attacker asks in the hour before the tick number `hour`: for secrets, answered with `code`.
pub(crate) fn ask(world: &World, source: &str, hour: i64, code: u16) {
    let at = TICK + hour * HOUR - 40 * MINUTE;
    let asked = (0..12).map(|n| {
        let uri = format!("/api/v1/namespaces/n{n}/secrets");
        let line = Asked { uri, ..Asked::new(at + n, source, code, hour * 100 + n) }.line();
        let object = r#""objectRef":{"resource":"secrets","apiVersion":"v1"},"requestURI""#;
        Line { text: line.text.replace("\"requestURI\"", object), ..line }
    });
    world.append_to_file(0, &asked.collect::<Vec<Line>>());
}

/// Returns the messages about one incident each, as they are now.
fn of_incidents(world: &World) -> Vec<PostedMessage> {
    let of_incident = |message: &PostedMessage| message.payload.to_string().contains("stakeout silence add");
    world.slack_api.channel_messages().into_iter().filter(of_incident).collect()
}

fn header(message: &PostedMessage) -> &str {
    message.payload.pointer("/blocks/0/text/text").and_then(Value::as_str).unwrap_or_default()
}

/// Each tick is a process of its own. The attacker probes for three hours and is let in in the fourth.
#[test]
fn an_attack_over_four_windows_is_one_message_that_is_edited_and_closed() {
    let world = world();
    for hour in 0..3 {
        ask(&world, "8.8.8.8", hour, 403);
        world.once_done(TICK + hour * HOUR);
        let [message] = &world.slack_api.channel_messages()[..] else { panic!("{:#?}", world.slack_api.messages()) };
        assert_eq!(message.edits as i64, hour, "{}", message.payload);
        assert!(!header(message).contains("Update"), "{}", header(message));
    }
    let before = world.slack_api.messages().len();
    ask(&world, "8.8.8.8", 3, 200);
    world.once_done(TICK + 3 * HOUR);
    let [message] = &world.slack_api.channel_messages()[..] else { panic!("{:#?}", world.slack_api.messages()) };
    assert_eq!(message.edits, 3);
    assert!(header(message).contains("[Critical]"), "{}", header(message));
    // What lets somebody in is a line of the thread that the channel sees, because nobody hears of an edit.
    let lines = world.slack_api.messages().split_off(before);
    let broadcast: Vec<&PostedMessage> = lines.iter().filter(|line| line.is_broadcast).collect();
    assert_eq!(broadcast.len(), 1, "{lines:#?}");
    assert!(broadcast[0].payload.to_string().contains("LET IN"), "{}", broadcast[0].payload);
    assert!(lines.iter().all(|line| line.thread_ts.as_ref() == Some(&message.ts)), "{lines:#?}");

    world.once_done(TICK + 50 * HOUR);
    let [message] = &of_incidents(&world)[..] else { panic!("{:#?}", world.slack_api.messages()) };
    assert!(header(message).contains("Closed: [Critical]"), "{}", header(message));
    assert_eq!(message.edits, 4);
    world.once_done(TICK + 51 * HOUR);
    let [message] = &of_incidents(&world)[..] else { panic!("{:#?}", world.slack_api.messages()) };
    assert_eq!(message.edits, 4, "nothing changes it again");
}

/// A silence keeps the growth of an incident from the channel, and its end is an edit that notifies nobody.
#[test]
fn a_silenced_incident_whose_message_is_shown_is_closed_in_place() {
    let world = world();
    world.reconfigure("budget: 1", "budget: 1\nsilences: silences.yaml");
    ask(&world, "8.8.8.8", 0, 403);
    world.once_done(TICK);
    let silence = ["silence", "add", "--source", "8.8.8.8", "--for", "7d", "--reason", "red team", "--owner", "ada"];
    world.run(&silence).assert_code(0);
    let lines = |world: &World| world.slack_api.messages().iter().filter(|line| line.thread_ts.is_some()).count();
    let before = lines(&world);
    ask(&world, "8.8.8.8", 1, 200);
    world.once_done(TICK + HOUR);
    world.once_done(TICK + 50 * HOUR);
    let [message] = &of_incidents(&world)[..] else { panic!("{:#?}", world.slack_api.messages()) };
    assert!(header(message).contains("Closed: "), "{}", header(message));
    assert_eq!((message.edits, lines(&world)), (1, before));
}

/// The process is killed after Slack has edited the message and before it hears so.
#[test]
fn a_kill_between_an_edit_and_its_receipt_makes_no_second_message() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.once_done(TICK);
    let edits = |world: &World| world.slack_api.channel_messages()[0].edits;
    for hour in 1..4 {
        ask(&world, "8.8.8.8", hour, 403);
        let before = edits(&world);
        world.slack_api.set_faults(Faults::always(Fault::AnswerLost));
        let mut victim = world.begin_once(TICK + hour * HOUR);
        world.wait_until("the message is edited", || edits(&world) > before);
        victim.kill().expect("it runs");
        victim.wait().expect("dead");
        world.slack_api.faults().clear();
        world.once_done(TICK + hour * HOUR);
        assert_eq!(world.slack_api.channel_messages().len(), 1, "{:#?}", world.slack_api.messages());
        assert!(edits(&world) > before + 1, "the edit was sent again");
    }
}

/// A message that a person deleted is posted anew, and the new one is edited from then on.
#[test]
fn a_deleted_message_is_posted_anew() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.once_done(TICK);
    let first = world.slack_api.channel_messages().remove(0);
    world.slack_api.delete(&first.ts);
    for hour in [1, 2] {
        ask(&world, "8.8.8.8", hour, 403);
        world.once_done(TICK + hour * HOUR);
    }
    let [message] = &world.slack_api.channel_messages()[..] else { panic!("{:#?}", world.slack_api.messages()) };
    assert_eq!((message.ts != first.ts, message.edits), (true, 1));
}

/// What a person has to do is in the log, and nothing is lost meanwhile.
#[test]
fn a_refusal_names_its_fix_and_keeps_the_message() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    let mut at = TICK;
    let refused = |world: &World, at: i64, word: &str, fix: &str| {
        let Ran { code, stderr, .. } = world.once(at);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(word) && stderr.contains(fix), "{word}: {stderr}");
        assert!(!stderr.contains("xoxb-0"), "{stderr}");
    };
    for (problem, word, fix) in [
        (ChannelProblem::Archived, "is_archived", "unarchive"),
        (ChannelProblem::NotMember, "not_in_channel", "/invite"),
        (ChannelProblem::ReadOnly, "restricted_action_read_only_channel", "administrator"),
    ] {
        world.slack_api.set_channel_problem(Some(problem));
        refused(&world, at, word, fix);
        at += HOUR;
    }
    world.slack_api.set_channel_problem(None);
    for (problem, word, fix) in [
        (TokenProblem::Revoked, "token_revoked", "install it again"),
        (TokenProblem::Inactive, "account_inactive", "install it again"),
        (TokenProblem::MissingScope, "missing_scope", "chat:write"),
    ] {
        world.slack_api.set_token_problem(Some(problem));
        refused(&world, at, word, fix);
        at += HOUR;
    }
    world.slack_api.set_token_problem(None);
    world.once_done(at);
    assert_eq!(of_incidents(&world).len(), 1);
    world.reconfigure("channel: secops", "channel: C0000000000");
    let ran = world.run(&["notify", "test", "secops"]);
    assert!(
        ran.stderr.contains("channel_not_found") && ran.stderr.contains("id of an existing channel"),
        "{}",
        ran.stderr
    );
    world.reconfigure("channel: C0000000000", "channel: secops");
    world.run(&["notify", "test", "secops"]).assert_code(0);
}

/// `doctor` asks Slack about the token and the channel, names the fix, and posts nothing.
#[test]
fn doctor_knows_whether_the_bot_can_post() {
    let world = world();
    world.append_to_file(0, &[Asked::new(TICK - 40 * MINUTE, "10.0.0.7", 200, 1).line()]);
    world.reconfigure("channel: secops", &format!("channel: {}", CHANNEL.0));
    // Returns the exit code, and the checks of the bot.
    let doctor = |world: &World| {
        let ran = world.run(&["doctor", "-o", "json", "--at", "2025-03-04T10:00:00Z"]);
        assert!(!ran.stdout.contains("xoxb-0"), "{}", ran.stdout);
        let last: Value = serde_json::from_str(ran.stdout.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["destination"], "secops");
        let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let checks = last["checks"].as_array().expect("checks").iter();
        let checks = checks.map(|check| ["subject", "status", "finding", "fix"].map(|key| text(check, key)));
        (ran.code, checks.collect::<Vec<_>>())
    };
    let assert_check = |check: &[String; 4], subject: &str, status: &str, finding: &str, fix: &str| {
        assert_eq!((check[0].as_str(), check[1].as_str()), (subject, status), "{check:?}");
        assert!(check[2].contains(finding) && check[3].contains(fix), "{check:?}");
    };
    let (code, checks) = doctor(&world);
    assert_eq!((code, checks.len()), (Some(0), 2), "{checks:?}");
    assert_check(&checks[0], "token", "good", "stakeout in the workspace Example", "");
    assert_check(&checks[1], "channel", "unknown", "may not look at channels", "stakeout notify test secops");

    world.slack_api.grant("chat:write,channels:read");
    assert_check(&doctor(&world).1[1], "channel", "good", "can post in #secops", "");
    for (problem, status, finding, fix) in [
        (ChannelProblem::Archived, "bad", "#secops is archived", "unarchive"),
        (ChannelProblem::NotMember, "bad", "the bot is not in #secops", "/invite"),
        (ChannelProblem::ReadOnly, "doubtful", "not everybody may post in #secops", "administrator"),
    ] {
        world.slack_api.set_channel_problem(Some(problem));
        let (code, checks) = doctor(&world);
        assert_eq!(code, Some(i32::from(status == "bad")));
        assert_check(&checks[1], "channel", status, finding, fix);
    }
    world.slack_api.grant("chat:write,chat:write.public,channels:read");
    world.slack_api.set_channel_problem(Some(ChannelProblem::NotMember));
    assert_check(&doctor(&world).1[1], "channel", "good", "can post", "");
    world.slack_api.set_channel_problem(None);

    for (problem, finding, fix) in [
        (TokenProblem::Revoked, "token_revoked", "install it again"),
        (TokenProblem::Inactive, "account_inactive", "install it again"),
        (TokenProblem::MissingScope, "lacks the scope chat:write", "install the app again"),
    ] {
        world.slack_api.set_token_problem(Some(problem));
        let (code, checks) = doctor(&world);
        assert_eq!(code, Some(1));
        assert_check(&checks[0], "token", "bad", finding, fix);
    }
    world.slack_api.set_token_problem(None);
    world.slack_api.set_faults(Faults::always(Fault::Unavailable));
    assert_check(&doctor(&world).1[0], "token", "unknown", "status 503", "slack-status.com");
    world.slack_api.faults().clear();
    world.reconfigure(CHANNEL.0, "C0000000000");
    assert_check(&doctor(&world).1[1], "channel", "bad", "channel_not_found", "id of an existing channel");
    world.reconfigure("C0000000000", "secops");
    assert_check(&doctor(&world).1[1], "channel", "unknown", "by its id only", "set `channel` to the id");
    // A shell without the service's secrets.
    world.reconfigure(&format!("bot_token: {BOT_TOKEN}"), "bot_token_file: /nowhere/token");
    assert_check(&doctor(&world).1[0], "token", "unknown", "cannot be read here", "as the service does");
    assert_eq!(world.slack_api.messages(), []);
}

/// Of many incidents at once, the highest have a message each and a digest has the others. One of these that grows has a
/// message of its own from then on.
#[test]
fn of_many_incidents_the_highest_have_messages_and_the_others_when_they_grow() {
    let world = world();
    world.reconfigure("channel: secops", "channel: secops, max_messages_per_run: 3");
    let sources: Vec<String> = (1..=6).map(|host| format!("8.8.8.{host}")).collect();
    sources.iter().for_each(|source| ask(&world, source, 0, 403));
    world.once_done(TICK);
    let messages = world.slack_api.channel_messages();
    let singly = messages.iter().filter(|message| message.payload.to_string().contains("silence add")).count();
    assert_eq!((messages.len(), singly), (3, 2), "{messages:#?}");
    let is_single = |source: &String| {
        let own = |message: &&PostedMessage| message.payload.to_string().contains("silence add");
        world
            .slack_api
            .channel_messages()
            .iter()
            .filter(own)
            .any(|message| message.payload.to_string().contains(source))
    };
    let in_digest = sources.iter().find(|source| !is_single(source)).expect("one is in the digest").clone();
    ask(&world, &in_digest, 1, 403);
    world.once_done(TICK + HOUR);
    assert_eq!(world.slack_api.channel_messages().len(), 4);
    ask(&world, &in_digest, 2, 403);
    world.once_done(TICK + 2 * HOUR);
    let messages = world.slack_api.channel_messages();
    assert_eq!((messages.len(), messages[3].edits), (4, 1), "it is edited");
}
