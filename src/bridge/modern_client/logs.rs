//! Words of the server along the way: log messages and progress, which the modern era ties to a request.
//!
//! A session has one log level and a request its own: the server is told the most verbose that anybody wants at the moment,
//! and each message is looked at again here (2026-07-28, logging). Nothing about a request comes while it waits for
//! the client to call again. Deliberately not here: what belongs to no request (`subscriptions`).

use super::pending_input::Call;
use super::{Asked, ModernClient};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::Message;
use crate::mcp::method;

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Level {
    /// The level of this name.
    pub(super) fn of(name: &str) -> Option<Level> {
        LEVELS.iter().position(|level| *level == name).map(Level)
    }
}

impl ModernClient {
    /// A request that wants this level is about to go out: the server is told, where it has not been.
    pub(super) fn want_level(&mut self, wanted: Option<Level>) {
        let Some(wanted) = wanted else { return };
        let others = self.calls_under_way().filter_map(|(_, call)| call.level);
        let wanted = others.fold(wanted, Level::min);
        if self.level != Some(wanted) && self.capability("logging").is_some() {
            self.level = Some(wanted);
            let Some(name) = LEVELS.get(wanted.0) else { return };
            let params = format!(r#"{{"level":"{name}"}}"#);
            self.ask(Asked::Level, method::SET_LEVEL, &params);
        }
    }

    /// A log message goes to the client if the request in whose exchange it came wants it; where it came by itself, if
    /// anybody does.
    pub(super) fn log(&mut self, message: Message, within: Option<u64>) {
        let level = message.member("level").and_then(json::string);
        // What is of no known level is graver than all.
        let level = level.and_then(|level| Level::of(&level)).unwrap_or(Level(LEVELS.len()));
        let is_wanted = |call: &Call| call.level.is_some_and(|least| least <= level);
        let own = within.filter(|number| matches!(self.asked.get(number), Some(Asked::Call(_))));
        let mut under_way = self.calls_under_way();
        let wanted = under_way.any(|(number, call)| own.is_none_or(|own| own == number) && is_wanted(call));
        drop(under_way);
        match wanted {
            true => self.deliver(message),
            false => self.drop_message(&message, "nobody wants to read it"),
        }
    }

    /// Progress goes to the client under the token that its latest request of the call has.
    pub(super) fn progress(&mut self, message: Message, within: Option<u64>) {
        let token = message.member("progressToken");
        let own = self.calls_under_way().find(|(number, _)| within == Some(*number));
        let named =
            || self.calls_under_way().find(|(_, call)| token.is_some() && call.token.as_deref() == token);
        let told = own.or_else(named).and_then(|(_, call)| match (token, &call.client_token) {
            (Some(token), Some(heard)) if call.token.as_deref() == Some(token) => {
                Some(splice::replace(&message, token, heard))
            }
            (_, Some(_)) => Some(message.clone()),
            (_, None) => None,
        });
        match told {
            Some(message) => self.deliver(message),
            None => self.drop_message(&message, "nobody wants to know how far it is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_levels_are_ordered_by_severity() {
        assert!(Level::of("debug") < Level::of("warning") && Level::of("alert") < Level::of("emergency"));
        assert_eq!(Level::of("loud"), None);
    }
}
