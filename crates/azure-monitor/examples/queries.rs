//! Prints queries as JSON lines, for other readers of KQL to judge: those of the shipped rules, then those of random
//! prefilters with hostile literals. The same numbers give the same queries.
//!
//! `cargo run -p stakeout-azure-monitor --example queries -- [HOW-MANY [SEED]]`

#[path = "../tests/wire/prefilters.rs"]
mod prefilters;

use std::error::Error;
use std::io::{self, Write};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use stakeout_azure_monitor::{AuditTable, AzureMonitorConfig, Credential, Plan, pushdown};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::time::{Second, Window};

/// 2026-11-22, from 00:50 to 01:50: the hour of the recorded scenarios.
const WINDOW: (i64, i64) = (1_795_308_600, 1_795_312_200);
const CLUSTERS: [&str; 2] = [
    "aks-prod",
    "/subscriptions/11112222-3333-4444-5555-666677778888/resourceGroups/rg-prod/providers/Microsoft.ContainerService/managedClusters/aks-prod",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u64>());
    let (how_many, seed) = (numbers.next().unwrap_or(Ok(100))?, numbers.next().unwrap_or(Ok(1))?);
    let mut out = io::stdout().lock();
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files())
        .map_err(|faults| format!("the shipped rules do not load: {faults:?}"))?;
    for prefilter in [rules.prefilter(), Prefilter::Any] {
        write_all(&mut out, &prefilter)?;
    }
    write_others(&mut out)?;
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..how_many {
        write_all(
            &mut out,
            &prefilters::prefilter().new_tree(&mut runner).map_err(|reason| reason.to_string())?.current(),
        )?;
    }
    Ok(())
}

/// Writes the queries of a prefilter for every table and plan.
fn write_all(out: &mut impl Write, prefilter: &Prefilter) -> Result<(), Box<dyn Error>> {
    let window = window()?;
    for config in configs() {
        write_query(out, &config, &pushdown::query(window, prefilter, &config), &format!("{prefilter:?}"))?;
    }
    Ok(())
}

/// Writes the queries that have no prefilter: whether anything is logged, and what `doctor` asks.
fn write_others(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let window = window()?;
    for config in configs() {
        write_query(out, &config, &pushdown::any_row(window, &config), "any row")?;
        write_query(out, &config, &pushdown::any_read(window, &config), "any read")?;
        write_query(out, &config, &pushdown::newest(window, &config), "newest")?;
        write_query(out, &config, &pushdown::first_rows(window, &Prefilter::Any, 200, &config), "first rows")?;
    }
    Ok(())
}

fn write_query(out: &mut impl Write, config: &AzureMonitorConfig, query: &str, prefilter: &str) -> io::Result<()> {
    let plan = format!("{:?}", config.plan).to_lowercase();
    let line = json!({"table": config.table.as_str(), "plan": plan, "query": query, "prefilter": prefilter});
    writeln!(out, "{line}")
}

fn window() -> Result<Window, &'static str> {
    Window::new(Second(WINDOW.0), Second(WINDOW.1)).ok_or("an empty window")
}

fn configs() -> impl Iterator<Item = AzureMonitorConfig> {
    AuditTable::ALL.into_iter().zip(CLUSTERS.iter().cycle()).flat_map(|(table, cluster)| {
        [Plan::Analytics, Plan::Basic].map(|plan| {
            let config = AzureMonitorConfig::new("w", table, *cluster, Credential::Anonymous);
            AzureMonitorConfig { plan, ..config }
        })
    })
}
