//! Placeholders that a client was to fill in and left as they were: found in a text as the user typed it, or as the whole
//! of a value that came from somewhere else.
//!
//! A secret may hold any of these characters, so in what a variable, a file or a command supplied only a placeholder that
//! is the whole value counts. Deliberately not here: `${NAME}`, which is filled in by this program (`expand`).

/// Words in front of a name between braces or behind `$`: whose to fill in it was.
const SOURCES: [&str; 11] = [
    "env",
    "file",
    "input",
    "secret",
    "secrets",
    "var",
    "vars",
    "user_config",
    "config",
    "process",
    "command",
];
/// Texts that programs write for a missing or hidden value.
const ABSENT: [&str; 6] = ["undefined", "null", "[redacted]", "<redacted>", "[object object]", "nan"];
/// Schemes in front of a credential (RFC 9110, 11.1, and what servers use like one).
const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "digest", "apikey", "api-key", "key"];

/// Finds a placeholder in a text as it was typed. `$NAME` and `%NAME%` between others count only in a credential, where
/// small letters count too.
pub(super) fn find(text: &str, is_credential: bool) -> Option<&str> {
    let text = text.trim();
    let mut behind_word = false;
    for (at, letter) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        // In the middle of a word `$` and `%` are letters like any other.
        let is_braced = rest.starts_with('{') || rest.starts_with("${");
        let may_begin = is_braced || is_credential && !behind_word;
        let found = if may_begin { placeholder_at(rest, is_credential) } else { None };
        if let Some(length) = found {
            return rest.get(..length);
        }
        behind_word = letter.is_alphanumeric() || letter == '_' || letter == '$';
    }
    whole(text, is_credential)
}

/// Returns a value, or the part of it behind the scheme, that is one placeholder as a whole.
pub(super) fn whole(value: &str, is_credential: bool) -> Option<&str> {
    let value = value.trim();
    let part = behind_scheme(value);
    let is_whole = |text: &str| {
        ABSENT.contains(&text.to_ascii_lowercase().as_str())
            || placeholder_at(text, false) == Some(text.len())
            || is_credential && is_name_in_braces(text)
    };
    // Other headers may have the value `null`: `Origin: null`.
    let is_null = !is_credential && part.len() == value.len() && value == "null";
    [value, part].into_iter().find(|text| !is_null && is_whole(text))
}

/// The value after a scheme such as `Bearer`, or the whole value.
pub(super) fn behind_scheme(value: &str) -> &str {
    match value.split_once([' ', '\t']) {
        Some((scheme, rest)) if SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) => rest.trim(),
        Some(_) | None => value,
    }
}

/// Returns whether a word is a scheme that a credential must follow.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.contains(&word.to_ascii_lowercase().as_str())
}

/// How long the placeholder is that a text begins with, in bytes; none where it begins with something else.
fn placeholder_at(text: &str, small_letters: bool) -> Option<usize> {
    let within = |open: &str, close: &str| {
        let (inside, _) = text.strip_prefix(open)?.split_once(close)?;
        Some((inside, open.len().checked_add(inside.len())?.checked_add(close.len())?))
    };
    if let Some((inside, length)) = within("{{", "}}").or_else(|| within("${{", "}}")) {
        let inside = inside.trim();
        return (!inside.is_empty() && inside.chars().all(is_of_expression)).then_some(length);
    }
    // `${NAME}` itself was filled in, or could not be.
    if let Some((inside, length)) = within("${", "}") {
        let (source, name) = inside.split_once(':').unwrap_or(("", inside));
        let is_source = source.is_empty() || SOURCES.contains(&source);
        // A hyphen may stand in the name of a question, but `${NAME-default}` is a shell's.
        let others = if source.is_empty() { "_." } else { "_.-" };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
        return (is_source && !name.is_empty() && name.chars().all(is_name)).then_some(length);
    }
    if let Some((inside, length)) = within("{", "}") {
        let (source, name) = inside.split_once(':')?;
        let is_path = |letter: char| is_of_expression(letter) || "/~\\".contains(letter);
        let is_placeholder = SOURCES.contains(&source) && !name.is_empty() && name.chars().all(is_path);
        return is_placeholder.then_some(length);
    }
    if text.starts_with("$(") {
        return within("$(", ")").map(|(_, length)| length);
    }
    let (name, length) = match text.strip_prefix('$') {
        Some(rest) => {
            let rest = rest.strip_prefix("env:").unwrap_or(rest);
            let name = name_at(rest);
            (name, text.len().checked_sub(rest.len())?.checked_add(name.len())?)
        }
        None => {
            let rest = text.strip_prefix('%')?;
            let name = name_at(rest);
            rest.get(name.len()..)?.strip_prefix('%')?;
            // `%41%` is an escape of URLs.
            (if name.len() > 2 { name } else { "" }, name.len().checked_add(2)?)
        }
    };
    let is_upper = name.chars().all(|letter| !letter.is_ascii_lowercase());
    let ends_there = text
        .get(length..)?
        .chars()
        .next()
        .is_none_or(|next| next.is_whitespace() || "\",;}&'`".contains(next));
    let is_name = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    (is_name && (is_upper || small_letters) && ends_there).then_some(length)
}

/// The letters, digits and underscores that a text begins with.
fn name_at(text: &str) -> &str {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

fn is_of_expression(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_.- ".contains(letter)
}

/// `{TOKEN}`: a name in large letters between braces.
fn is_name_in_braces(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return false };
    inside.starts_with(|first: char| first.is_ascii_uppercase())
        && inside
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_placeholders_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("Bearer $TOKEN", "$TOKEN"),
            ("$TOKEN", "$TOKEN"),
            ("$token", "$token"),
            ("Bearer $env:TOKEN", "$env:TOKEN"),
            ("Bearer %TOKEN%", "%TOKEN%"),
            ("{env:TOKEN}", "{env:TOKEN}"),
            ("Bearer {env:MY_TOKEN}", "{env:MY_TOKEN}"),
            ("{file:~/.secrets/key}", "{file:~/.secrets/key}"),
            ("a {{TOKEN}} b", "{{TOKEN}}"),
            ("key{{TOKEN}}", "{{TOKEN}}"),
            ("Bearer {{ secrets.TOKEN }}", "{{ secrets.TOKEN }}"),
            ("Bearer ${{ secrets.TOKEN }}", "${{ secrets.TOKEN }}"),
            ("Bearer ${input:my-key}", "${input:my-key}"),
            ("Bearer $(cat token)", "$(cat token)"),
            ("session=$SESSION; other=1", "$SESSION"),
            ("Bearer undefined", "undefined"),
            ("null", "null"),
            ("Bearer null", "null"),
            ("bearer [REDACTED]", "[REDACTED]"),
            ("Bearer {TOKEN}", "{TOKEN}"),
            ("{\"id\":\"$ID\"}", "$ID"),
        ] {
            assert_eq!(find(text, true), Some(expected), "{text}");
        }
    }

    #[test]
    fn letters_of_a_typed_secret_are_no_placeholder() {
        for text in [
            "Bearer abc$DEF",
            "Bearer a$$B",
            "$2b$10$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=65536",
            "pa$word",
            "100% sure",
            "%41%42",
            "{\"a\":{\"b\":1}}",
            "a{b}c",
            "$5.00",
            "undefined behaviour",
            "is null",
            "Bearer nullable",
            "Bearer a undefined",
        ] {
            assert_eq!(find(text, true), None, "{text}");
        }
        assert_eq!(find("at $HOME and %PATH%", false), None, "words of another header");
        assert_eq!(find("$HOME", false), Some("$HOME"));
        assert_eq!(find("$top=5", false), None);
        assert_eq!(find("$select", false), None, "a small word in another header");
        assert_eq!(find("null", false), None, "as in Origin: null");
    }

    #[test]
    fn supplied_values_are_placeholders_only_as_a_whole() {
        for value in [
            "$TOKEN",
            "Bearer $TOKEN",
            "%TOKEN%",
            "{env:TOKEN}",
            "{{TOKEN}}",
            "${TOKEN}",
            "${input:x}",
            "undefined",
            "Bearer undefined",
            "null",
            "[REDACTED]",
        ] {
            assert!(whole(value, true).is_some(), "{value}");
        }
        for value in
            ["a $TOKEN", "p$TOKEN", "x{{TOKEN}}", "a${b}c", "$token", "xundefined", "$TOKEN$", "Bearer a $B"]
        {
            assert_eq!(whole(value, true), None, "{value}");
        }
    }
}
