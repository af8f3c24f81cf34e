//! The ids of the requests that a layer sends in its own name: a counter over the one scheme of `mcp`.

use crate::jsonrpc::Id;
use crate::mcp::OwnId;

/// A source of ids, each of which it gives once.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnIds {
    maker: OwnId,
    given: u64,
}

impl OwnIds {
    /// A source that has given none.
    pub(super) fn new(maker: OwnId) -> OwnIds {
        OwnIds { maker, given: 0 }
    }

    /// Returns the next id.
    pub(super) fn next(&mut self) -> Id {
        self.given += 1;
        self.id(self.given)
    }

    /// Returns the number of the id that was given last.
    pub(super) fn last(&self) -> u64 {
        self.given
    }

    /// Returns the id with this number.
    pub(super) fn id(&self, number: u64) -> Id {
        self.maker.id(number)
    }

    /// Returns the number of an id that this maker gave.
    pub(super) fn number(&self, id: &Id) -> Option<u64> {
        self.maker.number_of(id)
    }
}
