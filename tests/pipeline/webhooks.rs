//! A webhook that demands a signature and headers, with the real binary: each attempt is signed, and no secret is seen.

use std::path::Path;

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR};
use super::bot::ask;
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;
/// Its key begins with `canary`.
const SECRET: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
const CANARIES: [&str; 2] = ["Y2FuYXJ5", "canary"];

/// A world whose webhook has a secret in a file, and headers.
fn world() -> World {
    let world = World::of_files(1);
    std::fs::write(world.path("signing-secret"), SECRET).expect("written");
    let url = format!("webhook: {{url: {:?}}}", world.webhook.url());
    let signed = format!(
        "webhook: {{url: \"{}?key=canary-in-the-url\", secret_file: signing-secret, headers: {{X-Tenant: canary-payments}}}}",
        world.webhook.url()
    );
    world.reconfigure(&url, &signed);
    world.webhook.demand_signature(SECRET);
    world
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
}

/// Returns the files of a folder and below it that contain a canary.
fn leaks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(leaks(&path));
            continue;
        }
        let bytes = std::fs::read(&path).expect("read");
        let text = String::from_utf8_lossy(&bytes);
        found.extend(CANARIES.iter().filter(|canary| text.contains(**canary)).map(|_| path.display().to_string()));
    }
    found
}

#[test]
fn each_attempt_is_signed_with_its_own_time() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.webhook.set_faults(Faults::next(1, &Fault::AnswerLost));
    world.once_done(TICK);
    let posts = world.webhook.posts();
    assert!(posts.len() >= 2, "{posts:#?}");
    // The message of the lost answer came twice: a receiver knows it by its id.
    let ids: Vec<&str> = posts.iter().map(|post| header(&post.headers, "webhook-id")).collect();
    assert_eq!(ids[0], ids[1]);
    for post in &posts {
        assert_eq!(header(&post.headers, "webhook-id"), header(&post.headers, "x-stakeout-delivery"));
        assert_eq!(post.values[0]["metadata"]["uid"], Value::from(header(&post.headers, "webhook-id")));
        assert_eq!(header(&post.headers, "x-tenant"), "canary-payments");
    }
}

#[test]
fn a_secret_that_the_receiver_does_not_know_keeps_the_messages() {
    let world = world();
    world.webhook.demand_signature("whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVy");
    ask(&world, "8.8.8.8", 0, 403);
    let ran = world.once(TICK);
    ran.assert_code(1);
    assert!(ran.stderr.contains("status 401: No matching signature found"), "{}", ran.stderr);
    assert_eq!(world.state()["pending"][0]["destination"], json!("hook"));
    world.webhook.demand_signature(SECRET);
    world.once_done(TICK + HOUR);
    assert_eq!(world.state()["pending"], json!([]));
}

#[test]
fn no_secret_of_a_webhook_is_seen() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    for fault in [Fault::Denied, Fault::InternalError] {
        world.webhook.set_faults(Faults::always(fault));
        let ran = world.once(TICK);
        ran.assert_code(1);
        let seen = ran.stdout + &ran.stderr;
        assert!(CANARIES.iter().all(|canary| !seen.contains(canary)), "{seen}");
    }
    for verb in [&["check"][..], &["notify", "test", "hook"], &["notify", "route"], &["state", "show"], &["doctor"]] {
        let ran = world.run(verb);
        let seen = ran.stdout + &ran.stderr;
        assert!(!seen.is_empty() && CANARIES.iter().all(|canary| !seen.contains(canary)), "{verb:?}: {seen}");
    }
    assert_eq!(leaks(&world.path("state")), Vec::<String>::new());
    // The search itself finds what is there.
    assert_eq!(leaks(world.path("state").parent().expect("the world's folder")).len(), 2);
}
