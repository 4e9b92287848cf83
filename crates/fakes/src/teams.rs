//! The webhook of a workflow of Microsoft Teams: takes a message with an Adaptive Card as strictly as Teams shows it, answers 202,
//! and keeps the card.
//!
//! It knows the elements that Stakeout uses. `tests/node/cards.js` reads the same cards with Microsoft's own library.
//! <https://adaptivecards.io/explorer/>

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// The only path of a fake, and its key, as a workflow has them.
const PATH: &str = "/workflows/0123456789abcdef/triggers/manual/paths/invoke";
const SIGNATURE: &str = "fake-signature-of-the-workflow";
/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 28 * 1024;

/// A running workflow; dropping it stops it.
#[derive(Debug)]
pub struct Teams {
    server: Server,
    channel: Arc<Channel>,
}

impl Teams {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let channel = Arc::new(Channel::default());
        Ok(Self { server: Server::start(Arc::clone(&channel)).await?, channel })
    }

    /// Returns the URL of the workflow, which is its credential.
    pub fn webhook_url(&self) -> String {
        format!(
            "{}{PATH}?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}",
            self.server.url()
        )
    }

    /// Returns all cards that were posted, in order.
    pub fn cards(&self) -> Vec<Value> {
        self.channel.cards.lock().clone()
    }
}

impl Deref for Teams {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Channel {
    cards: Guarded<Vec<Value>>,
}

impl Service for Channel {
    const NAME: &'static str = "teams";

    fn target(&self, request: &HttpRequest) -> String {
        // The path and the query are secrets.
        format!("{} {}", request.method, if request.path == PATH { "workflow" } else { request.path.as_str() })
    }

    fn answer(&self, request: &HttpRequest, _now: Timestamp) -> Answer {
        if request.path != PATH {
            return problem(404, "WorkflowNotFound", "The workflow could not be found.");
        }
        if request.method != Method::POST {
            return Answer::text(405, "Method Not Allowed");
        }
        if !request.query.contains(SIGNATURE) {
            return problem(401, "DirectApiAuthorizationRequired", "The request must be authenticated only by SAS.");
        }
        if request.body.len() > MESSAGE_BYTES_MAX {
            return problem(413, "RequestEntityTooLarge", "The message is too large.");
        }
        match card(request) {
            Ok(card) => {
                self.cards.lock().push(card);
                Answer::new(202, "text/plain", "")
            }
            Err(reason) => problem(400, "TriggerInputSchemaMismatch", &reason),
        }
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => {
                problem(429, "WorkflowTriggerRateLimited", "Rate limit is exceeded. Try again later.")
            }
            Refusal::InternalError => problem(500, "InternalServerError", "Encountered internal server error."),
            Refusal::Unavailable => Answer::text(503, "Service Unavailable"),
            Refusal::Denied => problem(401, "DirectApiAuthorizationRequired", "The request must be authenticated."),
        }
    }
}

fn problem(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(status, "application/json", json!({"error": {"code": code, "message": message}}).to_string())
}

fn card(request: &HttpRequest) -> Result<Value, String> {
    if request.content_type() != "application/json" {
        return Err("not JSON".to_owned());
    }
    let message: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    let members = object(&message, &["type", "attachments"])?;
    if members.get("type") != Some(&json!("message")) {
        return Err("the type is not message".to_owned());
    }
    let [attachment] = members.get("attachments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    else {
        return Err("not one attachment".to_owned());
    };
    let attachment = object(attachment, &["contentType", "contentUrl", "content"])?;
    if attachment.get("contentType") != Some(&json!("application/vnd.microsoft.card.adaptive")) {
        return Err("not an Adaptive Card".to_owned());
    }
    let card = attachment.get("content").ok_or("no content")?;
    check_card(card)?;
    Ok(card.clone())
}

fn check_card(card: &Value) -> Result<(), String> {
    let members = object(card, &["$schema", "type", "version", "msteams", "body", "actions"])?;
    if members.get("type") != Some(&json!("AdaptiveCard")) || members.get("version") != Some(&json!("1.4")) {
        return Err("not an AdaptiveCard of version 1.4".to_owned());
    }
    let list = |name: &str| members.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if list("body").is_empty() {
        return Err("the body is empty".to_owned());
    }
    for block in list("body") {
        let block = object(block, &["type", "spacing", "inlines"])?;
        if block.get("type") != Some(&json!("RichTextBlock")) {
            return Err(format!("unknown element {:?}", block.get("type")));
        }
        one_of(block, "spacing", &["None", "Small", "Default", "Medium", "Large"])?;
        for run in block.get("inlines").and_then(Value::as_array).ok_or("no inlines")? {
            let run = object(run, &["type", "text", "weight", "size", "fontType"])?;
            if run.get("type") != Some(&json!("TextRun")) || !run.get("text").is_some_and(Value::is_string) {
                return Err("not a TextRun with a text".to_owned());
            }
            one_of(run, "weight", &["Lighter", "Default", "Bolder"])?;
            one_of(run, "size", &["Small", "Default", "Medium", "Large"])?;
            one_of(run, "fontType", &["Default", "Monospace"])?;
        }
    }
    for action in list("actions") {
        let action = object(action, &["type", "title", "url"])?;
        let url = action.get("url").and_then(Value::as_str).unwrap_or_default();
        if action.get("type") != Some(&json!("Action.OpenUrl")) || !url.starts_with("https://") {
            return Err("not an Action.OpenUrl with a URL".to_owned());
        }
    }
    Ok(())
}

/// Returns the members of an object, if it has no others than the known ones.
fn object<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let members = value.as_object().ok_or("not an object")?;
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("unknown member {unknown}")),
        None => Ok(members),
    }
}

fn one_of(members: &Map<String, Value>, name: &str, known: &[&str]) -> Result<(), String> {
    match members.get(name) {
        Some(value) if !value.as_str().is_some_and(|value| known.contains(&value)) => Err(format!("invalid {name}")),
        _ => Ok(()),
    }
}
