//! Memory for one large message.
//!
//! Apart from the heap, whose holes cost as much as the messages that left them behind.

/// The size of a huge page on most systems, in bytes.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 * 1024 * 1024;

/// Memory whose pages count only once they are written to, and go back to the system with it.
#[derive(Debug)]
pub struct PagedMemory(#[cfg(unix)] memmap2::MmapMut, #[cfg(not(unix))] Box<[u8]>);

impl PagedMemory {
    /// Memory of this length in bytes, filled with zeros. None where addresses are scarce (32 bits), where the system counts it
    /// from the beginning, and where it refuses (a limit on addresses).
    pub fn new(length: usize) -> Option<PagedMemory> {
        #[cfg(unix)]
        {
            if cfg!(not(target_pointer_width = "64")) {
                return None;
            }
            let pages = memmap2::MmapOptions::new().len(length).no_reserve_swap().map_anon().ok()?;
            // Behind the first huge page, one fault for each of them instead of 512, where the system has such pages.
            #[cfg(target_os = "linux")]
            if let Some(rest) = length.checked_sub(HUGE_PAGE) {
                let _ = pages.advise_range(memmap2::Advice::HugePage, HUGE_PAGE, rest);
            }
            Some(PagedMemory(pages))
        }
        #[cfg(not(unix))]
        {
            let _ = length;
            None
        }
    }
}

impl std::ops::Deref for PagedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::DerefMut for PagedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for PagedMemory {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
