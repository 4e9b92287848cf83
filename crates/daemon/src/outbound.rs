//! The network that requests leave over, by the environment and the config: one for all services, and one for AWS, whose
//! own variable adds a certificate authority.

use std::path::Path;

use stakeout_http::{CertificateError, Certificates, Network, Proxies, ProxyError};
use thiserror::Error;

/// The key of the file with further certificate authorities.
pub(crate) const CA_FILE: &str = "tls.ca_file";
/// The variable of AWS's own tools.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html>
const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// How requests leave.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    /// To all services but those of AWS.
    pub(crate) common: Network,
    /// To AWS.
    pub(crate) aws: Network,
    /// What the logs of an account and region in AWS share.
    #[cfg(feature = "aws")]
    pub(crate) sessions: stakeout_cloudwatch::Sessions,
}

/// The environment or the config does not describe a usable network.
#[derive(Debug, Error)]
pub(crate) enum OutboundError {
    /// A variable names no usable proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A file of certificates is not usable.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
}

impl Outbound {
    /// Reads the environment, and the certificates in it and in `ca_file`.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Outbound, OutboundError> {
        Outbound::of(&|name| std::env::var(name).ok(), ca_file)
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>, ca_file: Option<&Path>) -> Result<Outbound, OutboundError> {
        let proxies = Proxies::read(variable)?;
        let mut certificates = Certificates::system().with_environment(variable)?;
        if let Some(ca_file) = ca_file {
            certificates = certificates.with_file(CA_FILE, ca_file)?;
        }
        let common = Network::new(proxies.clone(), &certificates);
        let aws = match variable(AWS_CA_BUNDLE).filter(|path| !path.is_empty()) {
            None => common.clone(),
            Some(bundle) => Network::new(proxies, &certificates.with_file(AWS_CA_BUNDLE, Path::new(&bundle))?),
        };
        Ok(Outbound {
            common,
            aws,
            #[cfg(feature = "aws")]
            sessions: stakeout_cloudwatch::Sessions::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_usable_is_named() {
        let error = |name: &'static str, value: &'static str| {
            let variable = move |its: &str| (its == name).then(|| value.to_owned());
            Outbound::of(&variable, None).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(error("HTTPS_PROXY", ""), Ok(()));
        for (name, value) in [
            ("HTTPS_PROXY", "ftp://x"),
            ("http_proxy", "::"),
            ("SSL_CERT_FILE", "/nowhere"),
            ("AWS_CA_BUNDLE", "/nowhere"),
        ] {
            assert!(error(name, value).is_err_and(|error| error.starts_with(name)), "{name}");
        }
    }
}
