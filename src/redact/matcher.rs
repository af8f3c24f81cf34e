//! Finds every secret in a text, however it is encoded: one automaton for all of them, over the text and over what is left
//! of it when one layer of encoding after the other is undone.
//!
//! Linear in the text: each layer is as long as the one before at most, and their number is bounded.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::views::{ESCAPES, View, base64_runs, hex_pair_runs, hex_runs};

/// How many layers of encoding are undone: two that a server may write, and that of the JSON around them.
const LAYERS: usize = 3;
/// How many are undone in a text that is longer than [`LONG`].
const LAYERS_OF_LONG: usize = 2;
/// Up to which size each kind of escape is undone by itself as well, in bytes.
const SHORT: usize = 64 * 1024;
/// What a long text is, in bytes.
const LONG: usize = 1024 * 1024;
/// Up to how many bytes of patterns the automaton has a table for each state.
const FEW: usize = 2048;
/// The same for long texts.
const MANY: usize = 64 * 1024;

/// How many runs of digits or letters are decoded at a time.
const RUNS: usize = 16 * 1024;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretPattern {
    pub(super) text: Vec<u8>,
    /// Where the secret begins in it; before that stands its name.
    pub(super) secret: usize,
    /// Whether this is the beginning of a longer secret: what follows it without a break belongs to it.
    pub(super) is_beginning: bool,
}

impl SecretPattern {
    /// A secret that is found wherever it stands.
    pub(super) fn of(secret: &[u8]) -> SecretPattern {
        SecretPattern { text: secret.to_owned(), secret: 0, is_beginning: false }
    }

    /// A pattern with a name is found only as a whole: between characters that are no part of a word.
    fn is_named(&self) -> bool {
        self.secret > 0
    }
}

/// Finds secrets.
#[derive(Debug)]
pub(super) struct Matcher {
    automaton: AhoCorasick,
    /// The same with a table for each state, made for the first long text: faster, and slower to build.
    of_long: OnceLock<Option<AhoCorasick>>,
    patterns: Vec<SecretPattern>,
    /// The length of the shortest secret that has no name; shorter runs are not decoded.
    shortest: usize,
}

impl Matcher {
    /// One for these patterns; none where there are no patterns.
    pub(super) fn new(patterns: Vec<SecretPattern>) -> Option<Matcher> {
        let size: usize = patterns.iter().map(|pattern| pattern.text.len()).sum();
        let kind = if size <= FEW { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let automaton = automaton(&patterns, kind);
        let unnamed = patterns.iter().filter(|pattern| !pattern.is_named());
        let shortest = unnamed.map(|pattern| pattern.text.len()).min().unwrap_or(usize::MAX / 4);
        // Beyond its limits there would be gigabytes of patterns.
        let automaton = automaton.filter(|_| !patterns.is_empty())?;
        let of_long = if (FEW..MANY).contains(&size) { OnceLock::new() } else { OnceLock::from(None) };
        Some(Matcher { automaton, of_long, patterns, shortest })
    }

    /// The ranges of a text that hold secrets, in order and apart from each other.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let is_long = text.len() > LONG;
        let layers = if is_long { LAYERS_OF_LONG } else { LAYERS };
        let made = || automaton(&self.patterns, AhoCorasickKind::DFA);
        let of_long = if is_long { self.of_long.get_or_init(made).as_ref() } else { None };
        let mut found = Vec::new();
        let search = Search { matcher: self, automaton: of_long.unwrap_or(&self.automaton) };
        search.search(text.as_bytes(), layers, None, &mut found);
        found
    }
}

fn automaton(patterns: &[SecretPattern], kind: AhoCorasickKind) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .kind(Some(kind))
        .build(patterns.iter().map(|pattern| &pattern.text))
        .ok()
}

/// One search, by one of the automata.
struct Search<'a> {
    matcher: &'a Matcher,
    automaton: &'a AhoCorasick,
}

impl Search<'_> {
    /// Searches a text and what it says when `layers` of encoding are undone. What is found, in order and apart, is put into
    /// `found`, which is empty before. `unescaped` is what the text was made by, if
    /// escapes were undone: runs that stood in the text before have been decoded there.
    fn search(
        &self,
        text: &[u8],
        layers: usize,
        unescaped: Option<&View<'_>>,
        found: &mut Vec<Range<usize>>,
    ) {
        for hit in self.automaton.find_overlapping_iter(text) {
            let Some(pattern) = self.matcher.patterns.get(hit.pattern().as_usize()) else { continue };
            if !pattern.is_named() || is_word(text, &hit.range()) {
                let is_in_last = found.last().is_some_and(|last| last.end > hit.end());
                let end = match pattern.is_beginning && !is_in_last {
                    true => end_of_run(text, hit.end()),
                    false => hit.end(),
                };
                join(found, hit.start() + pattern.secret..end);
            }
        }
        let Some(left) = layers.checked_sub(1) else { return };
        if let Some(view) = View::unescaped(text) {
            self.search_view(&view, left, true, found);
        }
        let kinds: Vec<u8> =
            ESCAPES.into_iter().filter(|kind| memchr::memchr(*kind, text).is_some()).collect();
        if text.len() <= SHORT && kinds.len() > 1 {
            for view in kinds.iter().filter_map(|kind| View::unescaped_by(text, Some(*kind))) {
                self.search_view(&view, left, true, found);
            }
        }
        let is_new = |run: &Range<usize>| unescaped.is_none_or(|view| !view.is_plain(run));
        let mut runs = hex_runs(text, self.matcher.shortest * 2);
        runs.retain(is_new);
        for skipped in 0..if runs.is_empty() { 0 } else { 2 } {
            for runs in runs.chunks(RUNS) {
                self.search_view(&View::of_hex(text, runs, skipped), left, false, found);
            }
        }
        if text.len() <= LONG {
            let mut runs = hex_pair_runs(text, self.matcher.shortest);
            runs.retain(is_new);
            if !runs.is_empty() {
                self.search_view(&View::of_hex_pairs(text, &runs), left, false, found);
            }
        }
        let mut runs = base64_runs(text, (self.matcher.shortest * 4).div_ceil(3));
        runs.retain(is_new);
        for skipped in 0..if runs.is_empty() { 0 } else { 4 } {
            for runs in runs.chunks(RUNS) {
                self.search_view(&View::of_base64(text, runs, skipped), left, false, found);
            }
        }
    }

    fn search_view(&self, view: &View<'_>, layers: usize, is_unescaped: bool, found: &mut Vec<Range<usize>>) {
        let mut inside = Vec::new();
        self.search(&view.text, layers, is_unescaped.then_some(view), &mut inside);
        if inside.is_empty() {
            return;
        }
        found.extend(inside.iter().map(|range| view.source(range)));
        found.sort_unstable_by_key(|range| range.end);
        let mut apart = Vec::new();
        found.drain(..).for_each(|range| join(&mut apart, range));
        *found = apart;
    }
}

/// Adds a range that ends behind all others, or in the last of them, and joins it with those that it overlaps: hits are by far
/// more than what they cover where secrets repeat themselves.
fn join(found: &mut Vec<Range<usize>>, mut range: Range<usize>) {
    while let Some(last) = found.pop_if(|last| range.start < last.end) {
        range = range.start.min(last.start)..range.end.max(last.end);
    }
    found.push(range);
}

/// Where what goes on at `at` without a break ends.
fn end_of_run(text: &[u8], at: usize) -> usize {
    let breaks = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'"' | b'\'' | b'\\' | b'<' | b'>' | b';' | b',' | b'&' | 0xFF)
    };
    let length = text.get(at..).and_then(|rest| rest.iter().position(breaks));
    length.map_or(text.len(), |length| at + length)
}

/// Returns whether a range stands by itself, and is not the beginning or the end of a longer word.
fn is_word(text: &[u8], range: &Range<usize>) -> bool {
    let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let before = range.start.checked_sub(1).and_then(|at| text.get(at));
    !goes_on(before) && !goes_on(text.get(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_hits_are_joined_at_once() {
        let patterns = (6..40).map(|length| SecretPattern::of("ab".repeat(length).as_bytes())).collect();
        let matcher = Matcher::new(patterns).expect("patterns");
        let text = format!("{} {}", "ab".repeat(20_000), "AB".repeat(20_000));
        let mut found = Vec::new();
        let search = Search { matcher: &matcher, automaton: &matcher.automaton };
        search.search(text.as_bytes(), 0, None, &mut found);
        assert_eq!(found, [0..40_000, 40_001..80_001]);
        assert!(found.capacity() < 16, "{}", found.capacity());
        assert_eq!(matcher.find(&text), found);
    }

    #[test]
    fn later_hit_joins_all_that_it_covers() {
        let patterns =
            ["bcdefg", "ijklmn", "abcdefghijklmnop"].map(|text| SecretPattern::of(text.as_bytes()));
        let matcher = Matcher::new(patterns.into()).expect("patterns");
        assert_eq!(matcher.find("-abcdefghijklmnop-bcdefgijklmn"), [1..17, 18..24, 24..30]);
    }

    #[test]
    fn beginning_of_a_secret_is_found_with_the_rest() {
        let pattern = SecretPattern { is_beginning: true, ..SecretPattern::of(b"aaaaaa") };
        let matcher = Matcher::new(vec![pattern]).expect("a pattern");
        assert_eq!(matcher.find("x aaaaaabc-d e \"aaaaaa\" aaaaaa"), [2..12, 16..22, 24..30]);
        // Each hit looks no further than the first of them did.
        let text = "a".repeat(1_000_000);
        let all = 0..text.len();
        assert_eq!(matcher.find(&text), std::slice::from_ref(&all));
    }
}
