//! Texts with one layer of encoding undone, and where each byte of them stood before.
//!
//! Apart because it knows nothing of secrets: percent-encoding, HTML entities and backslash escapes are undone in one pass,
//! runs of hexadecimal digits and of base64 letters at every alignment.

use std::ops::Range;

/// A text with one layer of encoding undone.
pub(super) struct View<'a> {
    pub(super) text: Vec<u8>,
    origin: Origin<'a>,
}

/// Where the bytes of a view stood before.
enum Origin<'a> {
    /// Escapes were undone in this text. Where each byte came from is found out again from the mark before it: a note of each
    /// escape would be many times as long as the text.
    Unescaped { text: &'a [u8], marks: Vec<Mark>, only: Option<u8> },
    /// Each run was decoded; a mark for each.
    Runs { form: TextForm, marks: Vec<Mark> },
}

/// The bytes of a view from `at` on came from `source` on.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: usize,
    source: usize,
}

/// How bytes were written.
#[derive(Clone, Copy)]
enum TextForm {
    /// Two hexadecimal digits each.
    Hex,
    /// The same with a separator behind them.
    HexPair,
    /// Four letters for each three.
    Base64,
}

/// What escapes begin with.
pub(super) const ESCAPES: [u8; 3] = [b'%', b'&', b'\\'];

/// How much of a text with escapes lies between two marks, in bytes.
const BETWEEN_MARKS: usize = 256;

/// Stands between runs that have nothing to do with each other; no text in UTF-8 holds it.
const GAP: u8 = 0xFF;

/// A text with its escapes undone. None without any.
pub(super) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    View::unescaped(text).map(|view| view.text)
}

impl<'a> View<'a> {
    /// The text with its escapes undone: `%2B`, `&#43;`, `&#x2b`, `&plus;`, `\u002b`, `\x2b`, `\/`. None without any.
    pub(super) fn unescaped(text: &'a [u8]) -> Option<View<'a>> {
        View::unescaped_by(text, None)
    }

    /// The same with the escapes that begin with one of [`ESCAPES`] undone, and the others left as they are: a secret may hold
    /// what looks like an escape.
    pub(super) fn unescaped_by(text: &'a [u8], only: Option<u8>) -> Option<View<'a>> {
        let (mut undone, mut copied) = (Vec::new(), 0);
        let mut marks = vec![Mark { at: 0, source: 0 }];
        let mut marked = 0;
        while let Some(escape) = next_escape(text, copied, only) {
            if undone.is_empty() {
                undone.reserve(text.len());
            }
            let is_far = escape.start - marked >= BETWEEN_MARKS;
            if is_far && copied > marked {
                marks.push(Mark { at: undone.len(), source: copied });
            }
            undone.extend(text.get(copied..escape.start).unwrap_or_default());
            if is_far && escape.start > copied {
                marks.push(Mark { at: undone.len(), source: escape.start });
            }
            if is_far {
                marked = escape.start;
            }
            match escape.character {
                Unescaped::Byte(byte) => undone.push(byte),
                Unescaped::Char(letter) => undone.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
            copied = escape.start + escape.length;
        }
        if copied == 0 {
            return None;
        }
        marks.push(Mark { at: undone.len(), source: copied });
        undone.extend(text.get(copied..).unwrap_or_default());
        Some(View { text: undone, origin: Origin::Unescaped { text, marks, only } })
    }

    /// What runs of hexadecimal digits say, read from their first or second digit on.
    pub(super) fn of_hex(text: &[u8], runs: &[Range<usize>], skipped: usize) -> View<'static> {
        View::of_runs(text, runs, skipped, TextForm::Hex, |run, bytes| {
            bytes.extend(run.chunks_exact(2).map(|pair| {
                pair.iter().fold(0_u8, |byte, digit| byte << 4 | hex_digit(*digit).unwrap_or_default())
            }));
        })
    }

    /// What runs of pairs of hexadecimal digits say, as fingerprints are written: `2b:2f`.
    pub(super) fn of_hex_pairs(text: &[u8], runs: &[Range<usize>]) -> View<'static> {
        View::of_runs(text, runs, 0, TextForm::HexPair, |run, bytes| {
            bytes.extend(run.chunks(3).map(|pair| {
                let digits = pair.iter().take(2);
                digits.fold(0_u8, |byte, digit| byte << 4 | hex_digit(*digit).unwrap_or_default())
            }));
        })
    }

    /// What runs of base64 letters say, read from one of their first four letters on.
    pub(super) fn of_base64(text: &[u8], runs: &[Range<usize>], skipped: usize) -> View<'static> {
        View::of_runs(text, runs, skipped, TextForm::Base64, |run, bytes| {
            for group in run.chunks(4) {
                if let [a, b, c, d] = group {
                    let [a, b, c, d] = [a, b, c, d].map(|letter| base64_bits(*letter));
                    let [_, one, two, three] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
                    bytes.extend_from_slice(&[one, two, three]);
                    continue;
                }
                let bits = group.iter().fold(0_u32, |bits, letter| bits << 6 | base64_bits(*letter));
                // The last group may be short: two letters are one byte, three are two.
                let bits = bits << (6 * (4 - group.len()) + 8);
                bytes.extend(bits.to_be_bytes().iter().take(group.len() * 6 / 8));
            }
        })
    }

    fn of_runs(
        text: &[u8],
        runs: &[Range<usize>],
        skipped: usize,
        form: TextForm,
        decode: impl Fn(&[u8], &mut Vec<u8>),
    ) -> View<'static> {
        let (mut decoded, mut marks) = (Vec::new(), Vec::with_capacity(runs.len()));
        decoded.reserve(runs.iter().map(|run| run.len() + 1).sum::<usize>() * 3 / 4);
        for run in runs {
            let source = run.start + skipped;
            marks.push(Mark { at: decoded.len(), source });
            decode(text.get(source..run.end).unwrap_or_default(), &mut decoded);
            decoded.push(GAP);
        }
        View { text: decoded, origin: Origin::Runs { form, marks } }
    }

    /// Where the bytes of a range stood in the text that this was made of.
    pub(super) fn source(&self, range: &Range<usize>) -> Range<usize> {
        self.place(range.start).start..self.place(range.end.saturating_sub(1)).end
    }

    fn place(&self, at: usize) -> Range<usize> {
        let (Origin::Unescaped { marks, .. } | Origin::Runs { marks, .. }) = &self.origin;
        let next = marks.partition_point(|mark| mark.at <= at);
        let Some(&Mark { at: begin, source }) = marks.get(next.saturating_sub(1)) else { return 0..0 };
        let within = at - begin;
        match self.origin {
            Origin::Unescaped { text, only, .. } => {
                // A long stretch without an escape has marks at both ends, and need not be looked through.
                let next = marks.get(next).filter(|next| next.at - begin != next.source - source);
                place_between(text, only, source, within, next)
            }
            Origin::Runs { form: TextForm::Hex, .. } => source + within * 2..source + within * 2 + 2,
            Origin::Runs { form: TextForm::HexPair, .. } => source + within * 3..source + within * 3 + 2,
            Origin::Runs { form: TextForm::Base64, .. } => {
                source + within * 8 / 6..source + (within * 8 + 7) / 6 + 1
            }
        }
    }

    /// Returns whether a range of the text stands in the text that this was made of as it is: every escape is longer than what it
    /// stands for.
    pub(super) fn is_plain(&self, range: &Range<usize>) -> bool {
        matches!(self.origin, Origin::Unescaped { .. }) && self.source(range).len() == range.len()
    }
}

/// Where the byte `left` bytes behind a mark stood in a text with escapes. There are none behind the last mark.
fn place_between(
    text: &[u8],
    only: Option<u8>,
    mut source: usize,
    mut left: usize,
    next: Option<&Mark>,
) -> Range<usize> {
    let end = next.map_or(source, |next| next.source);
    while source < end
        && let Some(escape) = text.get(..end).and_then(|before| next_escape(before, source, only))
    {
        let plain = escape.start - source;
        if left < plain {
            break;
        }
        left -= plain;
        let length = match escape.character {
            Unescaped::Byte(_) => 1,
            Unescaped::Char(letter) => letter.len_utf8(),
        };
        source = escape.start + escape.length;
        if left < length {
            return escape.start..source;
        }
        left -= length;
    }
    source + left..source + left + 1
}

/// The runs of at least `least` hexadecimal digits.
pub(super) fn hex_runs(text: &[u8], least: usize) -> Vec<Range<usize>> {
    runs(text, least, |byte| byte.is_ascii_hexdigit())
}

/// The runs of at least `least` pairs of hexadecimal digits with the same separator between them.
pub(super) fn hex_pair_runs(text: &[u8], least: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(&[_, _, separator, ..]) = text.get(at..) {
        let is_pair = |pair: &&[u8]| matches!(pair, [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit());
        let mut count = 0;
        if matches!(separator, b':' | b'-' | b' ') {
            let mut goes_on = true;
            let pairs = text.get(at..).unwrap_or_default().chunks(3);
            count = pairs
                .take_while(|pair| {
                    let is_of_run = goes_on && is_pair(pair);
                    goes_on = pair.get(2) == Some(&separator);
                    is_of_run
                })
                .count();
        }
        if count >= least.max(2) {
            runs.push(at..at + count * 3 - 1);
        }
        // No other run begins before the last pair, which may be the first of one with another separator.
        at += (count * 3).saturating_sub(3).max(1);
    }
    runs
}

/// The runs of at least `least` letters of base64, in either of its alphabets.
pub(super) fn base64_runs(text: &[u8], least: usize) -> Vec<Range<usize>> {
    runs(text, least, |byte| base64_bits(byte) != u32::from(NONE))
}

fn runs(text: &[u8], least: usize, is_of_run: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        if !is_of_run(*byte) {
            if at - start >= least {
                runs.push(start..at);
            }
            start = at + 1;
        }
    }
    if text.len().saturating_sub(start) >= least {
        runs.push(start..text.len());
    }
    runs
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn base64_bits(letter: u8) -> u32 {
    u32::from(BASE64.get(usize::from(letter)).copied().unwrap_or(NONE))
}

/// What is no letter of base64.
const NONE: u8 = 64;

/// What each letter of base64 stands for, in either of its alphabets.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would say so")]
const BASE64: [u8; 256] = {
    let alphabets = [
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    ];
    let mut bits = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        bits[alphabets[0][at] as usize] = at as u8;
        bits[alphabets[1][at] as usize] = at as u8;
        at += 1;
    }
    bits
};

/// An escape in a text.
struct Escape {
    start: usize,
    length: usize,
    character: Unescaped,
}

/// The first escape from `at` on; with `only`, the first that begins with this letter.
fn next_escape(text: &[u8], mut at: usize, only: Option<u8>) -> Option<Escape> {
    let [percent, and, backslash] = ESCAPES;
    loop {
        let rest = text.get(at..)?;
        let found = match only {
            Some(letter) => memchr::memchr(letter, rest),
            None => memchr::memchr3(percent, and, backslash, rest),
        };
        let start = at + found?;
        if let Some((length, character)) = text.get(start..).and_then(escape) {
            return Some(Escape { start, length, character });
        }
        at = start + 1;
    }
}

/// What an escape stands for.
enum Unescaped {
    Byte(u8),
    Char(char),
}

/// The escape that a text begins with, and its length.
fn escape(text: &[u8]) -> Option<(usize, Unescaped)> {
    let (first, rest) = text.split_first()?;
    let (length, character) = match first {
        b'%' => percent(rest),
        b'&' => entity(rest),
        b'\\' => backslash(rest),
        _ => None,
    }?;
    Some((length + 1, character))
}

/// `%2B`, or `%u002B` as old browsers write.
fn percent(text: &[u8]) -> Option<(usize, Unescaped)> {
    if let Some((b'u' | b'U', digits)) = text.split_first() {
        return char_of(hex(digits, 4)?).map(|letter| (5, letter));
    }
    hex(text, 2).and_then(byte_of).map(|byte| (2, byte))
}

/// `\n`, `\/`, `\x2b`, `\053`, `\u002b`, `\u{2b}`, `\U0000002b`: JSON's and those of programming languages.
fn backslash(text: &[u8]) -> Option<(usize, Unescaped)> {
    let (first, rest) = text.split_first()?;
    let byte = |byte| Some((1, Unescaped::Byte(byte)));
    match first {
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'b' => byte(8),
        b'f' => byte(12),
        b'x' | b'X' => hex(rest, 2).and_then(byte_of).map(|byte| (3, byte)),
        b'0'..=b'3' => {
            let digits = text.get(..3)?.iter().map(|digit| match digit {
                b'0'..=b'7' => Some(u32::from(digit - b'0')),
                _ => None,
            });
            let value =
                digits.collect::<Option<Vec<u32>>>()?.iter().fold(0, |value, digit| value * 8 + digit);
            byte_of(value).map(|byte| (3, byte))
        }
        b'u' | b'U' => unicode(rest, *first == b'U').map(|(length, letter)| (length + 1, letter)),
        other if other.is_ascii_punctuation() => byte(*other),
        _ => None,
    }
}

/// What follows `\u`.
fn unicode(text: &[u8], may_be_long: bool) -> Option<(usize, Unescaped)> {
    if let Some((b'{', digits)) = text.split_first() {
        let length = digits.iter().take(8).position(|byte| *byte == b'}')?;
        return char_of(hex(digits, length)?).map(|letter| (length + 2, letter));
    }
    if may_be_long && let Some(letter) = hex(text, 8).and_then(char_of) {
        return Some((8, letter));
    }
    let value = hex(text, 4)?;
    let low = || {
        let low = text.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"));
        low.and_then(|digits| hex(digits, 4)).filter(|low| (0xDC00..0xE000).contains(low))
    };
    match value {
        0xD800..0xDC00 => {
            char_of(0x1_0000 + ((value - 0xD800) << 10) + (low()? - 0xDC00)).map(|letter| (10, letter))
        }
        _ => char_of(value).map(|letter| (4, letter)),
    }
}

/// What follows `&`; the semicolon may be missing.
fn entity(text: &[u8]) -> Option<(usize, Unescaped)> {
    let (length, letter) = match text.split_first()? {
        (b'#', number) => {
            let (before, digits, radix) = match number.split_first()? {
                (b'x' | b'X', digits) => (2, digits, 16),
                _ => (1, number, 10),
            };
            let digits: String = digits
                .iter()
                .map(|digit| char::from(*digit))
                .take(MOST_DIGITS)
                .take_while(|digit| digit.is_digit(radix))
                .collect();
            (before + digits.len(), char_of(u32::from_str_radix(&digits, radix).ok()?)?)
        }
        _ => {
            let is_here = |name: &str| {
                text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
            };
            let (name, letter) = ENTITIES.iter().find(|(name, _)| is_here(name))?;
            (name.len(), Unescaped::Byte(*letter))
        }
    };
    let semicolon = usize::from(text.get(length) == Some(&b';'));
    Some((length + semicolon, letter))
}

/// How many digits of a numeric entity are read; there may be zeros before it.
const MOST_DIGITS: usize = 16;

/// The entities of HTML for ASCII (<https://html.spec.whatwg.org/#named-character-references>); of two that begin alike
/// the longer one first.
const ENTITIES: [(&str, u8); 45] = [
    ("amp", b'&'),
    ("apos", b'\''),
    ("ast", b'*'),
    ("bsol", b'\\'),
    ("colon", b':'),
    ("commat", b'@'),
    ("comma", b','),
    ("dash", b'-'),
    ("dollar", b'$'),
    ("equals", b'='),
    ("excl", b'!'),
    ("grave", b'`'),
    ("DiacriticalGrave", b'`'),
    ("gt", b'>'),
    ("hat", b'^'),
    ("hyphen", b'-'),
    ("lbrace", b'{'),
    ("lbrack", b'['),
    ("lcub", b'{'),
    ("lowbar", b'_'),
    ("lpar", b'('),
    ("lsqb", b'['),
    ("lt", b'<'),
    ("midast", b'*'),
    ("nbsp", b' '),
    ("newline", b'\n'),
    ("num", b'#'),
    ("percnt", b'%'),
    ("period", b'.'),
    ("plus", b'+'),
    ("quest", b'?'),
    ("quot", b'"'),
    ("rbrace", b'}'),
    ("rbrack", b']'),
    ("rcub", b'}'),
    ("rpar", b')'),
    ("rsqb", b']'),
    ("semi", b';'),
    ("sol", b'/'),
    ("tab", b'\t'),
    ("tilde", b'~'),
    ("underbar", b'_'),
    ("verbar", b'|'),
    ("VerticalLine", b'|'),
    ("vert", b'|'),
];

fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text.get(..digits).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u32, |value, digit| Some(value.checked_mul(16)? + u32::from(hex_digit(*digit)?)))
}

fn byte_of(value: u32) -> Option<Unescaped> {
    u8::try_from(value).ok().map(Unescaped::Byte)
}

fn char_of(value: u32) -> Option<Unescaped> {
    char::from_u32(value).map(Unescaped::Char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &str) -> String {
        let view = View::unescaped(text.as_bytes());
        view.map_or_else(|| text.to_owned(), |view| String::from_utf8(view.text).expect("UTF-8"))
    }

    #[test]
    fn undoes_one_layer_of_every_escape() {
        for (text, expected) in [
            ("a%2Bb%2bc%", "a+b+c%"),
            ("%C3%A9 %u002B %zz", "é + %zz"),
            ("&#43;&#x2B;&#X2b &#0000043;&#43", "+++ ++"),
            ("&plus;&PLUS;&commat;&comma;&amp;lt;&nothing;", "++@,&lt;&nothing;"),
            ("&ampx &quot;", "&x \""),
            (r"\u002b\U002B\U0000002b\u{2b}\x2b\053\/\\\q", r"++++++/\\q"),
            (r"\ud83d\ude00 \ud83d", "😀 \\ud83d"),
        ] {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }

    #[test]
    fn every_byte_knows_its_source() {
        let text = b"ab%2Bcd";
        let view = View::unescaped(text).expect("an escape");
        assert_eq!(view.text, b"ab+cd");
        assert_eq!(view.source(&(0..2)), 0..2);
        assert_eq!(view.source(&(2..3)), 2..5);
        assert_eq!(view.source(&(1..4)), 1..6);
        assert!(view.is_plain(&(0..2)) && !view.is_plain(&(1..3)) && view.is_plain(&(3..5)));
        let text = b"--616263--";
        let runs = hex_runs(text, 4);
        assert_eq!((runs.len(), runs.first()), (1, Some(&(2..8))));
        let view = View::of_hex(text, &runs, 0);
        assert_eq!((view.text.as_slice(), view.source(&(1..3))), (&b"abc\xFF"[..], 4..8));
        let text = b" YWJjZGU= ";
        let runs = base64_runs(text, 4);
        let view = View::of_base64(text, &runs, 0);
        assert_eq!(view.text, b"abcde\xFF");
        assert_eq!((view.source(&(0..3)), view.source(&(3..5)), view.source(&(1..2))), (1..5, 5..8, 2..4));
    }

    #[test]
    fn every_byte_of_many_escapes_knows_its_source() {
        let parts = [r"\n", "%2b", "plain", "&lt", "&#233;", r"\u00e9", "%", "é", r"\ud83d\ude00", "&gt;"];
        let mut text = String::new();
        for number in 0..3_000_usize {
            text.push_str(parts.get(number * number % 7 + number % 4).copied().unwrap_or_default());
            if number % 500 == 0 {
                text.push_str(&"x".repeat(number));
            }
        }
        let text = text.as_bytes();
        let view = View::unescaped(text).expect("escapes");
        let (mut expected, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let Some((length, character)) = text.get(at..).and_then(escape) else {
                expected.push(at..at + 1);
                at += 1;
                continue;
            };
            let bytes = if let Unescaped::Char(letter) = character { letter.len_utf8() } else { 1 };
            expected.extend(std::iter::repeat_n(at..at + length, bytes));
            at += length;
        }
        let places: Vec<_> = (0..view.text.len()).map(|at| view.place(at)).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn notes_about_escapes_are_short_beside_the_text() {
        for part in [r"\n", r"a\n", r"\u00e9ab"] {
            let text = part.repeat(100_000);
            let view = View::unescaped(text.as_bytes()).expect("escapes");
            let Origin::Unescaped { marks, .. } = &view.origin else { panic!("escapes were undone") };
            let size = view.text.len() + marks.len() * size_of::<Mark>();
            assert!(size < text.len() + text.len() / 4, "{part}: {size}");
        }
    }

    #[test]
    fn short_runs_of_pairs_are_looked_at_once() {
        // Counted again from each of their pairs, this would take hours.
        let text = "ab:".repeat(2_000_000);
        assert!(hex_pair_runs(text.as_bytes(), 3_000_000).is_empty());
        for (text, expected) in [
            ("ab:cd-ef-01-23", 3..14),
            ("ab:cde:f0:12:34", 4..15),
            ("ab:cd:zz:ab:cd:ef:01", 9..20),
            ("ab cd:ef:01:23 zz", 3..14),
        ] {
            assert_eq!(hex_pair_runs(text.as_bytes(), 4), [expected], "{text}");
        }
        assert_eq!(hex_pair_runs(b"ab:cd:ef-01-23", 3), [0..8, 6..14]);
    }
}
