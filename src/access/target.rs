//! What is to be protected: the URL, its host and its domain, and the zone and account that hold it.

use serde_json::Value;
use url::{Host, Url};

use super::api::Api;
use super::failure::AccessFailure;
use crate::config::Environment;
use crate::http::is_loopback;

/// A server as Access knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The URL of its MCP endpoint.
    pub(super) url: Url,
    /// Its host, without a port, in lower case.
    pub(super) host: String,
    /// The path of its URL, without a slash at the end.
    pub(super) path: String,
    /// Whether the path alone is meant.
    pub(super) is_path_only: bool,
}

impl Target {
    /// Reads a URL. `takes_loopback` says that a server on this computer is one, for tests.
    pub(super) fn new(text: &str, is_path_only: bool, takes_loopback: bool) -> Result<Target, AccessFailure> {
        let example = "write a URL such as https://mcp.example.com/mcp";
        let url = Url::parse(text).map_err(|_| AccessFailure::usage("the URL cannot be read", example))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AccessFailure::usage(
                "the URL contains a user name or a password",
                "leave it out of the URL",
            ));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host =
            host.ok_or_else(|| AccessFailure::usage("the URL has no host", example))?.to_ascii_lowercase();
        match (is_loopback(&url), url.scheme()) {
            (true, "http" | "https") if takes_loopback => {}
            (true, _) => {
                return Err(AccessFailure::usage(
                    "the URL leads to this computer: Cloudflare Access cannot protect it",
                    "pass the URL by which other computers reach the server",
                ));
            }
            (false, "https") if url.port().is_none() => {}
            (false, "https") => {
                return Err(AccessFailure::usage("Cloudflare Access protects hosts without a port", example));
            }
            (false, _) => return Err(AccessFailure::usage("the URL does not begin with https://", example)),
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if is_path_only && path.is_empty() {
            return Err(AccessFailure::usage("--only-path needs a URL with a path", example));
        }
        Ok(Target { host: host.trim_end_matches('.').to_owned(), url, path, is_path_only })
    }

    /// The domain of its application: the host, or the host with the path.
    pub(super) fn domain(&self) -> String {
        match self.is_path_only {
            true => format!("{}{}", self.host, self.path),
            false => self.host.clone(),
        }
    }

    /// The name of its files in the config directory.
    pub(super) fn key(&self) -> String {
        let port = self.url.port().map(|port| format!("_{port}")).unwrap_or_default();
        let path = if self.is_path_only { self.path.as_str() } else { "" };
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        let key = format!("{}{port}{path}", self.host);
        key.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect()
    }

    /// The name that its token, policy and application get.
    pub(super) fn default_name(&self) -> String {
        format!("mcp-tether {}", self.domain())
    }

    /// Returns whether it is a Worker under workers.dev, which is in no zone of the account.
    pub(super) fn is_workers_dev(&self) -> bool {
        self.host.ends_with(".workers.dev")
    }

    /// The names that its zone may have, the longest first.
    fn zone_names(&self) -> Vec<String> {
        if !matches!(self.url.host(), Some(Host::Domain(_))) || !self.host.contains('.') {
            return vec![self.host.trim_matches(['[', ']']).to_owned()];
        }
        let labels: Vec<&str> = self.host.split('.').collect();
        let count = labels.len();
        (0..count.saturating_sub(1)).filter_map(|at| labels.get(at..).map(|rest| rest.join("."))).collect()
    }
}

/// Finds the account that holds a target: the one that is named, and the one of its zone, which have to agree.
pub(super) async fn account(
    api: &Api<'_>,
    target: &Target,
    named: Option<&str>,
    environment: &Environment,
) -> Result<String, AccessFailure> {
    let named =
        named.or_else(|| environment.get("CLOUDFLARE_ACCOUNT_ID")).map(str::trim).filter(|id| !id.is_empty());
    if let Some(id) = named
        && !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return Err(AccessFailure::usage(
            "the account id contains a character that no account id has",
            "copy it from the dashboard's address: 32 hexadecimal digits",
        ));
    }
    if target.is_workers_dev() {
        return match named {
            Some(id) => Ok(id.to_owned()),
            None => only_account(api).await,
        };
    }
    let text = |zone: &Value, pointer: &str| zone.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut inactive = None;
    for name in target.zone_names() {
        let zones = api.list("/zones", &[("name", &name)], 50).await?;
        let zones: Vec<&Value> =
            zones.iter().filter(|zone| text(zone, "/name").as_deref() == Some(&name)).collect();
        let account_of = |zone: &&Value| text(zone, "/account/id");
        let status_of = |zone: &Value| text(zone, "/status").unwrap_or_else(|| "active".to_owned());
        // Several accounts may hold a zone of one name, of which one is active.
        let fitting = zones.iter().min_by_key(|zone| {
            (status_of(zone) != "active", named.is_some() && account_of(zone).as_deref() != named)
        });
        let Some(zone) = fitting else { continue };
        let status = status_of(zone);
        if status != "active" {
            // A zone above it may hold the host still.
            inactive.get_or_insert((name, status));
            continue;
        }
        let account = account_of(zone);
        return match (named, account) {
            (Some(named), Some(account)) if named != account => Err(AccessFailure::new(
                format!(
                    "the zone {name} does not belong to the account {named}: it belongs to the account {account}"
                ),
                format!("pass --account {account}, or an API token of that account"),
            )),
            (Some(named), _) => Ok(named.to_owned()),
            (None, Some(account)) => Ok(account),
            (None, None) => Err(AccessFailure::new(
                format!("the API does not name the account of the zone {name}"),
                "name the account with --account",
            )),
        };
    }
    if let Some((name, status)) = inactive {
        return Err(AccessFailure::new(
            format!("the zone {name} is not active: its status is {status}"),
            "finish the setup of the zone in the dashboard first: Access protects hosts of active zones only",
        ));
    }
    Err(AccessFailure::new(
        format!("no zone of this API token holds {}", target.host),
        "check the host, and that the API token has the permission \"Zone Read\" for its zone: without it the list of zones is empty",
    ))
}

/// The only account that the token can see.
async fn only_account(api: &Api<'_>) -> Result<String, AccessFailure> {
    let advice = "name the account with --account or CLOUDFLARE_ACCOUNT_ID";
    let accounts = api.list("/accounts", &[], 50).await?;
    let ids: Vec<&str> = accounts.iter().filter_map(|account| account.get("id")?.as_str()).collect();
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(AccessFailure::new("the API token shows no account", advice)),
        [_, ..] => Err(AccessFailure::new("the API token is valid for several accounts", advice)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_https_hosts_without_port() {
        for (text, loopback, ok) in [
            ("https://mcp.example.com/mcp", false, true),
            ("http://mcp.example.com/mcp", false, false),
            ("https://mcp.example.com:8443/mcp", false, false),
            ("https://user:x@mcp.example.com/mcp", false, false),
            ("http://127.0.0.1:9/mcp", false, false),
            ("http://127.0.0.1:9/mcp", true, true),
            ("http://mcp.example.com/mcp", true, false),
            ("mcp.example.com", false, false),
        ] {
            assert_eq!(Target::new(text, false, loopback).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn domain_is_whole_host_or_host_with_path() {
        let target =
            |path_only| Target::new("https://A.Example.com/mcp/", path_only, false).expect("a target");
        assert_eq!(target(false).domain(), "a.example.com");
        assert_eq!(target(true).domain(), "a.example.com/mcp");
        assert_eq!(target(true).key(), "a.example.com_mcp");
        assert!(Target::new("https://a.example.com/", true, false).is_err());
        assert_eq!(target(false).zone_names(), ["a.example.com", "example.com"]);
        let here = Target::new("http://127.0.0.1:9/mcp", false, true).expect("a target");
        assert_eq!(
            (here.domain(), here.zone_names()),
            ("127.0.0.1".to_owned(), vec!["127.0.0.1".to_owned()])
        );
    }
}
