//! Everything that differs from cloud to cloud, behind one enum.
//!
//! [`Cloud`] is the only list of the clouds in this program. A value of it is a name (`Cloud`), the settings of one log
//! ([`Settings`]), or a client ([`Client`]). Only this file matches on it, except that `config` and `scan` treat a file on
//! this machine in their own way.
//!
//! Each cloud has a file below: its section of the config, its client and budget, the form of its exported logs, and its
//! fake for the demo. Its API and its records are the subject of its own crate.
//!
//! ```text
//! config:  Settings::read -> Settings::connect -> Connection (Client + budget, or a file)
//! replay:  envelopes (whose record is it, and how is it read?)
//! ```
//!
//! A cargo feature decides whether a cloud's file is compiled. Otherwise [`absent`] takes its place. Every build has the
//! cloud's row in [`Cloud::profile`], so that an error can name the missing feature.
//!
//! To add a cloud, write its file. Then add here its `mod`, a variant, a row, and an arm where the compiler asks for one.

#[cfg_attr(
    all(feature = "aws", feature = "gcp", feature = "azure"),
    expect(dead_code, reason = "every cloud is built in, and a file has no client")
)]
mod absent;
#[cfg(feature = "azure")]
mod aks;
#[cfg_attr(
    not(any(feature = "aws", feature = "gcp", feature = "azure")),
    expect(dead_code, reason = "without a cloud no requests are sent")
)]
pub(crate) mod budget;
#[cfg(feature = "aws")]
mod eks;
#[cfg(feature = "demo")]
#[cfg_attr(
    not(any(feature = "gcp", feature = "azure")),
    expect(dead_code, reason = "only these have recordings whose times are moved")
)]
mod fake;
mod file;
#[cfg(feature = "gcp")]
mod gke;

#[cfg(not(feature = "azure"))]
use absent as aks;
#[cfg(not(feature = "aws"))]
use absent as eks;
#[cfg(not(feature = "gcp"))]
use absent as gke;

use std::sync::Arc;

use ipnet::IpNet;
use stakeout_core::check::Examination;
use stakeout_core::decode::{DecodeError, Decoded, Enveloped};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::finder::Envelope;
use stakeout_core::known_clusters::{Census, ClusterLogs};
use stakeout_core::needle::Needles;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken, RawRecord};
use stakeout_core::source::{LogId, Provider};
use stakeout_core::time::Window;
use stakeout_core::yaml::At;
use stakeout_notify::console::Service;

use crate::file_log::FileLog;
use crate::outbound::Outbound;
use crate::section::SectionReader;
use crate::section::cluster_choice::ClusterChoice;
use budget::{Budget, Budgets};

#[cfg(feature = "demo")]
pub(crate) use fake::{Fake, Served};

/// A cloud, or a file in its place, with something of its own. Without parameters it is only a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cloud<File = (), Eks = (), Gke = (), Aks = ()> {
    /// A file on this machine, written by the API server itself.
    File(File),
    /// Amazon CloudWatch Logs, where EKS writes.
    Eks(Eks),
    /// Google Cloud Logging, where GKE writes.
    Gke(Gke),
    /// Log Analytics of Azure Monitor, where AKS writes.
    Aks(Aks),
}

/// The settings of a log, from its section of the config.
pub(crate) type Settings = Cloud<file::Settings, eks::Settings, gke::Settings, aks::Settings>;

/// Accounts and regions, and which of their clusters are watched.
pub(crate) use eks::Discovery;
/// Lists the logs of one account and region.
pub(crate) use eks::Finder;

/// A log that a finder found.
#[derive(Clone, Debug)]
pub(crate) struct FoundLog {
    /// Its settings, as those of a source.
    pub(crate) settings: Settings,
    /// The settings of the same log under another id, if it has one: its state may belong to that.
    pub(crate) twin: Option<Box<Settings>>,
    /// The name of its cluster.
    pub(crate) cluster: String,
    /// The command that switches its audit log on.
    pub(crate) switch_on: String,
    /// When it was created, in milliseconds since 1970; 0 if only the state knows it.
    pub(crate) created_ms: i64,
}

/// A page of a finder's list.
#[derive(Clone, Debug, Default)]
pub(crate) struct FoundPage {
    /// The logs.
    pub(crate) logs: Vec<FoundLog>,
    /// What leads to the next page, if there is one.
    pub(crate) next: Option<PageToken>,
}

/// When the streams of a log were written last, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWritten {
    /// Those of the audit log.
    pub(crate) audit_ms: Option<i64>,
    /// Those of the cluster's other logs.
    pub(crate) other_ms: Option<i64>,
}

/// A client of the service that keeps a log. A file needs none.
pub(crate) type Client = Cloud<absent::Client, eks::Client, gke::Client, aks::Client>;

/// Calls the same method on whatever a cloud holds.
macro_rules! each {
    ($cloud:expr, $held:ident => $call:expr) => {
        match $cloud {
            Cloud::File($held) => $call,
            Cloud::Eks($held) => $call,
            Cloud::Gke($held) => $call,
            Cloud::Aks($held) => $call,
        }
    };
}

/// How a log is read.
pub(crate) enum Connection {
    /// Page by page from a service, within a budget of requests.
    Service { client: Client, budget: Arc<Budget> },
    /// From a file.
    File(Arc<FileLog>),
}

/// What every build knows of a cloud, including a cloud that is not built in.
pub(crate) struct Profile {
    /// Its label, which is also the key of its section in the config.
    pub(crate) provider: Provider,
    /// The name of its exports on the command line.
    pub(crate) export_name: &'static str,
    /// Where such exports come from.
    pub(crate) export_help: &'static str,
    /// The cargo feature that it needs and this build does not have.
    pub(crate) missing_feature: Option<&'static str>,
    /// Sets of members. A record of the cloud has all members of one set.
    record_members: &'static [&'static [&'static str]],
}

/// Reads the audit event in the envelope of a record.
pub(crate) type ReadEnvelope = fn(&str) -> Result<Enveloped, DecodeError>;

/// How the records of an exported log are written.
pub(crate) struct Export {
    /// Reads a record that is an audit event in an envelope; `None` where records are audit events.
    pub(crate) envelope: Option<ReadEnvelope>,
    /// Whether the envelope holds more than an event as the API server wrote it, so that only `envelope` can read it.
    pub(crate) is_translated: bool,
    /// Returns the needles of which each record contains one whose event fits the prefilter, or `None` where any record
    /// can fit. Only for records with words of their own for what the API server writes.
    pub(crate) own_needles: Option<fn(&Prefilter) -> Option<Needles>>,
    /// What a record must have but a person may leave out of an example.
    pub(crate) optional_members: &'static [OptionalMember],
}

/// A member that a person may leave out of a record.
pub(crate) struct OptionalMember {
    /// Its name.
    pub(crate) name: &'static str,
    /// Another name that some forms of the record have for it.
    pub(crate) alias: Option<&'static str>,
    /// Its value where it is left out, as JSON.
    pub(crate) value: &'static str,
}

impl Cloud {
    /// Every cloud, in the order of the config's documentation.
    pub(crate) const ALL: [Cloud; 4] = [Cloud::Eks(()), Cloud::Gke(()), Cloud::Aks(()), Cloud::File(())];

    /// The order in which records are recognized: clouds with the most specific members first.
    const MOST_SPECIFIC_FIRST: [Cloud; 4] = [Cloud::Gke(()), Cloud::Aks(()), Cloud::File(()), Cloud::Eks(())];

    /// Returns what every build knows of the cloud.
    pub(crate) fn profile(self) -> Profile {
        match self {
            Cloud::File(()) => Profile {
                provider: Provider::File,
                export_name: "audit",
                export_help: "Events as the API server writes them",
                missing_feature: None,
                record_members: &[],
            },
            Cloud::Eks(()) => Profile {
                provider: Provider::Cloudwatch,
                export_name: "eks",
                export_help: "Exports of CloudWatch Logs: answers of FilterLogEvents, S3 exports",
                missing_feature: if cfg!(feature = "aws") { None } else { Some("aws") },
                record_members: &[&["message"]],
            },
            Cloud::Gke(()) => Profile {
                provider: Provider::CloudLogging,
                export_name: "gke",
                export_help: "Exports of Cloud Logging: gcloud logging read --format=json",
                missing_feature: if cfg!(feature = "gcp") { None } else { Some("gcp") },
                record_members: &[&["protoPayload"], &["protopayload_auditlog"]],
            },
            Cloud::Aks(()) => Profile {
                provider: Provider::AzureMonitor,
                export_name: "aks",
                export_help: "Exports of Log Analytics: az monitor log-analytics query",
                missing_feature: if cfg!(feature = "azure") { None } else { Some("azure") },
                record_members: &[&["log_s"], &["AuditId"], &["SourceIps", "Verb"], &["properties"]],
            },
        }
    }

    /// Returns the label of the cloud.
    pub(crate) fn provider(self) -> Provider {
        self.profile().provider
    }

    /// Returns the key of the cloud's section in the config.
    pub(crate) fn config_key(self) -> &'static str {
        self.provider().as_str()
    }

    /// Returns the cloud whose section has this key.
    pub(crate) fn of_config_key(key: &str) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| cloud.config_key() == key)
    }

    /// Returns the cloud whose records have these members, if any has.
    pub(crate) fn of_members(has: impl Fn(&str) -> bool) -> Option<Cloud> {
        let is_record =
            |cloud: &Cloud| cloud.profile().record_members.iter().any(|set| set.iter().all(|name| has(name)));
        Cloud::MOST_SPECIFIC_FIRST.into_iter().find(is_record)
    }

    /// Returns how its exported records are written.
    pub(crate) fn export(self) -> &'static Export {
        match self {
            Cloud::File(()) => &file::EXPORT,
            Cloud::Eks(()) => &eks::EXPORT,
            Cloud::Gke(()) => &gke::EXPORT,
            Cloud::Aks(()) => &aks::EXPORT,
        }
    }
}

impl Settings {
    /// Reads the section of `cloud` at `at`. Checks the spelling only, and sends nothing.
    pub(crate) fn read(cloud: Cloud, at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Settings, Diagnostic> {
        if let Some(feature) = cloud.profile().missing_feature {
            return Err(at.error(
                format!("{} is not built into this binary", cloud.config_key()),
                format!("build with the cargo feature {feature}, or remove this source"),
            ));
        }
        Ok(match cloud {
            Cloud::File(()) => Cloud::File(file::Settings::read(at, reader)?),
            Cloud::Eks(()) => Cloud::Eks(eks::Settings::read(at, reader)?),
            Cloud::Gke(()) => Cloud::Gke(gke::Settings::read(at, reader)?),
            Cloud::Aks(()) => Cloud::Aks(aks::Settings::read(at, reader)?),
        })
    }

    /// Reads the section of `cloud` in a discovery, where one log holds the events of all clusters. Returns the logs with what
    /// tells them apart, if there are several.
    pub(crate) fn read_all(
        cloud: Cloud,
        at: &At<'_>,
        reader: &mut SectionReader<'_>,
    ) -> Result<(Vec<(String, Settings)>, ClusterChoice), Diagnostic> {
        if let Some(feature) = cloud.profile().missing_feature {
            return Err(at.error(
                format!("{} is not built into this binary", cloud.config_key()),
                format!("build with the cargo feature {feature}, or remove this discovery"),
            ));
        }
        Ok(match cloud {
            Cloud::Gke(()) => {
                let (logs, choice) = gke::Settings::read_all(at, reader)?;
                (logs.into_iter().map(|(name, settings)| (name, Cloud::Gke(settings))).collect(), choice)
            }
            Cloud::Aks(()) => {
                let (logs, choice) = aks::Settings::read_all(at, reader)?;
                (logs.into_iter().map(|(name, settings)| (name, Cloud::Aks(settings))).collect(), choice)
            }
            Cloud::File(()) | Cloud::Eks(()) => return Err(at.error("not a log of several clusters", "remove it")),
        })
    }

    /// Returns the settings of one cluster of a log that holds events of several, by the id that the provider gives it.
    pub(crate) fn of_cluster(&self, id: &str) -> Option<Settings> {
        match self {
            Cloud::Gke(settings) => settings.of_cluster(id).map(Cloud::Gke),
            Cloud::Aks(settings) => settings.of_cluster(id).map(Cloud::Aks),
            Cloud::File(_) | Cloud::Eks(_) => None,
        }
    }

    /// Returns the ids that a log of this one cluster may have in a config.
    pub(crate) fn log_ids(&self) -> Vec<LogId> {
        let ids = match self {
            Cloud::Gke(settings) => settings.log_ids(),
            Cloud::Aks(settings) => settings.log_ids(),
            Cloud::File(_) | Cloud::Eks(_) => Vec::new(),
        };
        ids.into_iter().map(LogId).collect()
    }

    /// Returns the variables of the cluster's name in a discovery, with their values.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        match self {
            Cloud::Gke(settings) => settings.variables(),
            Cloud::Aks(settings) => settings.variables(),
            Cloud::File(_) | Cloud::Eks(_) => Vec::new(),
        }
    }

    /// Returns the command that switches the audit log of the cluster on.
    pub(crate) fn switch_on(&self) -> String {
        match self {
            Cloud::Gke(settings) => settings.switch_on(),
            Cloud::Aks(settings) => settings.switch_on(),
            Cloud::File(_) | Cloud::Eks(_) => String::new(),
        }
    }

    /// Returns the label of the cloud.
    pub(crate) fn provider(&self) -> Provider {
        let cloud = match self {
            Cloud::File(_) => Cloud::File(()),
            Cloud::Eks(_) => Cloud::Eks(()),
            Cloud::Gke(_) => Cloud::Gke(()),
            Cloud::Aks(_) => Cloud::Aks(()),
        };
        cloud.provider()
    }

    /// Returns which log this is; its state belongs to this id.
    pub(crate) fn log(&self) -> LogId {
        LogId(each!(self, settings => settings.log()))
    }

    /// Returns the name of the cluster, where the settings contain it.
    pub(crate) fn cluster(&self) -> Option<&str> {
        each!(self, settings => settings.cluster())
    }

    /// Returns where the log can be searched by hand.
    pub(crate) fn console(&self) -> Option<Service> {
        each!(self, settings => settings.console())
    }

    /// Returns the networks of the cloud's own proxies in front of the API server.
    pub(crate) fn control_plane_proxies(&self) -> Vec<IpNet> {
        each!(self, settings => settings.control_plane_proxies())
    }

    /// Sets up the client of the log, with the budget that its requests draw on. Sends nothing.
    pub(crate) fn connect(&self, budgets: &mut Budgets, outbound: &Outbound) -> anyhow::Result<Connection> {
        let (client, budget) = match self {
            Cloud::File(settings) => return Ok(Connection::File(Arc::new(settings.open()))),
            Cloud::Eks(settings) => settings.connect(budgets, outbound).map(|(it, budget)| (Cloud::Eks(it), budget))?,
            Cloud::Gke(settings) => settings.connect(budgets, outbound).map(|(it, budget)| (Cloud::Gke(it), budget))?,
            Cloud::Aks(settings) => settings.connect(budgets, outbound).map(|(it, budget)| (Cloud::Aks(it), budget))?,
        };
        Ok(Connection::Service { client, budget })
    }
}

impl Client {
    /// Reads one page of a window; see the `page` of each provider crate.
    pub(crate) async fn page(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
    ) -> Result<Page, FetchError> {
        each!(self, client => client.page(window, prefilter, token).await)
    }

    /// Reads one page as [`Client::page`] does, of at most `records_max` records.
    pub(crate) async fn first_records(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: u32,
    ) -> Result<Page, FetchError> {
        each!(self, client => client.first_records(window, prefilter, token, records_max).await)
    }

    /// Returns whether the log contains any record in the window.
    pub(crate) async fn has_records(&self, window: Window) -> Result<bool, FetchError> {
        each!(self, client => client.has_records(window).await)
    }

    /// Checks for the doctor that the log is readable and records reads. `now_ms` gives the newest event its age.
    pub(crate) async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Examination {
        each!(self, client => {
            let mut checks = client.setup();
            let examined = client.checks(window, prefilter, now_ms).await;
            checks.extend(examined.checks);
            Examination { checks, cost: examined.cost }
        })
    }

    /// Returns which clusters wrote such logs within the window, of a log that holds events of several.
    pub(crate) async fn census(&self, window: Window, logs: ClusterLogs) -> Result<Census, FetchError> {
        match self {
            Cloud::Gke(client) => client.census(window, logs).await,
            Cloud::Aks(client) => client.census(window, logs).await,
            Cloud::File(_) | Cloud::Eks(_) => Ok(Census::default()),
        }
    }

    /// Returns the event in a record of the service, and the id of its cluster where the record has it.
    pub(crate) fn decode(&self, record: &RawRecord) -> Result<(Decoded, Option<String>), DecodeError> {
        let enveloped = match self {
            Cloud::File(client) => match *client {},
            Cloud::Eks(_) => eks::decode(&record.body)?,
            Cloud::Gke(_) => gke::decode(&record.body)?,
            Cloud::Aks(_) => aks::decode(&record.body)?,
        };
        Ok((enveloped.decoded, enveloped.cluster_id))
    }
}

/// Returns the networks of a provider's own proxies in front of the API server, where the config does not name them.
///
/// Rows of AKS end with an address of 172.31.0.0/16 after the client's; the components of its control plane are there, and
/// no client can be: AKS forbids the range for addresses of services, pods and virtual networks.
/// <https://learn.microsoft.com/azure/aks/configure-azure-cni#prerequisites>
pub(crate) fn control_plane_proxies(provider: Provider) -> Vec<IpNet> {
    match provider {
        Provider::AzureMonitor => vec!["172.31.0.0/16".parse().expect("a network")],
        Provider::Cloudwatch | Provider::CloudLogging | Provider::File => Vec::new(),
    }
}

/// Returns the records that only the crates of their clouds can read.
pub(crate) fn envelopes() -> Vec<Envelope> {
    let translated = Cloud::ALL.into_iter().filter(|cloud| cloud.export().is_translated);
    let envelope = |cloud: Cloud| {
        let Profile { provider, record_members: members, .. } = cloud.profile();
        cloud.export().envelope.map(|read| Envelope { provider, members, read })
    };
    translated.filter_map(envelope).collect()
}

/// Starts a fake of each cloud that is built in.
#[cfg(feature = "demo")]
pub(crate) async fn start_fakes() -> anyhow::Result<Vec<Box<dyn Fake>>> {
    Ok(vec![
        #[cfg(feature = "aws")]
        Box::new(eks::start_fake().await?),
        #[cfg(feature = "gcp")]
        Box::new(gke::start_fake().await?),
        #[cfg(feature = "azure")]
        Box::new(aks::start_fake().await?),
    ])
}
