//! Slack's refusals of a webhook message: a status, and a word as the body.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use crate::exchange::Answer;
use crate::fault::Fault;

/// Slack's refusals of a webhook message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackRefusal {
    /// 400: not JSON, or not the shape of a message.
    InvalidPayload,
    /// 400: the blocks break a rule of Block Kit.
    InvalidBlocks,
    /// 400: neither text nor blocks.
    NoText,
    /// 403: the secret in the URL is wrong.
    InvalidToken,
    /// 403: an administrator forbids it.
    ActionProhibited,
    /// 404: the webhook is gone or never was.
    NoService,
    /// 404: its channel is gone.
    ChannelNotFound,
    /// 410: its channel is archived.
    ChannelIsArchived,
    /// 500: an error of Slack.
    RollupError,
}

impl SlackRefusal {
    /// Returns the HTTP status and the body of the answer.
    pub fn status_and_body(self) -> (u16, &'static str) {
        match self {
            Self::InvalidPayload => (400, "invalid_payload"),
            Self::InvalidBlocks => (400, "invalid_blocks"),
            Self::NoText => (400, "no_text"),
            Self::InvalidToken => (403, "invalid_token"),
            Self::ActionProhibited => (403, "action_prohibited"),
            Self::NoService => (404, "no_service"),
            Self::ChannelNotFound => (404, "channel_not_found"),
            Self::ChannelIsArchived => (410, "channel_is_archived"),
            Self::RollupError => (500, "rollup_error"),
        }
    }

    pub(crate) fn answer(self) -> Answer {
        let (status, body) = self.status_and_body();
        Answer::text(status, body)
    }
}

impl From<SlackRefusal> for Fault {
    fn from(refusal: SlackRefusal) -> Self {
        let (status, body) = refusal.status_and_body();
        Self::Answer { status, body: body.to_owned() }
    }
}
