//! Where the text of a message lies while it grows: a small one on the heap, a large one in pages of its own.
//!
//! A large text on the heap leaves a hole behind that the next one seldom fits, so that the process holds two of them. Pages of
//! their own are taken from the system when the text reaches them, are never copied, and go back to it with the text.

use bytes::{Bytes, BytesMut};

use super::MESSAGE_LIMIT;
use crate::platform::PagedMemory;

/// From this size on a text has pages of its own, in bytes.
const LARGE: usize = 256 * 1024;

/// A text that grows.
pub(super) enum TextStorage {
    Heap(BytesMut),
    /// The memory, and how much of it the text fills.
    Pages(PagedMemory, usize),
}

impl TextStorage {
    /// Makes room for a text of this length. A large one is given pages at once: they do not count before they are written to.
    pub(super) fn reserve(&mut self, length: usize) {
        if let TextStorage::Heap(text) = self {
            if length > LARGE
                && let Some(pages) = TextStorage::in_pages(text)
            {
                *self = pages;
            } else {
                text.reserve(length.min(LARGE).saturating_sub(text.len()));
            }
        }
    }

    /// How much memory a text on the heap holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        match self {
            TextStorage::Heap(text) => text.capacity(),
            TextStorage::Pages(_, length) => *length,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            TextStorage::Heap(text) => text,
            TextStorage::Pages(memory, length) => memory.get(..*length).unwrap_or_default(),
        }
    }

    /// The text from this byte on.
    pub(super) fn tail_mut(&mut self, from: usize) -> &mut [u8] {
        match self {
            TextStorage::Heap(text) => text.get_mut(from..),
            TextStorage::Pages(memory, length) => memory.get_mut(from..*length),
        }
        .unwrap_or_default()
    }

    pub(super) fn extend(&mut self, part: &[u8]) {
        match self {
            TextStorage::Heap(text) if text.len().saturating_add(part.len()) > LARGE => {
                if let Some(pages) = TextStorage::in_pages(text) {
                    *self = pages;
                    return self.extend(part);
                }
                text.extend_from_slice(part);
            }
            TextStorage::Heap(text) => text.extend_from_slice(part),
            TextStorage::Pages(memory, length) => {
                let end = length.saturating_add(part.len());
                match memory.get_mut(*length..end) {
                    Some(room) => {
                        room.copy_from_slice(part);
                        *length = end;
                    }
                    None => *self = TextStorage::Heap(BytesMut::from(&*[self.as_slice(), part].concat())),
                }
            }
        }
    }

    /// A copy of a text that can grow up to the limit; none if it would not fit, or if the system has no such memory.
    fn in_pages(text: &[u8]) -> Option<TextStorage> {
        let mut memory = PagedMemory::new(MESSAGE_LIMIT)?;
        memory.get_mut(..text.len())?.copy_from_slice(text);
        Some(TextStorage::Pages(memory, text.len()))
    }

    pub(super) fn freeze(self) -> Bytes {
        match self {
            // Room that stays empty costs where many messages wait.
            TextStorage::Heap(text) if text.capacity() > text.len() + text.len() / 4 => {
                Bytes::copy_from_slice(&text)
            }
            TextStorage::Heap(text) => text.freeze(),
            TextStorage::Pages(memory, length) => Bytes::from_owner(memory).slice(..length),
        }
    }
}

impl Default for TextStorage {
    fn default() -> Self {
        TextStorage::Heap(BytesMut::new())
    }
}

impl Clone for TextStorage {
    fn clone(&self) -> Self {
        let mut copy = TextStorage::default();
        copy.extend(self.as_slice());
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_same_on_heap_and_in_pages() {
        let part: Vec<u8> = (0..=255).cycle().take(100_003).collect();
        let (mut storage, mut expected) = (TextStorage::default(), Vec::new());
        storage.reserve(10);
        while expected.len() < 3 * LARGE {
            storage.extend(&part);
            expected.extend_from_slice(&part);
            assert_eq!(storage.as_slice().len(), expected.len());
        }
        assert_eq!(matches!(storage, TextStorage::Pages(..)), cfg!(all(unix, target_pointer_width = "64")));
        storage.tail_mut(LARGE).fill(b'x');
        expected[LARGE..].fill(b'x');
        assert_eq!(storage.clone().freeze(), expected);
        assert_eq!(storage.freeze(), expected);
    }

    #[test]
    fn text_beyond_pages_moves_to_heap() {
        let Some(memory) = PagedMemory::new(5) else { return };
        let mut storage = TextStorage::Pages(memory, 0);
        storage.extend(b"12345");
        storage.extend(b"6");
        assert!(matches!(storage, TextStorage::Heap(_)));
        assert_eq!(storage.freeze().as_ref(), b"123456");
    }
}
