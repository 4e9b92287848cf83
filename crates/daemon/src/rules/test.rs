//! `rules test`: runs every test case, and prints what differs.

use std::io::{self, BufWriter, Write};

use anyhow::anyhow;
use stakeout_core::rule::{CaseResult, Rules};
use stakeout_core::text::{counted, visible};

use crate::exit::{Exit, Failure, written};
use crate::replay::files::read_case;

/// Runs the test cases of `rules`, and fails where one differs from its expectation.
pub(super) fn run(rules: &Rules) -> Result<Exit, Failure> {
    let results = rules.test_with(&read_case);
    written(write(&results))?;
    match results.iter().filter(|result| !result.is_passed()).count() {
        0 => Ok(Exit::Done),
        failed => Err(anyhow!("{} failed", counted(failed, "case")).into()),
    }
}

fn write(results: &[CaseResult]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let says = |matched: bool| if matched { "match" } else { "no match" };
    for result in results {
        let case = &result.case;
        let outcome = if result.is_passed() { "ok" } else { "FAILED" };
        writeln!(out, "{outcome:<6} {}: {}", case.rule, case.name)?;
        if !result.is_passed() {
            let actual = match &result.actual {
                Ok(matched) => format!("got {}", says(*matched)),
                Err(error) => format!("its event cannot be read: {}", visible(&error.to_string())),
            };
            writeln!(out, "       {}:{}: expected {}, {actual}", case.file, case.line, says(case.expected))?;
        }
    }
    let failed = results.iter().filter(|result| !result.is_passed()).count();
    writeln!(out, "{} passed, {failed} failed", results.len() - failed)?;
    out.flush()
}
