//! Many short tokens at once: 64 bytes of a value as words with a bit for each byte, the first one lowest.
//!
//! A state machine takes some branches for each token. Here a class of bytes is one word, and what may follow what is checked for all
//! bytes together, by shifts and additions: a one that is added at the beginning of a run of ones comes out behind the run. Only
//! brackets, escapes and the words `true`, `false` and `null` are looked at one by one.
//!
//! A block begins with a structural character (a bracket, comma or colon) that has been scanned already, so that nothing but the open
//! brackets has to be known of the text before. It ends with its last structural character. Thus no token is divided between blocks.

use wide::bytemuck::cast;
use wide::{u8x16, u64x2};

use super::super::strings::{Scanned, escape};

/// How many bytes are looked at together.
const BLOCK: usize = u64::BITS as usize;
/// Where tokens are short, a block ends with this byte or a later one.
const DENSE: usize = 32;
/// The least word of open brackets that holds two.
pub(super) const TWO_OPEN: u64 = 0b100;

/// Scans blocks as long as tokens are short and two brackets of this word are open.
///
/// Takes and returns the place of a structural character that has been scanned, and the open brackets behind it. One bracket of the
/// word stays open. `None` if the text is not JSON.
#[inline(never)]
pub(super) fn scan_blocks(text: &[u8], mut at: usize, mut brackets: u64) -> Option<(usize, u64)> {
    let mut ahead = text.get(at..)?;
    while let Some(block) = ahead.first_chunk() {
        let tokens = BlockTokens::new(block);
        // Without the first byte, which has been checked, and those behind the last structural character.
        let scanned = u64::MAX >> (tokens.structural & tokens.limit | 1).leading_zeros() & !1;
        let Order { wrong, of_object, of_array } = tokens.order();
        let (words, is_wrong_number) = tokens.numbers(scanned);
        let Nesting { inner, scanned, in_object, is_full } = tokens.nesting(scanned, brackets);
        let wrong = wrong | is_wrong_number | in_object & of_array | !in_object & of_object;
        if wrong & scanned != 0 || !are_known_words(block, words, tokens.word & scanned) {
            return None;
        }
        if is_full {
            break;
        }
        let length = BLOCK - 1 - (scanned | 1).leading_zeros() as usize;
        at += length;
        brackets = inner;
        if length < DENSE || brackets < TWO_OPEN {
            break;
        }
        ahead = ahead.get(length..)?;
    }
    Some((at, brackets))
}

/// The bytes of a block by the tokens that they belong to.
struct BlockTokens {
    classes: Classes,
    control: u64,
    /// The quotes that begin a string, and those that end one.
    opening: u64,
    closing: u64,
    /// From each opening quote to before the closing one.
    in_string: u64,
    structural: u64,
    /// The bytes before an escape that is scanned by itself.
    limit: u64,
    /// Numbers, words, and what has no class.
    scalar: u64,
    /// The first byte of each of them.
    start: u64,
    /// The first byte of those that are no numbers.
    word: u64,
}

/// What is wrong about the order of tokens, whatever brackets there are around them, and what may stand only in an object or in an
/// array.
struct Order {
    wrong: u64,
    of_object: u64,
    of_array: u64,
}

/// What the brackets of a block lead to.
struct Nesting {
    /// The open brackets behind it.
    inner: u64,
    /// The bytes that count: up to the bracket that leaves one open.
    scanned: u64,
    /// From behind each bracket that leaves an object the innermost one, to the next bracket.
    in_object: u64,
    /// Whether the word of open brackets was full.
    is_full: bool,
}

impl BlockTokens {
    #[inline(always)]
    fn new(block: &[u8; BLOCK]) -> BlockTokens {
        let bits = transpose(block);
        let (quote, backslash, control) = classes_of_strings(bits);
        let (quote, limit) = match backslash {
            0 => (quote, u64::MAX),
            _ => without_escapes(block, quote, backslash),
        };
        let in_string = fill_between(quote);
        let outside = !(in_string | quote);
        let classes = Classes::new(bits, control, outside);
        let Classes { comma, colon, open, close, blank, digit, minus, .. } = classes;
        let structural = comma | colon | open | close;
        let scalar = outside & !(structural | blank);
        let start = scalar & !(scalar << 1);
        BlockTokens {
            classes,
            control,
            opening: quote & in_string,
            closing: quote & !in_string,
            in_string,
            structural,
            limit,
            scalar,
            start,
            word: start & !(digit | minus),
        }
    }

    #[inline(always)]
    fn order(&self) -> Order {
        let Classes { comma, colon, open, close, is_object, blank, .. } = self.classes;
        // What follows some bytes, with white space between them.
        let next = |mask: u64| (mask << 1).wrapping_add(blank) & !blank;
        let inside = self.scalar ^ self.start;
        let behind_value = next(self.closing | close | self.scalar) & !inside;
        let first = next(comma | open);
        let behind_string = next((first & self.opening).wrapping_add(self.in_string) & !self.in_string);
        Order {
            wrong: (behind_value ^ (comma | colon | close)) & !(close & next(open))
                | colon & !behind_string
                | self.in_string & self.control,
            of_object: colon | close & is_object,
            of_array: first & (self.start | open) | behind_string & !colon | close & !is_object,
        }
    }

    /// The bytes of words, and what is wrong about numbers.
    #[inline(always)]
    fn numbers(&self, scanned: u64) -> (u64, u64) {
        let BlockTokens { scalar, start, word, .. } = *self;
        let Classes { digit, zero, minus, plus, dot, exponent, .. } = self.classes;
        let words = scalar & !word.wrapping_add(scalar);
        let mut wrong = ((start | (minus & start) << 1) & zero) << 1 & digit;
        let signs = scalar & !(digit | words);
        if signs & scanned == 0 {
            return (words, wrong);
        }
        let exponent = exponent & signs;
        let behind_exponent = exponent << 1;
        wrong |= signs & !(minus | dot | plus | exponent);
        wrong |= minus & !(start | behind_exponent);
        // Thus a dot or exponent has a digit before it, for none of them begins a number.
        wrong |= (minus | plus | dot) << 1 & !digit;
        wrong |= (dot << 1).wrapping_add(digit) & !digit & dot;
        if exponent | plus != 0 {
            let sign = minus | plus;
            wrong |= plus & !behind_exponent;
            wrong |= behind_exponent & !(digit | sign);
            let digits = behind_exponent & digit | (behind_exponent & sign) << 1;
            wrong |= digits.wrapping_add(digit) & !digit & (dot | exponent);
        }
        (words, wrong)
    }

    #[inline(always)]
    fn nesting(&self, mut scanned: u64, brackets: u64) -> Nesting {
        let Classes { open, close, is_object, .. } = self.classes;
        let matched = (open | close) & scanned;
        let (mut rest, mut inner, mut fullest, mut behind) = (matched, brackets, 0, 0);
        while rest != 0 {
            let bracket = rest & rest.wrapping_neg();
            rest &= rest - 1;
            if open & bracket != 0 {
                fullest |= inner;
                inner = inner << 1 | u64::from(is_object & bracket != 0);
            } else {
                inner >>= 1;
                behind |= bracket & (inner & 1).wrapping_neg();
                if inner < TWO_OPEN {
                    scanned &= bracket | (bracket - 1);
                    break;
                }
            }
        }
        let members = (open & is_object & matched | behind) << 1 | brackets & 1;
        let in_object = members.wrapping_add(!matched) ^ !matched;
        Nesting { inner, scanned, in_object, is_full: fullest >> (u64::BITS - 1) != 0 }
    }
}

/// Returns whether the words that begin at these places are `true`, `false` or `null`. `words` are the bytes of all of them.
#[inline(always)]
fn are_known_words(block: &[u8; BLOCK], words: u64, mut starts: u64) -> bool {
    while starts != 0 {
        if !is_known_word(block, words, starts.trailing_zeros() as usize) {
            return false;
        }
        starts &= starts - 1;
    }
    true
}

/// Fills the bits from each first one to before each second one.
#[inline(always)]
fn fill_between(ends: u64) -> u64 {
    let mut filled = ends ^ ends << 1;
    filled ^= filled << 2;
    filled ^= filled << 4;
    filled ^= filled << 8;
    filled ^= filled << 16;
    filled ^ filled << 32
}

/// The quotes that are no part of an escape, and the bytes before the first escape that is not whole or not valid.
#[inline(never)]
fn without_escapes(block: &[u8; BLOCK], mut quote: u64, mut backslash: u64) -> (u64, u64) {
    while backslash != 0 {
        let place = backslash.trailing_zeros() as usize;
        let before = (1 << place) - 1;
        let Scanned::Whole(end) = escape(block, place) else { return (quote, before) };
        let behind = u64::MAX << (end - 1) << 1;
        quote &= before | behind;
        backslash &= behind;
    }
    (quote, u64::MAX)
}

/// Returns whether the word at this place of a block is `true`, `false` or `null`. `words` are the bytes of all words.
///
/// Without branches: it cannot be foreseen which word comes.
#[inline(always)]
fn is_known_word(block: &[u8; BLOCK], words: u64, place: usize) -> bool {
    const TRUE: u32 = u32::from_le_bytes(*b"true");
    const NULL: u32 = u32::from_le_bytes(*b"null");
    const FALS: u32 = u32::from_le_bytes(*b"fals");
    let Some(found) = block.get(place..).and_then(|rest| rest.first_chunk()) else { return false };
    let found = u32::from_le_bytes(*found);
    let bytes = words >> place;
    let is_four = ((found == TRUE) | (found == NULL)) & (bytes & 0b1_1111 == 0b1111);
    let is_five = (found == FALS) & (block.get(place + 4) == Some(&b'e')) & (bytes & 0b11_1111 == 0b1_1111);
    is_four | is_five
}

/// The quotes and backslashes of a block, and the control characters, from a word for each bit of its bytes.
#[inline(always)]
fn classes_of_strings([b0, b1, b2, b3, b4, b5, b6, b7]: [u64; 8]) -> (u64, u64, u64) {
    let control = !(b7 | b6 | b5);
    let quote = b5 & !(b7 | b6 | b4) & b1 & !(b3 | b2 | b0);
    let backslash = b6 & b4 & !(b7 | b5) & b3 & b2 & !(b1 | b0);
    (quote, backslash, control)
}

/// The bytes of a block outside of strings, by their classes.
#[derive(Clone, Copy)]
struct Classes {
    comma: u64,
    colon: u64,
    /// `{` and `[`.
    open: u64,
    /// `}` and `]`.
    close: u64,
    /// The braces among the brackets, and other characters.
    is_object: u64,
    /// White space.
    blank: u64,
    digit: u64,
    /// `0`.
    zero: u64,
    minus: u64,
    plus: u64,
    dot: u64,
    /// `e` and `E`.
    exponent: u64,
}

impl Classes {
    /// From a word for each bit of the bytes. A row of the table of ASCII has the upper four bits in common, a column the lower four.
    #[inline(always)]
    fn new([b0, b1, b2, b3, b4, b5, b6, b7]: [u64; 8], control: u64, outside: u64) -> Classes {
        // In strings no byte is in a row from 2 on any more.
        let (b5, b6) = (b5 & outside, b6 & outside);
        let row_0 = control & outside & !b4;
        let row_2 = b5 & !(b7 | b6 | b4);
        let row_3 = b5 & b4 & !(b7 | b6);
        let row_4_or_6 = b6 & !(b7 | b4);
        let row_5_or_7 = b6 & b4 & !b7;
        let column_0 = !(b3 | b2 | b1 | b0);
        let column_5 = b2 & b0 & !(b3 | b1);
        let column_9_10_or_13 = b3 & (b1 ^ b0) & !(b2 & b1);
        let column_10_or_11 = b3 & b1 & !b2;
        let column_12 = b3 & b2 & !(b1 | b0);
        let column_13 = b3 & b2 & b0 & !b1;
        let column_14 = b3 & b2 & b1 & !b0;
        Classes {
            comma: row_2 & column_12,
            colon: row_3 & column_10_or_11 & !b0,
            open: row_5_or_7 & column_10_or_11 & b0,
            close: row_5_or_7 & column_13,
            is_object: b5,
            blank: row_2 & column_0 | row_0 & column_9_10_or_13,
            digit: row_3 & !(b3 & (b2 | b1)),
            zero: row_3 & column_0,
            minus: row_2 & column_13,
            plus: row_2 & column_10_or_11 & b0,
            dot: row_2 & column_14,
            exponent: row_4_or_6 & column_5,
        }
    }
}

/// A word for each bit of a byte, the lowest first, which holds this bit of all bytes of a block.
///
/// In three steps, each of which exchanges one bit of the byte with one of its place, and before them a shuffle that brings bytes
/// that differ in this bit of their place to the same place of two vectors.
#[inline(always)]
fn transpose(block: &[u8; BLOCK]) -> [u64; 8] {
    let [v0, v1, v2, v3] = shuffle(shuffle(cast(*block)));
    let [v0, v1, v2, v3] = shuffle(exchange::<4>([v0, v1, v2, v3], 0x0f));
    let [v0, v1, v2, v3]: [u64x2; 4] = cast(exchange::<2>([v0, v1, v2, v3], 0x33));
    let halves = [v0.unpack_lo(v1), v0.unpack_hi(v1), v2.unpack_lo(v3), v2.unpack_hi(v3)];
    let [b0, b2, b1, b3, b4, b6, b5, b7] = cast(exchange::<1>(cast(halves), 0x55));
    [b0, b1, b2, b3, b4, b5, b6, b7]
}

/// Interleaves the bytes of the first and the third vector, and those of the second and the fourth.
#[inline(always)]
fn shuffle([v0, v1, v2, v3]: [u8x16; 4]) -> [u8x16; 4] {
    [
        u8x16::unpack_low(v0, v2),
        u8x16::unpack_high(v0, v2),
        u8x16::unpack_low(v1, v3),
        u8x16::unpack_high(v1, v3),
    ]
}

/// In each of two pairs of vectors, exchanges the upper bits of a group in the first one with the lower bits in the second.
#[inline(always)]
fn exchange<const DISTANCE: u32>(vectors: [u8x16; 4], lower: u8) -> [u8x16; 4] {
    let [v0, v1, v2, v3]: [u64x2; 4] = cast(vectors);
    let lower: u64x2 = cast(u8x16::splat(lower));
    let (x, y) = (((v0 >> DISTANCE) ^ v1) & lower, ((v2 >> DISTANCE) ^ v3) & lower);
    cast([v0 ^ (x << DISTANCE), v1 ^ x, v2 ^ (y << DISTANCE), v3 ^ y])
}
