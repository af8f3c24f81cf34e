//! Lists, which are edited item by item if they stand on several lines or at the top of a JSON file; and what two files have in
//! common.
//!
//! Deliberately not here: entries, which are tables (`document`).

use std::ops::Range;

use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp};

use super::{Document, EditError, Tree, json_input, toml_input, unique};
use crate::client_config::value::{Table, Value};

impl Document {
    /// Adds an item to a list at the top of a JSON file, which is made where it is missing.
    ///
    /// # Errors
    /// [`EditError`]; the document is unchanged then.
    pub fn append_item(&mut self, name: &str, item: &Value) -> Result<(), EditError> {
        let Tree::Json(root) = &self.tree else { return Err(EditError::Value) };
        let item = json_input(item)?;
        let object = root.object_value().ok_or(EditError::NoTable)?;
        match unique(&object, name)? {
            Some(property) => {
                let list = property.array_value();
                list.ok_or_else(|| EditError::NotTable(name.to_owned()))?.append(item);
            }
            None => drop(object.insert(0, name, CstInputValue::Array(vec![item]))),
        }
        Ok(())
    }

    /// Removes the items of such a list that `is_removed`, and the list when nothing is left in it.
    ///
    /// # Errors
    /// [`EditError::Duplicate`]; the document is unchanged then.
    pub fn remove_items(&mut self, name: &str, is_removed: impl Fn(&Value) -> bool) -> Result<(), EditError> {
        let whole = self.entry(&[]).unwrap_or_default();
        let (Tree::Json(root), Some(Value::Array(items))) = (&self.tree, whole.get(name)) else {
            return Ok(());
        };
        let Some(object) = root.object_value() else { return Ok(()) };
        let Some(property) = unique(&object, name)? else { return Ok(()) };
        let Some(list) = property.array_value() else { return Ok(()) };
        for (node, _) in list.elements().into_iter().zip(items).filter(|(_, item)| is_removed(item)) {
            node.remove();
        }
        if !items.is_empty() && items.iter().all(is_removed) {
            property.remove();
        }
        Ok(())
    }

    /// Returns whether a file holds what this one holds, except at these paths.
    pub fn is_same_except(&self, other: &Document, paths: &[Vec<&str>]) -> bool {
        let without = |document: &Document| {
            let mut whole = document.entry(&[]).unwrap_or_default();
            paths.iter().for_each(|path| without_member(&mut whole, path));
            Value::Table(whole)
        };
        is_same(&without(self), &without(other))
    }
}

/// The largest number of items that are edited one by one. Each costs as much as the list is long.
const MOST_EDITS: usize = 1000;

/// The parts of two lists that differ: behind the items that begin both, and before those that end both. None if that is too much
/// to edit item by item.
fn changed(old: &[Value], new: &[Value]) -> Option<(Range<usize>, Range<usize>)> {
    let start = old.iter().zip(new).take_while(|(old, new)| is_same(old, new)).count();
    let rest = old.len().min(new.len()).saturating_sub(start);
    let same = |(old, new): &(&Value, &Value)| is_same(old, new);
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    let (old, new) = (start..old.len().saturating_sub(end), start..new.len().saturating_sub(end));
    (old.len().saturating_add(new.len()) <= MOST_EDITS).then_some((old, new))
}

/// Edits a list of JSON on several lines, so that items that stay keep their lines and comments. Returns false, and changes
/// nothing, for anything else.
pub(super) fn update_json(
    property: &CstObjectProp,
    before: Option<&Value>,
    value: &Value,
) -> Result<bool, EditError> {
    let (Some(list), Some(Value::Array(old)), Value::Array(new)) = (property.array_value(), before, value)
    else {
        return Ok(false);
    };
    let is_on_lines = list.children().iter().any(|child| child.is_newline());
    let Some((removed, added)) = changed(old, new).filter(|_| is_on_lines && !new.is_empty()) else {
        return Ok(false);
    };
    let inputs = new.get(added.clone()).unwrap_or_default().iter().map(json_input);
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let nodes = list.elements();
    // An empty list would lose its lines, so that new items come before old ones go.
    for (index, input) in added.zip(inputs) {
        list.insert(index, input);
    }
    nodes.into_iter().take(removed.end).skip(removed.start).for_each(jsonc_parser::cst::CstNode::remove);
    Ok(true)
}

/// The same for TOML.
pub(super) fn update_toml(
    list: &mut toml_edit::Array,
    before: Option<&Value>,
    value: &Value,
) -> Result<bool, EditError> {
    let (Some(Value::Array(old)), Value::Array(new)) = (before, value) else { return Ok(false) };
    let Some(line) = space_before(list, 0).rfind('\n').and_then(|at| space_before(list, 0).get(at..)) else {
        return Ok(false);
    };
    let line = line.to_owned();
    let Some((removed, added)) = changed(old, new).filter(|_| !new.is_empty()) else { return Ok(false) };
    let inputs = new.get(added.clone()).unwrap_or_default().iter().map(toml_input);
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    // The comment behind an item is part of the space before the next one.
    let behind = |list: &toml_edit::Array, index| {
        let space = space_before(list, index);
        let (comment, rest) = space.split_at(space.find('\n').unwrap_or(0));
        (comment.to_owned(), rest.to_owned())
    };
    let (comment, _) = behind(list, removed.start);
    for _ in removed.clone() {
        list.remove(removed.start);
    }
    let (_, rest) = behind(list, removed.start);
    match inputs.is_empty() {
        true => set_space_before(list, removed.start, format!("{comment}{rest}")),
        false => set_space_before(list, removed.start, rest),
    }
    let comments = std::iter::once(comment).chain(std::iter::repeat(String::new()));
    for ((index, mut input), comment) in added.zip(inputs).zip(comments) {
        input.decor_mut().set_prefix(format!("{comment}{line}"));
        list.insert_formatted(index, input);
    }
    Ok(true)
}

/// What stands before an item of a list of TOML, or before its end: white space and comments.
fn space_before(list: &toml_edit::Array, index: usize) -> &str {
    let space = match list.get(index) {
        Some(item) => item.decor().prefix(),
        None => Some(list.trailing()),
    };
    space.and_then(toml_edit::RawString::as_str).unwrap_or_default()
}

fn set_space_before(list: &mut toml_edit::Array, index: usize, space: String) {
    match list.get_mut(index) {
        Some(item) => item.decor_mut().set_prefix(space),
        None => list.set_trailing(space),
    }
}

/// Returns whether two values are the same, wherever they stand.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Table(one), Value::Table(other)) => {
            let found = other.by_name();
            one.members.len() == other.members.len()
                && one
                    .members
                    .iter()
                    .all(|(name, value)| found.get(name.as_str()).is_some_and(|found| is_same(value, found)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (one, other) => one == other,
    }
}

/// Takes a member out, and the tables above it that are empty then.
fn without_member(table: &mut Table, path: &[&str]) {
    let Some((name, below)) = path.split_first() else { return };
    if let Some((_, Value::Table(inner))) = table.members.iter_mut().find(|(known, _)| known == name)
        && !below.is_empty()
    {
        without_member(inner, below);
        if !inner.members.is_empty() {
            return;
        }
    } else if !below.is_empty() {
        return;
    }
    table.remove(name);
}

/// Refuses an object in which a member that is to change is there twice, at any depth.
pub(super) fn unique_below(object: &CstObject, new: &Table) -> Result<(), EditError> {
    let mut names: Vec<String> = object.properties().iter().filter_map(|it| it.decoded_name()).collect();
    names.sort();
    if let Some([name, _]) = names
        .windows(2)
        .find_map(|pair| <&[String; 2]>::try_from(pair).ok().filter(|[one, other]| one == other))
    {
        return Err(EditError::Duplicate(name.clone()));
    }
    let tables = new.by_name();
    for property in object.properties() {
        let Some(Value::Table(table)) =
            property.decoded_name().and_then(|name| tables.get(name.as_str()).copied())
        else {
            continue;
        };
        if let Some(below) = property.object_value() {
            unique_below(&below, table)?;
        }
    }
    Ok(())
}
