//! One pass over a JSON object while its bytes arrive: whether it is valid JSON in valid UTF-8, and where the members are that
//! the caller has named.
//!
//! Strings are skipped 64 bytes at a time, and where tokens are short, they are scanned in blocks of 64 bytes (`blocks`). Nothing is
//! decoded, and only one bit is kept for each open bracket. The scanner accepts nothing that `serde_json` rejects. It gives up on texts that are rare (an array, a
//! name with an escape), so that a text it does not accept is for `serde_json` to judge.

mod blocks;

use std::ops::Range;

use blocks::{TWO_OPEN, scan_blocks};

use super::strings::{Scanned, long_string, short_string};

/// Eight spaces.
const SPACES: [u8; 8] = [b' '; 8];
/// The longest number that may be read again when more of it arrives, in bytes.
const LONGEST_NUMBER: usize = 1024;
/// The word of open brackets where none is open: one bit that marks the end.
const NOTHING_OPEN: u64 = 1;
/// The same where the object is open and nothing in it.
const OBJECT_OPEN: u64 = NOTHING_OPEN << 1 | 1;
/// The highest bit, which is set once a word of open brackets is full.
const FULL: u64 = 1 << 63;
/// A member or element is short if it has fewer bytes.
const SHORT: usize = 32;
/// How many of them in a row are taken for the first of many.
const MANY: u32 = 3;
/// A byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Scans the text of one object as it grows.
#[derive(Clone, Debug)]
pub struct ObjectScanner<'name, const N: usize> {
    names: [&'name str; N],
    members: [Option<Range<usize>>; N],
    place: ScanPosition,
    /// Full words of open brackets, the outermost first.
    outer: Vec<u64>,
    /// How much of the text is valid UTF-8, in bytes.
    checked: usize,
    /// Where the object begins.
    start: usize,
    /// Where the last name of the outermost object begins, behind its quote.
    name: usize,
    /// Which of the named members the value belongs to that comes next, and where its name ends.
    member: Option<(usize, usize)>,
}

/// An object that is whole, and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedObject<const N: usize> {
    /// Where the object stands in the text, without the white space and the byte order mark around it.
    pub place: Range<usize>,
    /// Where the value of each named member stands: the last one where a name occurs more than once.
    pub members: [Option<Range<usize>>; N],
}

/// Where the scanner stands.
#[derive(Clone, Copy, Debug)]
struct ScanPosition {
    /// Everything before is scanned.
    at: usize,
    state: ScanState,
    /// A bit for each open bracket behind [`NOTHING_OPEN`], the innermost one lowest, set for an object. The word holds up to 63.
    brackets: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanState {
    /// The name of a member, or the end of the object.
    FirstName,
    Name,
    /// The rest of a name.
    InName,
    Colon,
    /// An element, or the end of the array.
    FirstValue,
    Value,
    /// The rest of a string.
    InString,
    /// A comma or a closing bracket.
    End,
    /// White space before the object.
    Before,
    /// White space behind the object.
    Behind,
    /// Nothing: the text is not JSON, or not for this scanner.
    Stopped,
}

/// Whether the scanner goes on with the text that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanStep {
    Continue,
    Pause,
}

impl<'name, const N: usize> ObjectScanner<'name, N> {
    /// Scans for the members with these names.
    pub fn new(names: [&'name str; N]) -> ObjectScanner<'name, N> {
        ObjectScanner {
            names,
            members: std::array::from_fn(|_| None),
            place: ScanPosition { at: 0, state: ScanState::Before, brackets: NOTHING_OPEN },
            outer: Vec::new(),
            checked: 0,
            start: 0,
            name: 0,
            member: None,
        }
    }

    /// Scans what has been added to the text since the last call. `text` is the whole text so far.
    pub fn push(&mut self, text: &[u8]) {
        if self.place.state == ScanState::Stopped {
            return;
        }
        match simdutf8::compat::from_utf8(text.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return self.stop(),
        }
        if self.place.state == ScanState::Before && !self.begin(text) {
            return;
        }
        self.place = self.scan(text, self.place);
    }

    /// The object, if the text is nothing else. `None` does not mean that the text is not JSON.
    pub fn finish(self, text: &[u8]) -> Option<ScannedObject<N>> {
        let end = text.len() - text.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        let is_whole = self.place.state == ScanState::Behind && self.checked == text.len();
        is_whole.then_some(ScannedObject { place: self.start..end, members: self.members })
    }

    fn stop(&mut self) {
        self.place.state = ScanState::Stopped;
    }

    /// Looks for the bracket of the object. Returns whether it was found.
    fn begin(&mut self, text: &[u8]) -> bool {
        if self.place.at == 0 {
            if text.len() < MARK.len() && MARK.starts_with(text) {
                return false;
            }
            self.place.at = if text.starts_with(MARK) { MARK.len() } else { 0 };
        }
        let rest = text.get(self.place.at..).unwrap_or_default();
        self.start = text.len() - rest.trim_ascii_start().len();
        match text.get(self.start) {
            None => self.place.at = self.start,
            Some(b'{') => {
                self.place =
                    ScanPosition { at: self.start + 1, state: ScanState::FirstName, brackets: OBJECT_OPEN };
                return true;
            }
            Some(_) => self.stop(),
        }
        false
    }

    /// Scans from a place to the end of the text. Never inlined: it needs all registers.
    #[inline(never)]
    fn scan(&mut self, text: &[u8], mut place: ScanPosition) -> ScanPosition {
        let (mut last, mut short) = (place.at, 0);
        loop {
            if matches!(place.state, ScanState::FirstName | ScanState::Name | ScanState::InName)
                && self.scan_name(text, &mut place) == ScanStep::Pause
            {
                return place;
            }
            if place.state == ScanState::Colon {
                match solid(text, &mut place.at) {
                    Some(b':') => (place.at, place.state) = (place.at + 1, ScanState::Value),
                    Some(_) => place.state = ScanState::Stopped,
                    None => return place,
                }
            }
            while matches!(place.state, ScanState::FirstValue | ScanState::Value) {
                if self.scan_value(text, &mut place) == ScanStep::Pause {
                    return place;
                }
            }
            if place.state == ScanState::InString {
                match long_string(text, place.at) {
                    Scanned::Whole(end) => (place.at, place.state) = (end, ScanState::End),
                    Scanned::Part(end) => return ScanPosition { at: end, ..place },
                    Scanned::Invalid => place.state = ScanState::Stopped,
                }
            }
            while place.state == ScanState::End {
                if self.scan_end(text, &mut place) == ScanStep::Pause {
                    return place;
                }
            }
            match place.state {
                ScanState::Behind => return scan_behind(text, place),
                ScanState::Stopped => return place,
                _ => {}
            }
            short = if place.at - last < SHORT { short + 1 } else { 0 };
            if short == MANY {
                place.scan_many(text);
                short = 0;
            }
            last = place.at;
        }
    }

    /// Scans a name, or the end of an empty object.
    #[inline(always)]
    fn scan_name(&mut self, text: &[u8], place: &mut ScanPosition) -> ScanStep {
        let scanned = match place.state {
            ScanState::InName => long_string(text, place.at),
            _ => match solid(text, &mut place.at) {
                Some(b'"') => {
                    if place.is_outermost() {
                        self.name = place.at + 1;
                    }
                    short_string(text, place.at + 1)
                }
                Some(b'}') if place.state == ScanState::FirstName => {
                    place.state = ScanState::End;
                    return ScanStep::Continue;
                }
                Some(_) => Scanned::Invalid,
                None => return ScanStep::Pause,
            },
        };
        match scanned {
            Scanned::Whole(end) => {
                (place.at, place.state) = (end, ScanState::Colon);
                if place.is_outermost() && !self.end_name(text, end) {
                    place.state = ScanState::Stopped;
                    return ScanStep::Pause;
                }
                ScanStep::Continue
            }
            Scanned::Part(end) => {
                (place.at, place.state) = (end, ScanState::InName);
                ScanStep::Pause
            }
            Scanned::Invalid => {
                place.state = ScanState::Stopped;
                ScanStep::Pause
            }
        }
    }

    /// Scans a value, or the bracket that begins it.
    #[inline(always)]
    fn scan_value(&mut self, text: &[u8], place: &mut ScanPosition) -> ScanStep {
        let Some(first) = solid(text, &mut place.at) else { return ScanStep::Pause };
        let scanned = match first {
            b'"' => match short_string(text, place.at + 1) {
                Scanned::Part(end) => {
                    (place.at, place.state) = (end, ScanState::InString);
                    return ScanStep::Pause;
                }
                scanned => scanned,
            },
            b'{' | b'[' => {
                self.open(place, first == b'{');
                place.at += 1;
                place.state = if first == b'{' { ScanState::FirstName } else { ScanState::FirstValue };
                return ScanStep::Continue;
            }
            b']' if place.state == ScanState::FirstValue => Scanned::Whole(place.at),
            b'-' | b'0'..=b'9' => number(text, first, place.at),
            b't' => literal(text, place.at, b"true"),
            b'f' => literal(text, place.at, b"false"),
            b'n' => literal(text, place.at, b"null"),
            _ => Scanned::Invalid,
        };
        match scanned {
            Scanned::Whole(end) => {
                (place.at, place.state) = (end, ScanState::End);
                ScanStep::Continue
            }
            // A number without end would be read again at each of its bytes.
            Scanned::Part(end) if end - place.at <= LONGEST_NUMBER => ScanStep::Pause,
            Scanned::Part(_) | Scanned::Invalid => {
                place.state = ScanState::Stopped;
                ScanStep::Pause
            }
        }
    }

    /// Scans what stands behind a value: a comma or a closing bracket.
    #[inline(always)]
    fn scan_end(&mut self, text: &[u8], place: &mut ScanPosition) -> ScanStep {
        if place.is_outermost() {
            self.end_member(text, place.at);
        }
        match solid(text, &mut place.at) {
            Some(b',') => place.state = if place.is_in_object() { ScanState::Name } else { ScanState::Value },
            Some(byte @ (b'}' | b']')) if (byte == b'}') == place.is_in_object() => self.close(place),
            Some(_) => {
                place.state = ScanState::Stopped;
                return ScanStep::Pause;
            }
            None => return ScanStep::Pause,
        }
        place.at += 1;
        ScanStep::Continue
    }

    #[inline(always)]
    fn open(&mut self, place: &mut ScanPosition, is_object: bool) {
        if place.brackets & FULL != 0 {
            self.outer.push(std::mem::replace(&mut place.brackets, NOTHING_OPEN));
        }
        place.brackets = place.brackets << 1 | u64::from(is_object);
    }

    #[inline(always)]
    fn close(&mut self, place: &mut ScanPosition) {
        place.brackets >>= 1;
        if place.brackets == NOTHING_OPEN {
            match self.outer.pop() {
                Some(brackets) => place.brackets = brackets,
                None => place.state = ScanState::Behind,
            }
        }
    }

    /// Sees whether a name of the outermost object is one of those that are looked for. Returns whether it can tell.
    #[cold]
    fn end_name(&mut self, text: &[u8], end: usize) -> bool {
        if !self.outer.is_empty() {
            return true;
        }
        let name = text.get(self.name..end - 1).unwrap_or_default();
        let found = self.names.iter().position(|wanted| wanted.as_bytes() == name);
        self.member = found.map(|found| (found, end));
        !name.contains(&b'\\')
    }

    /// Notes where the value of a member of the outermost object stands, which ends here.
    #[cold]
    fn end_member(&mut self, text: &[u8], end: usize) {
        if self.outer.is_empty()
            && let Some((found, name_end)) = self.member.take()
            && let Some(member) = self.members.get_mut(found)
        {
            let colon = blanks(text, name_end);
            *member = Some(blanks(text, colon + 1)..end);
        }
    }
}

impl ScanPosition {
    /// Scans many short tokens at once, from behind a comma or an opening bracket.
    #[inline(never)]
    fn scan_many(&mut self, text: &[u8]) {
        if self.brackets < TWO_OPEN {
            return;
        }
        let Some((at, brackets)) = scan_blocks(text, self.at - 1, self.brackets) else {
            self.state = ScanState::Stopped;
            return;
        };
        (self.at, self.brackets) = (at + 1, brackets);
        self.state = match text.get(at) {
            Some(b',') if self.is_in_object() => ScanState::Name,
            Some(b',' | b':') => ScanState::Value,
            Some(b'{') => ScanState::FirstName,
            Some(b'[') => ScanState::FirstValue,
            _ => ScanState::End,
        };
    }

    /// Returns whether the innermost bracket may be that of the outermost object. It is unless full words are open around it.
    #[inline(always)]
    fn is_outermost(&self) -> bool {
        self.brackets <= OBJECT_OPEN
    }

    /// Returns whether the innermost bracket is that of an object.
    #[inline(always)]
    fn is_in_object(&self) -> bool {
        self.brackets & 1 != 0
    }
}

/// Scans the white space behind the object.
fn scan_behind(text: &[u8], place: ScanPosition) -> ScanPosition {
    let rest = text.get(place.at..).unwrap_or_default();
    match rest.trim_ascii_start().is_empty() {
        true => ScanPosition { at: text.len(), ..place },
        false => ScanPosition { state: ScanState::Stopped, ..place },
    }
}

/// The first byte that is not white space. Moves to it.
#[inline(always)]
fn solid(text: &[u8], at: &mut usize) -> Option<u8> {
    let byte = *text.get(*at)?;
    if byte > b' ' {
        return Some(byte);
    }
    *at = blanks(text, *at);
    text.get(*at).copied()
}

/// Where the white space of JSON ends that begins here.
#[inline(never)]
fn blanks(text: &[u8], mut at: usize) -> usize {
    loop {
        // Lines of a document that is laid out begin with many of them.
        while text.get(at..).is_some_and(|rest| rest.starts_with(&SPACES)) {
            at += SPACES.len();
        }
        match text.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
    }
}

#[inline(always)]
fn literal(text: &[u8], at: usize, word: &[u8]) -> Scanned {
    match text.get(at..at + word.len()) {
        Some(found) if found == word => Scanned::Whole(at + word.len()),
        Some(_) => Scanned::Invalid,
        None => Scanned::Part(text.len()),
    }
}

/// Where digits end that begin here.
#[inline(always)]
fn digits(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Scans a number. It is whole once a byte follows that does not belong to it.
#[inline(always)]
fn number(text: &[u8], first: u8, at: usize) -> Scanned {
    let integer = if first == b'-' { at + 1 } else { at };
    let end = match text.get(integer) {
        Some(b'0') => integer + 1,
        Some(b'1'..=b'9') => digits(text, integer + 1),
        Some(_) => return Scanned::Invalid,
        None => return Scanned::Part(integer),
    };
    match text.get(end) {
        Some(b',' | b'}' | b']') => Scanned::Whole(end),
        Some(_) => fraction(text, end),
        None => Scanned::Part(end),
    }
}

/// Scans what follows the integer of a number.
#[inline(never)]
fn fraction(text: &[u8], integer: usize) -> Scanned {
    let mut end = integer;
    if text.get(end) == Some(&b'.') {
        end = digits(text, integer + 1);
        if end == integer + 1 {
            return if text.len() == end { Scanned::Part(end) } else { Scanned::Invalid };
        }
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        end = digits(text, exponent);
        if end == exponent {
            return if text.len() == end { Scanned::Part(end) } else { Scanned::Invalid };
        }
    }
    match text.get(end) {
        Some(byte) if byte.is_ascii_digit() => Scanned::Invalid,
        Some(_) => Scanned::Whole(end),
        None => Scanned::Part(end),
    }
}

#[cfg(test)]
mod tests;
