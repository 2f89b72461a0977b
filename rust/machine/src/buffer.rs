//! The buffer of an edge: a queue whose oldest message stands in the session itself.

use std::collections::VecDeque;

use crate::session::Parcel;

/// Messages on their way, oldest first.
///
/// Most edges hold at most one message at a time. That one needs no memory of its own: an idle session stays small,
/// and a machine that steps through many sessions reads one place less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// The oldest message; `None` only when there is none at all.
    head: Option<Parcel>,
    tail: VecDeque<Parcel>,
}

impl Buffer {
    /// How many messages there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.head.is_some()) + self.tail.len()
    }

    /// Whether there is no message.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The oldest message.
    #[inline]
    pub fn front(&self) -> Option<&Parcel> {
        self.head.as_ref()
    }

    /// Adds a message behind the others. The bound is the caller's to keep.
    #[inline]
    pub fn push_back(&mut self, parcel: Parcel) {
        if self.head.is_none() {
            self.head = Some(parcel);
        } else {
            self.tail.push_back(parcel);
        }
    }

    /// Takes the oldest message.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Parcel> {
        let head = self.head.take()?;
        if !self.tail.is_empty() {
            self.head = self.tail.pop_front();
        }
        Some(head)
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Parcel> {
        self.head.iter().chain(&self.tail)
    }
}

impl FromIterator<Parcel> for Buffer {
    fn from_iter<I: IntoIterator<Item = Parcel>>(parcels: I) -> Buffer {
        let mut buffer = Buffer::default();
        parcels
            .into_iter()
            .for_each(|parcel| buffer.push_back(parcel));
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LabelId, Value};

    /// Whatever is pushed and popped, it behaves as the plain queue does.
    #[test]
    fn a_buffer_is_a_queue() {
        let (mut buffer, mut queue) = (Buffer::default(), VecDeque::new());
        for n in 0u64..200 {
            // Runs of pushes and pops of changing length, down to empty and up again.
            if (n / 7) % 3 == 0 || n % 5 == 0 {
                let parcel = Parcel {
                    payload: Value::Nat(n),
                    sequence: n,
                    label: LabelId(0),
                };
                buffer.push_back(parcel.clone());
                queue.push_back(parcel);
            } else {
                assert_eq!(buffer.pop_front(), queue.pop_front());
            }
            assert_eq!(buffer.len(), queue.len());
            assert_eq!(buffer.is_empty(), queue.is_empty());
            assert_eq!(buffer.front(), queue.front());
            assert!(buffer.iter().eq(&queue));
        }
        assert_eq!(queue.iter().cloned().collect::<Buffer>(), buffer);
    }
}
