//! Where a log can be searched by hand: a link to the provider's console and a line for its command-line tool, each with the
//! query filled in.
//!
//! No text of a client gets into a query unless every character of it is harmless in all of these languages. Who has another
//! name is searched for by his addresses.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use stakeout_core::address::SourceIp;
use stakeout_core::incident::{Actor, Incident};
use stakeout_core::time::Second;

/// Most addresses that one query asks for.
const ADDRESSES_MAX: usize = 5;
/// Longest name that is put into a query.
const NAME_CHARS_MAX: usize = 96;
/// Most rows that a query asks for.
const ROWS_MAX: u32 = 1_000;
/// How long before the first and after the last request a search begins and ends: providers and the API server date an event
/// differently.
const MARGIN_SECONDS: i64 = 60;

/// The log of a cluster, and where it can be searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConsole {
    /// The cluster, as findings name it.
    pub cluster: String,
    /// The service that keeps the log.
    pub service: Service,
}

/// The service that keeps a log, and what it calls the log. These texts are from the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// CloudWatch Logs.
    CloudWatch {
        /// The region.
        region: String,
        /// The name of the log group, or its ARN where another account shares it.
        log_group: String,
        /// The prefix of the audit log's streams.
        stream_prefix: String,
    },
    /// Cloud Logging.
    CloudLogging {
        /// The project.
        project: String,
        /// The location of the cluster, if the config names it.
        location: Option<String>,
        /// The cluster's name in Google Cloud.
        cluster: String,
    },
    /// Log Analytics.
    LogAnalytics {
        /// The workspace's id.
        workspace_id: String,
        /// The table.
        table: String,
        /// The cluster's name, or its whole resource id.
        cluster: String,
    },
}

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    who: Sought,
    first: Second,
    last: Second,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sought {
    User(String),
    /// Addresses; of an IPv6 source, the beginning of its network.
    Addresses(Vec<String>),
}

impl Search {
    /// Returns the search for what the actor of an incident did, or `None` where nothing of it can be searched for.
    #[must_use]
    pub fn of(incident: &Incident) -> Option<Search> {
        let addresses = || incident.sources.iter().take(ADDRESSES_MAX).map(address).collect();
        let who = match &incident.actor {
            Actor::Account { name, .. } if is_plain(name) => Sought::User(name.clone()),
            Actor::Address(source) => Sought::Addresses(vec![address(source)]),
            Actor::Account { .. } | Actor::Crowd { .. } => Sought::Addresses(addresses()),
        };
        let is_empty = matches!(&who, Sought::Addresses(addresses) if addresses.is_empty());
        let (first, last) = (incident.first.plus(-MARGIN_SECONDS), incident.last.plus(MARGIN_SECONDS));
        (!is_empty).then_some(Search { who, first, last })
    }

    /// Returns the terms that one of has to occur, joined by `or`.
    fn any(&self, of_user: impl Fn(&str) -> String, of_address: impl Fn(&str) -> String, or: &str) -> String {
        match &self.who {
            Sought::User(name) => of_user(name),
            Sought::Addresses(addresses) => {
                let terms: Vec<String> = addresses.iter().map(|address| of_address(address)).collect();
                if terms.len() > 1 { format!("({})", terms.join(or)) } else { terms.concat() }
            }
        }
    }
}

/// The consoles of all logs. Clones share them: a log of several clusters adds one when it sees a cluster first.
#[derive(Clone, Debug, Default)]
pub struct Consoles(Arc<Mutex<Arc<[LogConsole]>>>);

impl Consoles {
    /// Adds those that are not known yet.
    pub fn add(&self, consoles: impl IntoIterator<Item = LogConsole>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<LogConsole> = consoles.into_iter().filter(|console| !known.contains(console)).collect();
        if !new.is_empty() {
            *known = known.iter().cloned().chain(new).collect();
        }
    }

    /// Returns those that are known now.
    #[must_use]
    pub fn known(&self) -> Arc<[LogConsole]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LogConsole {
    /// Returns the name of the console, for a button.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.service {
            Service::CloudWatch { .. } => "Logs Insights",
            Service::CloudLogging { .. } => "Logs Explorer",
            Service::LogAnalytics { .. } => "Log Analytics",
        }
    }

    /// Returns the query in the language of the console.
    #[must_use]
    pub fn query(&self, search: &Search) -> String {
        match &self.service {
            Service::CloudWatch { stream_prefix, .. } => {
                let of_user = |name: &str| format!("user.username = \"{name}\"");
                let who = search.any(of_user, |address| format!("@message like \"{address}\""), " or ");
                format!(
                    "fields @timestamp, verb, requestURI, responseStatus.code, user.username, userAgent\n\
                     | filter @logStream like \"{stream_prefix}\"\n| filter {who}\n| sort @timestamp asc\n| limit {ROWS_MAX}"
                )
            }
            Service::CloudLogging { location, cluster, .. } => {
                let of_user = |name: &str| format!("protoPayload.authenticationInfo.principalEmail=\"{name}\"");
                // The beginning of a network is a part of an address.
                let of_address = |address: &str| {
                    let has = if address.ends_with(':') { ":" } else { "=" };
                    format!("protoPayload.requestMetadata.callerIp{has}\"{address}\"")
                };
                let who = search.any(of_user, of_address, " OR ");
                let location = location.as_ref();
                let location =
                    location.map_or_else(String::new, |at| format!("\nAND resource.labels.location=\"{at}\""));
                format!(
                    "resource.type=\"k8s_cluster\"\nAND resource.labels.cluster_name=\"{cluster}\"{location}\n\
                     AND protoPayload.serviceName=\"k8s.io\"\nAND {who}"
                )
            }
            Service::LogAnalytics { table, cluster, .. } => {
                let (of_user, column): (fn(&str) -> String, _) = match table.as_str() {
                    "AzureDiagnostics" => (|name| format!("log_s has \"{name}\""), "log_s"),
                    _ => (|name| format!("tostring(User.username) == \"{name}\""), "tostring(SourceIps)"),
                };
                let who = search.any(of_user, |address| format!("{column} contains \"{address}\""), " or ");
                let name = cluster.rsplit('/').next().unwrap_or(cluster);
                format!(
                    "{table}\n| where _ResourceId endswith \"/{name}\"\n| where {who}\n| sort by TimeGenerated asc\n\
                     | take {ROWS_MAX}"
                )
            }
        }
    }

    /// Returns the address of the console with the query filled in; `None` where the config does not say enough for one:
    /// Azure's portal needs a resource id.
    #[must_use]
    pub fn url(&self, search: &Search) -> Option<String> {
        let query = self.query(search);
        let (first, last) = (time(search.first)?, time(search.last)?);
        match &self.service {
            Service::CloudWatch { region, log_group, .. } => {
                let detail = format!(
                    "~(end~'{}~start~'{}~timeType~'ABSOLUTE~tz~'UTC~editorString~'{}~source~(~'{}))",
                    starred(&last),
                    starred(&first),
                    starred(&query),
                    starred(log_group)
                );
                let console = match region {
                    region if region.starts_with("cn-") => "console.amazonaws.cn",
                    region if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
                    _ => "console.aws.amazon.com",
                };
                Some(format!(
                    "https://{region}.{console}/cloudwatch/home?region={region}#logsV2:logs-insights$3FqueryDetail$3D{detail}"
                ))
            }
            Service::CloudLogging { project, .. } => Some(format!(
                "https://console.cloud.google.com/logs/query;query={};timeRange={}?project={}",
                percent(&query),
                percent(&format!("{first}/{last}")),
                percent(project)
            )),
            Service::LogAnalytics { cluster, .. } => cluster.starts_with('/').then(|| {
                let zipped = STANDARD.encode(gzip(query.as_bytes()));
                format!(
                    "https://portal.azure.com/#blade/Microsoft_OperationsManagementSuite_Workspace/Logs.ReactView/resourceId/{}\
                     /source/LogsBlade.AnalyticsShareLinkToQuery/q/{}/timespan/{}",
                    percent(cluster),
                    percent(&zipped),
                    percent(&format!("{first}/{last}"))
                )
            }),
        }
    }

    /// Returns a line for the provider's command-line tool that prints the same records.
    #[must_use]
    pub fn command(&self, search: &Search) -> Option<String> {
        let query = self.query(search);
        let (first, last) = (time(search.first)?, time(search.last)?);
        Some(match &self.service {
            Service::CloudWatch { region, log_group, stream_prefix } => {
                let group = if log_group.starts_with("arn:") { "identifier" } else { "name" };
                let pattern = match &search.who {
                    Sought::User(name) => format!("{{ $.user.username = \"{name}\" }}"),
                    Sought::Addresses(addresses) if addresses.len() == 1 => format!("\"{}\"", addresses[0]),
                    Sought::Addresses(addresses) => {
                        addresses.iter().map(|address| format!("?\"{address}\"")).collect::<Vec<_>>().join(" ")
                    }
                };
                format!(
                    "aws logs filter-log-events --region {region} --log-group-{group} {} --log-stream-name-prefix {} \
                     --start-time {} --end-time {} --filter-pattern {}",
                    quoted(log_group),
                    quoted(stream_prefix),
                    search.first.0.saturating_mul(1_000),
                    search.last.0.saturating_mul(1_000),
                    quoted(&pattern)
                )
            }
            Service::CloudLogging { project, .. } => {
                let filter = format!("{query} AND timestamp>=\"{first}\" AND timestamp<\"{last}\"").replace('\n', " ");
                format!("gcloud logging read {} --project {} --order asc", quoted(&filter), quoted(project))
            }
            Service::LogAnalytics { workspace_id, .. } => format!(
                "az monitor log-analytics query --workspace {} --timespan {first}/{last} --analytics-query {}",
                quoted(workspace_id),
                quoted(&query.replace('\n', " "))
            ),
        })
    }
}

/// Returns whether a name has only characters that no query language, no shell and no address interprets.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@' | '/');
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && !name.starts_with('-') && name.chars().all(is_allowed)
}

/// Returns a text as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Returns how a record names a source: its address, or how the addresses of its network begin.
fn address(source: &SourceIp) -> String {
    match source {
        SourceIp::V4(_) => source.to_string(),
        SourceIp::V6Net(_) => {
            let network = source.network_address().to_string();
            network.strip_suffix("::").map_or(network.clone(), |begin| format!("{begin}:"))
        }
    }
}

fn time(at: Second) -> Option<String> {
    Timestamp::from_second(at.0).ok().map(|at| at.to_string())
}

/// Escapes a text for a string of the console's query detail, where `*` is what `%` is in an address.
fn starred(text: &str) -> String {
    escaped(text, '*')
}

fn percent(text: &str) -> String {
    escaped(text, '%')
}

fn escaped(text: &str, mark: char) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            safe.push(char::from(byte));
        } else {
            write!(safe, "{mark}{byte:02X}").expect("a text takes everything");
        }
    }
    safe
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}
