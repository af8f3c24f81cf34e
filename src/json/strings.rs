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
    while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<{ BLOCK + 1 }>()) {
        let Some(block) = window.first_chunk().and_then(Block::new) else { break };
        if block.is_plain() {
            at += BLOCK;
            continue;
        }
        let backslashes = block.backslashes();
        let escaped = escaped_bits(backslashes);
        // A single one is looked up. Several are compared by vectors, because the end of a loop over them cannot be predicted.
        let is_single = escaped & escaped.wrapping_sub(1) == 0;
        let rare = match window.get(escaped.trailing_zeros() as usize) {
            Some(byte) if is_single && is_simple_escape(*byte) => 0,
            Some(_) if is_single => escaped,
            _ => escaped & !(backslashes | block.common_escapes()),
        };
        // Also quotes that are not escaped, and control characters.
        let stops = block.ends() & !escaped | rare;
        if stops != 0 {
            let place = stops.trailing_zeros() as usize;
            let is_escape = escaped >> place & 1 != 0;
            match text.get(at + place) {
                Some(_) if is_escape => match escape(text, at + place - 1) {
                    Scanned::Whole(end) => at = end,
                    other => return other,
                },
                Some(b'"') => return Scanned::Whole(at + place + 1),
                Some(_) | None => return Scanned::Invalid,
            }
            continue;
        }
        at += BLOCK;
        // The last byte is a backslash that is not escaped.
        if (backslashes & !escaped) >> (BLOCK - 1) != 0 {
            match escape(text, at - 1) {
                Scanned::Whole(end) => at = end,
                other => return other,
            }
        }
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

/// A bit for each byte that a backslash before it escapes, of a block that begins outside an escape.
///
/// A run of backslashes is a carry: subtracted from the odd places, it turns over every second bit and ends behind its last byte.
#[inline(always)]
fn escaped_bits(backslashes: u64) -> u64 {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    ((backslashes << 1 | ODD).wrapping_sub(backslashes) ^ ODD) ^ backslashes
}

/// 64 bytes of a string, and which of them are special.
///
/// Vector types and not a loop that the compiler vectorizes: it does not where it optimizes for size.
struct Block {
    bytes: [u8x16; 4],
    /// Quotes and control characters.
    ends: [u8x16; 4],
    backslashes: [u8x16; 4],
}

impl Block {
    #[inline(always)]
    fn new(block: &[u8; BLOCK]) -> Option<Block> {
        let [a, b, c, d] = block.as_chunks().0 else { return None };
        let bytes = [u8x16::new(*a), u8x16::new(*b), u8x16::new(*c), u8x16::new(*d)];
        Some(Block { bytes, ends: each(bytes, is_end), backslashes: each(bytes, is_backslash) })
    }

    /// Returns whether no byte is special.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        let [a, b, c, d] = self.ends;
        let [e, f, g, h] = self.backslashes;
        ((a | b) | (c | d) | (e | f) | (g | h)).to_bitmask() == 0
    }

    #[inline(always)]
    fn ends(&self) -> u64 {
        bits(self.ends)
    }

    #[inline(always)]
    fn backslashes(&self) -> u64 {
        bits(self.backslashes)
    }

    /// The second bytes of the escapes that most texts have, beside the backslash.
    #[inline(always)]
    fn common_escapes(&self) -> u64 {
        bits(each(self.bytes, is_common_escape))
    }
}

/// Applies a function to all parts of a block. `array::map` is not inlined where the compiler optimizes for size.
#[inline(always)]
fn each([a, b, c, d]: [u8x16; 4], function: impl Fn(u8x16) -> u8x16) -> [u8x16; 4] {
    [function(a), function(b), function(c), function(d)]
}

#[inline(always)]
fn is_end(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(bytes.min(u8x16::splat(0x1f)))
}

#[inline(always)]
fn is_backslash(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'\\'))
}

#[inline(always)]
fn is_common_escape(bytes: u8x16) -> u8x16 {
    let is_letter = bytes.simd_eq(u8x16::splat(b'n')) | bytes.simd_eq(u8x16::splat(b't'));
    is_letter | bytes.simd_eq(u8x16::splat(b'r')) | bytes.simd_eq(u8x16::splat(b'"'))
}

/// A bit for each byte of which the highest bit is set, the first one lowest.
#[inline(always)]
fn bits([a, b, c, d]: [u8x16; 4]) -> u64 {
    let (a, b) = (u64::from(a.to_bitmask()), u64::from(b.to_bitmask()));
    let (c, d) = (u64::from(c.to_bitmask()), u64::from(d.to_bitmask()));
    a | b << 16 | c << 32 | d << 48
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_count_wherever_blocks_begin() {
        for run in [
            "\\\\",
            "\\\"",
            "\\n\\t\\r",
            "\\/\\b\\f",
            "\\u00e9",
            "\\\\\\\"",
            "\\x",
            "\\",
            "\u{1f}",
            "\\\u{1}",
        ] {
            for (before, behind) in (0..200).map(|before| (before, 80)).chain([(0, 0), (63, 0), (64, 1)]) {
                let text = format!("{}{run}{}\"tail", "a".repeat(before), "é\\n".repeat(behind));
                assert_eq!(
                    long_string(text.as_bytes(), 0),
                    string_end(text.as_bytes(), 0),
                    "{before}, {run:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn blocks_agree_with_single_bytes(
            parts in prop::collection::vec(
                prop_oneof![
                    8 => "[a-z]{0,40}",
                    8 => Just("\\n".to_owned()),
                    4 => Just("\\\"".to_owned()),
                    4 => r"(\\\\){1,4}",
                    1 => r"\\(u00e9|u|u12|/|b|x|u12g4)",
                    1 => "[\"\\\\\u{1f}é]",
                ],
                0..60,
            ),
        ) {
            let text = parts.concat();
            prop_assert_eq!(long_string(text.as_bytes(), 0), string_end(text.as_bytes(), 0));
        }
    }
}
