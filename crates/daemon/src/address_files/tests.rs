//! Files that are there, that change, that are damaged, and that are gone.

use stakeout_core::address::{SourceIp, parse};

use super::*;

const RANGES: &str =
    r#"{"prefixes": [{"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"}]}"#;

#[test]
fn a_bad_file_leaves_what_was_known_in_use_and_check_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = AddressConfig {
        networks: vec![("5.5.5.0/24".parse().expect("a network"), "CI".to_owned())],
        city_file: Some(folder.path().join("city.mmdb")),
        asn_file: None,
        ranges: Some(folder.path().to_owned()),
    };
    let files = AddressFiles::default();
    let known = |address: &str| {
        files.refresh(&config);
        files.current().find(SourceIp::of(parse(address).expect("an address"))).to_string()
    };
    assert_eq!(known("5.5.5.1"), "CI", "files that are not there stop nothing");
    let problems: Vec<String> = errors("s.yaml", &config).iter().map(ToString::to_string).collect();
    assert!(problems[0].starts_with("s.yaml: context.city_file: there is no `"), "{problems:?}");
    assert!(problems[1].starts_with("s.yaml: context.ranges: there is no file of a cloud in `"), "{problems:?}");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("cloud.json", RANGES);
    assert_eq!(known("34.1.208.1"), "Google Cloud africa-south1");
    write("cloud.json", "{broken");
    write("city.mmdb", "not a database");
    assert_eq!(known("34.1.208.1"), "Google Cloud africa-south1");
    let problems: Vec<String> = errors("s.yaml", &config).iter().map(ToString::to_string).collect();
    assert!(problems[0].contains("is no database of MaxMind's format"), "{problems:?}");
    assert!(problems[1].contains("it is not what the cloud documents"), "{problems:?}");
}
