//! Where the text of a message lies while it grows: a small one on the heap, a large one in pages of its own.
//!
//! A large text on the heap leaves a hole behind that the next one seldom fits, so that the process holds two of them. Pages of
//! their own are taken from the system when the text reaches them, and are never copied.

use bytes::{Bytes, BytesMut};

use super::MESSAGE_LIMIT;
use crate::platform::PagedMemory;

/// From this size on a text has pages of its own, in bytes.
const LARGE: usize = 256 * 1024;

/// A text that grows.
pub(super) enum TextStorage {
    Heap(BytesMut),
    Pages(PagedMemory),
}

impl TextStorage {
    /// Makes room for a text of this length. A large one is given pages at once: they do not count before they are written to.
    pub(super) fn reserve(&mut self, length: usize) {
        if let TextStorage::Heap(text) = self {
            if length > LARGE
                && let Some(pages) = in_pages(text, length)
            {
                *self = TextStorage::Pages(pages);
            } else {
                text.reserve(length.min(LARGE).saturating_sub(text.len()));
            }
        }
    }

    /// How much memory a text on the heap holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        match self {
            TextStorage::Heap(text) => text.capacity(),
            TextStorage::Pages(memory) => memory.len(),
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            TextStorage::Heap(text) => text,
            TextStorage::Pages(memory) => memory,
        }
    }

    /// The text from this byte on.
    pub(super) fn tail_mut(&mut self, from: usize) -> &mut [u8] {
        match self {
            TextStorage::Heap(text) => text.get_mut(from..),
            TextStorage::Pages(memory) => memory.get_mut(from..),
        }
        .unwrap_or_default()
    }

    pub(super) fn extend(&mut self, part: &[u8]) {
        match self {
            TextStorage::Heap(text) => {
                let length = text.len().saturating_add(part.len());
                if length > LARGE
                    && let Some(mut pages) = in_pages(text, length)
                    && pages.push(part)
                {
                    *self = TextStorage::Pages(pages);
                } else {
                    text.extend_from_slice(part);
                }
            }
            TextStorage::Pages(memory) => {
                if !memory.push(part) {
                    *self = TextStorage::Heap(BytesMut::from(&*[memory, part].concat()));
                }
            }
        }
    }

    pub(super) fn freeze(self) -> Bytes {
        match self {
            // Room that stays empty costs where many messages wait.
            TextStorage::Heap(text) if text.capacity() > text.len() + text.len() / 4 => {
                Bytes::copy_from_slice(&text)
            }
            TextStorage::Heap(text) => text.freeze(),
            TextStorage::Pages(memory) => Bytes::from_owner(memory),
        }
    }
}

/// A copy of a text that can grow up to the limit; none if the system has no such memory.
fn in_pages(text: &[u8], expected: usize) -> Option<PagedMemory> {
    let mut memory = PagedMemory::new(MESSAGE_LIMIT, expected)?;
    memory.push(text).then_some(memory)
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
        let mut place = None;
        while expected.len() < 3 * LARGE {
            storage.extend(&part);
            expected.extend_from_slice(&part);
            assert_eq!(storage.as_slice().len(), expected.len());
            if matches!(storage, TextStorage::Pages(_)) {
                let found = storage.as_slice().as_ptr();
                assert_eq!(*place.get_or_insert(found), found, "a text in pages is never moved");
            }
        }
        assert_eq!(matches!(storage, TextStorage::Pages(_)), cfg!(all(unix, target_pointer_width = "64")));
        storage.tail_mut(LARGE).fill(b'x');
        expected[LARGE..].fill(b'x');
        assert_eq!(storage.clone().freeze(), expected);
        assert_eq!(storage.freeze(), expected);
    }

    #[test]
    fn text_beyond_pages_moves_to_heap() {
        let Some(memory) = PagedMemory::new(5, 0) else { return };
        let mut storage = TextStorage::Pages(memory);
        storage.extend(b"12345");
        storage.extend(b"6");
        assert!(matches!(storage, TextStorage::Heap(_)));
        assert_eq!(storage.freeze().as_ref(), b"123456");
    }
}
