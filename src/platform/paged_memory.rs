//! Memory for one large text that grows.
//!
//! Apart from the heap, whose holes cost as much as the messages that left them behind.

#[cfg(unix)]
use memmap2::MmapMut as Pages;

#[cfg(not(unix))]
type Pages = Box<[u8]>;

/// The size of a huge page on most systems, in bytes.
const HUGE_PAGE: usize = 2 * 1024 * 1024;

thread_local! {
    /// The memory of the last text that fitted in a huge page. Its pages are there, and those of a new one cost as much time as
    /// the text itself: a fault for each 4 KB.
    static SPARE: std::cell::Cell<Option<Pages>> = const { std::cell::Cell::new(None) };
}

/// A text in memory whose pages count only once they are written to. They go back to the system with the text, those of a small
/// one with the next small one at the earliest.
#[derive(Debug)]
pub struct PagedMemory {
    /// None only while it is dropped.
    pages: Option<Pages>,
    /// How much of it the text fills, in bytes.
    length: usize,
}

impl PagedMemory {
    /// An empty text that can grow up to `limit` bytes, and is expected to grow up to `expected`. None where addresses are scarce
    /// (32 bits), where the system counts memory from the beginning, and where it refuses (a limit on addresses).
    pub fn new(limit: usize, expected: usize) -> Option<PagedMemory> {
        let is_large = expected > HUGE_PAGE;
        // Beside a large text there is none: it would count as well.
        let spare = SPARE.take().filter(|pages| !is_large && pages.len() == limit);
        let pages = match spare {
            Some(pages) => pages,
            // Behind the first huge page, one fault for each of them instead of 512, where the system has such pages.
            None => map(limit, if is_large { 0 } else { HUGE_PAGE })?,
        };
        Some(PagedMemory { pages: Some(pages), length: 0 })
    }

    /// Adds a part to the text. Returns whether it fits.
    pub fn push(&mut self, part: &[u8]) -> bool {
        let end = self.length.saturating_add(part.len());
        let Some(room) = self.pages.as_mut().and_then(|pages| pages.get_mut(self.length..end)) else {
            return false;
        };
        room.copy_from_slice(part);
        self.length = end;
        true
    }
}

/// Maps memory of this length in bytes, with huge pages from `huge_from` on.
#[cfg(unix)]
fn map(length: usize, huge_from: usize) -> Option<Pages> {
    if cfg!(not(target_pointer_width = "64")) {
        return None;
    }
    let pages = memmap2::MmapOptions::new().len(length).no_reserve_swap().map_anon().ok()?;
    #[cfg(target_os = "linux")]
    if let Some(rest) = length.checked_sub(huge_from) {
        let _ = pages.advise_range(memmap2::Advice::HugePage, huge_from, rest);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = huge_from;
    Some(pages)
}

#[cfg(not(unix))]
fn map(_: usize, _: usize) -> Option<Pages> {
    None
}

impl Drop for PagedMemory {
    fn drop(&mut self) {
        if self.length <= HUGE_PAGE {
            let pages = self.pages.take();
            // A thread that ends keeps nothing.
            let _ = SPARE.try_with(|spare| spare.set(pages));
        }
    }
}

impl std::ops::Deref for PagedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.pages.as_ref().and_then(|pages| pages.get(..self.length)).unwrap_or_default()
    }
}

impl std::ops::DerefMut for PagedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.pages.as_mut().and_then(|pages| pages.get_mut(..self.length)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for PagedMemory {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pages were not there when this thread wrote to them.
    #[cfg(target_os = "linux")]
    fn page_faults() -> usize {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
        // Behind the name in parentheses: the state, six numbers, the flags, the faults (proc_pid_stat(5)).
        let fields = stat.rsplit_once(')').expect("a name").1;
        fields.split_whitespace().nth(7).and_then(|faults| faults.parse().ok()).expect("a number")
    }

    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    #[test]
    fn second_text_finds_its_pages_there() {
        let part = vec![b'x'; 64 * 1024];
        let faults_of_one_text = |parts| {
            let before = page_faults();
            let mut text = PagedMemory::new(4 * HUGE_PAGE, 0).expect("memory");
            for _ in 0..parts {
                assert!(text.push(&part));
            }
            drop(text);
            page_faults() - before
        };
        assert!(faults_of_one_text(16) >= 4, "the pages of this system are larger than 256 KB");
        assert_eq!(faults_of_one_text(16), 0);
        assert_eq!(faults_of_one_text(8), 0);
        // One beyond a huge page is not kept.
        assert!(faults_of_one_text(33) > 0);
        assert!(faults_of_one_text(8) > 0);
    }

    #[cfg(unix)]
    #[test]
    fn spare_memory_shows_nothing_of_text_before() {
        let Some(mut before) = PagedMemory::new(10, 0) else { return };
        assert!(before.push(b"0123456789") && !before.push(b"x"));
        drop(before);
        let mut text = PagedMemory::new(10, 0).expect("memory");
        assert_eq!(&*text, b"");
        assert!(text.push(b"ab"));
        assert_eq!(&*text, b"ab");
        text.fill(b'c');
        assert_eq!(text.as_ref(), b"cc");
        drop(text);
        // Memory of another size is of no use.
        let text = PagedMemory::new(20, 0).expect("memory");
        assert_eq!(text.pages.as_ref().map(|pages| pages.len()), Some(20));
    }
}
