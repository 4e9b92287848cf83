//! Standard output: one OCSF object a line, for pipes and for containers whose output is collected.

use std::io::{self, ErrorKind, Write};

use jiff::Timestamp;

use crate::error::{Receipt, SendError};
use crate::message::Message;
use crate::ocsf;

/// The process's standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl Stdout {
    /// Writes `message` and flushes, so that a receipt means that the reader's pipe has it.
    pub fn send(self, message: &Message<'_>, now: Timestamp) -> Result<Receipt, SendError> {
        write_to(&mut io::stdout().lock(), message, now)
    }
}

fn write_to(out: &mut impl Write, message: &Message<'_>, now: Timestamp) -> Result<Receipt, SendError> {
    let mut line = ocsf::to_line(&ocsf::message(message, now));
    line.push('\n');
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Receipt::default()),
        // Nobody reads any more, and nobody will until the process is started anew.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(SendError::refused("standard output is closed")),
        Err(error) => Err(SendError::later(format!("cannot write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;

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
        let message = Message { id: "t-1".to_owned(), body: Body::Test { destination: "out\n" } };
        let mut written = Vec::new();
        assert_eq!(write_to(&mut written, &message, Timestamp::UNIX_EPOCH), Ok(Receipt::default()));
        let written = String::from_utf8(written).expect("text");
        assert_eq!((written.lines().count(), written.ends_with('\n')), (1, true));
        let failed = |kind| write_to(&mut Failing(kind), &message, Timestamp::UNIX_EPOCH);
        assert_eq!(failed(ErrorKind::BrokenPipe), Err(SendError::refused("standard output is closed")));
        assert!(matches!(failed(ErrorKind::StorageFull), Err(SendError::Later { .. })));
    }
}
