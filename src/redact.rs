//! Redaction: registers every secret of this process, and removes them from texts.
//!
//! Secrets are registered where they enter, because any error may repeat them. Text of another program is redacted where it
//! enters as well ([`foreign`]), so that errors, logs, recordings, pages and files hold only what may be shown; the log redacts
//! once more. A secret is found in any letter case, also percent-encoded, escaped as in HTML or JSON, or written in hexadecimal
//! digits or base64, and in one of these within another. Messages between client and server are not redacted.
//!
#![doc = include_str!("redact/README.md")]

mod matcher;
mod names;
mod parts;
mod views;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;

pub use names::is_sensitive_header;

use crate::mcp;
use matcher::{Matcher, SecretPattern};
use views::unescape;

/// A shorter value would blank out innocent words: it is a secret only behind its name, as in `pin=1234`. In characters.
const SHORTEST: usize = 6;
/// How many values that servers issued are remembered; beyond that the oldest go. A server may set another cookie with each
/// answer.
const ISSUED: usize = 128;
/// What is shorter is not taken for a session's id that could be looked for everywhere, in characters.
const SHORTEST_SESSION: usize = 8;
/// How many tokens, codes and proofs of sign-ins are remembered: those in use are always among the latest.
const TOKENS: usize = 128;
/// How long all values that servers issued are together, in bytes.
const ISSUED_ROOM: usize = 64 * 1024;
/// How much of one of them is looked for, in bytes; what follows its beginning without a break is masked with it.
const LONGEST_ISSUED: usize = 4 * 1024;
/// The same for tokens together.
const TOKENS_ROOM: usize = 512 * 1024;
/// The same for one token: there are some of many KiB.
const LONGEST_TOKEN: usize = 64 * 1024;
/// A secret that is longer is looked for in pieces of this length, in bytes.
const PIECE: usize = 16 * 1024;
/// How often what looks like an escape in a secret is undone.
const UNDONE: usize = 2;
/// How long the beginning of an escape at the end of a secret may be, in bytes.
const HALF_ESCAPE: usize = 3;
/// How many letters one of a secret may have become, at most: two layers of `\u0000`.
const EXPANSION: usize = 36;
/// How far beyond an excerpt a text is looked at in any case, and at most, in bytes.
const MARGIN: Range<usize> = 1024..1024 * 1024;
/// What stands in the place of a secret.
const MASK: &str = "[secret]";

/// Words of the protocol. They are not redacted, even if a user chose one as a secret.
const WORDS: [&str; 30] = [
    "accept",
    "annotations",
    mcp::header::JSON,
    "arguments",
    "bearer",
    "cancelled",
    "capabilities",
    "clientInfo",
    "completion",
    "content",
    "default",
    "description",
    mcp::method::INITIALIZE,
    "initialized",
    "inputSchema",
    "jsonrpc",
    "localhost",
    "message",
    "method",
    "notifications",
    "params",
    "progressToken",
    "prompts",
    "protocolVersion",
    "resources",
    "result",
    "sampling",
    "serverInfo",
    "structuredContent",
    mcp::header::EVENT_STREAM,
];

/// Every secret that is known.
#[derive(Debug, Default)]
struct Secrets {
    known: HashSet<Vec<u8>>,
    /// What is never forgotten.
    kept: Vec<SecretPattern>,
    /// What servers issued.
    issued: Recent,
    /// What sign-ins are made of.
    tokens: Recent,
    longest: usize,
    /// None where it is to be made anew.
    matcher: Option<Option<Arc<Matcher>>>,
}

/// Values of which the oldest go, the oldest first.
#[derive(Debug, Default)]
struct Recent {
    values: VecDeque<SecretPattern>,
    size: usize,
}

/// Registers a secret of the user's. It is never forgotten. One that is too short is not looked for.
pub fn register_secret(secret: &str) {
    secrets().keep(secret);
}

/// Registers a secret that has a name. A short one is masked where it stands behind its name.
pub fn register_member(name: &str, value: &str) {
    secrets().keep_member(name, value);
}

/// Registers a header that the user wrote, and the parts that a server may name alone: what follows a scheme, the password of
/// `Basic`, each cookie, parameters.
pub fn register_header(name: &str, value: &str) {
    let parts = parts::of_header(name, value);
    let mut secrets = secrets();
    parts.iter().for_each(|(name, value)| secrets.keep_member(name, value));
}

/// Registers what is secret in a URL: the password (or a user name that stands alone), and the values of the query.
pub fn register_url(url: &Url) {
    let decoded = |text: &str| {
        let undone = unescape(text.as_bytes());
        undone.and_then(|undone| String::from_utf8(undone).ok()).unwrap_or_else(|| text.to_owned())
    };
    let mut secrets = secrets();
    match url.password() {
        Some(password) => {
            let password = decoded(password);
            secrets.keep_member("password", &password);
            secrets.keep(&format!("{}:{password}", decoded(url.username())));
        }
        None => secrets.keep(&decoded(url.username())),
    }
    for pair in url.query().into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        secrets.keep_member(name, value);
    }
    url.query_pairs().for_each(|(name, value)| secrets.keep_member(&name, &value));
}

/// Registers a private key in PEM form: all of it, and each of its lines.
pub fn register_key(pem: &str) {
    let lines = pem.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----"));
    let body: String = lines.clone().collect();
    let mut secrets = secrets();
    lines.chain([body.as_str()]).for_each(|line| secrets.keep(line));
}

/// Registers a value that a server issued: a session id, a cookie. The oldest of many are forgotten, and what may be a word is
/// none. It costs a look when the value is known.
pub fn register_issued(value: &str) {
    secrets().issue(value);
}

/// Registers a token, a code, a verifier or an assertion. There are others in time, so the oldest of many are forgotten; a
/// token in use is registered again with each that is obtained.
pub fn register_token(token: &str) {
    secrets().keep_token(token);
}

/// Registers the session's id in an address that a server named (HTTP+SSE): by its place it is one, also where it does not look
/// random. The oldest of many are forgotten.
pub fn register_session(id: &str) {
    let is_long = id.chars().nth(SHORTEST_SESSION - 1).is_some();
    if is_long && !is_word(id) {
        secrets().remember(id);
    }
}

/// Takes every secret that is known out of a text.
pub fn redact(text: &str) -> Cow<'_, str> {
    // The lock is not held while a long text is looked through.
    let matcher = secrets().matcher();
    matcher.map_or(text.into(), |matcher| without(text, &matcher))
}

fn without<'text>(text: &'text str, matcher: &Matcher) -> Cow<'text, str> {
    let found = matcher.find(text);
    if found.is_empty() {
        return text.into();
    }
    let mut redacted = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        let (start, end) = (floor(text, range.start), ceil(text, range.end));
        redacted.push_str(text.get(at..start).unwrap_or_default());
        redacted.push_str(MASK);
        at = at.max(end);
    }
    redacted.push_str(text.get(at..).unwrap_or_default());
    redacted.into()
}

/// Returns whether a text that is used as it is repeats a secret that is no word by chance: an address or a scope may well hold
/// the same name as a header.
pub fn repeats_secret(text: &str) -> bool {
    let Some(matcher) = secrets().matcher() else { return false };
    matcher.find(text).into_iter().any(|range| is_random(text.get(range).unwrap_or_default()))
}

/// A text that another program wrote, as it may be shown: one line without secrets, and without anything that a terminal
/// obeys.
pub fn foreign(text: &str) -> String {
    printable(&redact(text)).into_owned()
}

/// The same of a text with lines, which stay.
pub fn foreign_lines(text: &str) -> String {
    redact(text)
        .chars()
        .map(|letter| if letter != '\n' && is_unprintable(letter) { ' ' } else { letter })
        .collect()
}

/// A text in one line, with a space for everything that would do something to a terminal, a line or the order of letters.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.contains(is_unprintable) {
        true => text.replace(is_unprintable, " ").into(),
        false => text.into(),
    }
}

/// Returns whether a character is one that is not seen but does something: controls (C0, DEL, C1), separators of lines,
/// marks and overrides of direction, what has no width, and the invisible tags.
pub fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The beginning of a text as [`foreign`] has it, without half a secret where it is cut off. Returns whether it was. `limit` is
/// in bytes.
pub fn excerpt(text: &str, limit: usize) -> (String, bool) {
    let margin = secrets().longest.saturating_mul(EXPANSION).clamp(MARGIN.start, MARGIN.end);
    let read = text.get(..floor(text, limit.saturating_add(margin))).unwrap_or_default();
    let mut shown = foreign(read);
    let is_cut = read.len() < text.len();
    // What is at the end of the part that was looked at may be half a secret.
    let trusted = if is_cut { shown.len().saturating_sub(margin) } else { shown.len() };
    let is_short = trusted.min(limit) < shown.len();
    shown.truncate(floor(&shown, trusted.min(limit)));
    (shown, is_cut || is_short)
}

/// The last place up to `at` where a text may be cut.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first place from `at` on where a text may be cut.
fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

fn secrets() -> MutexGuard<'static, Secrets> {
    shared().lock().unwrap_or_else(PoisonError::into_inner)
}

impl Secrets {
    fn keep(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().nth(SHORTEST - 1).is_none() || is_word(secret) || self.is_kept(secret) {
            return;
        }
        self.push(SecretPattern::of(secret.as_bytes()));
        if secret.len() > PIECE {
            let mut rest = secret;
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(ceil(rest, PIECE));
                self.keep(piece);
                rest = others;
            }
            return;
        }
        // A form writes a space as a plus.
        if secret.contains(' ') {
            self.keep(&secret.replace(' ', "+"));
        }
        // What looks like an escape in it is undone in the text as well.
        let mut undone = unescape(secret.as_bytes());
        for _ in 0..UNDONE {
            let Some(text) = undone else { break };
            undone = unescape(&text);
            if text.len() >= SHORTEST && !self.known.contains(&text) {
                self.push(SecretPattern::of(&text));
            }
        }
        // What looks like the beginning of an escape at its end may be undone with what follows.
        let escape = secret.rfind(['\\', '%', '&']).filter(|at| secret.len() - at <= HALF_ESCAPE);
        if let Some(before) = escape.and_then(|at| secret.get(..at)) {
            self.keep(before);
        }
    }

    fn keep_member(&mut self, name: &str, value: &str) {
        let (name, value) = (name.trim(), value.trim());
        self.keep(value);
        let is_short = value.chars().nth(SHORTEST - 1).is_none() || is_word(value);
        if name.is_empty() || value.is_empty() || !is_short {
            return;
        }
        for between in ["=", ": ", ":", "=\"", "='", "\":\"", "\": \"", "\":", "\": "] {
            let (text, secret) = (format!("{name}{between}{value}"), name.len() + between.len());
            if !self.is_kept(&text) {
                self.push(SecretPattern { secret, ..SecretPattern::of(text.as_bytes()) });
            }
        }
    }

    fn is_kept(&self, secret: &str) -> bool {
        self.known.contains(secret.as_bytes())
    }

    fn push(&mut self, pattern: SecretPattern) {
        self.longest = self.longest.max(pattern.text.len());
        self.known.insert(pattern.text.clone());
        self.kept.push(pattern);
        self.matcher = None;
    }

    fn keep_token(&mut self, token: &str) {
        let pattern = beginning(token, LONGEST_TOKEN);
        if token.chars().nth(SHORTEST - 1).is_some() && !self.is_kept(token) && !self.tokens.renew(&pattern) {
            self.longest = self.longest.max(pattern.text.len());
            self.tokens.add(pattern, TOKENS, TOKENS_ROOM);
            self.matcher = None;
        }
    }

    fn issue(&mut self, value: &str) {
        // Many servers repeat the session's id in each response.
        if !self.issued.holds(value) && is_random(value) && !is_word(value) {
            self.remember(value);
        }
    }

    fn remember(&mut self, value: &str) {
        let pattern = beginning(value, LONGEST_ISSUED);
        if !self.is_kept(value) && !self.issued.values.contains(&pattern) {
            self.longest = self.longest.max(pattern.text.len());
            self.issued.add(pattern, ISSUED, ISSUED_ROOM);
            self.matcher = None;
        }
    }

    /// What finds them; none where there are none.
    fn matcher(&mut self) -> Option<Arc<Matcher>> {
        let (kept, recent) = (&self.kept, [&self.tokens, &self.issued]);
        let make = || {
            let recent = recent.into_iter().flat_map(|recent| &recent.values);
            Matcher::new(kept.iter().chain(recent).cloned().collect()).map(Arc::new)
        };
        self.matcher.get_or_insert_with(make).clone()
    }
}

/// What is looked for of a value that may be of any length: up to `longest` bytes of it.
fn beginning(value: &str, longest: usize) -> SecretPattern {
    let text = value.get(..floor(value, longest)).unwrap_or_default();
    SecretPattern { is_beginning: text.len() < value.len(), ..SecretPattern::of(text.as_bytes()) }
}

impl Recent {
    /// Returns whether the whole of a value is among them.
    fn holds(&self, value: &str) -> bool {
        self.values.iter().any(|known| !known.is_beginning && known.text == value.as_bytes())
    }

    /// Makes a value the latest. Returns whether it was there.
    fn renew(&mut self, value: &SecretPattern) -> bool {
        let at = self.values.iter().position(|other| other == value);
        let found = at.and_then(|at| self.values.remove(at));
        found.map(|value| self.values.push_back(value)).is_some()
    }

    /// Adds a value; the oldest go beyond `most` of them, or `room` bytes.
    fn add(&mut self, value: SecretPattern, most: usize, room: usize) {
        self.size += value.text.len();
        self.values.push_back(value);
        while self.values.len() > most || self.size > room {
            let Some(oldest) = self.values.pop_front() else { break };
            self.size -= oldest.text.len();
        }
    }
}

/// Returns whether a value is one of the protocol's own words.
pub fn is_word(value: &str) -> bool {
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Returns whether a value is long and disorderly enough not to be a word: letters and digits, many digits, letters that
/// change their case often, or very many letters.
fn is_random(value: &str) -> bool {
    let count = |class: fn(&u8) -> bool| value.bytes().filter(class).count();
    let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
    let cases = value.as_bytes().windows(2).filter(
        |pair| matches!(pair, [one, other] if one.is_ascii_lowercase() && other.is_ascii_uppercase()),
    );
    let is_path = value.contains(['/', '.', ' ', ':']);
    match value.len() {
        0..10 => false,
        10..16 => digits >= 3 && letters >= 3 && !is_path,
        16.. => {
            digits >= 2 && letters >= 2
                || digits >= 16
                || !is_path && (cases.count() >= 4 || value.len() >= 32)
        }
    }
}

#[cfg(not(test))]
fn shared() -> &'static Mutex<Secrets> {
    static SECRETS: std::sync::LazyLock<Mutex<Secrets>> = std::sync::LazyLock::new(Mutex::default);
    &SECRETS
}

// Unit tests are one process: what one of them calls a secret is none for the next.
#[cfg(test)]
fn shared() -> &'static Mutex<Secrets> {
    thread_local!(static SECRETS: &'static Mutex<Secrets> = Box::leak(Box::default()));
    SECRETS.with(|secrets| *secrets)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    /// The ways in which a text may be encoded.
    const ENCODINGS: usize = 15;

    fn encoded(text: &str, encoding: usize) -> String {
        let each = |form: fn(u8) -> String| text.bytes().map(form).collect::<String>();
        match encoding {
            0 => text.to_owned(),
            1 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
            2 => each(|byte| format!("%{byte:02x}")),
            3 => each(|byte| format!("&#{byte};")),
            4 => each(|byte| format!("&#x{byte:X};")),
            5 => each(|byte| format!("\\u{byte:04x}")),
            6 => each(|byte| format!("\\x{byte:02X}")),
            7 => each(|byte| format!("{byte:02x}")),
            8 => each(|byte| format!("{byte:02X}")),
            9 => BASE64_STANDARD.encode(text),
            10 => BASE64_URL_SAFE_NO_PAD.encode(format!("x{text}")),
            11 => BASE64_STANDARD.encode(format!("xy{text}{text}")),
            13 => text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
            12 => serde_json::to_string(text).expect("JSON").replace('/', "\\/"),
            _ => {
                text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('+', "&plus;")
            }
        }
    }

    fn redacted(secrets: &mut Secrets, text: &str) -> String {
        let matcher = secrets.matcher();
        matcher.map_or_else(|| text.to_owned(), |matcher| without(text, &matcher).into_owned())
    }

    fn keeping(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        values.iter().for_each(|value| secrets.keep(value));
        secrets
    }

    proptest! {
        #[test]
        fn secret_shows_in_no_encoding_within_another(
            secret in "[!-~]{10,40}",
            inner in 0..ENCODINGS,
            outer in 0..ENCODINGS,
            upper in any::<bool>(),
            around in "[ -~é]{0,30}",
        ) {
            let text = if upper { secret.to_ascii_uppercase() } else { secret.clone() };
            let hidden = encoded(&encoded(&text, inner), outer);
            let mut secrets = keeping(&[&secret, "another-secret"]);
            let shown = redacted(&mut secrets, &format!("{around}: {hidden} :{around}"));
            prop_assert!(shown.contains(MASK), "{shown}");
            // At the ends of base64 stands what was encoded around it.
            let left = shown.replacen(&format!("{around}: "), "", 1);
            let left = left.strip_suffix(&format!(" :{around}")).unwrap_or(&left).replace(MASK, "");
            prop_assert!(left.len() <= 40, "{hidden} left {left} in {shown}");
        }

        #[test]
        fn text_without_secrets_stays(text in "[ -~é]{0,200}") {
            let mut secrets = keeping(&["a-secret\u{1}of-this-test"]);
            prop_assert_eq!(redacted(&mut secrets, &text), text);
        }
    }

    #[test]
    fn overlapping_secrets_leave_no_part() {
        let mut secrets = keeping(&["abcdef-one", "one-ghijkl", "def-one-gh"]);
        assert_eq!(redacted(&mut secrets, "x abcdef-one-ghijkl y"), "x [secret] y");
        assert_eq!(redacted(&mut secrets, "é%61bcdef-oneé"), "é[secret]é");
    }

    #[test]
    fn secret_that_ends_like_an_escape_leaves_no_part() {
        let mut secrets = keeping(&["\"secret-one\\", "\"secret-two%4"]);
        assert_eq!(redacted(&mut secrets, r"&quot;secret-one\! &quot;secret-two%41"), "[secret]! [secret]1");
    }

    #[test]
    fn short_value_is_masked_behind_its_name_alone() {
        let mut secrets = Secrets::default();
        secrets.keep_member("pin", "1234");
        secrets.keep_member("mode", "method");
        let text = r#"1234 method spin=1234 pin=12345 pin=1234&x {"pin": "1234","mode":"method"} PIN: 1234, &quot;pin&quot;:1234"#;
        let shown = r#"1234 method spin=1234 pin=12345 pin=[secret]&x {"pin": "[secret]","mode":"[secret]"} PIN: [secret], &quot;pin&quot;:[secret]"#;
        assert_eq!(redacted(&mut secrets, text), shown);
    }

    #[test]
    fn issued_values_never_evict_configured_ones() {
        let mut secrets = keeping(&["configured-value"]);
        let issued = |number: usize| format!("issued-{number:08}-value");
        for number in 0..3 * ISSUED {
            secrets.issue(&issued(number));
        }
        let text = format!("configured-value {} {}", issued(0), issued(3 * ISSUED - 1));
        assert_eq!(redacted(&mut secrets, &text), format!("[secret] {} [secret]", issued(0)));
        assert_eq!((secrets.known.len(), secrets.issued.values.len()), (1, ISSUED));
    }

    #[test]
    fn tokens_in_use_outlive_those_before() {
        let mut secrets = Secrets::default();
        for number in 0..3 * TOKENS {
            secrets.keep_token(&format!("access-{number}"));
            secrets.keep_token("refresh-in-use");
        }
        let long = "x".repeat(2 * TOKENS_ROOM);
        secrets.keep_token(&long);
        let text = format!("refresh-in-use access-{} access-0 {long}", 3 * TOKENS - 1);
        assert_eq!(redacted(&mut secrets, &text), "[secret] [secret] access-0 [secret]");
        assert_eq!(secrets.tokens.values.len(), TOKENS);
    }

    #[test]
    fn issued_values_of_any_length_take_bounded_room() {
        let mut secrets = Secrets::default();
        let value = |number: usize| format!("{number:08}-{}", "Ab1".repeat(10_000));
        for number in 0..40 {
            secrets.issue(&value(number));
            secrets.remember(&value(number));
        }
        assert_eq!(secrets.issued.values.len(), ISSUED_ROOM / LONGEST_ISSUED);
        assert_eq!((secrets.issued.size, secrets.longest), (ISSUED_ROOM, LONGEST_ISSUED));
        let text = format!("a {} b \"{}\"; {}", value(39), value(38), value(39).repeat(2));
        assert_eq!(redacted(&mut secrets, &text), "a [secret] b \"[secret]\"; [secret]");
        for number in 0..9 {
            secrets.keep_token(&format!("{number}{}", "x".repeat(TOKENS_ROOM)));
        }
        assert_eq!(secrets.tokens.values.len(), TOKENS_ROOM / LONGEST_TOKEN);
    }

    #[test]
    fn words_are_no_issued_values() {
        for word in [
            "jsonrpc",
            "method",
            "s-1",
            "2025-11-25",
            "server01",
            "notifications/initialized",
            "tools/list",
            "db.example.com",
        ] {
            assert!(!is_random(word), "{word}");
        }
        for value in
            ["0123456789abcdef", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "AbCdEfGhIjKlMnOp", "a1b2c3d4e5"]
        {
            assert!(is_random(value), "{value}");
        }
    }

    #[test]
    fn excerpt_ends_with_no_half_secret() {
        const SECRET: &str = "marked/SECRET\"of-this-test";
        register_secret(SECRET);
        for before in 0..60 {
            let text = format!("{}{SECRET}{}", "y".repeat(before), "z ".repeat(100_000));
            for limit in [30, 40] {
                let (shown, is_cut) = excerpt(&text, limit);
                assert!(shown.len() <= limit && is_cut);
                assert!(!shown.contains("mark"), "{shown}");
            }
        }
        assert_eq!(excerpt("all of it", 100), ("all of it".to_owned(), false));
        assert_eq!(excerpt("a\r\u{202e}b", 100).0, "a  b");
    }

    #[test]
    fn foreign_text_does_nothing_to_a_terminal() {
        let text = "a\u{1b}[2J\u{7}\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{200b}\u{61c}\r\nb é 😀";
        assert_eq!(foreign(text), format!("a [2J{}b é 😀", " ".repeat(10)));
        assert_eq!(foreign_lines("a\r\n\u{85}b"), "a \n b");
    }

    #[test]
    fn url_and_key_are_registered_in_parts() {
        let url = "https://u:p%40ssword1@h.example/?key=a%2Fb%2Fc1234&n=12".parse().expect("a URL");
        register_url(&url);
        register_key(
            "-----BEGIN PRIVATE KEY-----\nmarkedLineOfKey1\nmarkedLineOfKey2\n-----END PRIVATE KEY-----\n",
        );
        for text in [
            "p@ssword1",
            "p%40ssword1",
            "a/b/c1234",
            "a%2Fb%2Fc1234",
            "markedLineOfKey2",
            "markedLineOfKey1markedLineOfKey2",
        ] {
            assert_eq!(redact(text), "[secret]", "{text}");
        }
        assert_eq!(redact("12 n=12"), "12 n=[secret]");
    }
}
