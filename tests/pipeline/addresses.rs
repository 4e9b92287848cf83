//! What the config and published files know of addresses, with the real binary: it is in the messages, the lists and a replay.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use super::silences::{ATTACKER, attack};
use super::world::World;

/// Answers one request with `body`, and returns the address.
fn published(body: String) -> String {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a client");
        let mut request = BufReader::new(stream.try_clone().expect("the stream"));
        let mut line = String::new();
        while request.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
            line.clear();
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("answered");
    });
    format!("http://{address}/ranges.json")
}

#[test]
fn names_of_networks_and_clouds_are_shown_wherever_the_address_is() {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.reconfigure("send: findings, webhook", "send: both, webhook");
    world.reconfigure("send: findings, min_severity: informational, slack", "slack");
    world.reconfigure("budget: 1", "budget: 1\nnetworks: {\"CI | runners\": 8.8.8.0/24}\ncontext: {ranges: ranges}");
    let check = world.run(&["check"]);
    check.assert_code(78);
    assert!(check.stderr.contains("context.ranges: there is no file of a cloud in"), "{}", check.stderr);
    // A loopback server that is no cloud: the webhook answers every path, and not with ranges.
    let url = format!("{}/ip-ranges.json", world.webhook.url());
    let refresh = world.run(&["ranges", "refresh", "--aws-url", &url, "--google-url", &url]);
    refresh.assert_code(1);
    assert!(refresh.stderr.contains("the ranges stay as they are"), "{}", refresh.stderr);
    assert_eq!(fs::read_dir(world.path("ranges")).expect("the directory").count(), 0, "nothing is left behind");
    let aws = json!({"prefixes": [], "ipv6_prefixes": [{"ipv6_prefix": "2600:1f14::/35", "region": "us-west-2", "service": "EC2"}]});
    let google = json!({"prefixes": [{"ipv4Prefix": "8.8.8.0/25", "scope": "global"}]});
    let [aws, google] = [aws, google].map(|file| published(file.to_string()));
    let refresh = world.run(&["ranges", "refresh", "--aws-url", &aws, "--google-url", &google]);
    refresh.assert_code(0);
    assert_eq!(fs::read_dir(world.path("ranges")).expect("the directory").count(), 2, "{}", refresh.stderr);
    world.run(&["check"]).assert_code(0);

    attack(&world, 0);
    let text = "CI | runners; Google Cloud global";
    let messages = world.slack.messages();
    assert!(messages.iter().any(|message| message.to_string().contains(text)), "{messages:?}");
    let posts: Vec<Value> = world.webhook.posts().into_iter().flat_map(|post| post.values).collect();
    let cloud = json!({"name": "Google Cloud", "service": "", "region": "global"});
    let known = json!([{"source": ATTACKER, "network": "CI | runners", "cloud": cloud}]);
    for post in &posts {
        let pointer = if post["class_uid"] == 2005 { "/unmapped/incident/addresses" } else { "/unmapped/addresses" };
        assert_eq!(post.pointer(pointer), Some(&known), "{post}");
    }
    assert!(!posts.is_empty());
    for kind in ["findings", "incidents"] {
        let listed = world.run(&[kind, "list", "-o", "json"]).stdout;
        let object: Value = serde_json::from_str(listed.lines().next().expect("one")).expect("JSON");
        let uid = object.pointer("/finding_info/uid").or(object.pointer("/unmapped/incident/uid"));
        let shown = world.run(&[kind, "show", uid.and_then(Value::as_str).expect("a uid")]).stdout;
        assert!(shown.contains(&format!("known addresses\n  {ATTACKER}  {text}")), "{shown}");
        assert!(listed.contains("CI | runners"), "{listed}");
    }
    let config = world.path("stakeout.yaml");
    let config = config.to_str().expect("plain");
    for format in ["text", "json", "incidents"] {
        let replayed = world.replay_file("cluster-0.log", &["-o", format, "-c", config]).stdout;
        assert!(replayed.contains("CI | runners"), "{format}: {replayed}");
    }
}
