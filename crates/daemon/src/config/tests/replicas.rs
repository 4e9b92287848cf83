//! A state that several replicas share: the keys of its database, and what they change for files.

use super::*;

#[test]
fn replicas_share_a_database_and_each_file_is_read_on_one_host() {
    let file = "sources: [{name: onprem, file: {path: /var/log/audit.log, host: node-1}}]\n";
    let with = |sources: &str, state: &str| read(&format!("{sources}{NOTIFY}state: {{{state}}}\n"));
    let url = "url: 'postgresql://stakeout:hunter2@db.example.com/audit'";
    let config = with(file, &format!("postgres: {{{url}, lease: 30s, schema: team_1}}")).expect("a config");
    let postgres = config.state.postgres().expect("a database");
    assert_eq!((postgres.lease.as_secs(), config.state.directory()), (30, None));
    let options = postgres.options(&Default::default()).expect("a URL");
    assert_eq!(options.to_string(), "db.example.com/audit (schema team_1)");
    assert!(!format!("{config:?}").contains("hunter2"));
    for (sources, state, line) in [
        (SOURCES, format!("postgres: {{{url}}}"), "f.yaml:1: sources[0].file: replicas share this state"),
        (
            file,
            format!("postgres: {{{url}}}, path: /state"),
            "f.yaml:3: state.path: both `path` and `postgres` are set",
        ),
        (file, "postgres: {}".to_owned(), "f.yaml:3: state.postgres.url: `url` is missing"),
        (file, format!("postgres: {{{url}, tls: disable}}"), "f.yaml:3: state.postgres.url: without TLS"),
        (file, format!("postgres: {{{url}, tls: prefer}}"), "f.yaml:3: state.postgres.tls: unknown mode `prefer`"),
        (file, format!("postgres: {{{url}, schema: Team}}"), "f.yaml:3: state.postgres.schema: `Team` is not"),
        (file, format!("postgres: {{{url}, lease: 1s}}"), "f.yaml:3: state.postgres.lease: `1s` is not"),
        (file, "postgres: {url: 'hunter2'}".to_owned(), "f.yaml:3: state.postgres.url: this is not a URL"),
    ] {
        let errors = with(sources, &state).expect_err(line);
        assert!(errors[0].starts_with(line), "{errors:?}, not {line}");
        assert!(!errors[0].contains("hunter2"), "{errors:?}");
    }
    let alone = with(file, "path: /state").expect("a config");
    assert!(warnings(&alone)[0].contains("there is one process"), "{:?}", warnings(&alone));
}
