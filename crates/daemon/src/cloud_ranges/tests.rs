//! The forms that the clouds document, and that everything else is an error.

use stakeout_core::address::{SourceIp, parse};

use super::*;

const AWS: &str = r#"{"syncToken": "1", "createDate": "2026-11-22-01-00-00",
  "prefixes": [
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON", "network_border_group": "ap-northeast-2"},
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "S3", "network_border_group": "ap-northeast-2"}],
  "ipv6_prefixes": [
    {"ipv6_prefix": "2600:1f14::/35", "region": "us-west-2", "service": "EC2", "network_border_group": "us-west-2"}]}"#;
const GOOGLE: &str = r#"{"syncToken": "1", "creationTime": "2026-11-22T01:00:00", "prefixes": [
    {"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"},
    {"ipv6Prefix": "2600:1900:8000::/44", "service": "Google Cloud", "scope": "africa-south1"}]}"#;
const AZURE: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [
    {"name": "AzureCloud.westeurope", "id": "AzureCloud.westeurope", "properties": {"changeNumber": 1, "region": "westeurope",
     "regionId": 18, "platform": "Azure", "systemService": "", "addressPrefixes": ["13.69.0.0/17", "2603:1020:200::/46"]}}]}"#;

fn find(table: &PrefixTable<CloudRange>, address: &str) -> String {
    let range = table.find(SourceIp::of(parse(address).expect("an address")));
    range.map(|range| format!("{}|{}|{}", range.cloud, range.service, range.region)).unwrap_or_default()
}

#[test]
fn each_cloud_is_read_as_it_publishes_its_ranges() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ranges, errors) = read(folder.path());
    assert!(ranges.is_empty() && errors[0].contains("there is no file of a cloud in"), "{errors:?}");
    for (publisher, text) in Publisher::ALL.into_iter().zip([AWS, GOOGLE, AZURE]) {
        fs::write(folder.path().join(publisher.file_name()), text).expect("written");
    }
    let (ranges, errors) = read(folder.path());
    assert_eq!(errors, [""; 0]);
    for (address, expected) in [
        ("3.5.140.7", "AWS|S3|ap-northeast-2"),
        ("2600:1f14::1", "AWS|EC2|us-west-2"),
        ("34.1.208.1", "Google Cloud||africa-south1"),
        ("2600:1900:8000::1", "Google Cloud||africa-south1"),
        ("13.69.1.1", "Azure||westeurope"),
        ("8.8.8.8", ""),
    ] {
        assert_eq!(find(&ranges, address), expected, "{address}");
    }
    fs::write(folder.path().join("cloud.json"), "{}").expect("written");
    let (ranges, errors) = read(folder.path());
    assert!(errors.len() == 1 && errors[0].contains("it is not what the cloud documents"), "{errors:?}");
    assert_eq!(find(&ranges, "13.69.1.1"), "Azure||westeurope", "the others are used");
}

#[test]
fn what_is_not_a_range_is_an_error() {
    for (publisher, text) in Publisher::ALL.into_iter().zip([AWS, GOOGLE, AZURE]) {
        for (old, new) in [("/2", "/99"), ("/2", "/0"), ("prefixes", "prefixe"), ("0/", "1/"), ("[", "")] {
            let broken = text.replacen(old, new, 1);
            assert!(broken == text || publisher.parse(&broken).is_err(), "{broken}");
        }
        assert!(publisher.parse("[]").is_err() && publisher.parse("").is_err());
    }
    assert!(Publisher::Google.parse(r#"{"prefixes": []}"#).expect_err("empty").contains("no range"));
}
