//! Ids with leading zeros (`01`), which are no JSON, and which some servers write.
//!
//! Apart from the parser because only what has failed to parse is looked at.

use bytes::Bytes;

/// The same text with the leading zeros of the message's id replaced by spaces; none where there are none. The text may be
/// anything.
pub(super) fn without_leading_zeros(text: &[u8]) -> Option<Bytes> {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(text, at)?;
                if depth == 1
                    && text.get(at..end)? == b"\"id\""
                    && let Some(blanked) = blanked(text, end)
                {
                    return Some(blanked);
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at = at.checked_add(1)?;
    }
    None
}

/// The text without the zeros of the number behind a name that ends at `end`.
fn blanked(text: &[u8], end: usize) -> Option<Bytes> {
    let colon = behind_blanks(text, end);
    if text.get(colon) != Some(&b':') {
        return None;
    }
    let start = behind_blanks(text, colon.checked_add(1)?);
    let zeros = text.get(start..)?.iter().take_while(|byte| **byte == b'0').count();
    let is_followed = text.get(start.checked_add(zeros)?).is_some_and(u8::is_ascii_digit);
    let leading = if is_followed { zeros } else { zeros.saturating_sub(1) };
    if leading == 0 {
        return None;
    }
    let mut copy = text.to_vec();
    copy.get_mut(start..start.checked_add(leading)?)?.fill(b' ');
    Some(copy.into())
}

fn behind_blanks(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from.saturating_add(rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count())
}

/// Where a string ends that begins at `start`, behind its last quote.
fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start.checked_add(1)?;
    loop {
        let found = at.checked_add(memchr::memchr2(b'"', b'\\', text.get(at..)?)?)?;
        match text.get(found)? {
            b'"' => return found.checked_add(1),
            _ => at = found.checked_add(2)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_leading_zeros_of_the_id_alone() {
        for (text, expected) in [
            (r#"{"id":01,"result":{}}"#, Some(r#"{"id": 1,"result":{}}"#)),
            (r#"{"a":"\"id\":01","id" : 0012}"#, Some(r#"{"a":"\"id\":01","id" :   12}"#)),
            (r#"{"id":00}"#, Some(r#"{"id": 0}"#)),
            (r#"{"id":0,"x":01}"#, None),
            (r#"{"id":10}"#, None),
            (r#"{"id":"01"}"#, None),
            (r#"{"result":{"id":01}}"#, None),
            (r#"[{"id":01}]"#, None),
            (r#"{"id"#, None),
            (r#"{"id":"#, None),
            (r#"}}}"id":01"#, None),
            ("", None),
        ] {
            let found = without_leading_zeros(text.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
