//! SNS over the AWS Query protocol: topics and `Publish`, recorded instead of delivered.
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
//!
//! Parameters that the API does not know are refused. A topic belongs to the region of its ARN; signatures are not
//! verified.

mod publish;
mod topic;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::exchange::{Answer, Asked};
use crate::fault::Refusal;
use crate::form;
use crate::guarded::Guarded;
use crate::server::{Server, Service};
use crate::sigv4;

use topic::Topics;
use wire::{Parameters, SnsError};

/// The account that every ARN names.
pub const ACCOUNT: &str = "000000000000";

/// A running fake of SNS; dropping it ends it.
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
    /// The subject, where there was one.
    pub subject: Option<String>,
    /// The message.
    pub message: String,
    /// Name to data type and value.
    pub attributes: BTreeMap<String, (String, String)>,
    /// `MessageGroupId`.
    pub group_id: Option<String>,
    /// `MessageDeduplicationId`; for content-based deduplication a hash of the message.
    pub dedup_id: Option<String>,
    /// Accepted, but not delivered: a FIFO topic had it within the five minutes before.
    pub duplicate: bool,
    /// What the answer named it; a duplicate has the id of its first.
    pub message_id: String,
    /// When it came, by the fake's clock.
    pub at: Timestamp,
}

impl Sns {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let messaging = Arc::new(Messaging::default());
        Ok(Self { server: Server::start(Arc::clone(&messaging)).await?, messaging })
    }

    /// The endpoint URL to give to an SDK.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Makes a topic, FIFO if the name ends in `.fifo`, and answers its ARN.
    pub fn create_topic(&self, region: &str, name: &str) -> String {
        self.messaging.topics.lock().create(region, name, false)
    }

    /// Makes a FIFO topic that takes the message itself where no deduplication id is given, and answers its ARN.
    pub fn create_content_based_topic(&self, region: &str, name: &str) -> String {
        self.messaging.topics.lock().create(region, name, true)
    }

    /// All messages that were accepted, in order, duplicates included.
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

    fn target(&self, asked: &Asked) -> String {
        let pairs = form::decode(&asked.body).unwrap_or_default();
        pairs.into_iter().find(|(name, _)| name == "Action").map(|(_, action)| action).unwrap_or_default()
    }

    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer {
        self.carry_out(asked, now).unwrap_or_else(|error| error.answer())
    }

    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Answer {
        SnsError::from_refusal(refusal, &self.target(asked)).answer()
    }
}

impl Messaging {
    fn carry_out(&self, asked: &Asked, now: Timestamp) -> Result<Answer, SnsError> {
        let scope = sigv4::check(asked, "sns").map_err(SnsError::from)?;
        if asked.content_type() != "application/x-www-form-urlencoded" {
            return Err(SnsError::invalid("Content-Type must be application/x-www-form-urlencoded"));
        }
        let mut parameters = Parameters::read(&asked.body)?;
        let action = parameters.take("Action").unwrap_or_default();
        if parameters.take("Version").as_deref() != Some(wire::VERSION) {
            return Err(SnsError::unknown_action(&format!("{action} without Version {}", wire::VERSION)));
        }
        let mut topics = self.topics.lock();
        let result = match action.as_str() {
            "Publish" => topics.publish(parameters, &scope.region, now)?,
            "CreateTopic" => topics.create_topic(parameters, &scope.region)?,
            "GetTopicAttributes" => topics.get_topic_attributes(parameters, &scope.region)?,
            "ListTopics" => topics.list_topics(parameters, &scope.region)?,
            _ => return Err(SnsError::unknown_action(&action)),
        };
        Ok(wire::success(&action, &result))
    }
}
