//! How long AWS asks to wait before the next request.

use std::time::Duration;

/// Returns the wait that an answer of AWS asks for: in its own header `x-amz-retry-after` in milliseconds, else in
/// `Retry-After`. `header` looks a header up by its name in lower case.
pub fn retry_after<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let milliseconds = header("x-amz-retry-after").and_then(|text| text.trim().parse::<u32>().ok());
    milliseconds.map(|wait| Duration::from_millis(wait.into())).or_else(|| stakeout_http::retry_after(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_aws_comes_first() {
        let wait = |own: Option<&'static str>, standard: Option<&'static str>| {
            retry_after(|name| match name {
                "x-amz-retry-after" => own,
                "retry-after" => standard,
                _ => None,
            })
        };
        assert_eq!(wait(Some("1500"), Some("7")), Some(Duration::from_millis(1_500)));
        assert_eq!(wait(Some("soon"), Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(wait(None, None), None);
    }
}
