//! Where a JSON string ends: plain bytes are skipped by the word and by the block, escapes are checked one by one.

use wide::u8x16;

/// How many bytes are looked at together.
const BLOCK: usize = 64;
/// How many words of a string are looked at before it counts as long.
const WORDS: usize = 2;
/// The lowest bit of each byte of a word.
const LOW: u64 = 0x0101_0101_0101_0101;
/// The highest.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What came of scanning a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// It ends before this byte.
    Whole(usize),
    /// The text ends within it. Everything before this byte was scanned.
    Part(usize),
    /// It is not JSON.
    Invalid,
}

/// Scans a string from behind its first quote. Most names and values are short.
#[inline(always)]
pub(super) fn short_string(text: &[u8], mut at: usize) -> Scanned {
    for _ in 0..WORDS {
        let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk()) else { break };
        let found = special_bytes(u64::from_le_bytes(*word));
        if found == 0 {
            at += size_of::<u64>();
            continue;
        }
        at += (found.trailing_zeros() / u8::BITS) as usize;
        if text.get(at) == Some(&b'"') {
            return Scanned::Whole(at + 1);
        }
        break;
    }
    long_string(text, at)
}

/// Scans the rest of a string from any of its bytes, but not from within an escape.
#[inline(never)]
pub(super) fn long_string(text: &[u8], mut at: usize) -> Scanned {
    // One byte more than a block, for the second byte of an escape.
    'blocks: while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<{ BLOCK + 1 }>()) {
        let Some(block) = window.first_chunk() else { break };
        let mut bits = special_bits(block);
        while bits != 0 {
            let place = bits.trailing_zeros() as usize % BLOCK;
            match (window.get(place), window.get(place + 1)) {
                (Some(b'\\'), Some(escaped)) if is_simple_escape(*escaped) => {
                    // Neither of the two bytes counts again.
                    bits &= u64::MAX << place << 2;
                    if place == BLOCK - 1 {
                        at += BLOCK + 1;
                        continue 'blocks;
                    }
                }
                (Some(b'"'), _) => return Scanned::Whole(at + place + 1),
                (Some(b'\\'), _) => match escape(text, at + place) {
                    Scanned::Whole(end) => {
                        at = end;
                        continue 'blocks;
                    }
                    other => return other,
                },
                _ => return Scanned::Invalid,
            }
        }
        at += BLOCK;
    }
    string_end(text, at)
}

/// The same for the last bytes of a text, one after the other.
fn string_end(text: &[u8], mut at: usize) -> Scanned {
    loop {
        match text.get(at) {
            Some(b'"') => return Scanned::Whole(at + 1),
            Some(b'\\') => match escape(text, at) {
                Scanned::Whole(end) => at = end,
                other => return other,
            },
            Some(0..0x20) => return Scanned::Invalid,
            Some(_) => at += 1,
            None => return Scanned::Part(at),
        }
    }
}

/// Scans an escape from its backslash. Half a surrogate pair is one like any other (RFC 8259, 8.2).
pub(super) fn escape(text: &[u8], at: usize) -> Scanned {
    match text.get(at + 1) {
        Some(b'u') => match text.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Scanned::Whole(at + 6),
            Some(_) => Scanned::Invalid,
            None => Scanned::Part(at),
        },
        Some(byte) if is_simple_escape(*byte) => Scanned::Whole(at + 2),
        Some(_) => Scanned::Invalid,
        None => Scanned::Part(at),
    }
}

/// Returns whether a backslash and this byte are a whole escape.
#[inline(always)]
fn is_simple_escape(byte: u8) -> bool {
    const SIMPLE: [bool; 256] = {
        let (mut simple, mut at, bytes) = ([false; 256], 0, b"\"\\/bfnrt");
        while at < bytes.len() {
            #[expect(clippy::indexing_slicing, reason = "checked by the compiler, which evaluates it")]
            {
                simple[bytes[at] as usize] = true;
            }
            at += 1;
        }
        simple
    };
    SIMPLE.get(usize::from(byte)) == Some(&true)
}

/// The highest bit of the first byte of a word that is a quote, a backslash or a control character, and possibly of later
/// bytes.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    let is_quote = quote.wrapping_sub(LOW) & !quote;
    let is_backslash = backslash.wrapping_sub(LOW) & !backslash;
    let is_control = word.wrapping_sub(LOW * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGH
}

/// A bit for each byte of a block that is a quote, a backslash or a control character, the first one lowest.
///
/// Vector types and not a loop that the compiler vectorizes: it does not where it optimizes for size.
#[inline(always)]
fn special_bits(block: &[u8; BLOCK]) -> u64 {
    block.as_chunks().0.iter().rev().fold(0, |bits, bytes| {
        let bytes = u8x16::new(*bytes);
        let is_quote = bytes.simd_eq(u8x16::splat(b'"'));
        let is_backslash = bytes.simd_eq(u8x16::splat(b'\\'));
        let is_control = bytes.simd_eq(bytes.min(u8x16::splat(0x1f)));
        bits << 16 | u64::from((is_quote | is_backslash | is_control).to_bitmask())
    })
}
