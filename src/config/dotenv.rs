//! Files with one `NAME=value` a line, as programs of every kind read them.
//!
//! Our own few lines, because the crate for it fills in `$NAME` and so quietly changes a secret that has a dollar sign in
//! it. Here `$` is a letter like any other. Deliberately not here: what the variables mean.

/// Reads the variables of a file.
///
/// A line may begin with `export`, and `#` begins a comment at the start of a line or behind white space. `'…'` is taken
/// as it stands, in `"…"` a backslash has its usual meaning before `n`, `r`, `t`, `"`, `\\` and `$`; both may go over
/// several lines.
///
/// # Errors
/// The number of the line that is none of this, counted from 1.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    loop {
        rest = rest.trim_start();
        let at_fault = text[..text.len() - rest.len()].matches('\n').count() + 1;
        if rest.is_empty() {
            return Ok(variables);
        }
        let line = rest.lines().next().unwrap_or_default();
        if line.starts_with('#') {
            rest = &rest[line.len()..];
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(at_fault)?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        if !is_name(name) {
            return Err(at_fault);
        }
        let start = line.len() - value.trim_start().len();
        let (value, length) = value_at(&rest[start..]).ok_or(at_fault)?;
        rest = &rest[start + length..];
        let behind = rest.lines().next().unwrap_or_default().trim_start();
        if !behind.is_empty() && !behind.starts_with('#') {
            return Err(at_fault);
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
        variables.push((name.to_owned(), value));
    }
}

/// The value at the beginning of a text, and how long it is there.
fn value_at(text: &str) -> Option<(String, usize)> {
    match text.chars().next() {
        Some('\'') => {
            let end = text[1..].find('\'')? + 1;
            Some((text[1..end].to_owned(), end + 1))
        }
        Some('"') => {
            let (mut value, mut letters) = (String::new(), text.char_indices().skip(1));
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => return Some((value, at + 1)),
                    '\\' => match letters.next()?.1 {
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        letter @ ('"' | '\\' | '$') => value.push(letter),
                        other => value.extend(['\\', other]),
                    },
                    other => value.push(other),
                }
            }
            None
        }
        _ => {
            let line = text.lines().next().unwrap_or_default();
            let comment = line.match_indices('#').map(|(at, _)| at);
            let mut comment = comment.filter(|at| *at == 0 || line[..*at].ends_with(char::is_whitespace));
            let value = &line[..comment.next().unwrap_or(line.len())];
            Some((value.trim_end().to_owned(), line.len()))
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_read_and_a_dollar_sign_is_one() {
        for (text, expected) in [
            ("", &[][..]),
            ("A=b", &[("A", "b")]),
            ("\u{feff}A=b\r\nB = c d \r\n", &[("A", "b"), ("B", "c d")]),
            (
                "# A=x\n\n  export A=b # comment\nB=c#d\nC=\nD=  # nothing\n",
                &[("A", "b"), ("B", "c#d"), ("C", ""), ("D", "")],
            ),
            (
                "A='b \\n \"$c\" # d' # e\nB=\"b \\n \\\" \\$c $d \\x\"",
                &[("A", "b \\n \"$c\" # d"), ("B", "b \n \" $c $d \\x")],
            ),
            ("A=pa$$word${B}$C\nB={\"c\":\"d\"}", &[("A", "pa$$word${B}$C"), ("B", "{\"c\":\"d\"}")]),
            (
                "A=\"-----BEGIN\nabc\n\"\nB='x\ny'\nC=z",
                &[("A", "-----BEGIN\nabc\n"), ("B", "x\ny"), ("C", "z")],
            ),
            ("A=b=c==", &[("A", "b=c==")]),
            ("A=1\nA=2", &[("A", "1"), ("A", "2")]),
            ("A=\nB=c", &[("A", ""), ("B", "c")]),
        ] {
            let found = parse(text).unwrap_or_else(|line| panic!("{text}: line {line}"));
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_named_by_its_number() {
        for (text, line) in [
            ("A=b\n\nmarked", 3),
            ("A='b\nc'\nd e=f", 3),
            ("1A=b", 1),
            ("=b", 1),
            ("A=b\nB='marked", 2),
            ("A=\"b\\", 1),
            ("A=\"b\" c", 1),
            ("Authorization: Bearer marked", 1),
        ] {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
