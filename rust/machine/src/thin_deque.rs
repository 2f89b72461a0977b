//! A queue that takes one word while it is empty.

use std::collections::{VecDeque, vec_deque};

/// A queue for tables that are mostly empty: one word until its first entry, a [`VecDeque`] from
/// then on.
#[derive(Clone, Debug, Eq)]
#[expect(clippy::box_collection, reason = "its own size is what it is for")]
pub(crate) struct ThinDeque<T>(Option<Box<VecDeque<T>>>);

impl<T> ThinDeque<T> {
    /// How many entries there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |entries| entries.len())
    }

    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first entry.
    pub(crate) fn front(&self) -> Option<&T> {
        self.0.as_ref()?.front()
    }

    /// Adds an entry at the back.
    pub(crate) fn push_back(&mut self, entry: T) {
        self.0.get_or_insert_default().push_back(entry);
    }

    /// Removes the first entry. The memory is kept for later ones.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    /// The entries, first to last.
    pub(crate) fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.0
            .as_ref()
            .map_or_else(Default::default, |entries| entries.iter())
    }
}

impl<T> Default for ThinDeque<T> {
    fn default() -> ThinDeque<T> {
        ThinDeque(None)
    }
}

/// Compares the entries: an emptied queue equals one that never had an entry.
impl<T: PartialEq> PartialEq for ThinDeque<T> {
    fn eq(&self, other: &ThinDeque<T>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T> IntoIterator for ThinDeque<T> {
    type Item = T;
    type IntoIter = vec_deque::IntoIter<T>;

    fn into_iter(self) -> vec_deque::IntoIter<T> {
        self.0
            .map_or_else(VecDeque::new, |entries| *entries)
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An emptied queue equals one that never had an entry, and a new queue takes one word.
    #[test]
    fn an_emptied_queue_equals_a_new_one() {
        let mut queue = ThinDeque::default();
        assert_eq!(size_of_val(&queue), size_of::<usize>());
        assert!(queue.is_empty() && queue.pop_front().is_none());
        queue.push_back(1);
        assert_ne!(queue, ThinDeque::default());
        assert_eq!((queue.len(), queue.front()), (1, Some(&1)));
        queue.push_back(2);
        queue.push_back(3);
        assert_eq!(queue.clone().into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(queue.pop_front(), Some(1));
        assert_eq!(queue.iter().collect::<Vec<_>>(), [&2, &3]);
        assert_eq!((queue.pop_front(), queue.pop_front()), (Some(2), Some(3)));
        assert_eq!(queue, ThinDeque::default());
    }
}
