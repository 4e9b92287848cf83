//! Lines that a container runtime wrote in parts.
//!
//! <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>

use stakeout_core::decode::LINE_BYTES_MAX;

/// The first parts of a line of each stream.
#[derive(Debug, Default)]
pub(super) struct PartialLines {
    stdout: String,
    stderr: String,
}

impl PartialLines {
    /// Takes a line of a log. Returns `None` where it is not a part of a line, `Some(None)` where further parts follow, and
    /// the whole line with the time of its last part.
    pub(super) fn join(&mut self, line: &str) -> Option<Option<String>> {
        let mut words = line.splitn(4, ' ');
        let (time, stream, tag, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if !time.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let parts = match stream {
            "stdout" => &mut self.stdout,
            "stderr" => &mut self.stderr,
            _ => return None,
        };
        match tag {
            "P" => {
                if parts.len() + text.len() <= LINE_BYTES_MAX {
                    parts.push_str(text.trim_end_matches('\r'));
                }
                Some(None)
            }
            _ if parts.is_empty() => None,
            _ => Some(Some(format!("{time} {stream} F {}{text}", std::mem::take(parts)))),
        }
    }
}
