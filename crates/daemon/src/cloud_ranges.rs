//! The address ranges that clouds publish, from the files that they publish. Each file is read strictly: an entry that is not what
//! the cloud documents makes it an error, because a wrong range would name a wrong owner.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use stakeout_notify::address_book::{CloudRange, PrefixTable};

use crate::section::io_problem;

/// Largest file; that of Azure has four megabytes.
pub(crate) const FILE_BYTES_MAX: u64 = 32 << 20;
/// Most ranges of a file.
const RANGES_MAX: usize = 500_000;

/// The clouds that publish their ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html>
    Aws,
    /// <https://cloud.google.com/vpc/docs/configure-private-google-access#ip-addr-defaults>
    Google,
    /// <https://learn.microsoft.com/azure/virtual-network/service-tags-overview>
    Azure,
}

impl Publisher {
    /// All of them.
    pub(crate) const ALL: [Publisher; 3] = [Publisher::Aws, Publisher::Google, Publisher::Azure];

    /// Returns the name, as it is on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Publisher::Aws => "aws",
            Publisher::Google => "google",
            Publisher::Azure => "azure",
        }
    }

    /// Returns the name of its file.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Publisher::Aws => "ip-ranges.json",
            Publisher::Google => "cloud.json",
            Publisher::Azure => "ServiceTags_Public.json",
        }
    }

    /// Returns the ranges in the text of its file.
    pub(crate) fn parse(self, text: &str) -> Result<Vec<(IpNet, CloudRange)>, String> {
        let ranges = match self {
            Publisher::Aws => parsed::<AwsRanges>(text)?.ranges(),
            Publisher::Google => parsed::<GoogleRanges>(text)?.ranges(),
            Publisher::Azure => parsed::<AzureRanges>(text)?.ranges(),
        }?;
        match ranges.len() {
            0 => Err("it has no range".to_owned()),
            1..=RANGES_MAX => Ok(ranges),
            more => Err(format!("it has {more} ranges, more than {RANGES_MAX}")),
        }
    }
}

/// Returns the paths of the files, whether they are there or not.
pub(crate) fn files(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let directory = directory.to_owned();
    Publisher::ALL.into_iter().map(move |publisher| directory.join(publisher.file_name()))
}

/// Reads the files that are there. Returns what they say, and what is wrong with the others, or that there is none.
pub(crate) fn read(directory: &Path) -> (PrefixTable<CloudRange>, Vec<String>) {
    let (mut ranges, mut errors, mut found) = (Vec::new(), Vec::new(), false);
    for publisher in Publisher::ALL {
        let path = directory.join(publisher.file_name());
        match read_file(publisher, &path) {
            Ok(Some(of_file)) => {
                found = true;
                ranges.extend(of_file);
            }
            Ok(None) => {}
            Err(error) => {
                found = true;
                errors.push(error);
            }
        }
    }
    if !found {
        errors.push(format!("there is no file of a cloud in `{}`", directory.display()));
    }
    // Of two with the same network, the one with a service of its own says more.
    ranges.sort_by(|(left, left_range), (right, right_range)| {
        (left, &left_range.service).cmp(&(right, &right_range.service))
    });
    (ranges.into_iter().collect(), errors)
}

fn read_file(publisher: Publisher, path: &Path) -> Result<Option<Vec<(IpNet, CloudRange)>>, String> {
    let shown = path.display();
    let bytes = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_problem(&error, &shown)),
    };
    if bytes > FILE_BYTES_MAX {
        return Err(format!("`{shown}` has {bytes} bytes, more than {FILE_BYTES_MAX}"));
    }
    let text = fs::read_to_string(path).map_err(|error| io_problem(&error, &shown))?;
    publisher.parse(&text).map(Some).map_err(|problem| format!("`{shown}`: {problem}"))
}

fn parsed<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not what the cloud documents: {error}"))
}

fn network(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpNet>() {
        Ok(network) if network.prefix_len() > 0 && network.trunc() == network => Ok(network),
        _ => Err(format!("`{text:.60}` is not a network")),
    }
}

#[derive(Deserialize)]
struct AwsRanges {
    prefixes: Vec<AwsPrefix>,
    ipv6_prefixes: Vec<AwsPrefix>,
}

#[derive(Deserialize)]
struct AwsPrefix {
    #[serde(alias = "ipv6_prefix")]
    ip_prefix: String,
    region: String,
    service: String,
}

impl AwsRanges {
    fn ranges(self) -> Result<Vec<(IpNet, CloudRange)>, String> {
        let all = self.prefixes.into_iter().chain(self.ipv6_prefixes);
        // `AMAZON` is every service.
        let service = |service: String| if service == "AMAZON" { String::new() } else { service };
        all.map(|prefix| {
            let AwsPrefix { ip_prefix, region, service: of } = prefix;
            Ok((network(&ip_prefix)?, CloudRange { cloud: "AWS".to_owned(), service: service(of), region }))
        })
        .collect()
    }
}

#[derive(Deserialize)]
struct GoogleRanges {
    prefixes: Vec<GooglePrefix>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GooglePrefix {
    #[serde(alias = "ipv6Prefix")]
    ipv4_prefix: String,
    scope: String,
}

impl GoogleRanges {
    fn ranges(self) -> Result<Vec<(IpNet, CloudRange)>, String> {
        let of = |GooglePrefix { ipv4_prefix, scope }| {
            let range = CloudRange { cloud: "Google Cloud".to_owned(), service: String::new(), region: scope };
            Ok((network(&ipv4_prefix)?, range))
        };
        self.prefixes.into_iter().map(of).collect()
    }
}

#[derive(Deserialize)]
struct AzureRanges {
    values: Vec<AzureTag>,
}

#[derive(Deserialize)]
struct AzureTag {
    properties: AzureProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureProperties {
    region: String,
    system_service: String,
    address_prefixes: Vec<String>,
}

impl AzureRanges {
    fn ranges(self) -> Result<Vec<(IpNet, CloudRange)>, String> {
        let mut ranges = Vec::new();
        for AzureTag { properties: AzureProperties { region, system_service, address_prefixes } } in self.values {
            for prefix in address_prefixes {
                let (service, region) = (system_service.clone(), region.clone());
                ranges.push((network(&prefix)?, CloudRange { cloud: "Azure".to_owned(), service, region }));
            }
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests;
