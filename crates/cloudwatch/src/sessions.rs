//! The clients of CloudWatch Logs, one for each access. All logs of an account and region use the same one: so a role is
//! assumed once for all of them, and not once for each log.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_cloudwatchlogs::Client;
use stakeout_aws::Access;
use stakeout_http::Session;

/// The sessions of several logs. Clones share them.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<SessionsByAccess>>);

type SessionsByAccess = Vec<(Access, Arc<Session<Client>>)>;

impl Sessions {
    /// Returns the session with this access: the same region, endpoint, role, external id and credential.
    pub(crate) fn of(&self, access: &Access) -> Arc<Session<Client>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, session)) = sessions.iter().find(|(known, _)| known == access) {
            return session.clone();
        }
        let session = Arc::<Session<Client>>::default();
        sessions.push((access.clone(), session.clone()));
        session
    }
}

/// Shows nothing of the clients, which hold credentials.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use stakeout_aws::AssumeRole;

    use super::*;

    #[test]
    fn a_session_belongs_to_all_of_its_access() {
        let role = |external_id: &str| {
            let arn = "arn:aws:iam::123456789012:role/reader".to_owned();
            let assume_role = Some(AssumeRole { arn, external_id: Some(external_id.to_owned()) });
            Access { assume_role, ..Access::new("eu-west-1") }
        };
        let sessions = Sessions::default();
        let first = sessions.clone().of(&role("a"));
        assert!(Arc::ptr_eq(&first, &sessions.of(&role("a"))));
        for other in [role("b"), Access::new("eu-west-1"), Access { region: "us-east-1".to_owned(), ..role("a") }] {
            assert!(!Arc::ptr_eq(&first, &sessions.of(&other)), "{other:?}");
        }
    }
}
