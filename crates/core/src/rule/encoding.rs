//! Sigma's encodings of a value: UTF-16, and Base64 at each of the three offsets at which a text can begin.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How a text becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// UTF-16, little-endian, with a byte order mark.
    Utf16,
}

impl Charset {
    pub(super) fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Charset::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Charset::Utf16 => [0xff, 0xfe].into_iter().chain(Charset::Utf16Le.bytes(text)).collect(),
        }
    }
}

/// Returns `bytes` in Base64, RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([&0; 3]).take(3).fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        for position in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * position) & 63) as usize];
            encoded.push(if position <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    encoded
}

/// Returns the Base64 of `bytes` inside a longer text, for each of the three offsets.
///
/// Characters that also depend on the bytes before or after are cut off.
pub(super) fn base64_at_offsets(bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for offset in 0..3 {
        let shifted: Vec<u8> = std::iter::repeat_n(0, offset).chain(bytes.iter().copied()).collect();
        let encoded = base64(&shifted);
        let letters = (offset * 8).div_ceil(6)..shifted.len() * 8 / 6;
        if let Some(kept) = encoded.get(letters).filter(|kept| !kept.is_empty()) {
            found.push(kept.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, encoded) in pairs {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&Charset::Utf16Le.bytes("cmd")), "YwBtAGQA");
        assert_eq!(Charset::Utf16.bytes("a"), [0xff, 0xfe, b'a', 0]);
    }

    #[test]
    fn encoded_text_is_found_at_every_offset() {
        for before in 0..5 {
            for after in ["", "~", "~~", "~~~"] {
                let whole = format!("{}system:anonymous{after}", "~".repeat(before));
                let encoded = base64(whole.as_bytes());
                let found = base64_at_offsets(b"system:anonymous");
                assert_eq!(found.len(), 3);
                assert!(found.iter().any(|part| encoded.contains(part.as_str())), "{whole}");
            }
        }
    }
}
