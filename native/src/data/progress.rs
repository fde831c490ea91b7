//! Progress of work on many rows.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::interrupt::on_interrupt;

/// A bar on the terminal, once the work has taken a second; and the end of the work by Ctrl-C.
pub struct Progress {
    started: Instant,
    shown: bool,
    bar: Option<ProgressBar>,
    done: u64,
    total: u64,
    stop: Arc<AtomicBool>,
}

impl Progress {
    pub fn new(total: u64, quiet: bool) -> Self {
        Self {
            started: Instant::now(),
            shown: !quiet && std::io::stderr().is_terminal(),
            bar: None,
            done: 0,
            total,
            stop: on_interrupt(""),
        }
    }

    /// Counts one more row.
    ///
    /// # Errors
    ///
    /// When the user asked to stop.
    pub fn advance(&mut self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Failure {
                message: "stopped; nothing unfinished is left".into(),
                code: 130,
            });
        }
        self.done += 1;
        if self.shown && self.bar.is_none() && self.started.elapsed() > Duration::from_secs(1) {
            let bar = ProgressBar::new(self.total);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} eta {eta}") {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
