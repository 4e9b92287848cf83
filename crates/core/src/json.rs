//! JSON read where it lies, member by member: what nobody asks for is looked at once and never built.
//!
//! What is JSON, serde_json says: this stops where that would, and a property holds the two together. What this leaves
//! out is what makes that slow for lines of which a few members are asked for: values of many types, positions of
//! faults, and one byte at a time. A text with an escape in it is serde_json's to read.

use std::borrow::Cow;

/// The text is no JSON here, or it breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Reads a text from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    /// The same, where all of it is Unicode: its parts need not be looked at again.
    unicode: Option<&'a str>,
    at: usize,
    /// What closes the lists and objects around the value that is passed over.
    closing: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `text`.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        let unicode = std::str::from_utf8(text).ok();
        Reader { text, unicode, at: 0, closing: Vec::new() }
    }

    /// Reads an object: `member` is given each key and has to read its value. Any other value is passed over.
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or `member` fails. What `member` was given before was whole but for the last value: that
    /// one is whole when another key or the end follows it.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.next()? {
            b'{' => self.at += 1,
            // A text is read, so that one that is no text ends the reading here as it does anywhere else.
            _ => return self.text().map(drop),
        }
        if self.next()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads a list: `element` has to read each value. Returns whether it was one; any other value is left standing.
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or `element` fails.
    pub fn list(&mut self, mut element: impl FnMut(&mut Reader<'a>) -> Result<(), Fault>) -> Result<bool, Fault> {
        if self.next()? != b'[' {
            return Ok(false);
        }
        self.at += 1;
        if self.next()? == b']' {
            self.at += 1;
            return Ok(true);
        }
        loop {
            element(self)?;
            if !self.goes_on(b']')? {
                return Ok(true);
            }
        }
    }

    /// Reads a text. Any other value is passed over, and `None`.
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or a text that is no Unicode.
    pub fn text(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        if self.next()? != b'"' {
            return self.skip().map(|_| None);
        }
        self.quoted().map(Some)
    }

    /// Passes over a value, whatever it is and however deep it nests, and returns how it is spelled.
    ///
    /// # Errors
    ///
    /// Where it is no JSON. Texts in it need not be Unicode.
    pub fn skip(&mut self) -> Result<&'a [u8], Fault> {
        self.next()?;
        let begin = self.at;
        self.closing.clear();
        loop {
            match self.next()? {
                b'"' => drop(self.skip_text()?),
                open @ (b'[' | b'{') => {
                    self.at += 1;
                    // `]` and `}` are the second after `[` and `{`.
                    let close = open + 2;
                    if self.next()? != close {
                        self.closing.push(close);
                        if open == b'{' {
                            self.skip_key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b'-' | b'0'..=b'9' => self.skip_number()?,
                b't' => self.skip_word(b"true")?,
                b'f' => self.skip_word(b"false")?,
                b'n' => self.skip_word(b"null")?,
                _ => return Err(Fault),
            }
            loop {
                let Some(close) = self.closing.last() else {
                    return Ok(&self.text[begin..self.at]);
                };
                let close = *close;
                if self.goes_on(close)? {
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    break;
                }
                self.closing.pop();
            }
        }
    }

    /// Tells that nothing but white space follows.
    ///
    /// # Errors
    ///
    /// Where something does.
    pub fn end(&mut self) -> Result<(), Fault> {
        if self.next().is_err() { Ok(()) } else { Err(Fault) }
    }

    /// Returns the next byte that is no white space, and stays before it.
    #[inline]
    fn next(&mut self) -> Result<u8, Fault> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Fault)
    }

    /// Takes what stands behind a value: a comma, or what closes the values around it. Returns whether more follow.
    #[inline]
    fn goes_on(&mut self, close: u8) -> Result<bool, Fault> {
        let byte = self.next()?;
        if byte != b',' && byte != close {
            return Err(Fault);
        }
        self.at += 1;
        Ok(byte == b',')
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.next()? != b'"' {
            return Err(Fault);
        }
        let key = self.quoted()?;
        self.colon()?;
        Ok(key)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        if self.next()? != b'"' {
            return Err(Fault);
        }
        self.skip_text()?;
        self.colon()
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Fault> {
        if self.next()? != b':' {
            return Err(Fault);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a text, which begins here.
    #[inline]
    fn quoted(&mut self) -> Result<Cow<'a, str>, Fault> {
        let begin = self.at;
        if self.skip_text()? {
            return serde_json::from_slice(&self.text[begin..self.at]).map(Cow::Owned).map_err(|_| Fault);
        }
        let letters = begin + 1..self.at - 1;
        let text = match self.unicode {
            Some(text) => text.get(letters),
            None => std::str::from_utf8(&self.text[letters]).ok(),
        };
        text.map(Cow::Borrowed).ok_or(Fault)
    }

    /// Passes over a text, which begins here. Returns whether there are escapes in it.
    #[inline]
    fn skip_text(&mut self) -> Result<bool, Fault> {
        let mut has_escapes = false;
        self.at += 1;
        loop {
            self.at += letters(&self.text[self.at..]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    self.skip_escape()?;
                }
                _ => return Err(Fault),
            }
        }
    }

    /// Passes over what follows a backslash.
    fn skip_escape(&mut self) -> Result<(), Fault> {
        self.at += match self.text.get(self.at).ok_or(Fault)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' => {
                let digits = self.text.get(self.at + 1..self.at + 5).ok_or(Fault)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault);
                }
                5
            }
            _ => return Err(Fault),
        };
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Fault> {
        self.at += usize::from(self.text[self.at] == b'-');
        match self.text.get(self.at) {
            Some(b'0') if self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) => return Err(Fault),
            _ => self.skip_digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Ok(())
    }

    /// Passes over digits, at least one.
    fn skip_digits(&mut self) -> Result<(), Fault> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(Fault) }
    }

    fn skip_word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Fault);
        }
        self.at += word.len();
        Ok(())
    }
}

/// Returns how many bytes of a text stand before its end, an escape, or a control character, which no text may hold.
#[inline]
fn letters(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let ends = ends_in(u64::from_le_bytes(*word));
        if ends != 0 {
            return 8 * place + ends.trailing_zeros() as usize / 8;
        }
    }
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    text.len() - rest.len() + rest.iter().position(is_end).unwrap_or(rest.len())
}

/// Returns eight bytes in which the highest bit is set of the first that is a quote, a backslash or a control character,
/// and of none before it.
#[inline]
fn ends_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    // The highest bit of a byte is borrowed where it is below another and is itself below 128.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & (ONES << 7)
}

#[cfg(test)]
mod tests;
