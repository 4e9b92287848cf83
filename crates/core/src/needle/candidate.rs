//! How needles are searched: each for itself where there are few, all at once where there are many.

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, Input, MatchKind, Span};
use memchr::memmem::Finder;

use super::{Kind, Needle, Spelling};

/// Most probes that are searched one by one; a search for all at once takes the time of about three.
pub(super) const FEW_MAX: usize = 2;
/// The same where one of them is shorter than [`SHORT_BYTES`]: searched with the others it would stop them everywhere.
const FEW_MAX_OF_SHORT: usize = 4;
const SHORT_BYTES: usize = 3;
/// How much of a part is searched where there are many: addresses of one network begin alike.
const PART_BYTES: usize = 6;
/// Letters of a needle that are searched in either case: a probe for each of 8 spellings.
const BLIND_CHARS: usize = 3;
/// Shortest end of a name that is searched for instead of the whole, in bytes.
const END_BYTES_MIN: usize = 6;
/// What every escape begins with that may spell a letter of a needle.
const ESCAPE: &str = "\\u00";
/// Letters that are a `k` in lower case but not in ASCII, in UTF-8 and as JSON may escape them: KELVIN SIGN.
const KELVIN: [&str; 3] = ["\u{212a}", "\\u212a", "\\u212A"];

/// What is searched for. Where a probe is found is looked at once more.
#[derive(Clone, Debug)]
pub(super) enum Probes {
    Few(Vec<Probe>),
    Many(Box<Many>),
}

/// Probes that are searched all at once.
#[derive(Clone, Debug)]
pub(super) struct Many {
    all: AhoCorasick,
    /// The same, faster: where there are not too many, and the processor can.
    packed: Option<Searcher>,
    /// How far into needles probes begin.
    begins: Vec<usize>,
}

/// A part of a needle.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    finder: Finder<'static>,
    /// How far into the needle it begins.
    begin: usize,
}

/// Where in a text each probe stands next, as far as that is known by now.
#[derive(Clone, Debug, Default)]
pub struct Candidate(Vec<Option<usize>>);

impl Candidate {
    /// Forgets everything: the next text is another one.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Probes {
    pub(super) fn of(needles: &[Needle], spelling: Spelling) -> Option<Probes> {
        let are_many = needles.len() > FEW_MAX;
        let probes = needles.iter().flat_map(|needle| probes_of(needle, spelling, are_many));
        let mut probes: Vec<(String, usize)> = probes.collect();
        probes.sort_unstable();
        probes.dedup();
        if needles.iter().any(|needle| needle.kind == Kind::Blind && needle.text.contains('k')) {
            probes.extend(KELVIN.map(|letter| (letter.to_owned(), 0)));
        }
        let is_digits = |needle: &Needle| needle.text.bytes().all(|byte| byte.is_ascii_digit());
        let is_native = spelling == Spelling::Native;
        // Digits have fewer escapes, none of which the API server writes. RelatedActivity a quote may be spelled by one.
        let escape = if is_native && needles.iter().all(is_digits) { format!("{ESCAPE}3") } else { ESCAPE.to_owned() };
        probes.push((escape, 0));
        let is_short = |(text, _): &(String, usize)| text.len() < SHORT_BYTES;
        let few_max = if probes.iter().any(is_short) { FEW_MAX_OF_SHORT } else { FEW_MAX };
        if probes.len() <= few_max {
            let probe = |(text, begin): (String, usize)| Probe { finder: Finder::new(&text).into_owned(), begin };
            return Some(Probes::Few(probes.into_iter().map(probe).collect()));
        }
        let (texts, mut begins): (Vec<String>, Vec<usize>) = probes.into_iter().unzip();
        begins.sort_unstable();
        begins.dedup();
        let packed = Searcher::new(&texts);
        let all = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(texts).ok()?;
        Some(Probes::Many(Box::new(Many { all, packed, begins })))
    }

    /// Returns where the next probe stands whose needle `stands_at` its place.
    pub(super) fn find(
        &self,
        text: &[u8],
        from: usize,
        ahead: &mut Candidate,
        stands_at: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match self {
            Probes::Few(probes) => {
                ahead.0.resize(probes.len(), None);
                let next = |(probe, known): (&Probe, &mut Option<usize>)| match *known {
                    Some(next) if from <= next => next,
                    _ => *known.insert(probe.find(text, from, &stands_at).unwrap_or(usize::MAX)),
                };
                probes.iter().zip(&mut ahead.0).map(next).min().filter(|next| *next < text.len())
            }
            Probes::Many(many) => {
                let mut from = from;
                loop {
                    let found = many.find(text, from)?;
                    // Several needles may share what was found.
                    let mut places = many.begins.iter().filter_map(|begin| found.checked_sub(*begin));
                    if places.any(&stands_at) {
                        return Some(found);
                    }
                    from = found + 1;
                }
            }
        }
    }
}

impl Many {
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let found = match &self.packed {
            Some(packed) => packed.find_in(text, Span { start: from, end: text.len() }),
            None => self.all.find(Input::new(text).range(from..)),
        };
        found.map(|found| found.start())
    }
}

impl Probe {
    fn find(&self, text: &[u8], from: usize, stands_at: &impl Fn(usize) -> bool) -> Option<usize> {
        let mut from = from;
        loop {
            let found = from + self.finder.find(&text[from..])?;
            if found.checked_sub(self.begin).is_some_and(stands_at) {
                return Some(found);
            }
            from = found + 1;
        }
    }
}

/// Returns what to search for to find `needle`, and how far into it that begins.
fn probes_of(needle: &Needle, spelling: Spelling, are_many: bool) -> Vec<(String, usize)> {
    let text = &needle.text;
    match needle.kind {
        Kind::Part if are_many => vec![(text.get(..PART_BYTES).unwrap_or(text).to_owned(), 0)],
        Kind::Number | Kind::Part => vec![(text.clone(), 0)],
        Kind::Text => {
            // Many names begin with `system:`.
            let begin = text.rfind(':').map_or(0, |colon| colon + 1);
            let begin = if text.len() - begin < END_BYTES_MIN { 0 } else { begin };
            let quote = if spelling == Spelling::Native { "\"" } else { "" };
            vec![(format!("{}{quote}", &text[begin..]), begin)]
        }
        Kind::Blind => {
            let letters = text.chars().take(BLIND_CHARS);
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

/// Tells whether `text` begins with an escape of a letter that needles are made of, in whatever case.
pub(super) fn is_escape(text: &[u8]) -> bool {
    match text.get(4..6) {
        _ if text.starts_with(KELVIN[1].as_bytes()) || text.starts_with(KELVIN[2].as_bytes()) => true,
        Some([b'2', low]) => matches!(low, b'd'..=b'f' | b'D'..=b'F'),
        Some([b'3', low]) => matches!(low, b'0'..=b'9' | b'a' | b'A'),
        Some([b'4'..=b'7', _]) => true,
        _ => false,
    }
}
