//! Credentials of AWS as its own tools find them: profiles with a process, and with both forms of SSO. What cannot be used
//! is refused at once, with the way out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stakeout_fakes::{Fault, Faults};
use tempfile::TempDir;

use super::proxied::Proxied;
use super::ran::Ran;
use super::world::Cloud;

/// The names of the files in which `aws sso login` keeps its tokens: the SHA-1 of the session's name, or of the start URL.
const OF_SESSION: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";
const OF_START_URL: &str = "a51746d4aa793ae07b25e90c3a5db96fc7832bd7";

/// A home directory with a profile.
struct Home(TempDir);

impl Home {
    fn new(profile: &str) -> Home {
        let home = Home(tempfile::tempdir().expect("a folder"));
        fs::create_dir_all(home.path().join(".aws/sso/cache")).expect("a folder");
        fs::write(home.path().join(".aws/config"), profile).expect("written");
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps a token as `aws sso login` does.
    fn sign_in(&self, name: &str, expires: &str) {
        let token = format!(
            r#"{{"accessToken":"canary-sso","expiresAt":"{expires}","region":"eu-west-1","startUrl":"https://corp.awsapps.com/start"}}"#
        );
        fs::write(self.path().join(format!(".aws/sso/cache/{name}.json")), token).expect("written");
    }

    /// Runs `once` with this home in place of keys.
    fn once(&self, proxied: &Proxied) -> Ran {
        proxied.once(|command| {
            proxied.trust(command);
            command.env("HOME", self.path()).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
            command.env("AWS_EC2_METADATA_DISABLED", "true").env("STAKEOUT_LOG", "trace");
        })
    }
}

/// Returns the access key that signed the first request to STS.
fn first_key(proxied: &Proxied) -> Option<String> {
    proxied.sts.requests().first()?.signed_by.clone().map(|(key, _)| key)
}

#[test]
fn a_process_gives_credentials() {
    let proxied = Proxied::new();
    let home = Home::new("");
    let script = home.path().join("credentials.sh");
    let json = r#"{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"canary","SessionToken":"canary"}"#;
    fs::write(&script, format!("#!/bin/sh\nprintf '%s' '{json}'\n")).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let profile = format!("[default]\nregion = eu-west-1\ncredential_process = {}\n", script.display());
    fs::write(home.path().join(".aws/config"), profile).expect("written");
    let ran = home.once(&proxied);
    ran.assert_code(0);
    assert_eq!(first_key(&proxied).as_deref(), Some("AKIDPROCESS"));
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
}

/// Returns the two forms of a profile with SSO: with a session, and the one before there were sessions.
fn sso_profiles() -> [String; 2] {
    let default = "[default]\nregion = eu-west-1\n";
    let role = "sso_account_id = 111122223333\nsso_role_name = reader\n";
    let portal = "sso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let session = "[sso-session corp]\nsso_registration_scopes = sso:account:access\n";
    [format!("{default}sso_session = corp\n{role}{session}{portal}"), format!("{default}{portal}{role}")]
}

#[test]
fn both_forms_of_sso_give_credentials() {
    let [session, legacy] = sso_profiles();
    for (profile, name) in [(session, OF_SESSION), (legacy, OF_START_URL)] {
        let proxied = Proxied::new();
        let home = Home::new(&profile);
        home.sign_in(name, "2999-01-01T00:00:00Z");
        let credentials = r#"{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"canary","sessionToken":"canary","expiration":32503680000000}}"#;
        let portal = &proxied.world.webhook;
        portal.set_faults(Faults::always(Fault::Answer { status: 200, body: credentials.to_owned() }));
        proxied.route("portal.sso.eu-west-1.amazonaws.com", portal.url().trim_end_matches("/hook"));
        let ran = home.once(&proxied);
        ran.assert_code(0);
        assert_eq!(first_key(&proxied).as_deref(), Some("ASIASSO"), "{profile}");
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    }
}

/// A session that is over: by the file in which it is kept, or by the answer of the portal.
#[test]
fn what_cannot_be_used_is_refused_with_the_way_out() {
    let [session, legacy] = sso_profiles();
    let login = "[default]\nregion = eu-west-1\nlogin_session = arn:aws:iam::111122223333:user/jane\n".to_owned();
    let sign_in = "sign in again with `aws sso login`";
    for (profile, fix) in
        [(session, sign_in), (legacy, sign_in), (login, "credential_process = aws configure export-credentials")]
    {
        let proxied = Proxied::new();
        let home = Home::new(&profile);
        [OF_SESSION, OF_START_URL].iter().for_each(|name| home.sign_in(name, "2020-01-01T00:00:00Z"));
        let body = r#"{"__type":"UnauthorizedException","message":"Session token not found or invalid"}"#.to_owned();
        let portal = &proxied.world.webhook;
        portal.set_faults(Faults::always(Fault::Answer { status: 401, body }));
        proxied.route("portal.sso.eu-west-1.amazonaws.com", portal.url().trim_end_matches("/hook"));
        let ran = home.once(&proxied);
        ran.assert_code(1);
        assert!(ran.stderr.contains(fix), "{profile}: {}", ran.stderr);
        // It is final at once, and the other clouds are read all the same.
        assert!(!ran.stderr.contains("retrying a request"), "{profile}: {}", ran.stderr);
        assert!(!proxied.world.server(Cloud::Gke).requests().is_empty());
        assert!(proxied.sts.requests().is_empty() && proxied.world.logs.requests().is_empty());
    }
}
