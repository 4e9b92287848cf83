//! Connections to real servers: what is refused and why, TLS, and what breaks a connection.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use stakeout_http::{Certificates, Network, Proxies, unverified_tls};

use super::*;
use crate::postgres::server::Postgres;

fn options(url: &str, tls: PostgresTls) -> PostgresOptions {
    PostgresOptions::new(&SecretString::from(url), "public", tls).expect("a URL")
}

fn open(server: &Postgres) -> Result<Connection> {
    Connection::open(&options(&server.url(), PostgresTls::Disable))
}

fn run(connection: &Connection, sql: &str) -> Result<()> {
    connection.wait("run a test", connection.client().batch_execute(sql))
}

#[test]
fn a_refusal_says_what_the_caller_may_do() {
    let Some(server) = Postgres::shared() else { return };
    let connection = open(server).expect("connected");
    let of = |sql: &str| run(&connection, sql).expect_err(sql);
    let timeout = of("SET statement_timeout TO 10; SELECT pg_sleep(10)");
    assert!(
        matches!(&timeout, LedgerError::Unavailable { fix, .. } if fix.starts_with("it took too long")),
        "{timeout}"
    );
    let raised = |code: &str| of(&format!("DO $$ BEGIN RAISE 'no\nroom\x1b[1m' USING ERRCODE = '{code}'; END $$"));
    for code in ["40001", "40P01"] {
        assert!(matches!(raised(code), LedgerError::Conflict { .. }), "{code}");
    }
    for code in ["25006", "53300", "53100", "57P01", "57P03", "55P03", "08006", "53000"] {
        assert!(matches!(raised(code), LedgerError::Unavailable { .. }), "{code}");
    }
    for code in ["42501", "42P01", "XX000"] {
        assert!(matches!(raised(code), LedgerError::Rejected { .. }), "{code}");
    }
    let text = raised("53300").to_string();
    assert!(text.contains("no\\nroom\\u{1b}[1m") && !text.contains('\n'), "{text}");
}

#[test]
fn a_wrong_database_and_a_server_that_is_down_are_told_apart() {
    let Some(server) = Postgres::shared() else { return };
    let of = |url: &str| Connection::open(&options(url, PostgresTls::Disable)).expect_err(url);
    let missing = of(&server.url().replace("/postgres", "/nowhere"));
    assert!(
        matches!(&missing, LedgerError::Rejected { fix, .. } if fix.starts_with("create the database")),
        "{missing}"
    );
    let down = of("postgresql://stakeout@127.0.0.1:1/postgres");
    assert!(matches!(&down, LedgerError::Unavailable { .. }), "{down}");
}

#[test]
fn a_crash_ends_the_connection_and_another_one_works() {
    let Some(mut server) = Postgres::start() else { return };
    for stop in [Postgres::crash, Postgres::stop_fast] {
        let connection = open(&server).expect("connected");
        stop(&mut server);
        let error = run(&connection, "SELECT 1").expect_err("it is gone");
        assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
        assert!(connection.is_closed());
        server.start_again();
        assert!(run(&open(&server).expect("connected"), "SELECT 1").is_ok());
    }
}

#[test]
fn a_read_only_standby_is_not_connected_to() {
    let Some(mut server) = Postgres::start() else { return };
    server.stop_fast();
    server.configure("primary_conninfo = ''\n");
    fs::write(server.directory().join("standby.signal"), "").expect("ours");
    server.start_again();
    let error = open(&server).expect_err("a standby");
    assert!(matches!(&error, LedgerError::Unavailable { fix, .. } if fix.contains("standby")), "{error}");
}

/// Returns a server with the test's certificate of `localhost`, which asks for a password over the network.
fn server_with_tls() -> Option<Postgres> {
    let mut server = Postgres::start()?;
    server.sql("ALTER USER stakeout PASSWORD 'hunter2'");
    server.stop_fast();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tls");
    for name in ["server.pem", "server.key"] {
        let path = server.directory().join(name);
        fs::copy(data.join(name), &path).expect("copied");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        // The server reads it as the owner of its directory.
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(server.directory()).expect("there"));
        chown(&path, Some(owner), None).expect("ours");
    }
    server.configure("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n");
    fs::write(
        server.directory().join("pg_hba.conf"),
        "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
    )
    .expect("ours");
    server.start_again();
    Some(server)
}

#[test]
fn tls_is_checked_by_the_certificate_or_by_the_password() {
    let Some(server) = server_with_tls() else { return };
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/tls/ca.pem");
    let trusted = Certificates::none().with_file("test", Path::new(ca)).expect("a certificate");
    let full = |certificates: &Certificates| {
        PostgresTls::VerifyFull(Arc::new(Network::new(Proxies::default(), certificates).tls("postgresql")))
    };
    let require = || PostgresTls::Require(Arc::new(unverified_tls("postgresql")));
    let opened = |host: &str, password: &str, tls: PostgresTls| {
        let url = format!("postgresql://stakeout:{password}@{host}:{}/postgres", server.port());
        Connection::open(&options(&url, tls))
    };
    let connection = opened("localhost", "hunter2", full(&trusted)).expect("trusted");
    run(&connection, "SELECT 1/count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl").expect("encrypted");
    opened("127.0.0.1", "hunter2", require()).expect("the server proves itself by the password");

    let rejected = |opened: Result<Connection>, part: &str| {
        let error = opened.map(drop).expect_err(part);
        assert!(matches!(&error, LedgerError::Rejected { .. }), "{error}");
        assert!(error.to_string().contains(part) && !error.to_string().contains("hunter"), "{error}");
    };
    rejected(opened("localhost", "hunter2", full(&Certificates::none())), "tls.ca_file");
    rejected(opened("localhost", "hunter3", full(&trusted)), "correct user and password");
    rejected(opened("localhost", "hunter2", PostgresTls::Disable), "correct user and password");
    // A server in between that lets everybody in does not know the password.
    fs::write(server.directory().join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        .expect("ours");
    server.sql("SELECT pg_reload_conf()");
    let error = opened("127.0.0.1", "hunter2", require());
    rejected(error, "SCRAM");
}
