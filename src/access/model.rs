//! Objects of the API as they are read: only what is needed of each, everything but the ids optional.

use serde_json::{Value, json};

use super::target::Target;

/// A service token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TokenRecord {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) client_id: String,
    pub(super) is_enabled: bool,
    pub(super) duration: Option<String>,
    /// In seconds since 1970.
    pub(super) expires: Option<i64>,
    pub(super) last_seen: Option<String>,
}

/// A policy, reusable or of one application.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Policy {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) decision: String,
    pub(super) include: Vec<Value>,
    /// Rules in `exclude` and `require`.
    pub(super) further: Vec<Value>,
    pub(super) precedence: Option<i64>,
    /// Where the API says so.
    pub(super) is_reusable: Option<bool>,
}

/// An application.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Application {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) aud: Option<String>,
    pub(super) kind: String,
    pub(super) policies: Vec<Policy>,
    /// Everything the API says of it.
    pub(super) all: Value,
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn rules(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

impl TokenRecord {
    /// Reads one; none without an id.
    pub(super) fn of(value: &Value) -> Option<TokenRecord> {
        let time = |name: &str| text(value, name).and_then(|time| super::time::parse(&time));
        let duration = text(value, "duration");
        // Not every answer says when it expires.
        let lifetime = || {
            let lifetime = super::time::duration(duration.as_deref()?)?;
            Some(time("created_at")?.saturating_add(i64::try_from(lifetime.as_secs()).ok()?))
        };
        Some(TokenRecord {
            id: text(value, "id")?,
            name: text(value, "name").unwrap_or_default(),
            client_id: text(value, "client_id").unwrap_or_default(),
            is_enabled: value.get("enabled").and_then(Value::as_bool).unwrap_or(true),
            expires: match duration.as_deref() {
                Some("forever") => None,
                _ => time("expires_at").or_else(lifetime),
            },
            last_seen: text(value, "last_seen_at"),
            duration,
        })
    }
}

impl Policy {
    /// Reads one; none without an id. A link that is a text is the id alone.
    pub(super) fn of(value: &Value) -> Option<Policy> {
        if let Some(id) = value.as_str() {
            return Some(Policy { id: id.to_owned(), ..Policy::default() });
        }
        Some(Policy {
            id: text(value, "id")?,
            name: text(value, "name").unwrap_or_default(),
            decision: text(value, "decision").unwrap_or_default(),
            include: rules(value, "include"),
            further: rules(value, "exclude").into_iter().chain(rules(value, "require")).collect(),
            precedence: value.get("precedence").and_then(Value::as_i64),
            is_reusable: value.get("reusable").and_then(Value::as_bool),
        })
    }

    /// Returns whether it lets in exactly what this rule names, as a program.
    pub(super) fn is_exactly(&self, decision: &str, include: &[Value]) -> bool {
        let has_all = |all: &[Value], some: &[Value]| some.iter().all(|rule| all.contains(rule));
        self.decision == decision
            && self.further.is_empty()
            && has_all(&self.include, include)
            && has_all(include, &self.include)
    }

    /// Returns whether one of its rules names a service token.
    pub(super) fn names_token(&self, id: &str) -> bool {
        let rule = token_rule(id);
        self.include.iter().chain(&self.further).any(|found| *found == rule)
    }

    /// Returns whether one of the rules of `include` has this name.
    pub(super) fn includes(&self, rule: &str) -> bool {
        self.include.iter().any(|found| found.get(rule).is_some())
    }
}

/// The rule that includes one service token.
pub(super) fn token_rule(id: &str) -> Value {
    json!({ "service_token": { "token_id": id } })
}

/// The rule that includes the Access tokens of one application.
pub(super) fn link_rule(id: &str) -> Value {
    json!({ "linked_app_token": { "app_uid": id } })
}

impl Application {
    /// Reads one; none without an id.
    pub(super) fn of(value: &Value) -> Option<Application> {
        Some(Application {
            id: text(value, "id").or_else(|| text(value, "uid"))?,
            name: text(value, "name").unwrap_or_default(),
            aud: text(value, "aud"),
            kind: text(value, "type").unwrap_or_default(),
            policies: rules(value, "policies").iter().filter_map(Policy::of).collect(),
            all: value.clone(),
        })
    }

    /// The domains that it protects, with their paths.
    pub(super) fn domains(&self) -> Vec<String> {
        // The API names the first one up to three times.
        let mut seen = std::collections::HashSet::new();
        let destinations = rules(&self.all, "destinations");
        let uris =
            destinations.iter().filter(|destination| text(destination, "type").as_deref() == Some("public"));
        let hosts = rules(&self.all, "self_hosted_domains");
        text(&self.all, "domain")
            .into_iter()
            .chain(uris.filter_map(|destination| text(destination, "uri")))
            .chain(hosts.iter().filter_map(Value::as_str).map(str::to_owned))
            .map(|domain| domain.trim_end_matches('/').to_owned())
            .filter(|domain| !domain.is_empty() && seen.insert(domain.clone()))
            .collect()
    }

    /// Returns whether it protects a Worker.
    pub(super) fn protects_worker(&self, id: &str) -> bool {
        let destinations = rules(&self.all, "destinations");
        let is_it = |destination: &Value| {
            text(destination, "type").as_deref() == Some("worker")
                && text(destination, "worker_id").as_deref() == Some(id)
        };
        destinations.iter().any(is_it)
    }

    /// What it protects, for users.
    pub(super) fn protected(&self) -> String {
        let domains = self.domains();
        match domains.is_empty() {
            true => "a Worker or a private network".to_owned(),
            false => domains.join(", "),
        }
    }

    /// Returns whether it protects exactly this domain.
    pub(super) fn is_for(&self, domain: &str) -> bool {
        self.domains().iter().any(|found| same_domain(found, domain))
    }

    /// How specifically it protects a target; none where it does not. The most specific application decides.
    pub(super) fn covers(&self, target: &Target) -> Option<(bool, usize)> {
        let covered = |domain: &String| {
            let (host, path) = domain.split_once('/').unwrap_or((domain, ""));
            let is_host = same_labels(host, &target.host);
            let segments = |path: &str| {
                path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            let (wanted, found) = (segments(path), segments(&target.path));
            let is_path = wanted.len() <= found.len()
                && wanted.iter().zip(&found).all(|(wanted, found)| matches(wanted, found));
            (is_host && is_path).then_some((!host.contains('*'), wanted.len()))
        };
        self.domains().iter().filter_map(covered).max()
    }
}

/// The application that decides about a target.
pub(super) fn application_for<'a>(
    applications: &'a [Application],
    target: &Target,
) -> Option<&'a Application> {
    let covering =
        applications.iter().filter_map(|application| Some((application.covers(target)?, application)));
    covering.max_by_key(|(how, _)| *how).map(|(_, application)| application)
}

fn same_domain(one: &str, other: &str) -> bool {
    let parts = |domain: &str| {
        let (host, path) = domain.split_once('/').unwrap_or((domain, ""));
        (host.to_ascii_lowercase(), path.trim_end_matches('/').to_owned())
    };
    parts(one) == parts(other)
}

fn same_labels(pattern: &str, host: &str) -> bool {
    let (pattern, host): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern.len() == host.len() && pattern.iter().zip(&host).all(|(pattern, label)| matches(pattern, label))
}

/// Returns whether a label or a segment fits a pattern with at most one `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            text.len() >= start.len().saturating_add(end.len())
                && text.starts_with(start)
                && text.ends_with(end)
        }
        None => pattern.eq_ignore_ascii_case(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(id: &str, domain: &str) -> Application {
        Application::of(&json!({ "id": id, "domain": domain })).expect("an id")
    }

    #[test]
    fn most_specific_application_decides() {
        let all = [
            application("wild", "*.example.com"),
            application("host", "a.example.com"),
            application("path", "a.example.com/mcp"),
            application("other", "b.example.com/mcp"),
        ];
        for (url, expected) in [
            ("https://a.example.com/mcp/x", Some("path")),
            ("https://a.example.com/sse", Some("host")),
            ("https://c.example.com/mcp", Some("wild")),
            ("https://b.example.com/mcpx", Some("wild")),
            ("https://b.example.com/mcp", Some("other")),
            ("https://x.y.example.com/", None),
        ] {
            let target = Target::new(url, false, false).expect("a target");
            assert_eq!(application_for(&all, &target).map(|found| found.id.as_str()), expected, "{url}");
        }
    }

    #[test]
    fn domain_that_is_named_three_times_is_one() {
        let value = json!({
            "id": "1", "domain": "a.example.com", "self_hosted_domains": ["a.example.com", "b.example.com/"],
            "destinations": [{ "type": "public", "uri": "a.example.com" }, { "type": "worker", "worker_id": "w" }],
        });
        let domains = |value: &Value| Application::of(value).map(|found| found.protected());
        assert_eq!(domains(&value).as_deref(), Some("a.example.com, b.example.com"));
        let worker = json!({ "id": "1", "destinations": [{ "type": "worker", "worker_id": "w" }] });
        assert!(domains(&worker).is_some_and(|text| text.contains("Worker")));
    }

    #[test]
    fn reads_answers_with_ids_alone() {
        assert_eq!(TokenRecord::of(&json!({"id": "1"})).map(|token| token.is_enabled), Some(true));
        assert_eq!(Policy::of(&json!("1")).map(|policy| policy.id), Some("1".to_owned()));
        assert_eq!(Application::of(&json!({"uid": "1"})).map(|found| found.id), Some("1".to_owned()));
        assert!(TokenRecord::of(&json!({"name": "x"})).is_none());
        let value = json!({"id": "1", "created_at": "2026-01-01T00:00:00Z", "duration": "24h"});
        assert_eq!(
            TokenRecord::of(&value).and_then(|token| token.expires),
            super::super::time::parse("2026-01-02T00:00:00Z")
        );
    }
}
