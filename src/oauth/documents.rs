//! How documents are read: JSON objects as `serde` types that pass over what they do not understand.
//!
//! A member of the wrong type is as good as absent, unknown members are passed over, and of two members of one name the last
//! counts, as most decoders have it.

use std::collections::BTreeMap;

use serde::de::value::MapDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::json;
use crate::oauth::object::Object;

/// Reads a document; none where it is no JSON object, or a member is not there that has to be.
pub(super) fn read<'text, T: Deserialize<'text>>(text: &'text str) -> Option<T> {
    let text = Object::parse(text)?.as_text();
    let mut members: BTreeMap<String, &RawValue> = BTreeMap::new();
    for (name, value) in json::members(text) {
        members.insert(name, serde_json::from_str(value).ok()?);
    }
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(members.into_iter())).ok()
}

/// The text of a document.
#[expect(clippy::expect_used, reason = "strings, numbers and lists of them always serialize")]
pub(super) fn write<T: Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("a document always serializes")
}

/// Reads a member that is a string, a number or a boolean.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let value = <&'de RawValue>::deserialize(from)?;
    Ok(serde_json::from_str::<Option<T>>(value.get()).ok().flatten())
}

/// Reads the same, where its absence means the default.
pub(super) fn lenient_or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    lenient(from).map(Option::unwrap_or_default)
}

/// Reads a list of strings without those elements that are none.
pub(super) fn lenient_texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let value = <&'de RawValue>::deserialize(from)?;
    let list = Some(value.get()).filter(|list| list.starts_with('['));
    Ok(list.map(|list| json::elements(list).filter_map(json::string).collect()))
}

/// Reads the same, where its absence means an empty list.
pub(super) fn lenient_texts_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    lenient_texts(from).map(Option::unwrap_or_default)
}

/// Reads a string; an empty one is as good as absent.
pub(super) fn lenient_filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    lenient(from).map(|text: Option<String>| text.filter(|text| !text.is_empty()))
}

/// Reads a number, which some write as a string.
pub(super) fn lenient_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = <&'de RawValue>::deserialize(from)?;
    Ok(value.get().trim_matches('"').parse().ok())
}

/// Reads a document within a document.
pub(super) fn lenient_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let value = <&'de RawValue>::deserialize(from)?;
    Ok(read(value.get()))
}

/// Reads a list of documents without those elements that are none.
pub(super) fn lenient_objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let value = <&'de RawValue>::deserialize(from)?;
    let list = Some(value.get()).filter(|list| list.starts_with('[')).unwrap_or_default();
    Ok(json::elements(list).filter_map(read).collect())
}
