//! What a refusal of PostgreSQL means to the caller of the ledger.
//!
//! The classes are those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::LedgerError;

const STANDBY: &str = "it is a read-only standby: name the primary in the URL, or all hosts with commas between";

/// Returns what the failure of `action` means.
pub(super) fn of(action: &str, error: &Error) -> LedgerError {
    let Some(refusal) = error.as_db_error() else {
        return without_answer(action, error);
    };
    let (code, reason) = (refusal.code(), format!("cannot {action}: {}", escaped(refusal.message())));
    let unavailable = |fix| LedgerError::Unavailable { reason: reason.clone(), fix };
    let rejected = |fix| LedgerError::Rejected { reason: reason.clone(), fix };
    match code.code() {
        "40001" | "40P01" => LedgerError::Conflict { reason },
        "57014" => unavailable("it took too long: look for a lock or a load that slows the database down"),
        "55P03" => unavailable("another session holds a lock for too long: look at pg_locks"),
        "25006" => unavailable(STANDBY),
        "53300" => unavailable("raise max_connections, or end other clients: each replica needs three connections"),
        "53100" => unavailable("the disk of the database is full: make room"),
        "57P01" | "57P02" | "57P03" => unavailable("it stops or starts: wait, or look at its log"),
        "25P03" | "25P02" => unavailable("it ended a transaction that took too long"),
        "28P01" | "28000" => rejected("correct user and password in the URL, and pg_hba.conf"),
        "3D000" => rejected("create the database, or correct its name in the URL"),
        "42501" => rejected("grant the user CREATE on the database, or all rights on the schema"),
        _ if is_of_class(code, "08") => unavailable("look at the network and at the log of the database"),
        _ if is_of_class(code, "53") => unavailable("the database has too little of a resource: look at its log"),
        _ if is_of_class(code, "58") || is_of_class(code, "XX") => rejected("look at the log of the database"),
        _ => rejected("this is unexpected: please report it"),
    }
}

/// Returns what it means that the database did not answer.
pub(super) fn no_answer(action: &str) -> LedgerError {
    LedgerError::Unavailable {
        reason: format!("cannot {action}: it did not answer in time"),
        fix: "look at the network and the load of the database",
    }
}

/// The library found no answer of the server: the network, TLS, or how the two get to know each other.
fn without_answer(action: &str, error: &Error) -> LedgerError {
    let mut reason = format!("cannot {action}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !reason.ends_with(&cause_text) {
            reason = format!("{reason}: {cause_text}");
        }
        source = cause.source();
    }
    let reason = escaped(&reason);
    if reason.contains("invalid peer certificate") {
        let fix = "name the database's certificate authority in `tls.ca_file`, and in the URL a host that its certificate names";
        return LedgerError::Rejected { reason, fix };
    }
    if reason.contains("channel binding") || reason.contains("server does not support TLS") {
        let fix = "let the database use TLS and SCRAM (password_encryption = scram-sha-256)";
        return LedgerError::Rejected { reason, fix };
    }
    if reason.contains("does not allow writes") {
        return LedgerError::Unavailable { reason, fix: STANDBY };
    }
    LedgerError::Unavailable { reason, fix: "look whether the database runs and can be reached from here" }
}

fn is_of_class(code: &SqlState, class: &str) -> bool {
    code.code().starts_with(class)
}

/// A server in between may answer whatever it likes, and a person reads it in a terminal.
fn escaped(text: &str) -> String {
    text.chars().take(500).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
