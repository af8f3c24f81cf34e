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
pub fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    loop {
        rest = rest.trim_start();
        let left = rest;
        // Counted only for an error: how many lines there are, less how many are left.
        let at_fault = || {
            let lines = text.matches('\n').count();
            lines.saturating_sub(left.matches('\n').count()).saturating_add(1)
        };
        if rest.is_empty() {
            return Ok(variables);
        }
        let line = rest.lines().next().unwrap_or_default();
        if line.starts_with('#') {
            rest = rest.strip_prefix(line).unwrap_or_default();
            continue;
        }
        let (name, _) = line.split_once('=').ok_or_else(at_fault)?;
        let (_, value) = rest.split_once('=').ok_or_else(at_fault)?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        if !is_name(name) {
            return Err(at_fault());
        }
        let is_space = |letter: char| letter.is_whitespace() && letter != '\n';
        let (value, behind) = value_at(value.trim_start_matches(is_space)).ok_or_else(at_fault)?;
        let (line, behind) = behind.split_once('\n').unwrap_or((behind, ""));
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            return Err(at_fault());
        }
        rest = behind;
        variables.push((name.to_owned(), value));
    }
}

/// The value at the beginning of a text, and what follows it.
fn value_at(text: &str) -> Option<(String, &str)> {
    match text.chars().next() {
        Some('\'') => {
            let (value, behind) = text.strip_prefix('\'')?.split_once('\'')?;
            Some((value.to_owned(), behind))
        }
        Some('"') => {
            let (mut value, mut letters) = (String::new(), text.strip_prefix('"')?.chars());
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => return Some((value, letters.as_str())),
                    '\\' => match letters.next()? {
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
            let line = text.split('\n').next().unwrap_or_default();
            let behind = text.strip_prefix(line)?;
            let mut is_space = true;
            let value = line.split(|letter: char| {
                let begins_comment = letter == '#' && is_space;
                is_space = letter.is_whitespace();
                begins_comment
            });
            let value = value.into_iter().next().unwrap_or_default();
            Some((value.trim_end().to_owned(), behind))
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
    fn reads_usual_forms_and_keeps_dollar_sign() {
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
    fn reads_many_lines_in_linear_time() {
        // Counting the lines for each of them took a minute.
        let text = "A=b\n".repeat(250_000);
        assert_eq!(parse(&text).map(|found| found.len()), Ok(250_000));
        assert_eq!(parse(&format!("{text}marked")), Err(250_001));
    }

    #[test]
    fn invalid_line_is_named_by_number() {
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
