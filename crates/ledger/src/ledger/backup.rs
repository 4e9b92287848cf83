//! Copies of a state, and how a damaged one begins again with the newest that is whole.
//!
//! PostgreSQL has back-ups of its own, so this is about directories only. What happened since the copy is not in it: logs are
//! read again from there, and findings of that time may be reported a second time, with the same uid.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use stakeout_core::time::Second;

use super::transfer::{Import, StreamReader};
use super::{Ledger, Transferred};
use crate::embedded::{self, Held, Stay, backups, catching};
use crate::engine::{Engine, Location};
use crate::error::{LedgerError, Result};

/// How old the newest copy is at most while something is written.
const EVERY_SECONDS: i64 = 3_600;

impl Ledger {
    /// Copies what is stored beside it if the newest copy is older than an hour, and returns the bytes of the new one.
    pub fn back_up(&self, now: Second) -> Result<Option<u64>> {
        let Some(dir) = self.engine.directory() else { return Ok(None) };
        // A copy without progress would say that nothing was ever read.
        if self.read(|state| Ok(state.progress.is_empty()))? {
            return Ok(None);
        }
        if let Some((newest, _)) = backups::list(dir)?.first()
            && newest.plus(EVERY_SECONDS) > now
            && *newest <= now
        {
            return Ok(None);
        }
        let bytes = backups::add(dir, now, |file| {
            let mut out = BufWriter::new(file);
            self.export_values(&mut out)?;
            out.flush().map_err(|error| LedgerError::of_io("write the back-up", error))
        })?;
        Ok(Some(bytes))
    }

    /// Returns whether the directory holds a database, or copies of one.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        embedded::has_database(dir) || backups::list(dir).is_ok_and(|copies| !copies.is_empty())
    }

    /// Reads and decodes all that is stored, and returns how much that is. Fails at the first damage.
    pub fn verify(&self) -> Result<Transferred> {
        self.read_all()?;
        self.export(&mut io::sink())
    }

    /// Returns the copies of the state in `dir`, the newest first, each with what is wrong with it.
    pub fn copies(dir: &Path) -> Result<Vec<(Second, Option<String>)>> {
        let judged = backups::list(dir)?.into_iter().map(|(at, path)| match whole(&path) {
            Ok(()) => Ok((at, None)),
            Err(LedgerError::Stream { reason }) => Ok((at, Some(reason))),
            Err(error) => Err(error),
        });
        judged.collect()
    }

    /// Puts the newest whole copy of the state in `dir` in its place, keeps the damaged database beside it, and returns the
    /// time of the copy. Nobody may have the state open.
    ///
    /// Fails with [`LedgerError::Damaged`] where there is no copy that is whole. A kill at any moment leaves either state.
    pub fn restore(dir: &Path, now: Second) -> Result<Second> {
        let held = Held::of(dir)?;
        for (at, path) in backups::list(dir)? {
            match whole(&path) {
                Ok(()) => {}
                Err(LedgerError::Stream { reason }) => {
                    tracing::warn!(file = %path.display(), reason, "a back-up of the state is damaged, trying an older one");
                    continue;
                }
                Err(error) => return Err(error),
            }
            let copy = held.begin_copy()?;
            let engine = Engine::open(&Location::Directory(copy), Stay::Brief)?;
            catching("restore the state", || {
                let mut input = open(&path)?;
                let mut stream = StreamReader::begin(&mut input)?;
                let mut import = Import::begin(&engine)?;
                while let Some(record) = stream.next()? {
                    import.add(record)?;
                }
                import.finish_restored(at, held.writes())
            })?;
            drop(engine);
            held.exchange(now)?;
            return Ok(at);
        }
        Err(LedgerError::damaged("there is no whole back-up of it"))
    }

    /// Returns when the state in `dir` was last restored, if the damaged one is still there.
    pub fn restored_at(dir: &Path) -> Result<Option<Second>> {
        embedded::damaged_since(dir)
    }

    /// Returns the time of the copy that the state begins with again, if nothing was committed since.
    pub fn restored_from(&self) -> Result<Option<Second>> {
        self.read(|state| Ok(state.totals.restored_from))
    }
}

/// Reads a copy to its end: it must be whole before anything gives way to it.
fn whole(path: &Path) -> Result<()> {
    let mut input = open(path)?;
    let mut stream = StreamReader::begin(&mut input)?;
    while stream.next()?.is_some() {}
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path);
    file.map(BufReader::new).map_err(|error| LedgerError::of_io(format!("open {}", path.display()), error))
}
