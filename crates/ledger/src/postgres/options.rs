//! Where the database is, and how safe the way to it must be. The password is never shown.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use stakeout_http::TlsConfig;
use tokio_postgres::config::{ChannelBinding, Config, Host, SslMode, TargetSessionAttrs};

/// How long a connection may take. After it, the next host of the URL is tried.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long sent bytes may stay without an acknowledgement. Without it, Linux waits for a quarter of an hour.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// When a connection without traffic is tested, and how often until it counts as broken: after a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVES_MAX: u32 = 3;
/// PostgreSQL cuts longer names, so two of them could mean the same.
const NAME_BYTES_MAX: usize = 63;

/// How safe the way to the database must be.
#[derive(Clone)]
pub enum PostgresTls {
    /// Not encrypted. Only on this machine.
    Disable,
    /// Encrypted. The certificate is not checked; instead the server must prove that it knows the password, over this very
    /// connection (SCRAM with channel binding), so that nobody can listen in between.
    Require(Arc<TlsConfig>),
    /// Encrypted, and the certificate must be of the host of the URL, by an authority that is trusted.
    VerifyFull(Arc<TlsConfig>),
}

/// Where the state is in PostgreSQL.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) config: Box<Config>,
    pub(super) tls: PostgresTls,
    pub(super) schema: String,
}

impl PostgresOptions {
    /// Returns the options of a URL (`postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; several hosts with commas between).
    ///
    /// # Errors
    ///
    /// With what is wrong and the fix. Neither has a part of the URL, which may be a part of the password.
    pub fn new(url: &SecretString, schema: &str, tls: PostgresTls) -> Result<PostgresOptions, (String, String)> {
        let fix = "write postgresql://USER:PASSWORD@HOST:5432/DATABASE, special characters of the password as %XX";
        let mut config: Config = url
            .expose_secret()
            .parse()
            .map_err(|_| ("this is not a URL of a PostgreSQL database".to_owned(), fix.to_owned()))?;
        for (is_set, what) in [
            (!config.get_hosts().is_empty(), "host"),
            (config.get_user().is_some(), "user"),
            (config.get_dbname().is_some(), "database"),
        ] {
            if !is_set {
                return Err((format!("the URL of the database names no {what}"), fix.to_owned()));
            }
        }
        if !is_name(schema) {
            return Err((
                format!("`{}` is not the name of a schema", schema.escape_debug()),
                format!(
                    "write lower-case letters, digits and _, beginning with a letter, at most {NAME_BYTES_MAX} of them"
                ),
            ));
        }
        if let PostgresTls::Disable = tls
            && !config.get_hosts().iter().all(is_on_this_machine)
        {
            return Err((
                "without TLS, everybody on the way can read the password and change the state".to_owned(),
                "write `tls: verify-full` or `tls: require`; a database on this machine needs none".to_owned(),
            ));
        }
        let (mode, binding) = match &tls {
            PostgresTls::Disable => (SslMode::Disable, ChannelBinding::Disable),
            PostgresTls::Require(_) => (SslMode::Require, ChannelBinding::Require),
            PostgresTls::VerifyFull(_) => (SslMode::Require, ChannelBinding::Prefer),
        };
        config.ssl_mode(mode).channel_binding(binding);
        config.application_name("stakeout").target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_MAX).tcp_user_timeout(UNACKNOWLEDGED_MAX).keepalives(true);
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVES_MAX);
        Ok(PostgresOptions { config: Box::new(config), tls, schema: schema.to_owned() })
    }

    /// Returns the schema that holds the state.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// Shows hosts, database and schema, as a person needs them to find it: `db.example.com/stakeout (schema stakeout)`.
impl fmt::Display for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(shown).collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "{}/{} (schema {})", hosts.join(","), database.escape_debug(), self.schema)
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({self})")
    }
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.escape_debug().to_string(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Returns whether the way to `host` does not leave this machine.
fn is_on_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

/// Returns whether a name needs no quotes and stays whole.
fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_inner)
        && !text.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, schema: &str) -> Result<PostgresOptions, (String, String)> {
        PostgresOptions::new(&SecretString::from(url), schema, PostgresTls::Disable)
    }

    #[test]
    fn only_a_database_on_this_machine_needs_no_tls() {
        for host in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            let url = format!("postgresql://stakeout:x@{host}/state");
            assert!(options(&url, "stakeout").is_ok(), "{host}");
        }
        for host in ["db.example.com", "10.0.0.1", "localhost,db.example.com", "localhost.example.com"] {
            let (problem, _) = options(&format!("postgresql://stakeout:x@{host}/state"), "stakeout").expect_err(host);
            assert!(problem.starts_with("without TLS"), "{problem}");
        }
    }

    #[test]
    fn no_error_and_no_text_has_a_part_of_the_password() {
        for url in
            ["u:hunter2@localhost", "hunter2", "postgresql://u@localhost/d?hunter2=x", "postgresql://u:x@h:hunter2/d"]
        {
            let (problem, fix) = options(url, "stakeout").expect_err("not a URL");
            assert!(!format!("{problem}{fix}").contains("ter2"), "{problem}");
        }
        let options = options("postgresql://u:hunter2@localhost/d", "stakeout").expect("a URL");
        assert_eq!(format!("{options} {options:?}").matches("ter2").count(), 0);
        assert_eq!(options.to_string(), "localhost/d (schema stakeout)");
    }

    #[test]
    fn what_a_url_must_name_and_what_a_schema_may_be() {
        let problem = |url: &str, schema: &str| options(url, schema).map(drop).map_err(|(problem, _)| problem);
        let no = |what: &str| Err(format!("the URL of the database names no {what}"));
        assert_eq!(problem("postgresql:///d?user=u", "s"), no("host"));
        assert_eq!(problem("postgresql://localhost/d", "s"), no("user"));
        assert_eq!(problem("postgresql://u@localhost", "s"), no("database"));
        for schema in ["", "Stakeout", "a\"b", "pg_state", "1a", "a-b", &"a".repeat(64)] {
            assert!(problem("postgresql://u@localhost/d", schema).is_err(), "{schema}");
        }
        assert_eq!(problem("postgresql://u@localhost/d", "team_1"), Ok(()));
    }
}
