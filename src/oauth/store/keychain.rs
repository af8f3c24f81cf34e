//! The keychain of the operating system (`--token-store keychain`): macOS's, Windows's credential manager, or the Secret Service.
//!
//! Windows takes no more than 2,560 bytes in one item. A longer document is divided: the parts are written first, under names
//! of their own generation, and then the item of the key, which names them. A process that is killed leaves the old document
//! or the new one. Deliberately not here: what a document holds (`store`).

use std::io;

use crate::oauth::pkce;

/// What precedes the generation and the number of parts in the item of a key. A document begins with `{`.
const DIVIDED: &str = "parts:";
/// How many parts a document can have.
const MOST: usize = 1024;

/// Items of a keychain, each a text under a name.
pub(super) trait KeychainItems {
    /// The text of an item; none where there is no such item.
    fn get(&self, name: &str) -> io::Result<Option<String>>;
    /// Writes an item.
    fn set(&self, name: &str, text: &str) -> io::Result<()>;
    /// Removes an item, if it is there.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// How long the text of an item can be, in bytes.
    fn limit(&self) -> usize;
}

/// The names of the parts that the item of a key names.
fn parts(key: &str, item: &str) -> Vec<String> {
    let named = item.strip_prefix(DIVIDED).and_then(|rest| rest.rsplit_once(':'));
    let Some((generation, count)) = named else { return Vec::new() };
    let count = count.parse::<usize>().unwrap_or_default().min(MOST);
    (0..count).map(|index| format!("{key}.{generation}.{index}")).collect()
}

/// The document under a key.
pub(super) fn get(items: &impl KeychainItems, key: &str) -> io::Result<Option<String>> {
    let Some(item) = items.get(key)? else { return Ok(None) };
    if !item.starts_with(DIVIDED) {
        return Ok(Some(item));
    }
    let incomplete = || io::Error::other("the keychain holds a part of the sign-in only");
    let parts = parts(key, &item).into_iter().map(|name| items.get(&name)?.ok_or_else(incomplete));
    parts.collect::<io::Result<String>>().map(Some)
}

/// Stores a document under a key.
pub(super) fn put(items: &impl KeychainItems, key: &str, document: &str) -> io::Result<()> {
    let before = items.get(key)?.unwrap_or_default();
    if document.len() <= items.limit() {
        items.set(key, document)?;
    } else {
        let generation = pkce::random();
        let divided = divide(document, items.limit());
        if divided.len() > MOST {
            return Err(io::Error::other("the sign-in is too large for the keychain"));
        }
        let item = format!("{DIVIDED}{generation}:{}", divided.len());
        for (name, text) in parts(key, &item).iter().zip(divided) {
            items.set(name, text)?;
        }
        items.set(key, &item)?;
    }
    remove_all(items, &parts(key, &before));
    Ok(())
}

/// Removes the document under a key.
pub(super) fn erase(items: &impl KeychainItems, key: &str) -> io::Result<()> {
    let before = items.get(key)?.unwrap_or_default();
    items.remove(key)?;
    remove_all(items, &parts(key, &before));
    Ok(())
}

/// Removes parts that nothing names any more. One that stays does no harm but to take room.
fn remove_all(items: &impl KeychainItems, names: &[String]) {
    names.iter().for_each(|name| drop(items.remove(name)));
}

/// Divides a text into parts of at most `limit` bytes.
fn divide(mut text: &str, limit: usize) -> Vec<&str> {
    let mut divided = Vec::new();
    while !text.is_empty() {
        let end = (1..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        // A limit below the length of one character does not occur; then it is one part.
        let Some((part, rest)) = end.and_then(|end| text.split_at_checked(end)) else {
            divided.push(text);
            break;
        };
        divided.push(part);
        text = rest;
    }
    divided
}

/// The keychain itself.
#[cfg(feature = "keychain")]
pub(super) struct SystemKeychain;

#[cfg(feature = "keychain")]
impl SystemKeychain {
    /// The name under which all items are found.
    const SERVICE: &'static str = "mcp-tether";

    fn item(name: &str) -> io::Result<keyring::Entry> {
        keyring::Entry::new(Self::SERVICE, name).map_err(failed)
    }
}

#[cfg(feature = "keychain")]
impl KeychainItems for SystemKeychain {
    fn get(&self, name: &str) -> io::Result<Option<String>> {
        match Self::item(name)?.get_secret() {
            Ok(secret) => String::from_utf8(secret).map(Some).map_err(|_| {
                io::Error::other("the keychain holds something that is no text in place of a sign-in")
            }),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn set(&self, name: &str, text: &str) -> io::Result<()> {
        Self::item(name)?.set_secret(text.as_bytes()).map_err(failed)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match Self::item(name)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn limit(&self) -> usize {
        crate::platform::KEYCHAIN_ITEM
    }
}

/// The error of the keychain. Its text may quote what is stored, so it is not shown where it can.
#[cfg(feature = "keychain")]
fn failed(error: keyring::Error) -> io::Error {
    io::Error::other(match error {
        keyring::Error::NoStorageAccess(reason) => format!("the keychain is locked or not here ({reason})"),
        keyring::Error::PlatformFailure(reason) => format!("the keychain failed ({reason})"),
        keyring::Error::NoDefaultStore => "this system has no keychain that is running".to_owned(),
        keyring::Error::TooLong(..) => "the keychain takes no text of this length".to_owned(),
        _ => "the keychain failed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    /// A keychain that fails after some writes, as where the process is killed.
    #[derive(Default)]
    struct Memory {
        items: RefCell<BTreeMap<String, String>>,
        left: Cell<Option<usize>>,
    }

    impl Memory {
        fn write(&self) -> io::Result<()> {
            match self.left.get() {
                Some(0) => Err(io::Error::other("killed")),
                Some(left) => {
                    self.left.set(Some(left - 1));
                    Ok(())
                }
                None => Ok(()),
            }
        }
    }

    impl KeychainItems for Memory {
        fn get(&self, name: &str) -> io::Result<Option<String>> {
            Ok(self.items.borrow().get(name).cloned())
        }

        fn set(&self, name: &str, text: &str) -> io::Result<()> {
            assert!(text.len() <= self.limit().max(64), "{text}");
            self.write()?;
            self.items.borrow_mut().insert(name.to_owned(), text.to_owned());
            Ok(())
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.write()?;
            self.items.borrow_mut().remove(name);
            Ok(())
        }

        fn limit(&self) -> usize {
            10
        }
    }

    #[test]
    fn documents_of_every_length_are_read_back_and_leave_nothing() {
        let memory = Memory::default();
        for document in ["{}", "{\"a\":\"ééééééééééé\"}", "{\"long\":\"0123456789012345678901234\"}", "{1}"]
        {
            put(&memory, "key", document).expect("stored");
            assert_eq!(get(&memory, "key").expect("readable").as_deref(), Some(document));
        }
        assert_eq!(memory.items.borrow().len(), 1, "no part of an earlier document stays");
        put(&memory, "key", "{\"long\":\"0123456789\"}").expect("stored");
        erase(&memory, "key").expect("erased");
        assert!(memory.items.borrow().is_empty() && get(&memory, "key").is_ok_and(|found| found.is_none()));
        erase(&memory, "key").expect("nothing to erase");
    }

    #[test]
    fn killed_write_leaves_old_or_new_document() {
        let (old, new) = ("{\"old\":\"0123456789\"}", "{\"new\":\"01234567890123456789\"}");
        let mut found_new = false;
        for writes in 0..12 {
            let memory = Memory::default();
            put(&memory, "key", old).expect("stored");
            memory.left.set(Some(writes));
            let written = put(&memory, "key", new);
            let found = get(&memory, "key").expect("readable").expect("stored");
            assert_eq!(found, if written.is_ok() { new } else { old }, "{writes}");
            found_new |= found == new;
        }
        assert!(found_new);
    }

    #[test]
    fn missing_part_is_an_error() {
        let memory = Memory::default();
        put(&memory, "key", "{\"long\":\"0123456789\"}").expect("stored");
        let part = memory.items.borrow().keys().find(|name| *name != "key").cloned().expect("a part");
        memory.items.borrow_mut().remove(&part);
        assert!(get(&memory, "key").is_err());
    }
}
