//! Texts made from good ones by small damage: flipped bytes, cuts, pieces twice or from another text, and what parsers stumble
//! over.

use super::dice::Dice;

/// Most damages of one text.
const DAMAGES_MAX: u64 = 6;
/// Longest piece that is moved or removed, in bytes.
const PIECE_BYTES_MAX: u64 = 64;
/// What is put into texts: ends and begins of everything, numbers at limits, characters of more than one byte.
const PIECES: [&[u8]; 30] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "\u{1f600}".as_bytes(),
    b"-1",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1e999",
    b"403.0",
    b"null",
    b"true",
    b"[[[[[[[[[[[[[[[[",
    b"- ",
    b"? ",
    b"&a *a",
    b"!!binary ",
    b"%",
];

/// Texts that are damaged.
#[derive(Debug)]
pub(crate) struct Mutations {
    dice: Dice,
    good: Vec<Vec<u8>>,
}

impl Mutations {
    /// Damages `good` texts, of which there is at least one, by the seed of the environment.
    pub(crate) fn of(test: &str, good: Vec<Vec<u8>>) -> Mutations {
        assert!(good.iter().any(|text| !text.is_empty()), "there is nothing to damage");
        Mutations { dice: Dice::of_environment(test), good }
    }

    /// Returns the next damaged text, and the place of the good one that it was.
    pub(crate) fn next(&mut self) -> (usize, Vec<u8>) {
        let place = self.index(self.good.len());
        let mut text = self.good[place].clone();
        for _ in 0..=self.dice.below(DAMAGES_MAX) {
            self.damage(&mut text);
        }
        (place, text)
    }

    fn damage(&mut self, text: &mut Vec<u8>) {
        let at = self.index(text.len() + 1);
        let piece = at..(at + self.index(usize::try_from(PIECE_BYTES_MAX).expect("few"))).min(text.len());
        match self.dice.below(7) {
            0 => {
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
            1 => text.truncate(at),
            2 => drop(text.drain(piece)),
            3 => {
                let twice = text[piece].to_vec();
                text.splice(at..at, twice);
            }
            4 => {
                let other = &self.good[self.dice.below(self.good.len() as u64) as usize];
                let from = self.dice.below(other.len() as u64 + 1) as usize;
                let to = (from + self.dice.below(PIECE_BYTES_MAX) as usize).min(other.len());
                text.splice(piece, other[from..to].iter().copied());
            }
            _ => {
                let put = PIECES[self.index(PIECES.len())];
                text.splice(at..at, put.iter().copied());
            }
        }
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.dice.below(end as u64)).expect("below a length")
    }
}
