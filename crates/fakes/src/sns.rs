//! SNS over the AWS Query protocol: topics and `Publish`, recorded instead of delivered.
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
//!
//! The fake refuses unknown parameters. A topic belongs to the region of its ARN; signatures are not verified.

mod publish;
mod topic;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::aws_query::{self, Parameters, QueryError};
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};
use crate::sigv4;

use topic::Topics;
use wire::{API, invalid};

/// The account that every ARN names.
pub const ACCOUNT: &str = "000000000000";

/// A running fake of SNS; dropping it stops it.
#[derive(Debug)]
pub struct Sns {
    server: Server,
    messaging: Arc<Messaging>,
}

/// One accepted `Publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The topic.
    pub topic_arn: String,
    /// The subject, if there was one.
    pub subject: Option<String>,
    /// The message.
    pub message: String,
    /// By name: data type and value.
    pub attributes: BTreeMap<String, (String, String)>,
    /// `MessageGroupId`.
    pub group_id: Option<String>,
    /// `MessageDeduplicationId`; for content-based deduplication a hash of the message.
    pub dedup_id: Option<String>,
    /// Accepted, but not delivered: a FIFO topic had it within the five minutes before.
    pub duplicate: bool,
    /// The id in the answer; a duplicate has the id of the original.
    pub message_id: String,
    /// The time of arrival by the fake's clock.
    pub at: Timestamp,
}

impl Sns {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let messaging = Arc::new(Messaging::default());
        Ok(Self { server: Server::start(Arc::clone(&messaging)).await?, messaging })
    }

    /// Returns the endpoint URL for an SDK.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Creates a topic, FIFO if the name ends in `.fifo`, and returns its ARN.
    pub fn create_topic(&self, region: &str, name: &str) -> String {
        self.messaging.topics.lock().create(region, name, false)
    }

    /// Creates a FIFO topic with content-based deduplication, and returns its ARN.
    pub fn create_content_based_topic(&self, region: &str, name: &str) -> String {
        self.messaging.topics.lock().create(region, name, true)
    }

    /// Returns all accepted messages in order, duplicates included.
    pub fn messages(&self) -> Vec<Published> {
        self.messaging.topics.lock().published.clone()
    }
}

impl Deref for Sns {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Messaging {
    topics: Guarded<Topics>,
}

impl Service for Messaging {
    const NAME: &'static str = "sns";

    fn target(&self, request: &HttpRequest) -> String {
        aws_query::action(request)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        self.carry_out(request, now).unwrap_or_else(|error| API.failure(&error))
    }

    fn refuse(&self, refusal: Refusal, request: &HttpRequest) -> Answer {
        API.failure(&wire::refused(refusal, &self.target(request)))
    }
}

impl Messaging {
    fn carry_out(&self, request: &HttpRequest, now: Timestamp) -> Result<Answer, QueryError> {
        let scope = sigv4::check(request, "sns")?;
        if request.content_type() != "application/x-www-form-urlencoded" {
            return Err(invalid("Content-Type must be application/x-www-form-urlencoded"));
        }
        let mut parameters = Parameters::read(&request.body).map_err(invalid)?;
        let action = parameters.take("Action").unwrap_or_default();
        if parameters.take("Version").as_deref() != Some(API.version) {
            return Err(QueryError::unknown_action(&format!("{action} without Version {}", API.version)));
        }
        let mut topics = self.topics.lock();
        let result = match action.as_str() {
            "Publish" => topics.publish(parameters, &scope.region, now)?,
            "CreateTopic" => topics.create_topic(parameters, &scope.region)?,
            "GetTopicAttributes" => topics.get_topic_attributes(parameters, &scope.region)?,
            "ListTopics" => topics.list_topics(parameters, &scope.region)?,
            _ => return Err(QueryError::unknown_action(&action)),
        };
        Ok(API.success(&action, &result))
    }
}
