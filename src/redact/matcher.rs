//! Finds every secret in a text, however it is encoded: one automaton for all of them, over the text and over what is left
//! of it when one layer of encoding after the other is undone.
//!
//! Linear in the text: each layer is as long as the one before at most, and their number is bounded.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::views::{View, base64_runs, hex_pair_runs, hex_runs};

/// How many layers of encoding are undone: two that a server may write, and that of the JSON around them.
const LAYERS: usize = 3;
/// How many are undone in a text that is longer than [`LONG`].
const LAYERS_OF_LONG: usize = 2;
/// What a long text is, in bytes.
const LONG: usize = 1024 * 1024;
/// Up to how many bytes of patterns the automaton has a table for each state.
const FEW: usize = 2048;
/// The same for long texts.
const MANY: usize = 64 * 1024;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: Vec<u8>,
    /// Where the secret begins in it; before that stands its name.
    pub(super) secret: usize,
}

impl Pattern {
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
    patterns: Vec<Pattern>,
    /// The length of the shortest secret that has no name; shorter runs are not decoded.
    shortest: usize,
}

impl Matcher {
    /// One for these patterns; none where there are no patterns.
    pub(super) fn new(patterns: Vec<Pattern>) -> Option<Matcher> {
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
        found.sort_unstable_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        apart
    }
}

fn automaton(patterns: &[Pattern], kind: AhoCorasickKind) -> Option<AhoCorasick> {
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
    /// Searches a text and what it says when `layers` of encoding are undone. `unescaped` is what the text was made by, if
    /// escapes were undone: runs that stood in the text before have been decoded there.
    fn search(&self, text: &[u8], layers: usize, unescaped: Option<&View>, found: &mut Vec<Range<usize>>) {
        for hit in self.automaton.find_overlapping_iter(text) {
            let Some(pattern) = self.matcher.patterns.get(hit.pattern().as_usize()) else { continue };
            if !pattern.is_named() || is_word(text, &hit.range()) {
                found.push(hit.start() + pattern.secret..hit.end());
            }
        }
        let Some(left) = layers.checked_sub(1) else { return };
        if let Some(view) = View::unescaped(text) {
            self.search_view(&view, left, true, found);
        }
        let is_new = |run: &Range<usize>| unescaped.is_none_or(|view| !view.is_plain(run));
        let mut runs = hex_runs(text, self.matcher.shortest * 2);
        runs.retain(is_new);
        for skipped in 0..if runs.is_empty() { 0 } else { 2 } {
            self.search_view(&View::of_hex(text, &runs, skipped), left, false, found);
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
            self.search_view(&View::of_base64(text, &runs, skipped), left, false, found);
        }
    }

    fn search_view(&self, view: &View, layers: usize, is_unescaped: bool, found: &mut Vec<Range<usize>>) {
        let mut inside = Vec::new();
        self.search(&view.text, layers, is_unescaped.then_some(view), &mut inside);
        found.extend(inside.iter().map(|range| view.source(range)));
    }
}

/// Returns whether a range stands by itself, and is not the beginning or the end of a longer word.
fn is_word(text: &[u8], range: &Range<usize>) -> bool {
    let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let before = range.start.checked_sub(1).and_then(|at| text.get(at));
    !goes_on(before) && !goes_on(text.get(range.end))
}
