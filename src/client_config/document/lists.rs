//! The lists at the top of a JSON file, which are edited item by item; and what two files have in common.
//!
//! Deliberately not here: entries, which are tables (`document`).

use jsonc_parser::cst::{CstInputValue, CstObject};

use super::{Document, EditError, Tree, is_same, json_input, unique};
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
