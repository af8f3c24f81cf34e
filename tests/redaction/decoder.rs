//! Whether a text shows a secret when encodings are undone: written apart from the product, and slowly.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How many encodings are undone, one within the other.
const LAYERS: usize = 3;

/// The ways to write a text, each by its name.
pub(crate) const ENCODINGS: [&str; 18] = [
    "plain",
    "capitals",
    "percent",
    "percent but slashes",
    "named entities",
    "decimal entities",
    "hexadecimal entities",
    "entities without semicolons",
    "json",
    "hex",
    "HEX",
    "base64",
    "base64url",
    "hex in percent",
    "base64 in json",
    "percent in base64",
    "entities in percent",
    "json in hex",
];

/// Writes a text in one of these ways.
pub(crate) fn encode(text: &str, encoding: &str) -> String {
    let each = |form: &dyn Fn(u8) -> String| text.bytes().map(form).collect::<String>();
    let but_words = |form: &dyn Fn(u8) -> String| {
        each(&|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { form(byte) })
    };
    match encoding.split_once(" in ") {
        Some(("entities", outer)) => return encode(&encode(text, "hexadecimal entities"), outer),
        Some((inner, outer)) => return encode(&encode(text, inner), outer),
        None => {}
    }
    match encoding {
        "plain" => text.to_owned(),
        "capitals" => text.to_uppercase(),
        "percent" => each(&|byte| format!("%{byte:02x}")),
        "percent but slashes" => {
            but_words(&|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") })
        }
        "named entities" => text
            .replace('&', "&amp;")
            .replace('+', "&plus;")
            .replace('/', "&sol;")
            .replace('=', "&equals;")
            .replace(':', "&colon;"),
        "decimal entities" => each(&|byte| format!("&#{byte};")),
        "hexadecimal entities" => but_words(&|byte| format!("&#x{byte:X};")),
        "entities without semicolons" => each(&|byte| format!("&#{byte}")),
        "json" => but_words(&|byte| format!("\\u{byte:04x}")),
        "hex" => each(&|byte| format!("{byte:02x}")),
        "HEX" => each(&|byte| format!("{byte:02X}")),
        "base64" => base64::prelude::BASE64_STANDARD.encode(format!("a{text}b")),
        "base64url" => base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("ab{text}")),
        other => panic!("{other} is no encoding"),
    }
}

/// Fails if a text shows one of these secrets.
pub(crate) fn assert_hides(text: &str, secrets: &[&str], what: &str) {
    let mut texts = vec![text.as_bytes().to_ascii_lowercase(), text.as_bytes().to_owned()];
    let mut layer = vec![text.as_bytes().to_owned()];
    for _ in 0..LAYERS {
        layer = layer.iter().flat_map(|text| undone(text)).collect();
        texts.extend(layer.iter().map(|text| text.to_ascii_lowercase()));
    }
    for secret in secrets {
        let secret = secret.to_ascii_lowercase();
        for text in &texts {
            if let Some(at) = memchr::memmem::find(text, secret.as_bytes()) {
                let around = &text[at.saturating_sub(60)..(at + secret.len() + 60).min(text.len())];
                panic!("{what} shows {secret}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

/// Reads the escape that a text begins with: its length, and what it stands for.
type Undo = fn(&[u8]) -> Option<(usize, char)>;

/// What a text says with one encoding undone.
fn undone(text: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let escapes: [Undo; 3] = [percent, entity, escape];
    for undo in escapes {
        let (mut plain, mut at, mut is_other) = (Vec::new(), 0, false);
        while at < text.len() {
            match undo(&text[at..]) {
                Some((length, letter)) => {
                    plain.extend(letter.to_string().bytes());
                    (at, is_other) = (at + length, true);
                }
                None => {
                    plain.push(text[at]);
                    at += 1;
                }
            }
        }
        if is_other {
            texts.push(plain);
        }
    }
    for run in text.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() >= 16) {
        for run in [run, &run[1..]] {
            let pairs = run.chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
            texts.push(pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect());
        }
    }
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, lenient);
    for run in text.split(|byte| !is_letter(byte)).filter(|run| run.len() >= 12) {
        let run: Vec<u8> = run
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            })
            .collect();
        for skipped in 0..4 {
            let rest = &run[skipped..];
            let whole = if rest.len() % 4 == 1 { &rest[..rest.len() - 1] } else { rest };
            texts.extend(engine.decode(whole).ok());
        }
    }
    texts
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    char::from_u32(u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?)
}

fn percent(text: &[u8]) -> Option<(usize, char)> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some((3, number(digits, 16)?))
}

fn escape(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [b'\\', b'u', digits @ ..] => Some((6, number(digits.get(..4)?, 16)?)),
        [b'\\', b'x', digits @ ..] => Some((4, number(digits.get(..2)?, 16)?)),
        [b'\\', letter @ (b'\\' | b'/' | b'"'), ..] => Some((2, char::from(*letter))),
        _ => None,
    }
}

fn entity(text: &[u8]) -> Option<(usize, char)> {
    let rest = text.strip_prefix(b"&")?;
    let (length, letter) = match rest {
        [b'#', b'x' | b'X', digits @ ..] => {
            let count = digits.iter().take_while(|digit| digit.is_ascii_hexdigit()).count();
            (3 + count, number(&digits[..count], 16)?)
        }
        [b'#', digits @ ..] => {
            let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
            (2 + count, number(&digits[..count], 10)?)
        }
        _ => {
            let names = [("amp", '&'), ("plus", '+'), ("sol", '/'), ("equals", '='), ("colon", ':')];
            let (name, letter) = names.into_iter().find(|(name, _)| rest.starts_with(name.as_bytes()))?;
            (1 + name.len(), letter)
        }
    };
    Some((length + usize::from(text.get(length) == Some(&b';')), letter))
}

#[test]
fn decoder_finds_secret_in_every_encoding() {
    const SECRET: &str = "mk+Secret/Key:98765=";
    for encoding in ENCODINGS {
        let text = format!("before {} behind", encode(SECRET, encoding));
        let shows = std::panic::catch_unwind(|| assert_hides(&text, &[SECRET], "it"));
        assert!(shows.is_err(), "{encoding}: {text}");
    }
    assert_hides("before [secret] behind", &[SECRET], "it");
}
