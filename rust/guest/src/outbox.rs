//! The queue of a writer thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::port::Port;

/// Bytes on their way to a transport, written by one thread in the order in which they were pushed.
///
/// The queue is bounded in bytes, but [`push`](Self::push) never waits: its callers hold the lock
/// of the link, and a link that waits for a slow transport could not answer a ping or be closed.
/// Instead, each producer checks the bound *before* it starts work that writes to the queue: it
/// calls [`wait_for_room`](Self::wait_for_room), or checks [`len`](Self::len) and postpones the
/// work. So each producer exceeds the bound by at most the bytes of one such piece of work. Clones
/// share the queue.
#[derive(Debug)]
pub(crate) struct Outbox<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    len_max: usize,
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    pieces: VecDeque<(Vec<u8>, T)>,
    /// Bytes that have not been written yet, those of the write in progress included.
    len: usize,
    /// Whether producers no longer wait for room.
    stopped: bool,
    closed: bool,
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Outbox<T> {
        Outbox(Arc::clone(&self.0))
    }
}

impl<T> Outbox<T> {
    /// An empty queue with a bound of `len_max` bytes.
    pub(crate) fn new(len_max: usize) -> Outbox<T> {
        Outbox(Arc::new(Shared {
            len_max,
            queue: Mutex::new(Queue {
                pieces: VecDeque::new(),
                len: 0,
                stopped: false,
                closed: false,
            }),
            changed: Condvar::new(),
        }))
    }

    /// Appends bytes. `guard` is dropped once they have been written, or could not be. Does nothing
    /// after [`close`](Self::close).
    pub(crate) fn push(&self, bytes: Vec<u8>, guard: T) {
        let mut queue = self.queue();
        if !queue.closed && !bytes.is_empty() {
            queue.len += bytes.len();
            queue.pieces.push_back((bytes, guard));
            self.0.changed.notify_all();
        }
    }

    /// How many bytes have not been written yet.
    pub(crate) fn len(&self) -> usize {
        self.queue().len
    }

    /// Waits until the queue is within its bound, or [`stop_waiting`](Self::stop_waiting) was
    /// called.
    pub(crate) fn wait_for_room(&self) {
        let mut queue = self.queue();
        while queue.len > self.0.len_max && !queue.stopped {
            queue = self.wait(queue);
        }
    }

    /// Makes [`wait_for_room`](Self::wait_for_room) return, now and later.
    pub(crate) fn stop_waiting(&self) {
        self.queue().stopped = true;
        self.0.changed.notify_all();
    }

    /// Waits until everything has been written, but not beyond `until`.
    pub(crate) fn wait_until_empty(&self, until: Instant) {
        let mut queue = self.queue();
        while queue.len > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the queue: the writer thread ends once it is empty.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.0.changed.notify_all();
    }

    /// The loop of the writer thread. Calls `on_room` each time the queue falls below its bound.
    pub(crate) fn write_loop(&self, mut port: Port, mut on_room: impl FnMut()) {
        let mut is_broken = false;
        while let Some((bytes, guard)) = self.next() {
            // After an error the queue is still emptied, so that no producer waits forever.
            is_broken = is_broken || port.write_all(&bytes).is_err();
            drop(guard);
            let mut queue = self.queue();
            let before = queue.len;
            queue.len -= bytes.len();
            let has_room = before >= self.0.len_max && queue.len < self.0.len_max;
            drop(queue);
            self.0.changed.notify_all();
            if has_room {
                on_room();
            }
        }
    }

    /// Takes the next bytes, waiting for them; `None` at the end of the queue.
    fn next(&self) -> Option<(Vec<u8>, T)> {
        let mut queue = self.queue();
        loop {
            if let Some(piece) = queue.pieces.pop_front() {
                return Some(piece);
            }
            if queue.closed {
                return None;
            }
            queue = self.wait(queue);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue<T>>) -> MutexGuard<'a, Queue<T>> {
        let waited = self.0.changed.wait(queue);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::port::port;

    #[test]
    fn writes_in_order_and_drops_guards_afterwards() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        let (port, _shutter) = port(Arc::new(write)).expect("a port");
        let (outbox, guard) = (Outbox::new(4), Arc::new(()));
        for bytes in [b"one", b"two"] {
            outbox.push(bytes.to_vec(), Arc::clone(&guard));
        }
        assert_eq!((outbox.len(), Arc::strong_count(&guard)), (6, 3));
        let (writer, mut rooms) = (outbox.clone(), 0);
        let writing = thread::spawn(move || {
            writer.write_loop(port, || rooms += 1);
            rooms
        });
        outbox.wait_until_empty(Instant::now() + Duration::from_secs(20));
        assert_eq!((outbox.len(), Arc::strong_count(&guard)), (0, 1));
        outbox.close();
        outbox.push(b"late".to_vec(), guard);
        assert_eq!(writing.join().expect("no panic"), 1);
        let mut buf = [0; 8];
        assert_eq!(rustix::io::read(&read, &mut buf), Ok(6));
        assert_eq!(&buf[..6], b"onetwo");
    }

    #[test]
    fn a_full_queue_blocks_until_it_has_room_or_is_stopped() {
        let outbox = Outbox::new(4);
        outbox.push(vec![0; 4], ());
        outbox.wait_for_room();
        outbox.push(vec![0; 1], ());
        let waiting = thread::spawn({
            let outbox = outbox.clone();
            move || outbox.wait_for_room()
        });
        thread::sleep(Duration::from_millis(30));
        assert!(!waiting.is_finished());
        outbox.stop_waiting();
        waiting.join().expect("no panic");
    }
}
