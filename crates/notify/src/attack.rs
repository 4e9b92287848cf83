//! MITRE ATT&CK: links to techniques, and the names of those that rules on the Kubernetes API use.

/// The version of ATT&CK whose names are below.
pub(crate) const VERSION: &str = "16.1";

/// Techniques of the Containers matrix and of scanning, by id (<https://attack.mitre.org/matrices/enterprise/containers/>).
const NAMES: [(&str, &str); 17] = [
    ("T1046", "Network Service Discovery"),
    ("T1068", "Exploitation for Privilege Escalation"),
    ("T1069", "Permission Groups Discovery"),
    ("T1078", "Valid Accounts"),
    ("T1098", "Account Manipulation"),
    ("T1110", "Brute Force"),
    ("T1133", "External Remote Services"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1526", "Cloud Service Discovery"),
    ("T1528", "Steal Application Access Token"),
    ("T1552", "Unsecured Credentials"),
    ("T1595", "Active Scanning"),
    ("T1609", "Container Administration Command"),
    ("T1610", "Deploy Container"),
    ("T1611", "Escape to Host"),
    ("T1613", "Container and Resource Discovery"),
    ("T1619", "Cloud Storage Object Discovery"),
];

/// Returns the name of a technique, where it is one of those known here.
pub(crate) fn name(technique: &str) -> Option<&'static str> {
    NAMES.iter().find(|(id, _)| *id == technique).map(|(_, name)| *name)
}

/// Returns the page of a technique (`T1613`) or sub-technique (`T1078.001`), or `None` where the id is neither.
pub(crate) fn url(technique: &str) -> Option<String> {
    let (parent, sub) = match technique.split_once('.') {
        Some((parent, sub)) => (parent, Some(sub)),
        None => (technique, None),
    };
    let are_digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !parent.strip_prefix('T').is_some_and(|number| are_digits(number, 4))
        || !sub.is_none_or(|sub| are_digits(sub, 3))
    {
        return None;
    }
    Some(match sub {
        Some(sub) => format!("https://attack.mitre.org/techniques/{parent}/{sub}/"),
        None => format!("https://attack.mitre.org/techniques/{parent}/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_become_links() {
        assert_eq!(url("T1613").as_deref(), Some("https://attack.mitre.org/techniques/T1613/"));
        assert_eq!(url("T1078.001").as_deref(), Some("https://attack.mitre.org/techniques/T1078/001/"));
        for odd in ["", "T16", "T1613/", "T1613.1", "t1613", "T1613|<!channel>", "T1078.001.002"] {
            assert_eq!(url(odd), None, "{odd}");
        }
        assert_eq!(name("T1613"), Some("Container and Resource Discovery"));
    }
}
