//! What Slack's Web API answers in place of `ok`: what the caller may do about it, and the fix for a person.
//!
//! The words are those of <https://docs.slack.dev/reference/methods/chat.postMessage> and
//! <https://docs.slack.dev/reference/methods/chat.update>.

use std::time::Duration;

use serde_json::Value;

use crate::error::SendError;
use crate::http::{Answer, quoted};

/// What a refusal means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same request may succeed later.
    Later,
    /// The message cannot be edited or answered any more: a new one can.
    Gone,
    /// Slack does not take the form: it may take the plain text.
    Form,
    /// Somebody has to act.
    Refused,
}

/// A request that Slack refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) meaning: Meaning,
    pub(super) error: SendError,
    /// Slack's word, where it gave one that is known.
    pub(super) word: Option<&'static str>,
}

/// The words that Slack refuses with, what each means, and what to do.
const KNOWN: [(&[&str], Meaning, &str); 14] = [
    (
        &["ratelimited", "rate_limited", "message_limit_exceeded"],
        Meaning::Later,
        "Slack takes about a message a second",
    ),
    (
        &[
            "internal_error",
            "fatal_error",
            "service_unavailable",
            "request_timeout",
            "team_added_to_org",
            "update_failed",
        ],
        Meaning::Later,
        "see https://slack-status.com if it lasts",
    ),
    (
        &[
            "message_not_found",
            "thread_not_found",
            "cant_update_message",
            "cannot_reply_to_message",
            "edit_window_closed",
            "is_inactive",
            "block_mismatch",
        ],
        Meaning::Gone,
        "the message was deleted, or must not be edited any more",
    ),
    (
        &["invalid_blocks", "invalid_blocks_format", "invalid_attachments", "msg_blocks_too_long", "msg_too_long"],
        Meaning::Form,
        "please report this: a message of Stakeout breaks a rule of Slack",
    ),
    (
        &["channel_not_found"],
        Meaning::Refused,
        "set `channel` to the id of an existing channel, which Slack shows at the end of the channel's details, and invite \
         the bot to it if it is private",
    ),
    (&["is_archived"], Meaning::Refused, "unarchive the channel, or set `channel` to another one"),
    (&["not_in_channel", "no_permission"], Meaning::Refused, "invite the bot to the channel: write /invite @BOT in it"),
    (
        &["invalid_auth", "not_authed", "not_allowed_token_type"],
        Meaning::Refused,
        "copy the Bot User OAuth Token again, which begins with xoxb-, from the app's page OAuth & Permissions; if the app \
         restricts IP addresses, add this machine's",
    ),
    (
        &["token_revoked", "account_inactive"],
        Meaning::Refused,
        "the app was removed from the workspace: install it again, and copy the new token",
    ),
    (&["token_expired"], Meaning::Refused, "turn off token rotation for the app, and copy the new token"),
    (
        &["missing_scope"],
        Meaning::Refused,
        "add the scope chat:write to the app's bot token, and install the app again",
    ),
    (
        &[
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
            "restricted_action_non_threadable_channel",
            "ekm_access_denied",
            "access_denied",
            "accesslimited",
            "team_access_not_granted",
        ],
        Meaning::Refused,
        "ask an administrator of the workspace to let the app post in this channel",
    ),
    (
        &["org_login_required", "enterprise_is_restricted", "two_factor_setup_required"],
        Meaning::Refused,
        "ask an administrator of the workspace",
    ),
    (
        &["method_deprecated", "deprecated_endpoint", "unknown_method"],
        Meaning::Refused,
        "use the latest version of Stakeout, and check `endpoint`",
    ),
];

/// Returns the answer's object if Slack did what was asked.
pub(super) fn accepted(answer: &Answer) -> Result<Value, Refusal> {
    let parsed: Option<Value> = serde_json::from_str(&answer.body).ok();
    let ok = parsed.as_ref().and_then(|parsed| parsed["ok"].as_bool());
    match (answer.status, ok, parsed) {
        (200, Some(true), Some(parsed)) => Ok(parsed),
        (200 | 429, Some(false), Some(parsed)) => Err(Refusal::of(&parsed, answer.retry_after)),
        // Probably the page of a proxy or a portal.
        (200, ..) => Err(SendError::later("status 200, but slack did not answer ok").into()),
        _ => Err(answer.failure().into()),
    }
}

impl Refusal {
    fn of(answer: &Value, retry_after: Option<Duration>) -> Refusal {
        let code = answer["error"].as_str().unwrap_or("no reason given");
        // Slack names the wrong block, or the scope that is needed.
        let details =
            answer["response_metadata"]["messages"].as_array().into_iter().flatten().chain([&answer["needed"]]);
        let details: Vec<&str> = details.filter_map(Value::as_str).take(3).collect();
        let details = if details.is_empty() { String::new() } else { format!(" [{}]", details.join("; ")) };
        let said = quoted(&format!("slack answered {code}{details}"));
        let known = KNOWN.iter().find(|(codes, ..)| codes.contains(&code));
        let (meaning, fix) = known.map_or((Meaning::Refused, ""), |(_, meaning, fix)| (*meaning, *fix));
        let word = known.and_then(|(codes, ..)| codes.iter().find(|known| **known == code).copied());
        let reason = if fix.is_empty() { said } else { format!("{said} ({fix})") };
        let error = match meaning {
            Meaning::Later => SendError::later_after(retry_after, reason),
            Meaning::Gone | Meaning::Form | Meaning::Refused => SendError::refused(reason),
        };
        Refusal { meaning, error, word }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Refusal {
        let is_later = matches!(error, SendError::Later { .. });
        Refusal { meaning: if is_later { Meaning::Later } else { Meaning::Refused }, error, word: None }
    }
}

#[cfg(test)]
mod tests {
    use stakeout_http::header::HeaderMap;

    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        let answer = Answer {
            status,
            retry_after: Some(Duration::from_secs(7)),
            body: body.to_owned(),
            headers: HeaderMap::new(),
        };
        accepted(&answer).expect_err("refused")
    }

    /// Each refusal that a person can meet names what to do.
    #[test]
    fn each_refusal_has_a_meaning_and_a_fix() {
        let of = |code: &str| refusal(200, &format!("{{\"ok\":false,\"error\":\"{code}\"}}"));
        for (code, meaning, fix) in [
            ("ratelimited", Meaning::Later, "a message a second"),
            ("message_not_found", Meaning::Gone, "deleted"),
            ("msg_too_long", Meaning::Form, "report"),
            ("invalid_blocks", Meaning::Form, "report"),
            ("channel_not_found", Meaning::Refused, "id of an existing channel"),
            ("is_archived", Meaning::Refused, "unarchive"),
            ("not_in_channel", Meaning::Refused, "/invite"),
            ("invalid_auth", Meaning::Refused, "xoxb-"),
            ("token_revoked", Meaning::Refused, "install it again"),
            ("account_inactive", Meaning::Refused, "install it again"),
            ("missing_scope", Meaning::Refused, "chat:write"),
        ] {
            let refusal = of(code);
            assert_eq!(refusal.meaning, meaning, "{code}");
            let shown = refusal.error.to_string();
            assert!(shown.contains(code) && shown.contains(fix), "{shown}");
        }
        assert_eq!(of("never_heard_of").error.to_string(), "refused: slack answered never_heard_of");
    }

    #[test]
    fn a_refusal_quotes_what_slack_says_of_it() {
        let body = r#"{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] too long"]}}"#;
        assert!(refusal(200, body).error.to_string().contains("invalid_blocks [[ERROR] too long]"));
        let body = r#"{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"users:read"}"#;
        assert!(refusal(200, body).error.to_string().contains("missing_scope [chat:write]"));
        let later = refusal(429, r#"{"ok":false,"error":"ratelimited"}"#).error;
        assert!(matches!(later, SendError::Later { after: Some(after), .. } if after.as_secs() == 7), "{later}");
        let portal = refusal(200, "<html>please log in</html>");
        assert_eq!((portal.meaning, portal.error.to_string().contains("did not answer ok")), (Meaning::Later, true));
    }
}
