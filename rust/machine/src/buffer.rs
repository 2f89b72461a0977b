//! The buffer of an edge: a queue whose oldest message stands in the session itself.

use crate::ids::LabelId;
use crate::thin_deque::ThinDeque;
use crate::value::Value;

/// A message in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its payload.
    pub payload: Value,
    /// Its number on the edge.
    pub sequence: u64,
    /// Its label.
    pub label: LabelId,
}

/// Messages on their way, oldest first.
///
/// Most edges hold at most one message at a time. That one needs no memory of its own: an idle session stays small,
/// and a machine that steps through many sessions reads one place less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// The oldest message; `None` only when there is none at all.
    head: Option<Parcel>,
    tail: ThinDeque<Parcel>,
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

    /// Adds a message with a copy of the payload, made in its place: [`push_back`](Self::push_back) for a step.
    #[inline]
    pub(crate) fn send(&mut self, payload: &Value, sequence: u64, label: LabelId) {
        if self.head.is_some() {
            let payload = payload.clone();
            self.tail.push_back(Parcel {
                payload,
                sequence,
                label,
            });
            return;
        }
        let head = self.head.insert(Parcel {
            payload: Value::Unit,
            sequence,
            label,
        });
        payload.copy_to(&mut head.payload);
    }

    /// Takes the oldest message, its payload to a place: [`pop_front`](Self::pop_front) for a step.
    #[inline]
    pub(crate) fn receive(&mut self, place: &mut Value) {
        let Some(head) = &mut self.head else { return };
        head.payload.move_to(place);
        match self.tail.is_empty() {
            // What is left of it has nothing to give back.
            true => std::mem::forget(self.head.take()),
            false => self.head = self.tail.pop_front(),
        }
    }

    /// Takes the oldest message.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Parcel> {
        let head = self.head.take()?;
        self.head = self.tail.pop_front();
        Some(head)
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Parcel> {
        self.head.iter().chain(self.tail.iter())
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
    use std::collections::VecDeque;

    use super::*;

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
                match n % 2 {
                    0 => buffer.push_back(parcel.clone()),
                    _ => buffer.send(&parcel.payload, parcel.sequence, parcel.label),
                }
                queue.push_back(parcel);
            } else if n % 4 < 2 {
                assert_eq!(buffer.pop_front(), queue.pop_front());
            } else {
                let mut place = Value::Unit;
                buffer.receive(&mut place);
                let oldest = queue.pop_front().map(|parcel| parcel.payload);
                assert_eq!(place, oldest.unwrap_or_default());
            }
            assert_eq!(buffer.len(), queue.len());
            assert_eq!(buffer.is_empty(), queue.is_empty());
            assert_eq!(buffer.front(), queue.front());
            assert!(buffer.iter().eq(&queue));
        }
        assert_eq!(queue.iter().cloned().collect::<Buffer>(), buffer);
    }
}
