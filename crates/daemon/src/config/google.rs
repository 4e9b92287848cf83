//! A GKE cluster's audit log in Cloud Logging: `cloud_logging`. Only the spelling is checked; nobody is asked.

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;

use super::credential;
use super::reading::keys;
use super::url;

/// The audit log of one GKE cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudLogging {
    /// The project's id.
    pub(crate) project: String,
    /// The region or zone of the cluster; `None` takes clusters of that name anywhere in the project.
    pub(crate) location: Option<String>,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// What takes the place of Google's own endpoint.
    pub(crate) endpoint: Option<String>,
    /// Whether it is asked without a credential.
    pub(crate) is_anonymous: bool,
}

impl CloudLogging {
    /// Returns what the log is, as its state is kept.
    pub(super) fn log(&self) -> String {
        format!("cloud_logging/{}/{}/{}", self.project, self.location.as_deref().unwrap_or("-"), self.cluster)
    }
}

/// Reads `cloud_logging`.
pub(super) fn read(at: &At<'_>) -> Result<CloudLogging, Diagnostic> {
    let map = keys(at, &["project", "location", "cluster", "endpoint", "credential"])?;
    let project = project(&map.need("project", "add the id of the project that the cluster belongs to")?)?;
    let location = map.get("location").map(|at| location(&at)).transpose()?;
    let cluster =
        cluster(&map.need("cluster", "add the cluster's name, as `gcloud container clusters list` shows it")?)?;
    let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
    let credential = credential::word(&map, endpoint.as_deref(), &["default"])?;
    Ok(CloudLogging { project, location, cluster, endpoint, is_anonymous: credential == Some(credential::ANONYMOUS) })
}

/// A project id has 6 to 30 of these, an old one a domain before it. The project's number is in no log entry.
/// <https://cloud.google.com/resource-manager/docs/creating-managing-projects>
fn project(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
    if (6..=100).contains(&text.len())
        && text.chars().all(is_allowed)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Ok(text.to_owned());
    }
    Err(at.fault(
        format!("`{text}` is not the id of a project"),
        "write the id, not the name or number: `gcloud projects list` shows all three",
    ))
}

fn location(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_plain = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if (2..=3).contains(&parts.len()) && text.len() <= 40 && parts.iter().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(at.fault(
        format!("`{text}` is neither a region nor a zone"),
        "write a region such as europe-west1, or for a zonal cluster its zone, such as europe-west1-b",
    ))
}

/// GKE takes up to 40 of these. <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters>
fn cluster(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=40).contains(&text.len())
        && text.chars().all(is_allowed)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Ok(text.to_owned());
    }
    Err(at.fault(
        format!("`{text}` is not the name of a GKE cluster"),
        "write at most 40 of a-z, 0-9 and dash, a letter first",
    ))
}
