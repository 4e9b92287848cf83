//! The senders of an open window, each once, by their keyed hashes.

use super::hashed::ByHash;
use crate::address::SourceIp;

/// The sender of a request or of a group: the number of a source, or one of two that stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sender(u32);

impl Sender {
    /// There is no sender, or it does not matter.
    pub(super) const NONE: Sender = Sender(u32::MAX);
    /// Whoever sent the request.
    pub(super) const OWN: Sender = Sender(u32::MAX - 1);

    /// Returns the index of a source.
    pub(super) fn index(self) -> Option<usize> {
        (self.0 < Sender::OWN.0).then_some(self.0 as usize)
    }
}

/// The senders of a window.
#[derive(Default)]
pub(super) struct Sources {
    by_hash: ByHash<Sender>,
    all: Vec<(SourceIp, u64)>,
}

impl Sources {
    /// Returns the number of the source with this keyed hash.
    pub(super) fn number_of(&mut self, source: SourceIp, hash: u64) -> Sender {
        *self.by_hash.entry(hash).or_insert_with(|| {
            let number = u32::try_from(self.all.len()).expect("so many sources do not fit into memory");
            self.all.push((source, hash));
            Sender(number)
        })
    }

    /// Adds the sources of `other`, and returns their numbers here.
    pub(super) fn join(&mut self, other: &Sources) -> Vec<Sender> {
        other.all.iter().map(|(source, hash)| self.number_of(*source, *hash)).collect()
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns a source.
    pub(super) fn get(&self, sender: Sender) -> Option<SourceIp> {
        self.all.get(sender.index()?).map(|(source, _)| *source)
    }

    /// Returns the keyed hash of a source; zero where there is none.
    pub(super) fn hash(&self, sender: Sender) -> u64 {
        sender.index().and_then(|index| self.all.get(index)).map_or(0, |(_, hash)| *hash)
    }
}
