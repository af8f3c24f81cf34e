//! Subscriptions of a modern client, made of what a session tells anyway.
//!
//! A `subscriptions/listen` stays open without anything at the server but the resources that it names, each of which
//! the server is asked for once however many want it. It is acknowledged with what the server can do of it before anything
//! else comes by it, and ends when the client takes it back or the process ends (2026-07-28, basic/patterns/subscriptions).
//! Deliberately not here: other words of the server (`logs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Asked, ModernClient, error};
use crate::bridge::layer::Output;
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{INVALID_PARAMS, Id, Kind, Message};
use crate::mcp::message::{from_own_text, notification};
use crate::mcp::meta::SUBSCRIPTION_ID;
use crate::mcp::method;

/// How long resources that the server does not confirm hold up the acknowledgement.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many changes are kept for after the acknowledgement.
const EARLY: usize = 1_000;
/// The lists that may change: the filter's member, the capability, and the notification.
const LISTS: [(&str, &str, &str); 3] = [
    ("toolsListChanged", "tools", method::TOOLS_CHANGED),
    ("promptsListChanged", "prompts", method::PROMPTS_CHANGED),
    ("resourcesListChanged", "resources", method::RESOURCES_CHANGED),
];

/// The subscriptions that are open.
#[derive(Debug, Default)]
pub(super) struct ClientSubscriptions {
    open: Vec<ClientSubscription>,
    /// The resources that the server was asked for.
    resources: BTreeMap<String, ResourceSubscription>,
}

/// One of them.
#[derive(Debug)]
struct ClientSubscription {
    id: Id,
    lists: [bool; 3],
    /// The resources it wants, in its order.
    uris: Vec<String>,
    /// Those of them that are not confirmed, and until when that matters; none once it was acknowledged.
    waiting: Option<(BTreeSet<String>, Instant)>,
    /// What has changed before it was.
    early: Vec<Message>,
}

/// How the server stands to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResourceSubscription {
    /// It was asked to tell of it.
    Asked,
    /// It tells.
    On,
    /// It was asked not to.
    Leaving,
}

impl ClientSubscriptions {
    /// When one is acknowledged without what is not confirmed.
    pub(super) fn next(&self) -> Option<(Instant, &'static str)> {
        let due = self.open.iter().filter_map(|subscription| Some(subscription.waiting.as_ref()?.1)).min();
        due.map(|due| (due, "a subscription is acknowledged"))
    }

    fn is_wanted(&self, uri: &str) -> bool {
        self.open.iter().any(|subscription| subscription.uris.iter().any(|own| own == uri))
    }
}

impl ModernClient {
    /// Opens a subscription.
    pub(super) fn listen(&mut self, request: &Message, now: Instant) {
        let Kind::Request { id, .. } = request.kind() else { return };
        let Some(filter) = request.member("notifications").filter(|filter| filter.starts_with('{')) else {
            let refusal = error(id, INVALID_PARAMS, "params.notifications is missing", "params", "");
            return self.deliver(refusal);
        };
        let offers = |capability: &str, what: &str| {
            self.capability(capability).and_then(|it| json::member(it, what)) == Some("true")
        };
        let lists = LISTS.map(|(member, capability, _)| {
            json::member(filter, member) == Some("true") && offers(capability, "listChanged")
        });
        let mut uris = Vec::new();
        if offers("resources", "subscribe") {
            let wanted =
                json::member(filter, "resourceSubscriptions").map(json::elements).unwrap_or_default();
            for uri in wanted.into_iter().filter_map(json::string) {
                if !uris.contains(&uri) {
                    uris.push(uri);
                }
            }
        }
        let standing =
            |uri: &&String| self.subscriptions.resources.get(*uri) != Some(&ResourceSubscription::On);
        let waiting: BTreeSet<String> = uris.iter().filter(standing).cloned().collect();
        let unknown: Vec<String> =
            waiting.iter().filter(|uri| !self.subscriptions.resources.contains_key(*uri)).cloned().collect();
        let waiting = Some((waiting, now + PATIENCE));
        self.subscriptions.open.push(ClientSubscription {
            id: id.detached(),
            lists,
            uris,
            waiting,
            early: Vec::new(),
        });
        for uri in unknown {
            self.subscribe(uri);
        }
        self.acknowledge();
    }

    pub(super) fn is_listening(&self, id: &Id) -> bool {
        self.subscriptions.open.iter().any(|subscription| subscription.id == *id)
    }

    fn subscribe(&mut self, uri: String) {
        self.subscriptions.resources.insert(uri.clone(), ResourceSubscription::Asked);
        let params = format!(r#"{{"uri":{}}}"#, json::quoted(&uri));
        self.ask(Asked::ClientSubscription(uri), method::RESOURCES_SUBSCRIBE, &params);
    }

    fn unsubscribe(&mut self, uri: String) {
        self.subscriptions.resources.insert(uri.clone(), ResourceSubscription::Leaving);
        let params = format!(r#"{{"uri":{}}}"#, json::quoted(&uri));
        self.ask(Asked::Unsubscription(uri), method::RESOURCES_UNSUBSCRIBE, &params);
    }

    /// The server has said whether it tells of a resource.
    pub(super) fn subscribed(&mut self, uri: &str, is_done: bool) {
        let is_wanted = self.subscriptions.is_wanted(uri);
        match (is_done, is_wanted) {
            (true, true) => {
                self.subscriptions.resources.insert(uri.to_owned(), ResourceSubscription::On);
            }
            (true, false) => self.unsubscribe(uri.to_owned()),
            (false, _) => {
                self.subscriptions.resources.remove(uri);
            }
        }
        for subscription in &mut self.subscriptions.open {
            if !is_done {
                subscription.uris.retain(|own| own != uri);
            }
            if let Some((waiting, _)) = &mut subscription.waiting {
                waiting.remove(uri);
            }
        }
        self.acknowledge();
    }

    /// Takes in that the server has ended its updates of a resource. A newer subscription may want them again.
    pub(super) fn unsubscribed(&mut self, uri: &str) {
        self.subscriptions.resources.remove(uri);
        if self.subscriptions.is_wanted(uri) {
            self.subscribe(uri.to_owned());
        }
    }

    /// Takes away from the subscriptions what the server has not confirmed in time.
    pub(super) fn acknowledge_late(&mut self, now: Instant) {
        for subscription in &mut self.subscriptions.open {
            if let Some((waiting, until)) = &mut subscription.waiting
                && *until <= now
            {
                subscription.uris.retain(|uri| !waiting.contains(uri));
                waiting.clear();
            }
        }
        self.acknowledge();
    }

    /// Acknowledges what waits for nothing any more.
    fn acknowledge(&mut self) {
        for subscription in &mut self.subscriptions.open {
            if subscription.waiting.as_ref().is_some_and(|(waiting, _)| waiting.is_empty()) {
                subscription.waiting = None;
                self.outputs.push_back(Output::to_client(subscription.acknowledgement()));
                self.outputs
                    .extend(std::mem::take(&mut subscription.early).into_iter().map(Output::to_client));
            }
        }
    }

    /// The client takes a subscription back.
    pub(super) fn end_subscription(&mut self, id: &Id) {
        self.subscriptions.open.retain(|subscription| subscription.id != *id);
        let unwanted = self.subscriptions.resources.iter().filter(|(uri, standing)| {
            **standing == ResourceSubscription::On && !self.subscriptions.is_wanted(uri)
        });
        let unwanted: Vec<String> = unwanted.map(|(uri, _)| uri.clone()).collect();
        for uri in unwanted {
            self.unsubscribe(uri);
        }
    }

    /// Ends every subscription: the client gets the result that it waits for.
    pub(super) fn end_subscriptions(&mut self) {
        for ClientSubscription { id, .. } in std::mem::take(&mut self.subscriptions).open {
            let end = from_own_text(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}}}"#
            ));
            self.deliver(end);
        }
    }

    /// Sends a change to every subscription that wants it.
    pub(super) fn changed(&mut self, method: &str, message: &Message) {
        let list = LISTS.iter().position(|(_, _, notification)| *notification == method);
        let uri = message.member("uri").and_then(json::string);
        let mut is_wanted = false;
        for subscription in &mut self.subscriptions.open {
            let wants = match list {
                Some(list) => subscription.lists.get(list) == Some(&true),
                None => {
                    uri.as_deref().is_some_and(|uri| subscription.uris.iter().any(|own| is_within(uri, own)))
                }
            };
            let message = splice::take_out_of_meta(message, &[SUBSCRIPTION_ID]);
            let members = format!(r#""{SUBSCRIPTION_ID}":{}"#, subscription.id);
            let Some(message) = splice::put_in_meta(&message, &members).filter(|_| wants) else { continue };
            is_wanted = true;
            if subscription.waiting.is_none() {
                self.outputs.push_back(Output::to_client(message));
            } else if subscription.early.len() < EARLY
                && !subscription.early.iter().any(|it| it.text() == message.text())
            {
                subscription.early.push(message);
            }
        }
        if !is_wanted {
            self.drop_message(message, "nobody wants to hear of it");
        }
    }
}

impl ClientSubscription {
    fn acknowledgement(&self) -> Message {
        let lists = LISTS.iter().zip(self.lists).filter(|(_, is_on)| *is_on);
        let mut honoured: Vec<String> =
            lists.map(|((member, _, _), _)| format!(r#""{member}":true"#)).collect();
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| json::quoted(uri)).collect();
            honoured.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
        }
        let params = format!(
            r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{}}},"notifications":{{{}}}}}"#,
            self.id,
            honoured.join(",")
        );
        notification(method::ACKNOWLEDGED, Some(&params))
    }
}

/// Returns whether a notification says to which subscription it belongs.
pub(super) fn is_of_subscription(message: &Message) -> bool {
    message.member("_meta").is_some_and(|meta| json::member(meta, SUBSCRIPTION_ID).is_some())
}

/// Returns whether news of one resource are news of another: a server may tell of a part of what it was asked for
/// (2025-11-25, server/resources, subscriptions).
fn is_within(uri: &str, wanted: &str) -> bool {
    let rest = uri.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || wanted.ends_with('/') || rest.starts_with(['/', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_to_a_resource_covers_its_parts() {
        for (uri, wanted, is_part) in [
            ("file:///a", "file:///a", true),
            ("file:///a/b", "file:///a", true),
            ("file:///a/b", "file:///a/", true),
            ("file:///a#b", "file:///a", true),
            ("file:///ab", "file:///a", false),
            ("file:///a", "file:///a/b", false),
        ] {
            assert_eq!(is_within(uri, wanted), is_part, "{uri} {wanted}");
        }
    }
}
