//! The verb `ranges`: downloads the address ranges that clouds publish. Only a whole file that reads as its cloud documents
//! replaces an older one.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use stakeout_core::text::{counted, reason};
use stakeout_http::{BodyLimit, Client, Endpoint, TimeLimits};
use tracing::{error, info};

use crate::bootstrap::{self, ConfigArgs};
use crate::cloud_ranges::{FILE_BYTES_MAX, Publisher};
use crate::exit::{Exit, Failure};
use crate::outbound::Outbound;
use crate::section::secret::SecretScope;

/// Longest time that a download may take.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The arguments of `stakeout ranges`.
#[derive(Args, Debug)]
pub(crate) struct RangesArgs {
    #[command(subcommand)]
    verb: RangesVerb,
}

#[derive(Debug, Subcommand)]
enum RangesVerb {
    /// Download the ranges of AWS and Google Cloud, and those of Azure from the address that you name
    #[command(after_help = "Examples:
  stakeout ranges refresh -c stakeout.yaml
  stakeout ranges refresh --azure-url https://download.microsoft.com/FILE.json

Azure publishes a new address every week. It is behind the button of
https://www.microsoft.com/download/details.aspx?id=56519")]
    Refresh(RefreshArgs),
}

#[derive(Args, Debug)]
struct RefreshArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address of the file of AWS
    #[arg(long, value_name = "URL", default_value = "https://ip-ranges.amazonaws.com/ip-ranges.json")]
    aws_url: String,
    /// Address of the file of Google Cloud
    #[arg(long, value_name = "URL", default_value = "https://www.gstatic.com/ipranges/cloud.json")]
    google_url: String,
    /// Address of the file of Azure [default: it is not downloaded]
    #[arg(long, value_name = "URL")]
    azure_url: Option<String>,
}

/// Runs `ranges`.
pub(crate) fn run(args: &RangesArgs) -> Result<Exit, Failure> {
    let RangesVerb::Refresh(args) = &args.verb;
    let (config, _) = args.config.load(SecretScope::NONE)?;
    let directory = config.addresses.ranges.clone().ok_or_else(|| {
        Failure::Usage("the config names no directory for ranges: add `context: {ranges: ranges}` to it".to_owned())
    })?;
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let outbound = Outbound::new(config.ca_file.as_deref()).map_err(anyhow::Error::from)?;
    let client = outbound.common.client(TimeLimits::of_answer(DOWNLOAD_TIMEOUT)).context("cannot set up HTTP")?;
    bootstrap::runtime()?.block_on(async {
        let mut exit = Exit::Done;
        let urls = [Some(&args.aws_url), Some(&args.google_url), args.azure_url.as_ref()];
        for (publisher, url) in Publisher::ALL.into_iter().zip(urls) {
            let Some(url) = url else { continue };
            match refresh(publisher, url, &client, &directory).await {
                Ok(ranges) => info!(cloud = publisher.name(), "{} downloaded", counted(ranges, "range")),
                Err(error) => {
                    error!(cloud = publisher.name(), "the ranges stay as they are: {error:#}");
                    exit = Exit::Incomplete;
                }
            }
        }
        Ok(exit)
    })
}

/// Downloads a file, and returns how many ranges it has.
async fn refresh(publisher: Publisher, url: &str, client: &Client, directory: &Path) -> anyhow::Result<usize> {
    let endpoint = Endpoint::parse(url).map_err(|error| anyhow!("{error}"))?;
    let limit = BodyLimit::Refuse(usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX));
    let answer = stakeout_http::exchange(client.get(endpoint.url().clone()), limit).await?;
    if answer.status != 200 {
        return Err(anyhow!("the answer has status {}", answer.status));
    }
    if let Some(problem) = answer.web_page() {
        return Err(anyhow!("{problem}"));
    }
    let text = String::from_utf8(answer.body).context("the answer is no text")?;
    let ranges = publisher.parse(&text).map_err(|problem| anyhow!("{}", reason(&problem)))?;
    let path = directory.join(publisher.file_name());
    replace(&path, directory, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ranges.len())
}

fn replace(path: &Path, directory: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".ranges-").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    // The daemon may be another user.
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}
