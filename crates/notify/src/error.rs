//! What became of a message, and why a destination could not be set up, named after what the caller may do.
//!
//! No text in here ever holds a webhook's address or a token: both are secrets.

use std::time::Duration;

use stakeout_http::{ClientError, EndpointError};
use thiserror::Error;

/// Longest time that a destination may make us wait: it cannot silence alerts for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A destination took a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The destination's own name for the message (SNS `MessageId`), where it gives one.
    pub remote_id: Option<String>,
    /// Whether Slack refused the blocks and took the plain text instead.
    pub plain_text: bool,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The destination or the way to it is not ready: send the same message later.
    #[error("not taken yet: {reason}")]
    Later {
        /// How long the destination asks to wait, where it says.
        after: Option<Duration>,
        /// What failed.
        reason: String,
    },
    /// It will not be taken until somebody changes the destination or the config: keep what is owed and tell.
    #[error("refused: {reason}")]
    Refused {
        /// What the destination said.
        reason: String,
    },
}

/// Why a destination cannot be set up: the config is to be fixed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// The address must not be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The destination cannot be used as it is configured.
    #[error("{reason}")]
    Address {
        /// What is wrong and how to fix it, without the address.
        reason: &'static str,
    },
    /// The client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl SendError {
    /// Returns the error that asks to send again at a time of the caller's choice.
    pub(crate) fn later(reason: impl Into<String>) -> SendError {
        SendError::Later { after: None, reason: reason.into() }
    }

    /// Returns the error that asks to send again after the time that the destination asks for, at most an hour.
    pub(crate) fn later_after(asked: Option<Duration>, reason: String) -> SendError {
        SendError::Later { after: asked.map(|wait| wait.min(RETRY_AFTER_MAX)), reason }
    }

    /// Returns the error that asks for a change of the destination or the config.
    pub(crate) fn refused(reason: impl Into<String>) -> SendError {
        SendError::Refused { reason: reason.into() }
    }
}
