//! Slack's Web API for one bot: `chat.postMessage`, `chat.update`, `auth.test` and `conversations.info`, with the error shapes of the original. Every
//! answer has status 200 but those to too many requests and those of a broken service; `ok` says what happened.
//! <https://docs.slack.dev/apis/web-api/>

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::block_kit;
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::form;
use crate::guarded::Guarded;
use crate::markup::{self, ActiveMarkup};
use crate::server::{Server, Service};
use crate::slack_refusal::SlackRefusal;

/// The only valid token of a fake.
pub const BOT_TOKEN: &str = "xoxb-000000000000-000000000000-fakefakefakefakefakefake";
/// The id and the name of the channel that the bot is in.
pub const CHANNEL: (&str, &str) = ("C024BE91L", "secops");
/// The interval between messages with [`SlackApi::limit_rate`].
const MESSAGE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest text of a message.
const TEXT_UNITS_MAX: usize = 40_000;
/// Arguments of a method that are no part of the message.
const ARGUMENTS: [&str; 6] = ["channel", "ts", "thread_ts", "reply_broadcast", "token", "parse"];

/// A running fake of Slack's Web API; dropping it stops it.
#[derive(Debug)]
pub struct SlackApi {
    server: Server,
    workspace: Arc<Workspace>,
}

/// A message as it is in the channel now.
#[derive(Clone, Debug, PartialEq)]
pub struct PostedMessage {
    /// The channel's id.
    pub channel: String,
    /// Its name in the channel.
    pub ts: String,
    /// The message whose thread it is in.
    pub thread_ts: Option<String>,
    /// Whether it is shown in the channel although it is in a thread.
    pub is_broadcast: bool,
    /// Text and blocks.
    pub payload: Value,
    /// How often it was edited.
    pub edits: usize,
    /// When it was posted, by the fake's clock.
    pub at: Timestamp,
}

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelProblem {
    /// It is archived.
    Archived,
    /// The bot is not in it.
    NotMember,
    /// Nobody may post in it.
    ReadOnly,
}

/// What is wrong with the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// The app was removed.
    Revoked,
    /// The workspace or the bot user is gone.
    Inactive,
    /// It lacks `chat:write`.
    MissingScope,
}

/// The scopes of the token, unless [`TokenProblem::MissingScope`] or [`SlackApi::grant`] says otherwise.
const SCOPES: &str = "chat:write";

impl SlackApi {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let workspace = Arc::new(Workspace::default());
        Ok(Self { server: Server::start(Arc::clone(&workspace)).await?, workspace })
    }

    /// Returns the base URL: the methods are below `/api/`.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Returns all messages as they are now, in the order in which they were posted.
    pub fn messages(&self) -> Vec<PostedMessage> {
        self.workspace.state.lock().messages.clone()
    }

    /// Returns the messages outside of threads.
    pub fn channel_messages(&self) -> Vec<PostedMessage> {
        self.messages().into_iter().filter(|message| message.thread_ts.is_none()).collect()
    }

    /// Returns the active mentions and links in the messages.
    pub fn active_markup(&self) -> Vec<ActiveMarkup> {
        self.messages().iter().flat_map(|message| markup::active_markup(&message.payload)).collect()
    }

    /// Deletes a message, as a person in the channel may.
    pub fn delete(&self, ts: &str) {
        self.workspace.state.lock().messages.retain(|message| message.ts != ts);
    }

    /// Sets what is wrong with the channel from now on.
    pub fn set_channel_problem(&self, problem: Option<ChannelProblem>) {
        self.workspace.state.lock().channel_problem = problem;
    }

    /// Sets what is wrong with the token from now on.
    pub fn set_token_problem(&self, problem: Option<TokenProblem>) {
        self.workspace.state.lock().token_problem = problem;
    }

    /// Gives the token these scopes, such as `chat:write,channels:read`.
    pub fn grant(&self, scopes: &str) {
        self.workspace.state.lock().scopes = Some(scopes.to_owned());
    }

    /// Answers 429 to a request that comes within a second after another one was accepted, by the fake's clock.
    pub fn limit_rate(&self, limited: bool) {
        self.workspace.state.lock().is_rate_limited = limited;
    }
}

impl Deref for SlackApi {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Workspace {
    state: Guarded<WorkspaceState>,
}

#[derive(Debug, Default)]
struct WorkspaceState {
    messages: Vec<PostedMessage>,
    posted: u64,
    last: Option<Timestamp>,
    channel_problem: Option<ChannelProblem>,
    token_problem: Option<TokenProblem>,
    scopes: Option<String>,
    is_rate_limited: bool,
}

/// An error answer: the word, and other members of the answer.
struct Refused(&'static str, Map<String, Value>);

impl From<&'static str> for Refused {
    fn from(error: &'static str) -> Self {
        Self(error, Map::new())
    }
}

impl Service for Workspace {
    const NAME: &'static str = "slack_api";

    fn target(&self, request: &HttpRequest) -> String {
        request.path.strip_prefix("/api/").unwrap_or(&request.path).to_owned()
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        let mut state = self.state.lock();
        let done = arguments(request).and_then(|arguments| {
            let method = request.path.strip_prefix("/api/").unwrap_or_default();
            state.check_token(request, &arguments, method)?;
            match request.path.as_str() {
                "/api/auth.test" => Ok(json!({
                    "url": "https://example.slack.com/", "team": "Example", "user": "stakeout", "team_id": "T0123456",
                    "user_id": "U0123456", "bot_id": "B0123456", "is_enterprise_install": false,
                })),
                "/api/chat.postMessage" | "/api/chat.update" if state.is_too_fast(now) => Err("ratelimited".into()),
                "/api/conversations.info" => state.channel(request, &arguments),
                "/api/chat.postMessage" => state.post(&arguments, now),
                "/api/chat.update" => state.update(&arguments, now),
                _ => Err("unknown_method".into()),
            }
        });
        match done {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                // Slack wants to know the character set of JSON.
                let is_without = request.header("content-type").is_some_and(|it| it.trim() == "application/json");
                if is_without {
                    answer["warning"] = json!("missing_charset");
                    answer["response_metadata"] = json!({"warnings": ["missing_charset"]});
                }
                object(200, &answer).with_header("x-oauth-scopes", state.scopes())
            }
            Err(Refused("ratelimited", _)) => too_many().with_header("retry-after", "1"),
            Err(Refused(error, mut members)) => {
                members.insert("ok".to_owned(), json!(false));
                members.insert("error".to_owned(), json!(error));
                object(200, &Value::Object(members))
            }
        }
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => too_many(),
            Refusal::InternalError => object(500, &json!({"ok": false, "error": "internal_error"})),
            Refusal::Unavailable => object(503, &json!({"ok": false, "error": "service_unavailable"})),
            Refusal::Denied => object(200, &json!({"ok": false, "error": "restricted_action"})),
        }
    }
}

fn object(status: u16, answer: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", answer.to_string())
}

fn too_many() -> Answer {
    object(429, &json!({"ok": false, "error": "ratelimited"}))
}

/// Reads the arguments of a method, from JSON or from a form, in which lists are JSON in a text.
fn arguments(request: &HttpRequest) -> Result<Map<String, Value>, Refused> {
    if request.method != Method::POST {
        return Err("not_authed".into());
    }
    match request.content_type() {
        // A method without arguments needs no object.
        "application/json" if request.body.is_empty() => Ok(Map::new()),
        "application/json" => match serde_json::from_slice(&request.body) {
            Ok(Value::Object(arguments)) => Ok(arguments),
            Ok(_) => Err("json_not_object".into()),
            Err(_) => Err("invalid_json".into()),
        },
        "application/x-www-form-urlencoded" => {
            let pairs = form::decode(&request.body).ok_or("invalid_form_data")?;
            let named = pairs.into_iter().map(|(name, text)| {
                let value = match name.as_str() {
                    "blocks" | "attachments" | "metadata" => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                    "unfurl_links" | "unfurl_media" | "reply_broadcast" | "mrkdwn" => {
                        json!(matches!(text.as_str(), "true" | "1" | "True"))
                    }
                    _ => Value::String(text),
                };
                (name, value)
            });
            Ok(named.collect())
        }
        "" => Err("missing_post_type".into()),
        _ => Err("invalid_post_type".into()),
    }
}

impl WorkspaceState {
    fn scopes(&self) -> &str {
        match self.token_problem {
            Some(TokenProblem::MissingScope) => "incoming-webhook",
            _ => self.scopes.as_deref().unwrap_or(SCOPES),
        }
    }

    fn check_token(&self, request: &HttpRequest, arguments: &Map<String, Value>, method: &str) -> Result<(), Refused> {
        // In JSON the token is never an argument.
        let is_form = request.content_type() != "application/json";
        let argument = arguments.get("token").and_then(Value::as_str).filter(|_| is_form);
        let bearer = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        match bearer.or(argument) {
            None | Some("") => return Err("not_authed".into()),
            Some(token) if token != BOT_TOKEN => return Err("invalid_auth".into()),
            Some(_) => {}
        }
        match self.token_problem {
            Some(TokenProblem::Revoked) => return Err("token_revoked".into()),
            Some(TokenProblem::Inactive) => return Err("account_inactive".into()),
            Some(TokenProblem::MissingScope) | None => {}
        }
        let needed = match method {
            "chat.postMessage" | "chat.update" => "chat:write",
            "conversations.info" => "channels:read",
            _ => return Ok(()),
        };
        if self.scopes().split(',').any(|scope| scope == needed) {
            return Ok(());
        }
        let members = json!({"needed": needed, "provided": self.scopes()});
        Err(Refused("missing_scope", members.as_object().cloned().unwrap_or_default()))
    }

    /// Describes the channel. The original reads no JSON here, so the channel is missing then.
    fn channel(&self, request: &HttpRequest, arguments: &Map<String, Value>) -> Result<Value, Refused> {
        let channel = text(arguments, "channel").filter(|_| request.content_type() != "application/json");
        let Some(channel) = channel else {
            let messages = json!({"response_metadata": {"messages": ["[ERROR] missing required field: channel"]}});
            return Err(Refused("invalid_arguments", messages.as_object().cloned().unwrap_or_default()));
        };
        if channel != CHANNEL.0 {
            return Err("channel_not_found".into());
        }
        let problem = self.channel_problem;
        Ok(json!({"channel": {
            "id": CHANNEL.0, "name": CHANNEL.1, "name_normalized": CHANNEL.1, "is_channel": true, "is_group": false,
            "is_im": false, "is_mpim": false, "is_private": false, "created": 1_449_252_889, "creator": "W0123456",
            "is_archived": problem == Some(ChannelProblem::Archived), "is_general": false, "is_shared": false,
            "is_member": problem != Some(ChannelProblem::NotMember),
            "is_read_only": problem == Some(ChannelProblem::ReadOnly),
        }}))
    }

    fn is_too_fast(&self, now: Timestamp) -> bool {
        let passed = self.last.map(|last| now.duration_since(last).unsigned_abs());
        self.is_rate_limited && passed.is_some_and(|passed| passed < MESSAGE_INTERVAL)
    }

    fn post(&mut self, arguments: &Map<String, Value>, now: Timestamp) -> Result<Value, Refused> {
        let channel = text(arguments, "channel").ok_or("channel_not_found")?;
        let name = channel.strip_prefix('#').unwrap_or(channel);
        if name != CHANNEL.0 && name != CHANNEL.1 {
            return Err("channel_not_found".into());
        }
        match self.channel_problem {
            None => {}
            Some(ChannelProblem::Archived) => return Err("is_archived".into()),
            Some(ChannelProblem::NotMember) => return Err("not_in_channel".into()),
            Some(ChannelProblem::ReadOnly) => return Err("restricted_action_read_only_channel".into()),
        }
        let payload = payload(arguments)?;
        let thread_ts = text(arguments, "thread_ts").map(str::to_owned);
        if let Some(thread) = &thread_ts
            && !self.messages.iter().any(|message| message.ts == *thread && message.thread_ts.is_none())
        {
            return Err("thread_not_found".into());
        }
        let is_broadcast = arguments.get("reply_broadcast") == Some(&json!(true));
        if is_broadcast && thread_ts.is_none() {
            return Err("invalid_arguments".into());
        }
        self.posted += 1;
        self.last = Some(now);
        let ts = format!("{}.{:06}", now.as_second(), self.posted);
        let channel = CHANNEL.0.to_owned();
        let message = PostedMessage { channel, ts, thread_ts, is_broadcast, payload, edits: 0, at: now };
        let answer = json!({"channel": message.channel, "ts": message.ts, "message": shown(&message)});
        self.messages.push(message);
        Ok(answer)
    }

    fn update(&mut self, arguments: &Map<String, Value>, now: Timestamp) -> Result<Value, Refused> {
        // An edit needs the channel's id.
        if text(arguments, "channel") != Some(CHANNEL.0) {
            return Err("channel_not_found".into());
        }
        if self.channel_problem == Some(ChannelProblem::Archived) {
            return Err("is_inactive".into());
        }
        let changed = payload(arguments)?;
        let ts = text(arguments, "ts").ok_or("message_not_found")?;
        let message = self.messages.iter_mut().find(|message| message.ts == ts).ok_or("message_not_found")?;
        message.payload = changed;
        message.edits += 1;
        self.last = Some(now);
        Ok(json!({"channel": CHANNEL.0, "ts": ts, "text": message.payload["text"], "message": shown(message)}))
    }
}

/// Returns the message in the arguments of a method, if Slack would take it.
fn payload(arguments: &Map<String, Value>) -> Result<Value, Refused> {
    let members: BTreeMap<&String, &Value> =
        arguments.iter().filter(|(name, _)| !ARGUMENTS.contains(&name.as_str())).collect();
    let payload = json!(members);
    if payload["text"].as_str().is_some_and(|text| text.encode_utf16().count() > TEXT_UNITS_MAX) {
        return Err("msg_too_long".into());
    }
    block_kit::check(&payload).map_err(|(refusal, problems)| {
        let messages: Vec<String> =
            problems.iter().map(|problem| format!("[ERROR] {} [json-pointer:{}]", problem.says, problem.at)).collect();
        let members = json!({"response_metadata": {"messages": messages}}).as_object().cloned().unwrap_or_default();
        match refusal {
            SlackRefusal::NoText => Refused("no_text", members),
            SlackRefusal::InvalidPayload => Refused("invalid_arguments", members),
            _ => Refused("invalid_blocks", members),
        }
    })?;
    Ok(payload)
}

fn shown(message: &PostedMessage) -> Value {
    let mut shown = message.payload.clone();
    shown["type"] = json!("message");
    shown["bot_id"] = json!("B0123456");
    shown["ts"] = json!(message.ts);
    if let Some(thread) = &message.thread_ts {
        shown["thread_ts"] = json!(thread);
    }
    shown
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}
