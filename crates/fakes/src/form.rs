//! `application/x-www-form-urlencoded`, as the AWS Query protocol and OAuth send it.

/// Decodes all pairs in order; `None` where an escape is broken or a value is not UTF-8.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<(String, String)>> {
    body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(decode_pair).collect()
}

fn decode_pair(pair: &[u8]) -> Option<(String, String)> {
    let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
    let value = pair.get(at + 1..).unwrap_or_default();
    Some((decode_text(&pair[..at])?, decode_text(value)?))
}

fn decode_text(escaped: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                bytes.push(hex(digits[0])? << 4 | hex(digits[1])?);
                rest = tail;
            }
            plain => bytes.push(*plain),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_broken_escapes_are_refused() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(decode(b"a=1+2&b=%C3%A9%26&c"), Some(vec![pair("a", "1 2"), pair("b", "\u{e9}&"), pair("c", "")]));
        assert_eq!(decode(b"a=%4"), None);
        assert_eq!(decode(b"a=%zz"), None);
        assert_eq!(decode(b"a=%ff"), None);
    }
}
