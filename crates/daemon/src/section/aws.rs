//! Names in AWS: regions, ARNs, roles, topics. Only their spelling is checked here, and nothing is sent.

use stakeout_aws::{Access, AssumeRole, Credential};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use super::credential;
use super::keys;
use super::url;

/// What the ARN of a role has in place of the account, where it is one for each of several accounts.
const ACCOUNT_VARIABLE: &str = "{account}";

/// Reads `region`, `assume_role`, `endpoint` and `credential` of a mapping. `arn_region` is the region of an ARN in it.
pub(crate) fn access(map: &Map<'_>, arn_region: Option<&str>) -> Result<Access, Diagnostic> {
    let region = match (map.get("region"), arn_region) {
        (Some(at), None) => region(&at)?,
        (Some(at), Some(arn_region)) => same_region(&at, arn_region)?,
        (None, Some(arn_region)) => arn_region.to_owned(),
        (None, None) => region(&map.need("region", "add the region, such as eu-west-1")?)?,
    };
    access_in(map, region, None)
}

/// Reads `assume_role`, `endpoint` and `credential` of a mapping, for a region and, if the role has its account left open, an
/// account.
pub(crate) fn access_in(map: &Map<'_>, region: String, account: Option<&str>) -> Result<Access, Diagnostic> {
    let assume_role = map.get("assume_role").map(|at| assume_role(&at, account)).transpose()?;
    let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
    let credential = match credential::word(map, endpoint.as_ref(), &["default"])? {
        Some(credential::ANONYMOUS) => Credential::Anonymous,
        _ => Credential::Default,
    };
    Ok(Access { region, endpoint, assume_role, credential })
}

/// The parts of an ARN.
pub(crate) struct Arn<'a> {
    /// The service, such as `logs`.
    pub(crate) service: &'a str,
    /// The region; empty for a role.
    pub(crate) region: &'a str,
    /// The account, 12 digits.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only a log group needs it"))]
    pub(crate) account: &'a str,
    /// The rest, which is the service's.
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, as AWS documents ARNs in its IAM user guide.
    pub(crate) fn parse(text: &'a str) -> Option<Arn<'a>> {
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

    /// Returns whether the ARN has a region.
    pub(crate) fn has_region(&self) -> bool {
        is_region(self.region)
    }
}

/// Reads the number of an account.
pub(crate) fn account(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_account = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
    is_account.then(|| text.to_owned()).ok_or_else(|| {
        at.error(
            format!("`{text}` is not the number of an account"),
            "write its 12 digits, in quotes if it begins with 0",
        )
    })
}

/// Reads the ARN of an SNS topic, and returns it with its region.
pub(crate) fn topic<'a>(at: &At<'a>) -> Result<(&'a str, &'a str), Diagnostic> {
    let text = at.text()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    Arn::parse(text)
        .filter(|arn| arn.service == "sns" && arn.has_region())
        .filter(|arn| !arn.resource.is_empty() && arn.resource.chars().all(is_name))
        .map(|arn| (text, arn.region))
        .ok_or_else(|| {
            at.error(
                format!("`{text}` is not the ARN of an SNS topic"),
                "write arn:aws:sns:REGION:ACCOUNT:TOPIC, the account with 12 digits",
            )
        })
}

fn assume_role(at: &At<'_>, account: Option<&str>) -> Result<AssumeRole, Diagnostic> {
    let map = keys(at, &["arn", "external_id"])?;
    let at = map.need("arn", "add arn:aws:iam::ACCOUNT:role/NAME")?;
    let written = at.text()?;
    if account.is_some() && !written.contains(ACCOUNT_VARIABLE) {
        return Err(at.error(
            format!("`{written}` is one role for all accounts"),
            format!("write {ACCOUNT_VARIABLE} in place of the account, such as arn:aws:iam::{ACCOUNT_VARIABLE}:role/stakeout"),
        ));
    }
    let arn = account.map_or(written.to_owned(), |account| written.replace(ACCOUNT_VARIABLE, account));
    let is_role = Arn::parse(&arn)
        .is_some_and(|arn| arn.service == "iam" && arn.region.is_empty() && arn.resource.starts_with("role/"));
    if !is_role {
        return Err(at.error(
            format!("`{written}` is not the ARN of a role"),
            "write arn:aws:iam::ACCOUNT:role/NAME, the account with 12 digits",
        ));
    }
    let external_id = map.get("external_id").map(|at| external_id(&at));
    Ok(AssumeRole { arn, external_id: external_id.transpose()? })
}

/// STS accepts 2 to 1,224 characters of these: its API reference, AssumeRole, `ExternalId`.
fn external_id(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if (2..=1_224).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(at.error("not an external id", "write 2 to 1224 letters, digits and any of _ + = , . @ : / -"))
}

pub(crate) fn region(at: &At<'_>) -> Result<String, Diagnostic> {
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
    Err(at.error(format!("`{text}` is not a region"), fix))
}

fn same_region(at: &At<'_>, arn_region: &str) -> Result<String, Diagnostic> {
    let region = region(at)?;
    if region == arn_region {
        return Ok(region);
    }
    Err(at.error(
        format!("{region} is not the region of the ARN ({arn_region})"),
        "leave region out: the ARN contains it",
    ))
}

/// Returns whether this looks like a region: at least two words and a number, joined by dashes.
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
