//! What a run tells the outside, and hears from it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::collective::{Collective, CollectiveError};
use crate::metrics::Metrics;

/// The surroundings of a run: terminal, interrupts and device habits.
pub struct Hooks<'a> {
    /// Called as a stage of a step goes on: name, parts done, parts in all.
    pub on_progress: &'a mut dyn FnMut(&str, usize, usize),
    /// Called with the metrics of each step.
    pub on_step: &'a mut dyn FnMut(usize, &Metrics),
    /// Set to end the run after the step at hand, with a checkpoint.
    pub stop: &'a AtomicBool,
    /// The processes that train together.
    pub ranks: &'a dyn Collective,
    /// Keys that decoding reads are rounded up to a multiple of this (`KvCache::new`).
    pub read_step: usize,
}

impl Hooks<'_> {
    pub(crate) fn progress(&mut self, stage: &str, done: usize, total: usize) {
        (self.on_progress)(stage, done, total);
    }

    /// Whether this process was asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether any rank was.
    pub(crate) fn stopping(&self) -> Result<bool, CollectiveError> {
        let mut asked = [f32::from(u8::from(self.stopped()))];
        self.ranks.all_reduce("whether to stop", &mut asked)?;
        Ok(asked[0] > 0.0)
    }
}
