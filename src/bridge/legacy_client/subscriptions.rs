//! What the client hears of without having asked: one merged `subscriptions/listen` in place of the stream of the other
//! era (2026-07-28, basic/patterns/subscriptions).
//!
//! A new one is opened before the old one is closed, so that nothing is missed; one at a time is being opened, and what
//! changes meanwhile goes into the next. A subscription that breaks off is the relay's to open again.

use std::collections::BTreeSet;
use std::time::Instant;

use super::LegacyClient;
use crate::bridge::error_report::ErrorKind;
use crate::bridge::event::Notice;
use crate::bridge::layer::Output;
use crate::bridge::relay::error_code;
use crate::json;
use crate::jsonrpc::{self, Id, Message};
use crate::mcp::meta::SUBSCRIPTION_ID;
use crate::mcp::{message, method};

/// The listening.
#[derive(Debug, Default)]
pub(super) struct MergedSubscription {
    /// The client is ready to hear.
    ready: bool,
    /// The one that is acknowledged.
    current: Option<Id>,
    /// The one that is being opened.
    opening: Option<PendingSubscription>,
    /// Whether something has changed since that one was sent.
    stale: bool,
    /// The JSON texts of the URIs of the resources that the client wants to hear of.
    uris: BTreeSet<String>,
    /// Those that it no longer wants to hear of, as long as a subscription of before may tell of them.
    unwanted: BTreeSet<String>,
    /// The client's requests that wait for the next one to be acknowledged, each with its URI.
    waiting: Vec<(Id, String)>,
}

#[derive(Debug)]
struct PendingSubscription {
    id: Id,
    /// The client's requests that it answers.
    subscribers: Vec<(Id, String)>,
}

impl MergedSubscription {
    /// Returns whether this is one of ours.
    pub(super) fn is_listen(&self, id: &Id) -> bool {
        self.current.as_ref() == Some(id) || self.opening.as_ref().is_some_and(|opening| opening.id == *id)
    }

    /// Returns whether a notification that came by itself belongs to one of ours.
    pub(super) fn is_of(&self, message: &Message) -> bool {
        subscription_of(message).is_some_and(|id| {
            let ours = self.current.iter().chain(self.opening.as_ref().map(|opening| &opening.id));
            ours.into_iter().any(|own| own.as_json() == id)
        })
    }

    /// Returns whether a notification is about a resource that the client no longer wants to hear of.
    pub(super) fn is_unwanted(&self, message: &Message) -> bool {
        message.method() == Some(method::RESOURCES_UPDATED)
            && message.member("uri").is_some_and(|uri| self.unwanted.contains(uri))
    }

    /// Returns whether a request of the client waits for an acknowledgement.
    pub(super) fn serves(&self, id: &Id) -> bool {
        self.subscribers().any(|(own, _)| own == id)
    }

    /// Takes out the requests that wait. The caller answers them.
    pub(super) fn take_subscribers(&mut self) -> Vec<Id> {
        let waiting = std::mem::take(&mut self.waiting);
        let opening = self.opening.take().map(|opening| opening.subscribers).unwrap_or_default();
        waiting.into_iter().chain(opening).map(|(id, _)| id).collect()
    }

    fn subscribers(&self) -> impl Iterator<Item = &(Id, String)> {
        self.waiting.iter().chain(self.opening.iter().flat_map(|opening| &opening.subscribers))
    }
}

/// The subscription that a notification names, as JSON text.
fn subscription_of(message: &Message) -> Option<&str> {
    json::member(message.member("_meta")?, SUBSCRIPTION_ID)
}

impl LegacyClient {
    /// The client is ready to hear what the server has to say by itself.
    pub(super) fn listen(&mut self, _now: Instant) {
        if !self.subscriptions.ready {
            self.subscriptions.ready = true;
            self.renew_subscription();
        }
    }

    /// The client wants to hear of a resource.
    pub(super) fn subscribe(&mut self, id: &Id, request: &Message) {
        if !self.server.says("resources", "subscribe") {
            return self.unknown_method(id);
        }
        let Some(uri) = request.member("uri").filter(|uri| uri.starts_with('"')) else {
            return self.refuse(id, jsonrpc::INVALID_PARAMS, "the uri is missing", "params");
        };
        self.subscriptions.uris.insert(uri.to_owned());
        self.subscriptions.unwanted.remove(uri);
        self.subscriptions.waiting.push((id.detached(), uri.to_owned()));
        self.renew_subscription();
    }

    /// The client no longer does.
    pub(super) fn unsubscribe(&mut self, id: &Id, request: &Message) {
        let uri = request.member("uri").and_then(|uri| self.subscriptions.uris.take(uri));
        self.answer(id, "{}");
        if let Some(uri) = uri {
            self.subscriptions.unwanted.insert(uri);
            self.renew_subscription();
        }
    }

    /// The client takes a subscription back before it is acknowledged.
    pub(super) fn forget_subscriber(&mut self, id: &Id) {
        let subscriptions = &mut self.subscriptions;
        let Some((_, uri)) = subscriptions.subscribers().find(|(own, _)| own == id).cloned() else { return };
        subscriptions.uris.remove(&uri);
        subscriptions.waiting.retain(|(own, _)| own != id);
        if let Some(opening) = &mut subscriptions.opening {
            opening.subscribers.retain(|(own, _)| own != id);
        }
        self.renew_subscription();
    }

    /// Opens a subscription for what the client wants to hear now.
    fn renew_subscription(&mut self) {
        let wants = |capability: &str| self.server.says(capability, "listChanged");
        let mut filter = Vec::new();
        if self.subscriptions.ready {
            for (capability, name) in [
                ("tools", "toolsListChanged"),
                ("prompts", "promptsListChanged"),
                ("resources", "resourcesListChanged"),
            ] {
                filter.extend(wants(capability).then(|| format!(r#""{name}":true"#)));
            }
        }
        if !self.subscriptions.uris.is_empty() {
            let uris: Vec<&str> = self.subscriptions.uris.iter().map(String::as_str).collect();
            filter.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
        }
        if self.subscriptions.opening.is_some() {
            self.subscriptions.stale = true;
            return;
        }
        self.subscriptions.stale = false;
        if filter.is_empty() {
            // What they asked for was taken back meanwhile.
            for (id, _) in std::mem::take(&mut self.subscriptions.waiting) {
                self.answer(&id, "{}");
            }
            return self.close_current();
        }
        let id = self.ids.next();
        let subscribers = std::mem::take(&mut self.subscriptions.waiting);
        self.subscriptions.opening = Some(PendingSubscription { id: id.clone(), subscribers });
        let params = format!(r#"{{"_meta":{{{}}},"notifications":{{{}}}}}"#, self.meta(), filter.join(","));
        self.send(message::request(&id, method::LISTEN, &params));
    }

    fn close_current(&mut self) {
        if let Some(current) = self.subscriptions.current.take() {
            self.send(message::cancelled(&current, None));
        }
    }

    /// Takes in that the server has opened the subscription: the requests that wait for it are answered.
    pub(super) fn acknowledged(&mut self, message: &Message) {
        let is_it = |opening: &mut PendingSubscription| {
            subscription_of(message).is_none_or(|id| id == opening.id.as_json())
        };
        let Some(opening) = self.subscriptions.opening.take_if(is_it) else { return };
        let honoured = message.member("notifications");
        let honoured = honoured.and_then(|honoured| json::member(honoured, "resourceSubscriptions"));
        let honoured = honoured.map(json::elements).unwrap_or_default().filter_map(json::string);
        let wanted: BTreeSet<String> =
            opening.subscribers.iter().filter_map(|(_, uri)| json::string(uri)).collect();
        // Whatever else it names.
        let honoured: BTreeSet<String> = honoured.filter(|uri| wanted.contains(uri)).collect();
        for (id, uri) in opening.subscribers {
            if json::string(&uri).is_some_and(|uri| honoured.contains(&uri)) {
                self.answer(&id, "{}");
            } else {
                self.subscriptions.uris.remove(&uri);
                let text = "the server does not tell of changes of this resource";
                self.refuse(&id, jsonrpc::INVALID_PARAMS, text, "params");
            }
        }
        self.close_current();
        self.subscriptions.current = Some(opening.id);
        match self.subscriptions.stale {
            true => self.renew_subscription(),
            false => self.subscriptions.unwanted.clear(),
        }
    }

    /// A subscription of ours has ended for good, or never was.
    pub(super) fn listen_ended(&mut self, id: &Id, answer: &Message) {
        let is_error = error_code(answer).is_some();
        if self.subscriptions.current.as_ref() == Some(id) {
            self.subscriptions.current = None;
            let notice = "the server has ended the subscription".to_owned();
            return self.outputs.push_back(Output::notice(Notice::NotListening(notice)));
        }
        let is_it = |opening: &mut PendingSubscription| opening.id == *id;
        let Some(opening) = self.subscriptions.opening.take_if(is_it) else { return };
        for (subscriber, uri) in opening.subscribers {
            self.subscriptions.uris.remove(&uri);
            match is_error {
                true => self.deliver(answer.with_id(&subscriber)),
                false => {
                    let text = "the server has ended the subscription at once";
                    self.refuse(&subscriber, ErrorKind::NoAnswer.code(), text, ErrorKind::NoAnswer.word());
                }
            }
        }
        let said = answer.member("message").and_then(json::string).unwrap_or_default();
        let notice = format!("the server did not accept the subscription: {said}");
        self.outputs.push_back(Output::notice(Notice::NotListening(notice)));
        if self.subscriptions.stale {
            self.renew_subscription();
        }
    }

    /// The client starts over: what it wanted to hear it must ask for again.
    pub(super) fn end_subscription(&mut self) {
        self.close_current();
        let before = std::mem::take(&mut self.subscriptions);
        let text = "the client has started over";
        for (id, _) in before.waiting {
            self.refuse(&id, ErrorKind::Stopped.code(), text, ErrorKind::Stopped.word());
        }
        if let Some(opening) = before.opening {
            for (id, _) in opening.subscribers {
                self.refuse(&id, ErrorKind::Stopped.code(), text, ErrorKind::Stopped.word());
            }
            self.send(message::cancelled(&opening.id, None));
        }
    }
}
