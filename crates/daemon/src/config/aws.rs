//! What names things at AWS: regions, ARNs, roles, log groups. Only the spelling is checked; nobody is asked.

use stakeout_aws::{Access, AssumeRole, Credential};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use super::credential;
use super::reading::keys;
use super::url;

/// A log group of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogGroup {
    /// The name, such as `/aws/eks/prod/cluster`.
    pub(crate) name: String,
    /// The ARN without the closing `:*`, where the group was named by it: for a group that another account shares.
    pub(crate) arn: Option<String>,
}

impl LogGroup {
    /// Returns the account of the group, where its ARN tells it.
    pub(crate) fn account(&self) -> Option<&str> {
        Arn::parse(self.arn.as_deref()?).map(|arn| arn.account)
    }
}

/// Reads `region`, `assume_role` and `endpoint` of a mapping that names a thing in `arn_region`, where known.
pub(super) fn access(map: &Map<'_>, arn_region: Option<&str>) -> Result<Access, Diagnostic> {
    let region = match (map.get("region"), arn_region) {
        (Some(at), None) => region(&at)?,
        (Some(at), Some(arn_region)) => same_region(&at, arn_region)?,
        (None, Some(arn_region)) => arn_region.to_owned(),
        (None, None) => region(&map.need("region", "add the region, such as eu-west-1")?)?,
    };
    let assume_role = map.get("assume_role").map(|at| assume_role(&at)).transpose()?;
    let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
    let credential = match credential::word(map, endpoint.as_deref(), &["default"])? {
        Some(credential::ANONYMOUS) => Credential::Anonymous,
        _ => Credential::Default,
    };
    Ok(Access { region, endpoint, assume_role, credential })
}

/// The parts of an ARN that are decided on.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, as AWS documents ARNs in its IAM user guide.
    fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let (scheme, partition) = (next()?, next()?);
        let (service, region, account, resource) = (next()?, next()?, next()?, next()?);
        let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        let is_arn = scheme == "arn"
            && (partition == "aws" || partition.starts_with("aws-"))
            && is_account
            && resource.chars().all(|c| c.is_ascii_graphic());
        is_arn.then_some(Arn { service, region, account, resource })
    }
}

/// Reads a log group, by name or ARN; returns the region that the ARN tells.
pub(super) fn log_group<'a>(at: &At<'a>) -> Result<(LogGroup, Option<&'a str>), Diagnostic> {
    let text = at.text()?;
    let not_a_group = || {
        at.fault(
            format!("`{text}` is not a log group"),
            "write a name such as /aws/eks/NAME/cluster, or arn:aws:logs:REGION:ACCOUNT:log-group:NAME",
        )
    };
    if !text.starts_with("arn:") {
        let name = is_group_name(text).then(|| text.to_owned());
        let group = LogGroup { name: name.ok_or_else(not_a_group)?, arn: None };
        return Ok((group, None));
    }
    let bare = text.strip_suffix(":*").unwrap_or(text);
    let arn = Arn::parse(bare).filter(|arn| arn.service == "logs" && is_region(arn.region)).ok_or_else(not_a_group)?;
    let name = arn.resource.strip_prefix("log-group:").filter(|name| is_group_name(name)).ok_or_else(not_a_group)?;
    let group = LogGroup { name: name.to_owned(), arn: Some(bare.to_owned()) };
    Ok((group, Some(arn.region)))
}

/// Reads the ARN of an SNS topic; returns it with its region.
pub(super) fn topic<'a>(at: &At<'a>) -> Result<(&'a str, &'a str), Diagnostic> {
    let text = at.text()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    Arn::parse(text)
        .filter(|arn| arn.service == "sns" && is_region(arn.region))
        .filter(|arn| !arn.resource.is_empty() && arn.resource.chars().all(is_name))
        .map(|arn| (text, arn.region))
        .ok_or_else(|| {
            at.fault(
                format!("`{text}` is not the ARN of an SNS topic"),
                "write arn:aws:sns:REGION:ACCOUNT:TOPIC, the account with 12 digits",
            )
        })
}

fn assume_role(at: &At<'_>) -> Result<AssumeRole, Diagnostic> {
    let map = keys(at, &["arn", "external_id"])?;
    let at = map.need("arn", "add arn:aws:iam::ACCOUNT:role/NAME")?;
    let arn = at.text()?;
    let is_role = Arn::parse(arn)
        .is_some_and(|arn| arn.service == "iam" && arn.region.is_empty() && arn.resource.starts_with("role/"));
    if !is_role {
        return Err(at.fault(
            format!("`{arn}` is not the ARN of a role"),
            "write arn:aws:iam::ACCOUNT:role/NAME, the account with 12 digits",
        ));
    }
    let external_id = map.get("external_id").map(|at| external_id(&at));
    Ok(AssumeRole { arn: arn.to_owned(), external_id: external_id.transpose()? })
}

/// STS takes 2 to 1,224 characters of these: its API reference, AssumeRole, `ExternalId`.
fn external_id(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if (2..=1_224).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(at.fault("not an external id", "write 2 to 1224 letters, digits and any of _ + = , . @ : / -"))
}

fn region(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    if is_region(text) {
        return Ok(text.to_owned());
    }
    let fix = match text.strip_suffix(|c: char| c.is_ascii_lowercase()) {
        Some(region) if is_region(region) => {
            format!("an availability zone ends in a letter: write {region}")
        }
        _ => "write a region such as eu-west-1".to_owned(),
    };
    Err(at.fault(format!("`{text}` is not a region"), fix))
}

fn same_region(at: &At<'_>, arn_region: &str) -> Result<String, Diagnostic> {
    let region = region(at)?;
    if region == arn_region {
        return Ok(region);
    }
    Err(at.fault(format!("{region} is not the region of the ARN ({arn_region})"), "leave region out: the ARN tells it"))
}

/// Tells whether this looks like a region: at least two words and a number, joined by dashes.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let holds = |part: &str, is_in: fn(&char) -> bool| !part.is_empty() && part.chars().all(|c| is_in(&c));
    words.len() >= 2
        && text.len() <= 32
        && words.iter().all(|word| holds(word, char::is_ascii_lowercase))
        && holds(number, char::is_ascii_digit)
}

/// CloudWatch Logs takes 1 to 512 of these: its API reference, CreateLogGroup, `logGroupName`.
fn is_group_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
    (1..=512).contains(&text.len()) && text.chars().all(is_allowed)
}
