//! The config of a bot of Slack.

use std::path::Path;

use super::super::notify::SlackMode;
use super::{SOURCES, read_with, slack};

#[test]
fn a_bot_has_a_token_and_a_channel() {
    let read = |slack: &str| {
        let notify = format!("notify: [{{name: s, slack: {{{slack}}}}}]\n");
        read_with(&format!("{SOURCES}{notify}"), Path::new("/"), &[])
    };
    let token = "bot_token: xoxb-123456789012-abcdef";
    for (more, expected) in
        [("", "https://slack.com/"), (", endpoint: 'https://slack-gov.com'", "https://slack-gov.com")]
    {
        let read = read(&format!("{token}, channel: C024BE91L{more}")).expect("a config");
        let SlackMode::Bot { channel, endpoint, .. } = &slack(&read).mode else { panic!("a webhook") };
        assert_eq!((channel.as_str(), endpoint.as_str()), ("C024BE91L", expected));
    }
    let problem = |slack: &str| match read(slack) {
        Ok(_) => panic!("{slack} is accepted"),
        Err(errors) => errors[0].clone(),
    };
    let at = "notify[0].slack";
    for (slack, expected) in [
        (token, format!("{at}.channel: `channel` is missing")),
        (
            "bot_token: xoxp-123456789012-abcdef, channel: C024BE91L",
            format!("{at}.bot_token: not a bot token of Slack"),
        ),
        (&format!("{token}, channel: '<!channel>'"), format!("{at}.channel: not the id or the name of a channel")),
        (
            &format!("{token}, channel: C1, endpoint: 'https://evil.example'"),
            format!("{at}.endpoint: not Slack's Web API"),
        ),
        (&format!("{token}, channel: C1, webhook_url: x"), format!("{at}.webhook_url: a bot needs no webhook")),
        (
            "webhook_url: 'https://hooks.slack.com/services/T0/B0/x', channel: C1",
            format!("{at}.channel: only a bot has it"),
        ),
    ] {
        assert!(problem(slack).contains(&expected), "{}", problem(slack));
    }
}
