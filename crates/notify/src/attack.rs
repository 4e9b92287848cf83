//! MITRE ATT&CK: links to techniques, and the names of those that rules on the Kubernetes API use.

/// The version of ATT&CK whose names are below.
pub(crate) const VERSION: &str = "16.1";

/// Techniques of the Containers matrix and of scanning, and what else SigmaHQ's rules on Kubernetes name, by id
/// (<https://attack.mitre.org/matrices/enterprise/containers/>).
const NAMES: &[(&str, &str)] = &[
    ("T1027", "Obfuscated Files or Information"),
    ("T1027.004", "Compile After Delivery"),
    ("T1036", "Masquerading"),
    ("T1036.005", "Match Legitimate Name or Location"),
    ("T1046", "Network Service Discovery"),
    ("T1053", "Scheduled Task/Job"),
    ("T1053.007", "Container Orchestration Job"),
    ("T1068", "Exploitation for Privilege Escalation"),
    ("T1069", "Permission Groups Discovery"),
    ("T1069.003", "Cloud Groups"),
    ("T1070", "Indicator Removal"),
    ("T1078", "Valid Accounts"),
    ("T1078.001", "Default Accounts"),
    ("T1078.003", "Local Accounts"),
    ("T1078.004", "Cloud Accounts"),
    ("T1087", "Account Discovery"),
    ("T1087.004", "Cloud Account"),
    ("T1098", "Account Manipulation"),
    ("T1098.006", "Additional Container Cluster Roles"),
    ("T1110", "Brute Force"),
    ("T1110.001", "Password Guessing"),
    ("T1110.003", "Password Spraying"),
    ("T1110.004", "Credential Stuffing"),
    ("T1133", "External Remote Services"),
    ("T1136", "Create Account"),
    ("T1136.001", "Local Account"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1204", "User Execution"),
    ("T1204.003", "Malicious Image"),
    ("T1485", "Data Destruction"),
    ("T1490", "Inhibit System Recovery"),
    ("T1496", "Resource Hijacking"),
    ("T1498", "Network Denial of Service"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1525", "Implant Internal Image"),
    ("T1526", "Cloud Service Discovery"),
    ("T1528", "Steal Application Access Token"),
    ("T1543", "Create or Modify System Process"),
    ("T1543.005", "Container Service"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1550.001", "Application Access Token"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Credentials In Files"),
    ("T1552.007", "Container API"),
    ("T1562", "Impair Defenses"),
    ("T1562.001", "Disable or Modify Tools"),
    ("T1595", "Active Scanning"),
    ("T1595.001", "Scanning IP Blocks"),
    ("T1595.002", "Vulnerability Scanning"),
    ("T1595.003", "Wordlist Scanning"),
    ("T1609", "Container Administration Command"),
    ("T1610", "Deploy Container"),
    ("T1611", "Escape to Host"),
    ("T1612", "Build Image on Host"),
    ("T1613", "Container and Resource Discovery"),
    ("T1619", "Cloud Storage Object Discovery"),
];

/// Returns the name of a technique, or `None` if the table does not have it.
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
        assert!(NAMES.is_sorted_by(|left, right| left.0 < right.0) && NAMES.iter().all(|(id, _)| url(id).is_some()));
    }
}
