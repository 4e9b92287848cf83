//! Runs of a program that reads its standard input.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// Runs `command` with `stdin` and returns what it printed. Fails when the program does not start.
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // A program may print before it has read everything. One that ends before that closes the pipe: its exit code
        // is what counts then.
        scope.spawn(move || drop(pipe.write_all(stdin)));
        child.wait_with_output()
    })
}
