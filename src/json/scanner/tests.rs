use std::fmt;
use std::ops::Range;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::blocks::scan_blocks;
use super::{LONGEST_NUMBER, ObjectScanner, ScannedObject};

const NAMES: [&str; 2] = ["id", "result"];

/// Scans a text that arrives in parts of these sizes, in turn.
fn scan(text: &[u8], sizes: &[usize]) -> Option<ScannedObject<2>> {
    let (mut scanner, mut end) = (ObjectScanner::new(NAMES), 0);
    for size in sizes.iter().cycle() {
        end = (end + size).min(text.len());
        scanner.push(&text[..end]);
        if end == text.len() {
            break;
        }
    }
    scanner.finish(text)
}

/// A name of an object; none if it has an escape.
struct Name<'text>(Option<&'text str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Some(name)))
            }
            fn visit_str<E>(self, _: &str) -> Result<Name<'de>, E> {
                Ok(Name(None))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// What `serde_json` finds in an object.
#[derive(Default)]
struct Oracle {
    members: [Option<Range<usize>>; 2],
    has_escaped_name: bool,
}

/// What `serde_json` finds in a text; none if it is not an object.
fn oracle(text: &[u8]) -> Option<Oracle> {
    struct ObjectVisitor<'text>(&'text str);
    impl<'de> Visitor<'de> for ObjectVisitor<'_> {
        type Value = Oracle;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Oracle, A::Error> {
            let mut oracle = Oracle::default();
            while let Some(Name(name)) = map.next_key()? {
                let value = map.next_value::<&RawValue>()?.get();
                let start = value.as_ptr() as usize - self.0.as_ptr() as usize;
                oracle.has_escaped_name |= name.is_none();
                if let Some(found) = NAMES.iter().position(|wanted| name == Some(*wanted)) {
                    oracle.members[found] = Some(start..start + value.len());
                }
            }
            Ok(oracle)
        }
    }
    let text = std::str::from_utf8(text).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let oracle = deserializer.deserialize_map(ObjectVisitor(text)).ok()?;
    deserializer.end().ok().map(|()| oracle)
}

/// Compares the scanner with `serde_json`, wherever the parts of the text end.
fn compare(text: &[u8], sizes: &[usize]) {
    let found = compare_whole(text);
    for sizes in [&[1][..], sizes] {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(scan(text, sizes), found, "the result depends on where the parts end: {shown:?}");
    }
}

/// The same for a text that arrives at once. Returns what the scanner finds.
fn compare_whole(text: &[u8]) -> Option<ScannedObject<2>> {
    let found = scan(text, &[usize::MAX]);
    let shown = || String::from_utf8_lossy(text).into_owned();
    match (oracle(text), found.clone()) {
        (Some(oracle), Some(found)) => {
            assert_eq!(found.members, oracle.members, "{:?}", shown());
            assert_eq!(&text[found.place], text.trim_ascii(), "{:?}", shown());
        }
        (Some(oracle), None) => assert!(oracle.has_escaped_name, "it gives up: {:?}", shown()),
        (None, Some(_)) => panic!("it accepts what is not JSON: {:?}", shown()),
        (None, None) => {}
    }
    found
}

/// The frames of a value among many short ones, so that it is scanned in blocks, behind so many bytes of them.
fn dense_frames(value: &str, before: usize) -> [String; 3] {
    // A comma more or less than an even number of bytes.
    let elements = "0,".repeat(before / 2) + if before % 2 == 1 { "00," } else { "" };
    let elements = elements.replace("00", "10");
    let members = "\"a\":0,".repeat(4);
    let (more_elements, more_members) = (",0".repeat(40), ",\"b\":[0]".repeat(12));
    [
        format!("{{\"result\":[0,0,0,0,{elements}{value}{more_elements}],\"id\":1}}"),
        format!("{{\"result\":{{{members}\"x\":[{elements}1],\"b\":{value}{more_members}}},\"id\":1}}"),
        format!("{{\"result\":{{{members}\"x\":[{elements}1],{value}{more_members}}},\"id\":1}}"),
    ]
}

/// Values, and what looks like one.
const PARTS: &[&str] = &[
    "0",
    "-0",
    "00",
    "01",
    "-",
    "-01",
    "1.",
    "1.5",
    ".5",
    "1.e1",
    "1e",
    "1e+",
    "1E-7",
    "1e400",
    "+1",
    "1a",
    "12 ",
    "true",
    "tru",
    "truee",
    "false",
    "null",
    "nul",
    "nulll",
    "True",
    "{}",
    "[]",
    "[ ]",
    "{ }",
    "[,]",
    "[1,]",
    "{,}",
    "[1 2]",
    "[1,,2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{1:2}",
    "{\"a\" 1}",
    "[}",
    "{]",
    "[[[[{}]]]]",
    "",
    "\"\"",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\ud800\"",
    "\"\\uDEAD\\n\"",
    "\"\t\"",
    "\"\u{1f}\"",
    "\"\u{7f}\"",
    "\"é\u{2028}𝄞\"",
    "\t\r\n 1 \t",
    "\u{b}1",
    "\u{a0}1",
    "\u{0}",
    "1\u{c}",
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\\n0123456789\\\\\"",
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\\\"0123456789\\\\\"",
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\\u00e9012345678\u{1}\"",
    "1.2.3",
    "1.2e3.4",
    "1e5e3",
    "1e-5e3",
    "1e+5.3",
    "12e34",
    "-0.0E+00",
    "0e1",
    "0.",
    "-e1",
    "-.5",
    "--1",
    "1-2",
    "1+2",
    "1e--1",
    "1e+-1",
    "1e.5",
    "1.-5",
    "1.+5",
    "-1-",
    "10",
    "-10",
    "100.001",
    "0x10",
    "1_000",
    "truefalse",
    "true1",
    "1true",
    "true false",
    "trae",
    "truE",
    "falsa",
    "fals",
    "falsee",
    "fals\"",
    "nule",
    "null0",
    "tnull",
    "eee",
    "e1",
    "é",
    "'a'",
    "/**/1",
    "1,",
    ",1",
    "1,2",
    ":1",
    "1:2",
    "]",
    "}",
    "[1}",
    "{\"a\":1]",
    "[[1],{\"a\":[]}]",
    "{\"a\":{\"b\":{}},\"c\":[{}]}",
    "[]1",
    "1[]",
    "{}[]",
    "[]{}",
    "[1]\"a\"",
    "{}\"a\"",
    "\"a\"1",
    "1\"a\"",
    "\"a\"\"b\"",
    "\"a\"[]",
    "\"a\":1",
    "\"a\" : 1",
    "\"a\"\n:\t\"b\"",
    "\"a\":\"b\":1",
    "\"a\":1:2",
    "\"a\"::1",
    "\"a\",\"b\"",
    "\"a\":1,\"b\"",
    "\"a\":1,2",
    "\"a\":1,[]",
    "\"a\":1,{}",
    "\"a\":1,true",
    "\"a\":[1,2",
    "\"a\":[\"b\":1]",
    "\"a\":[1,\"b\":1]",
    "\"a\":[{},\"b\":1]",
    "\"a\":[[],\"b\",[]]",
    "\"a\":{\"b\",\"c\":1}",
    "\"a\":{[]:1}",
    "\"a\":{1}",
    "{\"a\":1,\"b\":2",
    "[\"a\":1]",
    "{\"a\" :1 , \"b\" : [ ] , \"c\" : { } }",
    "[ 1 , 2 , \"a\" , true ]",
    "[1 ,]",
    "{\"a\":1 ,}",
    "[ ,1]",
    "[\n\n]",
    "[ \r\n\t1\r\n ]",
    "\u{9}\u{a}\u{d}1",
    "\u{19}1",
    "\u{1a}1",
    "\u{1d}1",
    "\u{8}1",
    "\u{e}1",
    "\u{1b}1",
    "\u{7f}1",
    "!1",
    "#1",
    "(1)",
    "*1",
    "/1",
    "1;",
    "1<",
    "1=",
    "1?",
    "@",
    "K",
    "k",
    "\\",
    "\\n",
    "\"\\\\\"",
    "\"\\\\\\\"\"",
    "\"a\\",
    "\"\\\"\\\"\":1",
    "\"{[,:]}\"",
    "\"\\u00e9\\ud83d\\ude00\"",
    "\"\\u00\"",
    "\"\u{0}\"",
    "\"\u{a}\"",
    "\"𝄞é\"",
    "[\"\\\"]\",\"[\\\"\"]",
];

#[test]
fn accepts_and_rejects_like_serde_json() {
    for part in PARTS {
        for frame in [
            "{\"id\":?}",
            "{\"id\":[?],\"x\":0}",
            "{ \"result\" : {\"id\":?} , \"id\":1 }\n",
            "?",
            "{?}",
            "{\"a\":1,?",
        ] {
            compare(frame.replace('?', part).as_bytes(), &[3, 7]);
        }
    }
    for text in
        ["{\"id\":1}{}", "{\"id\":1} x", "{\"i\\u0064\":1}", "{\"id\":1,\"id\":2}", "{\"\":1}", "[1]", " {} "]
    {
        compare(text.as_bytes(), &[2]);
    }
    for text in [
        &b"{\"id\":\"\xff\"}"[..],
        b"{\"id\":\"\xc3\"}",
        b"{\"id\":\xc3\xa9}",
        b"{\"id\":\"\xe2\x80\"",
        b"{\"id\":1}\xe2\x80",
    ] {
        compare(text, &[2]);
    }
}

#[test]
fn accepts_and_rejects_like_serde_json_among_short_values() {
    for part in PARTS {
        for before in 0..70 {
            for text in dense_frames(part, before) {
                compare_whole(text.as_bytes());
            }
        }
    }
}

#[test]
fn each_character_counts_as_what_it_is_among_short_values() {
    for character in (0..=0x7f).map(char::from).chain(['\u{a2}', '\u{700}', '\u{2c2d}', '\u{1f3fb}']) {
        for value in [
            format!("{character}"),
            format!("{character}1"),
            format!("1{character}"),
            format!("1{character}1"),
            format!("\"{character}\""),
            format!("\"\\{character}\""),
            format!("[{character}]"),
            format!("\"a\"{character}1"),
            format!("tru{character}"),
        ] {
            for text in dense_frames(&value, 8) {
                compare_whole(text.as_bytes());
            }
        }
    }
}

#[test]
fn result_is_same_wherever_text_is_divided() {
    let value = "{\"a\":-1.5e3,\"b c\":[true,null],\"\\\"\":\"é\\n\", \"d\" : { } ,\"e\":[[0]]}";
    for text in dense_frames(value, 9).into_iter().take(2) {
        let (text, found) = (text.as_bytes(), compare_whole(text.as_bytes()));
        assert!(found.is_some());
        for end in 0..text.len() {
            let mut scanner = ObjectScanner::new(NAMES);
            scanner.push(&text[..end]);
            scanner.push(text);
            assert_eq!(scanner.finish(text), found, "divided at {end}");
        }
    }
}

#[test]
fn blocks_end_at_last_structural_character() {
    let zeros = "0,".repeat(100);
    for (text, brackets, expected) in [
        // The next block would reach beyond the text.
        (format!("[{zeros}"), 0b110, Some((186, 0b110))),
        (format!("[{{}},{{\"a\":[{zeros}"), 0b110, Some((187, 0b1_1010))),
        (format!("[\"\\n\",{zeros}"), 0b110, Some((187, 0b110))),
        (format!("[\"\\u00e9\",{zeros}"), 0b110, Some((187, 0b110))),
        // The outermost bracket of the word stays open.
        (format!("[[1],0,0,0]],2,2,{zeros}"), 0b110, Some((10, 0b11))),
        (format!("[[1],0,0,0]],2,2,{zeros}"), 0b1100, Some((11, 0b11))),
        // A long token is left alone, and so is what is not in a block of its own.
        (format!("[0,\"{}\",{zeros}", "x".repeat(70)), 0b110, Some((2, 0b110))),
        (format!("[0,{}", " ".repeat(60)), 0b110, Some((0, 0b110))),
        (format!("[0,\"\\u00\",{zeros}"), 0b110, Some((2, 0b110))),
        // The word has no room for another bracket.
        (format!("[[{zeros}"), 1 << 63, Some((0, 1 << 63))),
        (format!("[[0]{zeros}"), 0b110, None),
        (format!("[1,}}{zeros}"), 0b110, None),
        (format!("[0,trie,{zeros}"), 0b110, None),
    ] {
        assert_eq!(scan_blocks(text.as_bytes(), 0, brackets), expected, "{text}");
    }
}

#[test]
fn brackets_among_short_values_are_matched_at_any_depth() {
    for depth in [1, 28, 29, 30, 31, 58, 59, 60, 61, 62, 63, 64, 65, 66, 125, 126, 127, 128, 129, 200] {
        for (values, members) in [("", ""), ("0,0,0,0,", "\"a\":0,\"b\":0,\"c\":0,\"d\":0,")] {
            let is_object = |at: usize| at.is_multiple_of(3) || at % 64 == 5;
            let open = |at| if is_object(at) { format!("{{{members}\"id\":") } else { format!("[{values}") };
            let close = |at| if is_object(at) { ",\"e\":0,\"f\":0}" } else { ",0,0,0,0]" };
            let opened: String = (0..depth).map(open).collect();
            let closed: String = (0..depth).rev().map(close).collect();
            let text = |opened: &str, closed: &str| {
                format!(
                    "{{\"result\":[0,0,0,0,{opened}0{closed},0,0],\"id\":1,\"x\":[{}0]}}",
                    "0,".repeat(60)
                )
            };
            assert!(compare_whole(text(&opened, &closed).as_bytes()).is_some(), "{depth}");
            for (at, bracket) in closed.match_indices(['}', ']']) {
                let other = if bracket == "}" { "]" } else { "}" };
                let wrong = format!("{}{other}{}", &closed[..at], &closed[at + 1..]);
                compare_whole(text(&opened, &wrong).as_bytes());
            }
        }
    }
}

#[test]
fn byte_order_mark_and_white_space_stand_outside() {
    for size in [1, 2, 3, 100] {
        let found = scan(b"\xEF\xBB\xBF\r\n {\"id\": 7 } \x0c\n", &[size]).expect("an object");
        assert_eq!((found.place, found.members), (6..16, [Some(13..14), None]), "parts of {size}");
    }
    for text in
        [&b"\xEF\xBB"[..], b"\xEF\xBB\xBF", b"", b"  ", b"\xEF\xBB\xBF\xEF\xBB\xBF{}", b" \xEF\xBB\xBF{}"]
    {
        assert_eq!(scan(text, &[1]), None, "{text:?}");
    }
}

#[test]
fn brackets_are_matched_at_any_depth() {
    for depth in [1, 61, 62, 63, 64, 65, 126, 127, 128, 129, 1000] {
        let kinds = (0..depth).map(|at| at % 3 == 0 || at % 64 == 5);
        let open: String = kinds.clone().map(|is_object| if is_object { "{\"id\":" } else { "[" }).collect();
        let close: String = kinds.rev().map(|is_object| if is_object { '}' } else { ']' }).collect();
        let whole = format!("{{\"result\":{open}0{close},\"id\":1}}");
        compare(whole.as_bytes(), &[5, 64]);
        assert!(scan(whole.as_bytes(), &[9]).is_some(), "{depth}");
        for at in [0, depth / 2, depth - 1] {
            let mut wrong = close.clone().into_bytes();
            wrong[at] = if wrong[at] == b'}' { b']' } else { b'}' };
            let wrong = String::from_utf8(wrong).expect("brackets");
            compare(format!("{{\"result\":{open}0{wrong},\"id\":1}}").as_bytes(), &[64]);
        }
        compare(format!("{{\"result\":{open}0{}", &close[1..]).as_bytes(), &[64]);
        compare(format!("{{\"result\":{open}0{close}]}}").as_bytes(), &[64]);
    }
}

#[test]
fn number_of_many_parts_is_not_read_again_and_again() {
    let text = format!("{{\"id\":{}}}", "1".repeat(LONGEST_NUMBER * 4));
    assert!(scan(text.as_bytes(), &[usize::MAX]).is_some(), "in one part it is read once");
    assert_eq!(scan(text.as_bytes(), &[1]), None);
}

/// Any JSON, as its text.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?",
        "([a-z {},:\\[\\]é漢]|\\\\\\\\|\\\\\"|\\\\n|\\\\u[0-9a-fA-F]{4}){0,150}"
            .prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        let name = prop_oneof![
            Just("id".to_owned()),
            Just("result".to_owned()),
            "[a-z]{0,12}",
            Just("\\n".to_owned())
        ];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), "[ \n\r\t]{0,9}").prop_map(
                |(elements, space)| format!("[{space}{}{space}]", elements.join(&format!("{space},")))
            ),
            (prop::collection::vec((name, inner), 0..6), "[ \n\r\t]{0,9}").prop_map(|(members, space)| {
                let members = members.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}"));
                format!("{{{space}{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Many short values in each other, in arrays and objects.
fn short_values() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,2})(\\.[0-9]{1,2})?([eE][-+]?[0-9])?",
        "\"([a-z{}\\[\\],:]|\\\\n|\\\\\"){0,4}\"",
    ];
    leaf.prop_recursive(6, 256, 8, |inner| {
        let members = prop::collection::vec(("\"[a-z]{0,3}\" ?: ?", inner.clone()), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(|elements| format!("[{}]", elements.join(","))),
            members.prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("{name}{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

/// A byte that changes what a text means.
fn damaging_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[],:0e.-+ \n"[..])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_with_serde_json(result in json(), name in "id|result|x", size in 1_usize..80) {
        compare(format!("{{\"{name}\":{result},\"id\":7}}").as_bytes(), &[size, 64, 3]);
        for text in dense_frames(&result, size).iter().take(2) {
            compare(text.as_bytes(), &[size, 64, 300]);
        }
    }

    #[test]
    fn agrees_with_serde_json_on_short_values(
        result in short_values(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), damaging_byte()), 0..2),
        size in 64_usize..200,
    ) {
        let mut text = format!("{{\"result\":{result},\"id\":7}}").into_bytes();
        for (at, byte) in damage {
            let at = at.index(text.len());
            text[at] = byte;
        }
        compare(&text, &[size]);
    }

    /// One byte that is lost, added or changed makes most texts invalid.
    #[test]
    fn agrees_with_serde_json_on_damaged_texts(
        result in json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3, damaging_byte()), 1..3),
        size in 1_usize..80,
    ) {
        let mut text = format!("{{\"result\":{result},\"id\":7}}").into_bytes();
        for (at, kind, byte) in damage {
            let at = at.index(text.len());
            match kind {
                0 => drop(text.remove(at)),
                1 => text.insert(at, byte),
                _ => text[at] = byte,
            }
        }
        compare(&text, &[size, 64, 3]);
    }

    #[test]
    fn agrees_with_serde_json_on_tokens_in_any_order(
        tokens in prop::collection::vec(prop::sample::select(&["{", "}", "[", "]", ",", ":", "\"a\"", "\"id\"", "0", "-1.5e3", "true", "null", " ", "\n", "\"\\n\""][..]), 0..12),
        size in 1_usize..9,
    ) {
        compare(format!("{{{}}}", tokens.concat()).as_bytes(), &[size]);
        for text in dense_frames(&tokens.concat(), size) {
            compare_whole(text.as_bytes());
        }
    }
}
