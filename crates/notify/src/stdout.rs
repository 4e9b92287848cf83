//! Standard output: one OCSF object per line, for pipes and for containers whose output is collected.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Receipt, SendError};
use crate::notification::Message;
use crate::ocsf;

/// How long a line may wait for its reader.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// The process's standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl Stdout {
    /// Writes `message` and flushes: a receipt means that the pipe holds the message. Waits at most [`WRITE_MAX`] for a
    /// reader that blocks.
    pub async fn send(self, message: &Message<'_>, now: Timestamp) -> Result<Receipt, SendError> {
        let line = line_of(message, now);
        let written = tokio::task::spawn_blocking(move || write_to(&mut io::stdout().lock(), &line));
        match tokio::time::timeout(WRITE_MAX, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => Err(SendError::later(format!("cannot write to standard output: {error}"))),
            Err(_) => Err(SendError::later("standard output is blocked: its reader does not read")),
        }
    }
}

fn line_of(message: &Message<'_>, now: Timestamp) -> String {
    ocsf::to_line(&ocsf::message(message, now)) + "\n"
}

fn write_to(out: &mut impl Write, line: &str) -> Result<Receipt, SendError> {
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Receipt::default()),
        // The reader is gone until the process is restarted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(SendError::refused("standard output is closed")),
        Err(error) => Err(SendError::later(format!("cannot write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::MessageBody;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_is_a_line_and_a_closed_pipe_is_final() {
        let message = Message { id: "t-1".to_owned(), body: MessageBody::Test { destination: "out\n" } };
        let mut written = Vec::new();
        let line = line_of(&message, Timestamp::UNIX_EPOCH);
        assert_eq!(write_to(&mut written, &line), Ok(Receipt::default()));
        let written = String::from_utf8(written).expect("text");
        assert_eq!((written.lines().count(), written.ends_with('\n')), (1, true));
        let failed = |kind| write_to(&mut Failing(kind), &line);
        assert_eq!(failed(ErrorKind::BrokenPipe), Err(SendError::refused("standard output is closed")));
        assert!(matches!(failed(ErrorKind::StorageFull), Err(SendError::Later { .. })));
    }
}
