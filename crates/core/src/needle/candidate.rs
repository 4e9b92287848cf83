//! Searches a text for candidates: short parts of needles. Where a candidate is found, the whole needle is compared.
//!
//! A few candidates are searched one by one, many all at once.

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, Input, MatchKind, Span};
use memchr::memmem::Finder;

use super::{Needle, NeedleKind, Spelling};

/// Largest number of candidates that are searched one by one. One search for many takes the time of about three.
pub(super) const FEW_MAX: usize = 2;
/// The same if one of them is shorter than [`SHORT_BYTES`]: it would stop the search for many almost everywhere.
const FEW_MAX_OF_SHORT: usize = 4;
/// A candidate below this length is short, in bytes.
const SHORT_BYTES: usize = 3;
/// Bytes of a part that are searched if there are many needles: addresses of one network begin alike.
const PART_BYTES: usize = 6;
/// Letters of a case-insensitive needle that are searched: a candidate for each of their 8 spellings.
const CASE_CHARS: usize = 3;
/// Shortest end of a name that is searched in place of the whole name, in bytes.
const END_BYTES_MIN: usize = 6;
/// The beginning of every escape that may stand for a letter of a needle.
const ESCAPE: &str = "\\u00";
/// KELVIN SIGN, whose lower case is `k`: in UTF-8, and as JSON may escape it.
const KELVIN: [&str; 3] = ["\u{212a}", "\\u212a", "\\u212A"];

/// All candidates of a set of needles.
#[derive(Clone, Debug)]
pub(super) enum Candidates {
    Few(Vec<Candidate>),
    Many(Box<ManyCandidates>),
}

/// Candidates that one search finds.
#[derive(Clone, Debug)]
pub(super) struct ManyCandidates {
    all: AhoCorasick,
    /// A faster searcher; absent if there are too many candidates or the processor cannot run it.
    packed: Option<Searcher>,
    /// The offsets of candidates in their needles.
    offsets: Vec<usize>,
}

/// A part of a needle to search for.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    finder: Finder<'static>,
    /// Its offset in the needle.
    offset: usize,
}

/// The next position of each candidate in a text, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct NextCandidates(Vec<Option<usize>>);

impl NextCandidates {
    /// Forgets all positions, before a search in another text.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Candidates {
    pub(super) fn of(needles: &[Needle], spelling: Spelling) -> Option<Candidates> {
        let are_many = needles.len() > FEW_MAX;
        let candidates = needles.iter().flat_map(|needle| candidates_of(needle, spelling, are_many));
        let mut candidates: Vec<(String, usize)> = candidates.collect();
        candidates.sort_unstable();
        candidates.dedup();
        if needles.iter().any(|needle| needle.kind == NeedleKind::CaseInsensitive && needle.text.contains('k')) {
            candidates.extend(KELVIN.map(|letter| (letter.to_owned(), 0)));
        }
        let is_digits = |needle: &Needle| needle.text.bytes().all(|byte| byte.is_ascii_digit());
        let is_native = spelling == Spelling::Native;
        // Digits have fewer escapes, and the API server writes none of these. In a wrapped text, one may be a quote.
        let escape = if is_native && needles.iter().all(is_digits) { format!("{ESCAPE}3") } else { ESCAPE.to_owned() };
        candidates.push((escape, 0));
        let is_short = |(text, _): &(String, usize)| text.len() < SHORT_BYTES;
        let few_max = if candidates.iter().any(is_short) { FEW_MAX_OF_SHORT } else { FEW_MAX };
        if candidates.len() <= few_max {
            let candidate =
                |(text, offset): (String, usize)| Candidate { finder: Finder::new(&text).into_owned(), offset };
            return Some(Candidates::Few(candidates.into_iter().map(candidate).collect()));
        }
        let (texts, mut offsets): (Vec<String>, Vec<usize>) = candidates.into_iter().unzip();
        offsets.sort_unstable();
        offsets.dedup();
        let packed = Searcher::new(&texts);
        let all = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(texts).ok()?;
        Some(Candidates::Many(Box::new(ManyCandidates { all, packed, offsets })))
    }

    /// Returns the position of the next candidate whose needle begins at a position that `matches_at` accepts.
    pub(super) fn find(
        &self,
        text: &[u8],
        from: usize,
        next: &mut NextCandidates,
        matches_at: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match self {
            Candidates::Few(candidates) => {
                next.0.resize(candidates.len(), None);
                let find_next = |(candidate, known): (&Candidate, &mut Option<usize>)| match *known {
                    Some(next) if from <= next => next,
                    _ => *known.insert(candidate.find(text, from, &matches_at).unwrap_or(usize::MAX)),
                };
                candidates.iter().zip(&mut next.0).map(find_next).min().filter(|next| *next < text.len())
            }
            Candidates::Many(many) => {
                let mut from = from;
                loop {
                    let found = many.find(text, from)?;
                    // Several needles may share a candidate.
                    let mut positions = many.offsets.iter().filter_map(|offset| found.checked_sub(*offset));
                    if positions.any(&matches_at) {
                        return Some(found);
                    }
                    from = found + 1;
                }
            }
        }
    }
}

impl ManyCandidates {
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let found = match &self.packed {
            Some(packed) => packed.find_in(text, Span { start: from, end: text.len() }),
            None => self.all.find(Input::new(text).range(from..)),
        };
        found.map(|found| found.start())
    }
}

impl Candidate {
    fn find(&self, text: &[u8], from: usize, matches_at: &impl Fn(usize) -> bool) -> Option<usize> {
        let mut from = from;
        loop {
            let found = from + self.finder.find(&text[from..])?;
            if found.checked_sub(self.offset).is_some_and(matches_at) {
                return Some(found);
            }
            from = found + 1;
        }
    }
}

/// Returns the candidates of `needle`, each with its offset in the needle.
fn candidates_of(needle: &Needle, spelling: Spelling, are_many: bool) -> Vec<(String, usize)> {
    let text = &needle.text;
    match needle.kind {
        NeedleKind::Part if are_many => vec![(text.get(..PART_BYTES).unwrap_or(text).to_owned(), 0)],
        NeedleKind::Number | NeedleKind::Part => vec![(text.clone(), 0)],
        NeedleKind::Text => {
            // ManyCandidates names begin with `system:`.
            let offset = text.rfind(':').map_or(0, |colon| colon + 1);
            let offset = if text.len() - offset < END_BYTES_MIN { 0 } else { offset };
            let quote = if spelling == Spelling::Native { "\"" } else { "" };
            vec![(format!("{}{quote}", &text[offset..]), offset)]
        }
        NeedleKind::CaseInsensitive => {
            let letters = text.chars().take(CASE_CHARS);
            let spellings = letters.fold(vec![String::new()], |spellings, letter| {
                let upper = letter.to_ascii_uppercase();
                let lower = spellings.iter().map(|spelling| format!("{spelling}{letter}"));
                let both = lower.chain(spellings.iter().map(|spelling| format!("{spelling}{upper}")));
                both.take(if upper == letter { spellings.len() } else { usize::MAX }).collect()
            });
            spellings.into_iter().map(|spelling| (spelling, 0)).collect()
        }
    }
}

/// Returns whether `text` begins with an escape of a letter that needles may contain, in either case.
pub(super) fn is_escape(text: &[u8]) -> bool {
    match text.get(4..6) {
        _ if text.starts_with(KELVIN[1].as_bytes()) || text.starts_with(KELVIN[2].as_bytes()) => true,
        Some([b'2', low]) => matches!(low, b'd'..=b'f' | b'D'..=b'F'),
        Some([b'3', low]) => matches!(low, b'0'..=b'9' | b'a' | b'A'),
        Some([b'4'..=b'7', _]) => true,
        _ => false,
    }
}
