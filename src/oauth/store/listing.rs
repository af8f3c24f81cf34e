//! The stored sign-ins of the configuration folder, by the labels of their documents and stubs.
//!
//! A document of an earlier version has no label: its resource says which server it is for. Deliberately not here: whether the
//! tokens are of use (`commands`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::files;
use crate::oauth::documents;
use crate::oauth::store::token_store::{StoreKey, Stub, TokenStore};
use crate::oauth::store::{SignInLabel, Store, StoredSignIn, base_name};

/// How many files of a folder are looked at.
const MOST: usize = 4096;

/// A stored sign-in, as its file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The path of its files, without their extensions.
    base: PathBuf,
    /// Their name.
    name: String,
    server: Option<String>,
    /// The profile, if it has one.
    pub profile: Option<String>,
    /// The resource, if the file says it.
    pub resource: Option<String>,
    /// The token store that holds the document, unless it is the file.
    pub token_store: Option<String>,
}

/// The member of a document by which one of an earlier version is recognized.
#[derive(Default, Deserialize)]
struct ResourceDocument {
    #[serde(default, deserialize_with = "documents::lenient")]
    resource: Option<String>,
}

impl StoredEntry {
    /// Reads the document or stub of a file; none where it holds no tokens and points to none.
    fn read(path: &Path) -> Option<StoredEntry> {
        let text = files::read_regular_text(path, files::SETTINGS_LIMIT).ok()?;
        let stub = Stub::read(&text);
        let holds_tokens =
            || documents::read::<StoredSignIn>(&text).is_some_and(|stored| stored.tokens.is_some());
        if stub.is_none() && !holds_tokens() {
            return None;
        }
        let label: SignInLabel = documents::read(&text)?;
        let document: ResourceDocument = documents::read(&text)?;
        Some(StoredEntry {
            base: path.with_extension(""),
            name: path.file_stem()?.to_str()?.to_owned(),
            server: label.server,
            profile: label.profile,
            resource: document.resource,
            token_store: stub.and_then(|stub| stub.token_store),
        })
    }

    /// The host of the server.
    pub fn host(&self) -> &str {
        self.name.rsplit_once('-').map_or(self.name.as_str(), |(host, _)| host)
    }

    /// Returns whether it is a sign-in at this server.
    fn is_of(&self, server: &Url) -> bool {
        match (&self.server, &self.resource) {
            (Some(name), _) => *name == base_name(server, ""),
            (None, Some(resource)) => Url::parse(resource).is_ok_and(|resource| resource == *server),
            (None, None) => false,
        }
    }

    /// Its store, if its document is in `token_store` or in its file.
    pub(in crate::oauth) fn store(&self, token_store: &TokenStore) -> Option<Store> {
        let token_store = match self.token_store.as_deref() {
            None => TokenStore::File,
            word if word == token_store.word() => token_store.clone(),
            Some(_) => return None,
        };
        Some(Store {
            base: Some(self.base.clone()),
            mcp_remote_import: None,
            token_store,
            key: StoreKey {
                key: self.name.clone(),
                host: self.host().to_owned(),
                profile: self.profile.clone(),
            },
            server: self.server.clone().unwrap_or_else(|| self.name.clone()),
        })
    }
}

/// The stored sign-ins of a configuration folder, in the order of their names; those at one server where it is named.
pub fn stored_sign_ins(folder: &Path, server: Option<&Url>) -> Vec<StoredEntry> {
    let entries = std::fs::read_dir(folder.join("mcp-tether").join("oauth")).into_iter().flatten().flatten();
    let is_document = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let paths = entries.map(|entry| entry.path()).filter(is_document).take(MOST);
    let found = paths.filter_map(|path| StoredEntry::read(&path));
    let mut found: Vec<StoredEntry> =
        found.filter(|entry| server.is_none_or(|server| entry.is_of(server))).collect();
    // That of the URL alone comes first.
    found.sort_by(|one, other| (&one.profile, &one.name).cmp(&(&other.profile, &other.name)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::store::Tokens;

    #[test]
    fn lists_sign_ins_of_server_with_and_without_label() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = |text: &str| Url::parse(text).expect("a URL");
        let (one, other) = (url("https://mcp.example.com/one?key=k"), url("https://mcp.example.com/two"));
        let tokens = Tokens { access_token: "marked".to_owned(), ..Tokens::default() };
        let stored = StoredSignIn { tokens: Some(tokens), ..StoredSignIn::default() };
        for (server, profile) in [(&one, None), (&one, Some("work")), (&one, Some("home")), (&other, None)] {
            let store = Store::of(Some(folder.path().to_owned()), server, profile.unwrap_or_default());
            store.with_token_store(TokenStore::File, profile).write(&stored).expect("written");
        }
        // One without tokens, one of an earlier version, and what is none.
        let place = folder.path().join("mcp-tether/oauth");
        for (name, text) in [
            ("mcp.example.com-1.json", r#"{"registrations":[],"client_issuer":"https://as"}"#),
            (
                "mcp.example.com-2.json",
                r#"{"resource":"https://mcp.example.com/one?key=k","tokens":{"access_token":"a"}}"#,
            ),
            ("mcp.example.com-3.json", "{"),
            ("mcp.example.com-4.lock", "{}"),
            ("mcp.example.com-5.json", r#"{"token_store":"command","server":"x","profile":"moved"}"#),
        ] {
            std::fs::write(place.join(name), text).expect("written");
        }
        let profiles = |server: Option<&Url>| {
            let found = stored_sign_ins(folder.path(), server);
            found.into_iter().map(|entry| entry.profile.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(profiles(Some(&one)), ["", "", "home", "work"]);
        assert_eq!(profiles(Some(&other)), [""]);
        assert_eq!(profiles(None), ["", "", "", "home", "moved", "work"]);
        let all = stored_sign_ins(folder.path(), None);
        assert!(all.iter().all(|entry| entry.host() == "mcp.example.com"));
        let moved = all.iter().find(|entry| entry.token_store.is_some()).expect("a stub");
        assert!(moved.store(&TokenStore::File).is_none());
        let text = std::fs::read_dir(&place).expect("a folder").flatten();
        let text: String =
            text.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default()).collect();
        assert!(!text.contains("key=k\",\"server"), "the URL, which may hold a key, is hashed: {text}");
        assert!(stored_sign_ins(&folder.path().join("nowhere"), None).is_empty());
    }
}
