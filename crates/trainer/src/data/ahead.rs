//! Work done ahead by threads, handed out in the order it was asked for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// A pure function of a number, its results made by threads before they are taken.
///
/// What comes out depends on the numbers asked for alone, not on how many threads there are.
pub(super) struct Ahead<T> {
    work: Arc<dyn Fn(usize) -> T + Send + Sync>,
    queue: Option<Sender<Job<T>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Asked for and not taken, the oldest first.
    pending: VecDeque<(usize, Receiver<T>)>,
}

struct Job<T> {
    number: usize,
    done: SyncSender<T>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts `threads` threads; with none, results are made as they are taken.
    pub fn new(threads: usize, work: impl Fn(usize) -> T + Send + Sync + 'static) -> Self {
        let work: Arc<dyn Fn(usize) -> T + Send + Sync> = Arc::new(work);
        let (queue, jobs) = channel::<Job<T>>();
        let (jobs, stop) = (Arc::new(Mutex::new(jobs)), Arc::new(AtomicBool::new(false)));
        let start = |number| {
            let (work, jobs, stop) = (work.clone(), jobs.clone(), stop.clone());
            let thread = Builder::new().name(format!("data-{number}"));
            // A system without room for another thread does with fewer.
            thread.spawn(move || serve(&*work, &jobs, &stop)).ok()
        };
        let threads = (0..threads).map_while(start).collect();
        Self { work, queue: Some(queue), threads, stop, pending: VecDeque::new() }
    }

    /// Results asked for and not taken.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Asks for the result of one more number.
    pub fn ask(&mut self, number: usize) {
        let (done, result) = sync_channel(1);
        if let Some(queue) = &self.queue {
            // Without threads nobody listens, and the job comes back at once.
            let _ = queue.send(Job { number, done });
        }
        self.pending.push_back((number, result));
    }

    /// The result asked for first; None where none is.
    pub fn take(&mut self) -> Option<T> {
        let (number, result) = self.pending.pop_front()?;
        // What no thread has made is made here.
        Some(result.recv().unwrap_or_else(|_| (self.work)(number)))
    }
}

fn serve<T>(
    work: &(dyn Fn(usize) -> T + Send + Sync),
    jobs: &Mutex<Receiver<Job<T>>>,
    stop: &AtomicBool,
) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { number, done }) = job else { return };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Nobody may want it any more.
        let _ = done.send(work(number));
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_the_order_asked_for_with_any_number_of_threads() {
        for threads in [0, 1, 2, 5] {
            let mut ahead = Ahead::new(threads, |number| {
                // The later, the sooner done.
                std::thread::sleep(Duration::from_micros(500 * (20 - number as u64)));
                number * number
            });
            assert_eq!(ahead.take(), None);
            (0..20).for_each(|number| ahead.ask(number));
            assert_eq!(ahead.len(), 20);
            for number in 0..20 {
                assert_eq!(ahead.take(), Some(number * number), "{threads}");
            }
            assert_eq!(ahead.take(), None);
        }
    }

    #[test]
    fn work_is_done_before_it_is_taken() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let mut ahead = Ahead::new(2, move |_| count.fetch_add(1, Ordering::Relaxed));
        (0..6).for_each(|number| ahead.ask(number));
        while made.load(Ordering::Relaxed) < 6 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ahead.len(), 6);
    }

    #[test]
    fn dropped_it_ends_its_threads_and_leaves_the_rest_of_the_work() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let mut ahead = Ahead::new(3, move |_| {
            std::thread::sleep(Duration::from_millis(5));
            count.fetch_add(1, Ordering::Relaxed)
        });
        (0..1000).for_each(|number| ahead.ask(number));
        ahead.take();
        drop(ahead);
        // Only the threads held the counter besides.
        assert_eq!(Arc::strong_count(&made), 1);
        assert!(made.load(Ordering::Relaxed) < 100);
    }

    #[test]
    fn a_thread_that_panics_hangs_nobody() {
        let mut ahead = Ahead::new(1, |number| {
            let inside = std::thread::current().name().is_some_and(|name| name == "data-0");
            assert!(!inside || number != 1, "on purpose");
            number
        });
        (0..4).for_each(|number| ahead.ask(number));
        let taken: Vec<_> = std::iter::from_fn(|| ahead.take()).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
    }
}
