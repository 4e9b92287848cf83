//! Takes the place of a cloud that is not built into this binary. Its values cannot exist.

use std::sync::Arc;

use ipnet::IpNet;
use stakeout_core::check::{Check, Examination};
use stakeout_core::decode::{DecodeError, Enveloped};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::known_clusters::{Census, ClusterLogs};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_core::source::LogId;
use stakeout_core::time::Window;
use stakeout_core::yaml::At;
use stakeout_notify::console::Service;

use super::budget::{Budget, Budgets};
use super::{Export, FoundLog, FoundPage, LastWritten};
use crate::outbound::Outbound;
use crate::section::SectionReader;
use crate::section::cluster_choice::ClusterChoice;

/// Settings of a cloud that is not built in.
#[derive(Clone, Debug)]
pub(crate) enum Settings {}

/// A client that cannot exist.
pub(crate) enum Client {}

/// A discovery of a cloud that is not built in.
#[derive(Clone, Debug)]
pub(crate) enum Discovery {}

/// A finder that cannot exist.
pub(crate) enum Finder {}

impl Discovery {
    pub(crate) fn read(at: &At<'_>) -> Result<Discovery, Diagnostic> {
        Err(at.error("not built into this binary", "build with the cargo feature aws, or remove this discovery"))
    }

    pub(crate) fn connect(self: &Arc<Self>, _: &mut Budgets, _: &Outbound) -> Vec<Finder> {
        match **self {}
    }
}

impl Finder {
    pub(crate) fn id(&self) -> String {
        match *self {}
    }

    pub(crate) fn place(&self) -> String {
        match *self {}
    }

    pub(crate) fn budget(&self) -> &Budget {
        match *self {}
    }

    pub(crate) fn sees_linked(&self) -> bool {
        match *self {}
    }

    pub(crate) async fn page(&self, _: Option<&PageToken>) -> Result<FoundPage, FetchError> {
        match *self {}
    }

    pub(crate) fn known(&self, _: &LogId) -> Option<FoundLog> {
        match *self {}
    }

    pub(crate) async fn last_written(&self, _: &FoundLog) -> Result<LastWritten, FetchError> {
        match *self {}
    }

    pub(crate) fn setup(&self) -> Vec<Check> {
        match *self {}
    }

    pub(crate) fn fix(&self) -> String {
        match *self {}
    }
}

/// Nothing is known of the records.
pub(super) const EXPORT: Export = Export {
    envelope: Some(|_| Err(DecodeError::NotJson("the cloud of this record is not built into this binary".to_owned()))),
    is_translated: true,
    own_needles: None,
    optional_members: &[],
};

/// Decodes nothing: there is no client to read a record.
pub(super) fn decode(_: &str) -> Result<Enveloped, DecodeError> {
    Err(DecodeError::OtherService("not built in".to_owned()))
}

impl Settings {
    pub(super) fn read(at: &At<'_>, _: &mut SectionReader<'_>) -> Result<Settings, Diagnostic> {
        Err(at.error("not built into this binary", "remove this source"))
    }

    pub(super) fn read_all(
        at: &At<'_>,
        _: &mut SectionReader<'_>,
    ) -> Result<(Vec<(String, Settings)>, ClusterChoice), Diagnostic> {
        Err(at.error("not built into this binary", "remove this discovery"))
    }

    pub(super) fn log(&self) -> String {
        match *self {}
    }

    pub(super) fn of_cluster(&self, _: &str) -> Option<Settings> {
        match *self {}
    }

    pub(super) fn log_ids(&self) -> Vec<String> {
        match *self {}
    }

    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        match *self {}
    }

    pub(super) fn switch_on(&self) -> String {
        match *self {}
    }

    pub(super) fn cluster(&self) -> Option<&str> {
        match *self {}
    }

    pub(super) fn console(&self) -> Option<Service> {
        match *self {}
    }

    pub(super) fn control_plane_proxies(&self) -> Vec<IpNet> {
        match *self {}
    }

    pub(super) fn connect(&self, _: &mut Budgets, _: &Outbound) -> anyhow::Result<(Client, Arc<Budget>)> {
        match *self {}
    }
}

impl Client {
    pub(super) async fn page(&self, _: Window, _: &Prefilter, _: Option<&PageToken>) -> Result<Page, FetchError> {
        match *self {}
    }

    pub(super) async fn first_records(
        &self,
        _: Window,
        _: &Prefilter,
        _: Option<&PageToken>,
        _: u32,
    ) -> Result<Page, FetchError> {
        match *self {}
    }

    pub(super) async fn has_records(&self, _: Window) -> Result<bool, FetchError> {
        match *self {}
    }

    pub(super) async fn census(&self, _: Window, _: ClusterLogs) -> Result<Census, FetchError> {
        match *self {}
    }

    pub(super) fn setup(&self) -> Vec<Check> {
        match *self {}
    }

    pub(super) async fn checks(&self, _: Window, _: &Prefilter, _: i64) -> Examination {
        match *self {}
    }
}
