//! The ids of the requests that this program makes itself.

use super::SOURCE;
use crate::jsonrpc::Id;

/// Which part of the program made an id. Each counts for itself, so that no two ids are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnId {
    /// The relay: what restores a session, and pings.
    Relay,
    /// The translator of a legacy client.
    LegacyClient,
    /// The translator of a modern client.
    ModernClient,
    /// The filter: what looks up tools.
    ToolFilter,
}

impl OwnId {
    const ALL: [OwnId; 4] = [OwnId::Relay, OwnId::LegacyClient, OwnId::ModernClient, OwnId::ToolFilter];

    /// What stands between the name of the program and the number.
    fn separator(self) -> &'static str {
        match self {
            OwnId::Relay => "-",
            OwnId::LegacyClient => "/l",
            OwnId::ModernClient => "/m",
            OwnId::ToolFilter => "/f",
        }
    }

    /// The id with a number.
    pub fn id(self, number: u64) -> Id {
        Id::from_text(&format!("{SOURCE}{}{number}", self.separator()))
    }

    /// The number of an id that this part made; none where it made it not.
    pub fn number_of(self, id: &Id) -> Option<u64> {
        let text = id.as_json().strip_prefix('"')?.strip_suffix('"')?;
        text.strip_prefix(SOURCE)?.strip_prefix(self.separator())?.parse().ok()
    }

    /// The part that made an id; none where another program did.
    pub fn maker_of(id: &Id) -> Option<OwnId> {
        OwnId::ALL.into_iter().find(|own| own.number_of(id).is_some())
    }

    /// Returns whether a layer above the relay made an id: a translator or the tool filter.
    pub fn is_of_upper_layer(id: &Id) -> bool {
        OwnId::maker_of(id).is_some_and(|maker| maker != OwnId::Relay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_recognized_by_their_maker_alone() {
        for own in OwnId::ALL {
            for number in [0, 7, u64::MAX] {
                let id = own.id(number);
                assert_eq!(OwnId::maker_of(&id), Some(own));
                assert_eq!(OwnId::is_of_upper_layer(&id), own != OwnId::Relay, "{id}");
                let found: Vec<_> = OwnId::ALL.into_iter().filter_map(|own| own.number_of(&id)).collect();
                assert_eq!(found, [number], "{id}");
            }
        }
        for text in ["mcp-tether", "mcp-tether-", "mcp-tether/l", "mcp-tether/lx", "mcp-tether/x1", "1", ""] {
            let id = Id::from_text(text);
            assert_eq!((OwnId::maker_of(&id), OwnId::is_of_upper_layer(&id)), (None, false), "{text}");
        }
    }

    #[test]
    fn own_ids_keep_their_form() {
        let ids = OwnId::ALL.map(|own| own.id(3).to_string());
        assert_eq!(
            ids,
            [r#""mcp-tether-3""#, r#""mcp-tether/l3""#, r#""mcp-tether/m3""#, r#""mcp-tether/f3""#]
        );
    }
}
