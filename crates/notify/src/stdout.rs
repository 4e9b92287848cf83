//! Standard output: one OCSF object per line, for pipes and for containers whose output is collected.

use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::address_book::AddressBook;
use crate::error::{Receipt, SendError};
use crate::notification::Message;
use crate::ocsf;

/// How long a line may wait for its reader.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// One line is written at a time: a reader that does not read blocks one thread, however often a message is tried.
static WRITING: Semaphore = Semaphore::const_new(1);

/// The process's standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl Stdout {
    /// Writes `messages` at once and flushes: a receipt means that the pipe holds all of them. After a failure it may hold
    /// some. Waits at most [`WRITE_MAX`] for a reader that blocks.
    pub async fn send(
        self,
        messages: &[&Message<'_>],
        book: &AddressBook,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        if is_closed() {
            return Err(closed());
        }
        let lines = messages.iter().map(|message| line_of(message, book, now)).collect();
        match tokio::time::timeout(WRITE_MAX, write_lines(lines)).await {
            Ok(written) => written,
            Err(_) => Err(SendError::later("standard output is blocked: its reader does not read")),
        }
    }
}

/// Writes lines when those before them are written. Goes on in its own thread if nobody waits for it any more, so that no
/// line breaks off.
async fn write_lines(lines: String) -> Result<Receipt, SendError> {
    let failed = |error: &dyn Display| SendError::later(format!("cannot write to standard output: {error}"));
    let permit = WRITING.acquire().await.map_err(|error| failed(&error))?;
    let written = tokio::task::spawn_blocking(move || {
        let written = write_to(&mut io::stdout().lock(), &lines);
        drop(permit);
        written
    });
    written.await.map_err(|error| failed(&error))?
}

/// Returns whether the process was started with a closed standard output.
///
/// Rust then opens `/dev/null` in its place for reading and writing
/// (<https://github.com/rust-lang/rust/blob/master/library/std/src/sys/pal/unix/mod.rs>), where a shell opens it for writing
/// only, and each line would seem to be written.
fn is_closed() -> bool {
    let is_null = fs::read_link("/proc/self/fd/1").is_ok_and(|target| target == Path::new("/dev/null"));
    let flags = fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
    // The last octal digit is the access mode: 2 is O_RDWR.
    is_null && flags.is_some_and(|flags| flags.trim_end().ends_with('2'))
}

fn closed() -> SendError {
    SendError::refused("standard output is closed")
}

fn line_of(message: &Message<'_>, book: &AddressBook, now: Timestamp) -> String {
    let mut object = ocsf::message(message, now);
    ocsf::add_addresses(&mut object, book);
    ocsf::to_line(&object) + "\n"
}

fn write_to(out: &mut impl Write, lines: &str) -> Result<Receipt, SendError> {
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Receipt::default()),
        // The reader is gone until the process is restarted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(closed()),
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
        let line = line_of(&message, &AddressBook::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(write_to(&mut written, &line), Ok(Receipt::default()));
        let written = String::from_utf8(written).expect("text");
        assert_eq!((written.lines().count(), written.ends_with('\n')), (1, true));
        let failed = |kind| write_to(&mut Failing(kind), &line);
        assert_eq!(failed(ErrorKind::BrokenPipe), Err(SendError::refused("standard output is closed")));
        assert!(matches!(failed(ErrorKind::StorageFull), Err(SendError::Later { .. })));
    }
}
