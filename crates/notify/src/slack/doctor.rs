//! What a person wants to know of a bot before its first message: whether Slack knows its token, and whether it can post in the
//! channel. Nothing is posted.
//!
//! `auth.test` needs no scope, and its answer has the scopes of the token in a header. `conversations.info` needs a scope that
//! Stakeout does not need otherwise: without it, only a message shows whether the channel takes messages.
//! <https://docs.slack.dev/reference/methods/auth.test>, <https://docs.slack.dev/reference/methods/conversations.info>

use serde_json::Value;
use stakeout_core::check::{Check, Status};
use stakeout_http::header::HeaderMap;

use super::bot::Bot;
use super::refusal::{Meaning, Refusal};
use crate::http::quoted;

/// The header with the scopes of a token.
const SCOPES_HEADER: &str = "x-oauth-scopes";
/// The scope without which nothing can be posted, and the one with which a bot posts in public channels that it is not in.
const WRITE: &str = "chat:write";
const WRITE_PUBLIC: &str = "chat:write.public";

impl Bot {
    /// Returns what Slack says of the token and the channel. `name` is the destination's.
    pub(crate) async fn checks(&self, name: &str) -> Vec<Check> {
        match self.ask("auth.test", &[]).await {
            Ok((answer, headers)) => {
                let scopes = scopes(&headers);
                vec![token(&answer, scopes.as_deref()), self.channel(name, &scopes.unwrap_or_default()).await]
            }
            Err(refusal) => vec![refused("token", &refusal)],
        }
    }

    async fn channel(&self, name: &str, scopes: &[String]) -> Check {
        let test = format!("stakeout notify test {name}");
        let Some(id) = self.channel_by_id() else {
            let finding = "Slack looks a channel up by its id only, and the config has its name";
            let fix = format!(
                "set `channel` to the id, which Slack shows at the end of the channel's details, or run {test}"
            );
            return Check::of("channel", Status::Unknown, finding, fix);
        };
        let answer = match self.ask("conversations.info", &[("channel", id)]).await {
            Ok((answer, _)) => answer,
            Err(Refusal { word: Some("missing_scope"), .. }) => {
                let finding = "the bot's token may not look at channels, which it does not need to post";
                let fix = format!("run {test}, or add the scope channels:read, for a private channel groups:read");
                return Check::of("channel", Status::Unknown, finding, fix);
            }
            Err(refusal) => return refused("channel", &refusal),
        };
        let channel = &answer["channel"];
        let shown = quoted(&format!("#{}", channel["name"].as_str().unwrap_or(id)));
        let is = |fact: &str| channel[fact].as_bool() == Some(true);
        let is_public = !is("is_private") && scopes.iter().any(|scope| scope == WRITE_PUBLIC);
        match () {
            () if is("is_archived") => {
                let fix = "unarchive the channel, or set `channel` to another one";
                Check::of("channel", Status::Bad, format!("{shown} is archived"), fix)
            }
            () if !is("is_member") && !is_public => {
                let fix = "invite the bot: write /invite @BOT in the channel";
                Check::of("channel", Status::Bad, format!("the bot is not in {shown}"), fix)
            }
            () if is("is_read_only") || is("is_frozen") => {
                let fix = format!("ask an administrator to let the bot post in the channel, and run {test}");
                Check::of("channel", Status::Doubtful, format!("not everybody may post in {shown}"), fix)
            }
            () => Check::good("channel", format!("the bot can post in {shown}")),
        }
    }
}

fn token(answer: &Value, scopes: Option<&[String]>) -> Check {
    let text = |name: &str| answer[name].as_str().unwrap_or("?");
    let who = quoted(&format!("{} in the workspace {}", text("user"), text("team")));
    match scopes {
        Some(scopes) if !scopes.iter().any(|scope| scope == WRITE) => {
            let fix = "add the scope chat:write to the app's bot token, and install the app again";
            Check::of("token", Status::Bad, format!("the token of {who} lacks the scope {WRITE}"), fix)
        }
        _ => Check::good("token", format!("Slack knows the bot {who}")),
    }
}

/// Returns the scopes of the token, if Slack names them.
fn scopes(headers: &HeaderMap) -> Option<Vec<String>> {
    let header = headers.get(SCOPES_HEADER)?.to_str().ok()?;
    Some(header.split(',').map(|scope| scope.trim().to_owned()).collect())
}

/// Returns the check of a question that Slack refused: its reason has the fix.
fn refused(subject: &'static str, refusal: &Refusal) -> Check {
    let said = refusal.error.to_string();
    let (finding, fix) = match said.split_once(" (").and_then(|(said, fix)| Some((said, fix.strip_suffix(')')?))) {
        Some((finding, fix)) => (finding.to_owned(), fix.to_owned()),
        None => (said, "check the way to Slack, and https://slack-status.com".to_owned()),
    };
    let status = if refusal.meaning == Meaning::Later { Status::Unknown } else { Status::Bad };
    Check::of(subject, status, finding, fix)
}
