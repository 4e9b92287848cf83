//! The value of `--kind`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::cloud::Cloud;

/// Whose records the files contain, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportKind(pub(super) Option<Cloud>);

impl ExportKind {
    /// Returns the parser of `--kind`.
    pub(super) fn parser() -> impl TypedValueParser<Value = ExportKind> {
        let auto = PossibleValue::new("auto").help("Detect it from each record");
        let named = Cloud::ALL.into_iter().map(|cloud| {
            let profile = cloud.profile();
            PossibleValue::new(profile.export_name).help(profile.export_help)
        });
        let cloud_of = |name: String| Cloud::ALL.into_iter().find(|cloud| cloud.profile().export_name == name);
        PossibleValuesParser::new(std::iter::once(auto).chain(named)).map(move |name| ExportKind(cloud_of(name)))
    }
}
