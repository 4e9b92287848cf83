//! The progress bar of a tick, which counts its windows.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Returns a bar over the windows of a tick. It shows only on a terminal.
pub(crate) fn windows() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("reading windows {bar:30} {pos}/{len} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
