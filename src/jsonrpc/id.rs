//! The id of a request, as the token that was written.
//!
//! Apart because peers write one id in several ways.

use std::fmt;

use bytes::Bytes;

use crate::json;

/// The id of a request, kept as the token that was written: `1`, `1.0` and `"1"` are three ids.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(pub(super) Bytes);

/// The most bytes that a byte of a string becomes when it is escaped.
const ESCAPE: usize = 6;
/// The longest number that is compared with others by its value, in bytes: the smallest double without an exponent has about
/// 330. A longer one is the same only where its text is.
const LONGEST_NUMBER: usize = 400;

impl Id {
    /// The id that is this number.
    pub fn from_number(number: u64) -> Id {
        Id(number.to_string().into())
    }

    /// The id that is this string.
    pub fn from_text(text: &str) -> Id {
        Id(json::quoted(text).into())
    }

    /// The same id in a buffer of its own, to be kept longer than its message, whose whole text it shares otherwise.
    pub fn detached(&self) -> Id {
        Id(Bytes::copy_from_slice(&self.0))
    }

    /// The length of its JSON text in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The JSON text of the id.
    #[expect(clippy::expect_used, reason = "an id is a slice of checked UTF-8 at token boundaries")]
    pub fn as_json(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is a slice of checked UTF-8 at token boundaries")
    }

    /// Returns whether a peer that decoded and encoded this id again may have written `other` (`1.0` and `1`, an escaped
    /// and a plain letter, an integer beyond 2^53 and its nearest double, a number and a string that holds it).
    pub fn is_same_value(&self, other: &Id) -> bool {
        if self == other {
            return true;
        }
        let (longer, shorter) = (self.size().max(other.size()), self.size().min(other.size()));
        let is_comparable = match (self.0.first(), other.0.first()) {
            // An escape (`\u0041`) makes six bytes of one.
            (Some(b'"'), Some(b'"')) => longer <= shorter.saturating_mul(ESCAPE).saturating_add(2),
            _ => longer <= LONGEST_NUMBER,
        };
        if !is_comparable {
            return false;
        }
        let decode = |id: &Id| serde_json::from_str::<serde_json::Value>(id.as_json()).ok();
        match (decode(self), decode(other)) {
            (Some(serde_json::Value::String(one)), Some(serde_json::Value::String(two))) => one == two,
            (Some(serde_json::Value::Number(one)), Some(serde_json::Value::Number(two))) => {
                one.as_f64().is_some() && one.as_f64() == two.as_f64()
            }
            (Some(serde_json::Value::Number(number)), Some(serde_json::Value::String(text)))
            | (Some(serde_json::Value::String(text)), Some(serde_json::Value::Number(number))) => {
                number.as_f64().is_some() && number.as_f64() == number_in(&text)
            }
            _ => false,
        }
    }
}

/// The number that a text holds, if it holds nothing else.
fn number_in(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|_| is_number)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
