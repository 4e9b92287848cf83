//! What the file may say, and that changes leave the rest of it alone.

use proptest::prelude::*;

use super::*;

const NOW: Second = Second(1_795_222_200);

fn silence(id: &str) -> Silence {
    Silence {
        id: id.to_owned(),
        source: Some("203.0.113.0/24".parse().expect("a network")),
        cluster: None,
        rule: None,
        user: None,
        reason: "penetration test".to_owned(),
        owner: "ada".to_owned(),
        until: NOW.plus(3_600),
    }
}

#[test]
fn a_broken_entry_names_line_key_and_fix() {
    let until = NOW.plus(60);
    let error = |entry: &str| {
        let errors = parse("s.yaml", &format!("# mine\n- {entry}\n"), NOW).good().expect_err(entry);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].to_string()
    };
    let rest = format!("reason: x, owner: ada, until: {until}");
    let late = NOW.plus(90 * DAY_SECONDS + 1);
    for (entry, expected) in [
        (
            format!("{{id: a, {rest}}}"),
            "s.yaml:2: [0]: it would silence everything (name a source, cluster, rule or user)",
        ),
        (format!("{{rule: r, {rest}}}"), "s.yaml:2: [0].id: `id` is missing (give it an id, such as pentest-1)"),
        (format!("{{id: a, rle: r, {rest}}}"), "s.yaml:2: [0].rle: unknown key (did you mean `rule`?)"),
        (
            format!("{{id: a, source: office, {rest}}}"),
            "s.yaml:2: [0].source: `office` is neither a network nor an address (write a network such as 10.0.0.0/16, or an address such as 10.0.0.50)",
        ),
        (
            format!("{{id: a, source: '2001:db8::1', {rest}}}"),
            "s.yaml:2: [0].source: `2001:db8::1` is a part of one source (write its /64: Stakeout counts a /64 as one source)",
        ),
        (
            "{id: a, rule: r, reason: x, owner: ada, until: tomorrow}".to_owned(),
            "s.yaml:2: [0].until: `tomorrow` is not a time in RFC 3339 (write 2026-12-24T00:00:00Z)",
        ),
        (
            format!("{{id: a, rule: r, reason: x, owner: ada, until: {late}}}"),
            &format!(
                "s.yaml:2: [0].until: `{late}` is more than 90 days ahead (write {} or earlier, and extend it when that is near)",
                late.plus(-1)
            ),
        ),
        (
            format!("{{id: a, rule: r, owner: ada, until: {until}}}"),
            "s.yaml:2: [0].reason: `reason` is missing (say why, such as: penetration test of team blue)",
        ),
    ] {
        assert_eq!(error(&entry), expected);
    }
    let twice = format!("- {{id: a, rule: r, {rest}}}\n- {{id: a, rule: q, {rest}}}\n");
    let errors = parse("s.yaml", &twice, NOW).good().expect_err("twice");
    assert_eq!(
        errors[0].to_string(),
        "s.yaml:2: [1]: the silence in line 1 has the same id `a` (give each silence its own id)"
    );
    let many: String = (0..1_001).map(|n| format!("- {{id: s{n}, rule: r, {rest}}}\n")).collect();
    assert!(parse("s.yaml", &many, NOW).good().expect_err("many")[0].problem.contains("1001 silences"));
    for empty in ["", "# nothing\n", "[]\n", "---\n"] {
        assert_eq!(parse("s.yaml", empty, NOW).good(), Ok(Silences::default()), "{empty:?}");
    }
    let over = format!("- {{id: a, rule: r, reason: x, owner: ada, until: {}}}", NOW.plus(-1));
    assert_eq!(parse("s.yaml", &over, NOW).good().expect("harmless").iter().count(), 1);
}

#[test]
fn changes_keep_comments_and_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("silences.yaml");
    add(&path, &silence("first"), NOW).expect("a new file");
    let until = NOW.plus(3_600);
    let first = format!(
        "- id: first\n  source: 203.0.113.0/24\n  reason: \"penetration test\"\n  owner: ada\n  until: {until}\n"
    );
    assert_eq!(fs::read_to_string(&path).expect("read"), first);

    let by_hand = format!(
        "# Ask ada first.\n\n{first}# The CI.\n- {{id: ci, rule: r, reason: x, owner: bo, until: '{until}'}}   # flow"
    );
    fs::write(&path, &by_hand).expect("written");
    add(&path, &silence("second"), NOW).expect("added");
    let added = format!("{by_hand}\n{}", first.replace("first", "second"));
    assert_eq!(fs::read_to_string(&path).expect("read"), added);
    assert_eq!(expire(&path, "ci", NOW).map(|ended| ended.until).ok(), Some(NOW));
    assert_eq!(fs::read_to_string(&path).expect("read"), added.replace(&format!("'{until}'"), &format!("'{NOW}'")));

    let refused = |result: Result<(), Failure>| result.expect_err("refused").to_string();
    assert!(refused(add(&path, &silence("ci"), NOW)).contains("the id ci is in use"));
    assert!(refused(expire(&path, "secnd", NOW).map(drop)).contains("did you mean `second`?"));
    assert!(refused(expire(&path, "ci", NOW).map(drop)).contains("was over at"));
    fs::write(&path, "[{id: a}]\n").expect("written");
    assert!(refused(add(&path, &silence("b"), NOW)).contains("is missing"), "a bad file is not changed");
    let flow = format!("[{{id: a, rule: r, reason: x, owner: bo, until: '{until}'}}]\n");
    fs::write(&path, &flow).expect("written");
    assert!(refused(add(&path, &silence("b"), NOW)).contains("is written in a way"));
    assert_eq!(fs::read_to_string(&path).expect("read"), flow);
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing is left behind");
}

#[test]
fn silences_that_are_added_at_once_are_all_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("silences.yaml");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || add(path, &silence(&format!("s{number}")), NOW).expect("added"));
        }
    });
    assert_eq!(read(&path, NOW).expect("there").silences.iter().count(), 16);
}

proptest! {
    /// Whatever people write, the file says that and nothing else.
    #[test]
    fn a_silence_reads_back_as_it_was_written(texts in prop::array::uniform4("[ -~äß☃]{1,40}"), has_user in any::<bool>()) {
        let [user, rule, reason, owner] = texts;
        prop_assume!([&user, &rule, &reason, &owner].iter().all(|text| is_plain(text)));
        let silence = Silence { user: has_user.then_some(user), rule: Some(rule), reason, owner, ..silence("a") };
        prop_assert_eq!(parse("s.yaml", &written(&silence), NOW).good(), Ok(Silences::new(vec![silence.clone()])));
        prop_assert_eq!(parse_entry(&on_one_line(&silence), NOW), Ok(silence));
    }
}
