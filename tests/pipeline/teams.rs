//! Microsoft Teams, with the real binary: a card for each incident that opens or escalates, over failures and hostile text.

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR};
use super::bot::ask;
use super::world::World;
use crate::support::node::node;

const TICK: i64 = DAY + 10 * HOUR;

fn world() -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.use_teams("");
    world
}

/// Returns the texts of a card, from top to bottom.
fn texts(card: &Value) -> Vec<&str> {
    let runs = card["body"].as_array().expect("a body").iter().flat_map(|block| block["inlines"].as_array());
    runs.flatten().filter_map(|run| run["text"].as_str()).collect()
}

/// Lets Microsoft's own library read cards: it knows every element, member and value of them.
fn assert_valid(cards: &[Value]) {
    assert!(!cards.is_empty());
    let read: Vec<Value> = serde_json::from_str(&node("cards.js", &json!(cards).to_string())).expect("JSON");
    for (card, read) in cards.iter().zip(&read) {
        assert_eq!(read["problems"], json!([]), "{card}");
        // What the library does not know, it leaves out.
        let mut known = card.clone();
        known.as_object_mut().expect("an object").remove("msteams");
        assert_eq!(read["card"], known);
    }
}

/// The attacker probes for two hours, and is let in in the third.
#[test]
fn an_incident_is_a_card_when_it_opens_and_when_somebody_is_let_in() {
    let world = world();
    for (hour, code) in [(0, 403), (1, 403), (2, 200)] {
        ask(&world, "8.8.8.8", hour, code);
        world.once_done(TICK + hour * HOUR);
    }
    let cards = world.teams.cards();
    let [opened, escalated] = &cards[..] else { panic!("{cards:#?}") };
    let first = texts(opened);
    assert!(first[0].starts_with("[Medium] ") && first[0].contains("8.8.8.8"), "{first:?}");
    assert!(first.iter().any(|line| line.starts_with("stakeout incidents show ")), "{first:?}");
    assert!(first.iter().any(|line| line.starts_with("get /api/v1/namespaces/n")), "{first:?}");
    assert!(texts(escalated)[0].starts_with("Update: [Critical] "), "{:?}", texts(escalated));
    assert_valid(&cards);
}

#[test]
fn what_teams_does_not_take_is_sent_again() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.teams.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(1) }));
    for fault in [Fault::InternalError, Fault::Unavailable] {
        world.teams.faults().script_next(1, &fault);
    }
    world.once_done(TICK);
    assert_eq!(world.teams.cards().len(), 1);
}

#[test]
fn a_workflow_that_is_off_keeps_its_messages_and_its_secret() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.teams.set_faults(Faults::always(Fault::Denied));
    let ran = world.once(TICK);
    ran.assert_code(1);
    assert!(
        ran.stderr.contains("DirectApiAuthorizationRequired") && ran.stderr.contains("workflow is on"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("fake-signature") && !ran.stderr.contains("/workflows/"), "{}", ran.stderr);
    world.teams.faults().clear();
    let test = world.run(&["notify", "test", "channel"]);
    test.assert_code(0);
    assert!(test.stderr.contains("look into the channel"), "{}", test.stderr);
    world.once_done(TICK + HOUR);
    assert_eq!(world.teams.cards().len(), 2);
}

/// Text of an attacker stays text, and long text fits into a message.
#[test]
fn hostile_text_makes_valid_cards() {
    let world = World::new();
    world.use_teams("send: both, min_severity: informational,");
    world.ingest(&super::hostile::lines());
    world.once_done(DAY + HOUR);
    let cards = world.teams.cards();
    assert!(cards.len() >= 3, "{cards:#?}");
    let text = format!("{cards:?}");
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}']), "{text}");
    assert_valid(&cards);
}
