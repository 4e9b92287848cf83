//! What a request means that got no credentials: whether a person has to act, and how.
//!
//! STS's refusals are final, except for those of its load: the same request would get the same answer.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ErrorMetadata, ProvideErrorMetadata};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use stakeout_http::error_chain::{find, message, root_message};

/// How the reason begins if no credentials could be loaded.
pub const NO_CREDENTIALS: &str = "no credentials";
/// The fix for that.
pub const CREDENTIALS_FIX: &str =
    "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give the pod or instance a role; `aws sts get-caller-identity` must work";
/// The fix for a profile whose session is over.
const SIGN_IN_FIX: &str = "sign in again with `aws sso login` or `aws login`, or give the pod or instance a role";

/// What the SDK calls the part of it that reads profiles of `aws login`. It is not compiled in: it brings a second
/// implementation of elliptic curves, and makes a release build a minute longer.
const LOGIN_FEATURE: &str = "credentials-login";
/// The fix for such a profile.
const LOGIN_FIX: &str = "let a profile of its own ask AWS's tool, with `credential_process = aws configure export-credentials \
                         --profile NAME --format process`, and set AWS_PROFILE to that profile";

/// The codes with which AWS refuses credentials that have expired: new ones help.
pub const EXPIRED: [&str; 4] = ["ExpiredTokenException", "ExpiredToken", "ExpiredTokenError", "TokenRefreshRequired"];
/// The codes of STS and of the portal of IAM Identity Center that are temporary.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>
const TEMPORARY: [&str; 10] = [
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
    "InternalFailure",
    "InternalServerException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "SlowDown",
];

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFailure {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub fix: &'static str,
    /// Whether a person has to act. Otherwise it may pass.
    pub is_final: bool,
}

/// Returns what a failed request means, if it failed for want of credentials. The texts are neither shortened nor made
/// visible.
#[must_use]
pub fn credential_failure(error: &(dyn Error + 'static)) -> Option<CredentialFailure> {
    let credentials = find::<CredentialsError>(error)?;
    let fixed = |reason, fix| CredentialFailure { reason, fix, is_final: true };
    let temporary = |reason| CredentialFailure { reason, fix: CREDENTIALS_FIX, is_final: false };
    if let Some((code, text)) = code_of(error) {
        let reason = format!("{NO_CREDENTIALS}: {code}: {}", text.unwrap_or("no message"));
        return Some(match TEMPORARY.contains(&code) {
            true => temporary(reason),
            false => fixed(reason, fix(code, is_web_identity(error))),
        });
    }
    let root = root_message(error);
    Some(match credentials {
        _ if root.contains(LOGIN_FEATURE) => {
            fixed(format!("{NO_CREDENTIALS}: Stakeout cannot read a profile of `aws login`"), LOGIN_FIX)
        }
        CredentialsError::CredentialsNotLoaded(_) => fixed(format!("{NO_CREDENTIALS}: {root}"), CREDENTIALS_FIX),
        CredentialsError::InvalidConfiguration(_) => {
            fixed(message(error), "correct the AWS profile, role or token file")
        }
        _ if is_signed_out(&message(error)) => fixed(format!("{NO_CREDENTIALS}: {root}"), SIGN_IN_FIX),
        // The last of the providers is the metadata service, which may not answer for a moment.
        _ => temporary(format!("{NO_CREDENTIALS}: {root}")),
    })
}

/// Returns code and message of the service that was asked for credentials. Errors that its API declares have types of their
/// own; all others are plain metadata.
fn code_of<'a>(error: &'a (dyn Error + 'static)) -> Option<(&'a str, Option<&'a str>)> {
    let of = |meta: &'a ErrorMetadata| meta.code().map(|code| (code, meta.message()));
    find::<AssumeRoleError>(error)
        .map(ProvideErrorMetadata::meta)
        .or_else(|| find::<AssumeRoleWithWebIdentityError>(error).map(ProvideErrorMetadata::meta))
        .or_else(|| find::<ErrorMetadata>(error))
        .and_then(of)
}

fn is_web_identity(error: &(dyn Error + 'static)) -> bool {
    find::<AssumeRoleWithWebIdentityError>(error).is_some()
}

/// Returns whether a cached session of `aws sso login` is over or missing, by this machine's clock or by the portal's. The SDK
/// has no public type for it.
fn is_signed_out(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("unauthorizedexception")
        || ["sso", "login", "cached token"].iter().any(|word| text.contains(word))
            && ["expired", "not found", "no such file", "failed to load", "not refresh"]
                .iter()
                .any(|it| text.contains(it))
}

/// Returns the fix for a refusal. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
fn fix(code: &str, is_web_identity: bool) -> &'static str {
    match code {
        "InvalidIdentityToken" | "InvalidIdentityTokenException" => {
            "the role's account must know the cluster's OIDC provider: create it with `eksctl utils associate-iam-oidc-provider`, \
             and give the token the audience sts.amazonaws.com"
        }
        "RegionDisabledException" | "RegionDisabled" => {
            "activate STS for this region in the account settings of IAM, or enable the region for the account"
        }
        code if EXPIRED.contains(&code) && is_web_identity => {
            "the token in AWS_WEB_IDENTITY_TOKEN_FILE has expired: mount a projected service account token, which the kubelet renews"
        }
        code if EXPIRED.contains(&code) => "the credentials that assume the role have expired: renew them",
        "AccessDenied" | "AccessDeniedException" if is_web_identity => {
            "check the role's ARN, and that its trust policy allows this service account (conditions `sub` and `aud`)"
        }
        "AccessDenied" | "AccessDeniedException" => {
            "check the role's ARN, its trust policy and the external id, and that the policy here allows sts:AssumeRole on it"
        }
        "IDPRejectedClaim" | "IDPRejectedClaimException" => {
            "the token is revoked or of another cluster: check the service account's token"
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "check the access key, and that it belongs to this partition and an enabled region"
        }
        "SignatureDoesNotMatch" | "RequestExpired" | "InvalidSignatureException" => {
            "check the secret key and this machine's clock"
        }
        "UnauthorizedException" => SIGN_IN_FIX,
        "ForbiddenException" | "ResourceNotFoundException" => {
            "check sso_account_id and sso_role_name of the profile, and that the user has this role"
        }
        _ => "check the role's ARN, its trust policy and the external id",
    }
}
