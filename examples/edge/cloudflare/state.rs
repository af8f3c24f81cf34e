//! The objects of the account, and what the edge knows of them.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::faults::{Fault, Spoiled};
use crate::edge::token::hex;
use crate::edge::{Policy, ServiceToken};

/// A call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: Option<String>,
}

impl Call {
    /// The call in a line, with the ids and the account left out.
    pub(crate) fn line(&self) -> String {
        let parts = self.path.split('/').skip(if self.path.starts_with("/accounts/") { 3 } else { 1 });
        let shown: Vec<&str> = parts.map(|part| if part.len() == 36 { "ID" } else { part }).collect();
        format!("{} {}", self.method, shown.join("/"))
    }
}

/// A service token with its secrets.
#[derive(Clone, Debug)]
pub(crate) struct StoredToken {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) duration: String,
    pub(crate) enabled: bool,
    pub(crate) created: i64,
    pub(crate) expires: Option<i64>,
    pub(crate) last_seen: Option<i64>,
    pub(crate) current: ServiceToken,
    /// The secret before, and until when it is valid.
    pub(crate) previous: Option<(ServiceToken, i64)>,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) api_token: String,
    /// Parts of paths that this token may not reach.
    pub(crate) forbidden: Vec<&'static str>,
    pub(crate) account: String,
    pub(crate) zone: String,
    pub(crate) zone_status: &'static str,
    pub(crate) team: String,
    /// The AUD of the first application for the zone's host.
    pub(crate) audience: String,
    pub(crate) tokens: Vec<StoredToken>,
    /// Reusable policies.
    pub(crate) policies: Vec<Value>,
    /// Applications; `policies` holds links to reusable ones and whole ones of their own.
    pub(crate) applications: Vec<Value>,
    pub(crate) workers: Vec<(&'static str, String)>,
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Vec<Fault>,
    /// How many objects a page holds at most.
    pub(crate) page_limit: usize,
    /// How many requests the edge answers before it knows a new application.
    pub(crate) knows_after: u32,
    /// A member of applications that a PUT changes although it was sent as it was.
    pub(crate) changes_member: Option<&'static str>,
}

/// What the edge knows.
pub(super) struct Known {
    pub(super) is_protected: bool,
    pub(super) knows_after: u32,
    pub(super) policies: Vec<Policy>,
    pub(super) tokens: Vec<ServiceToken>,
    pub(super) managed_oauth: bool,
}

impl State {
    pub(super) fn new(team: &str, audience: &str) -> Self {
        Self {
            api_token: format!("cfut_{}", hex(48)),
            forbidden: Vec::new(),
            account: hex(32),
            zone: "127.0.0.1".to_owned(),
            zone_status: "active",
            team: team.to_owned(),
            audience: audience.to_owned(),
            tokens: Vec::new(),
            policies: Vec::new(),
            applications: Vec::new(),
            workers: vec![("worker", hex(32))],
            calls: Vec::new(),
            faults: Vec::new(),
            page_limit: 1000,
            knows_after: 0,
            changes_member: None,
        }
    }

    pub(super) fn spoiled(&mut self, method: &str, path: &str) -> Option<Spoiled> {
        self.faults.iter_mut().find_map(|fault| fault.meets(method, path))
    }

    /// An application as the API shows it: with its policies in full.
    pub(crate) fn shown(&self, application: &Value) -> Value {
        let mut shown = application.clone();
        let policies: Vec<Value> = application["policies"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|link| {
                let named = self.policies.iter().find(|policy| policy["id"] == link["id"]);
                let mut policy = named.unwrap_or(link).clone();
                policy["precedence"] = link["precedence"].clone();
                // Only lists of reusable policies say so much.
                policy.as_object_mut().expect("an object").remove("app_count");
                policy
            })
            .collect();
        shown["policies"] = policies.into();
        shown
    }

    /// Returns whether a policy names a token.
    pub(super) fn is_used(&self, token: &str) -> bool {
        let rule = json!({ "service_token": { "token_id": token } });
        let names = |policy: &Value| {
            ["include", "exclude", "require"]
                .iter()
                .any(|member| policy[member].as_array().is_some_and(|rules| rules.contains(&rule)))
        };
        let own =
            self.applications.iter().flat_map(|found| found["policies"].as_array().into_iter().flatten());
        self.policies.iter().chain(own).any(names)
    }

    pub(super) fn known_to_edge(&self) -> Known {
        let host = |domain: &str| domain.split('/').next() == Some(&self.zone);
        let application = self.applications.iter().find(|found| {
            found["domain"].as_str().is_some_and(host) || found["destinations"][0]["type"] == "worker"
        });
        let shown = application.map(|found| self.shown(found));
        let (mut policies, mut tokens) = (Vec::new(), Vec::new());
        for policy in shown.iter().flat_map(|found| found["policies"].as_array().into_iter().flatten()) {
            match policy["decision"].as_str() {
                Some("non_identity") => {
                    policies.push(Policy::ServiceAuth);
                    let rules = policy["include"].as_array().cloned().unwrap_or_default();
                    let is_in = |token: &&StoredToken| {
                        rules.contains(&json!({ "service_token": { "token_id": token.id } }))
                            || rules.contains(&json!({ "any_valid_service_token": {} }))
                    };
                    for token in self.tokens.iter().filter(|token| token.enabled).filter(is_in) {
                        tokens.push(token.current.clone());
                        let previous = token.previous.iter().filter(|(_, until)| *until > now());
                        tokens.extend(previous.map(|(token, _)| token.clone()));
                    }
                }
                Some("allow") => policies.push(Policy::Allow),
                Some("bypass") => policies.push(Policy::Bypass),
                Some(_) | None => {}
            }
        }
        Known {
            is_protected: application.is_some(),
            knows_after: self.knows_after,
            policies,
            tokens,
            managed_oauth: application.is_some_and(|found| found["oauth_configuration"]["enabled"] == true),
        }
    }
}

impl StoredToken {
    pub(super) fn new(name: &str, duration: &str) -> Self {
        let hours: Option<i64> = duration.strip_suffix('h').and_then(|hours| hours.parse().ok());
        Self {
            id: uuid(),
            name: name.to_owned(),
            duration: duration.to_owned(),
            enabled: true,
            created: now(),
            expires: hours.map(|hours| now() + hours * 3600),
            last_seen: None,
            current: ServiceToken::random(),
            previous: None,
        }
    }

    /// The token as lists have it, without a secret.
    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "id": self.id, "client_id": self.current.id, "name": self.name, "duration": self.duration,
            "enabled": self.enabled, "created_at": written(self.created), "updated_at": written(self.created),
        });
        if let Some(expires) = self.expires {
            shown["expires_at"] = written(expires).into();
        }
        if let Some(seen) = self.last_seen {
            shown["last_seen_at"] = written(seen).into();
        }
        shown
    }
}

/// The seconds since 1970.
pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A time as the API writes it.
pub(crate) fn written(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).expect("a time of this age");
    time.format(&Rfc3339).expect("a time of this age")
}

/// A made-up UUID.
pub(super) fn uuid() -> String {
    [8, 4, 4, 4, 12].map(hex).join("-")
}
