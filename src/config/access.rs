//! The service token of Cloudflare Access: from the environment, or written out as headers.

use std::collections::BTreeMap;

use http::HeaderName;
use url::Url;

use super::Environment;
use super::error::{Error, Problem};
use super::header::{Header, check};
use super::placeholder;
use crate::auth::cf_access::{CLIENT_ID, CLIENT_SECRET, NEXT, PAIRS, PairRule, ServiceToken, are_swapped};
use crate::http::is_loopback;
use crate::secret::Secret;

/// The variable that limits the token to some hosts.
pub const HOSTS: &str = "CF_ACCESS_HOSTS";

/// The names of the written halves in an error.
const ID_HEADER: &str = "the header CF-Access-Client-Id";
/// See [`ID_HEADER`].
const SECRET_HEADER: &str = "the header CF-Access-Client-Secret";

/// The variables of this environment that a server of this URL gets a service token from: the pair that counts, and the one
/// that takes over. Complete pairs only.
pub fn variables(url: &Url, environment: &Environment) -> Vec<&'static str> {
    let is_set = |name: &&str| set(environment, name).is_some();
    let is_private = url.scheme() == "https" || is_loopback(url);
    if !is_private || !is_meant_for(url, environment) {
        return Vec::new();
    }
    let first = PAIRS.into_iter().find(|pair| pair.iter().all(is_set));
    let next = Some(NEXT).filter(|pair| pair.iter().all(is_set));
    first.into_iter().chain(next).flatten().collect()
}

/// Returns whether a whole service token is among variables of these names.
pub fn is_pair_among(names: &[String]) -> bool {
    PAIRS.iter().any(|pair| pair.iter().all(|half| names.iter().any(|name| name == half)))
}

/// One half of the token, and what to call it in an error.
struct TokenHalf {
    what: String,
    value: Secret,
}

/// The rule by which the token in the environment is sent to this URL; none where `CF_ACCESS_HOSTS` keeps it from there,
/// which is the whole list where it is set. `is_always` says that `--access always` stands among the options.
pub(super) fn rule(url: &Url, environment: &Environment, is_always: bool) -> Option<PairRule> {
    match set(environment, HOSTS) {
        Some(_) => is_meant_for(url, environment).then_some(PairRule::Listed),
        None if is_loopback(url) => Some(PairRule::Loopback),
        None if is_always => Some(PairRule::Always),
        None => Some(PairRule::Proof),
    }
}

/// The value of `CF_ACCESS_HOSTS` where there is a token in the environment that it keeps from this URL.
pub(super) fn unlisted(url: &Url, environment: &Environment) -> Option<String> {
    let is_set = |name: &&str| set(environment, name).is_some();
    let has_pair = PAIRS.iter().any(|pair| pair.iter().all(is_set));
    set(environment, HOSTS).filter(|_| has_pair && !is_meant_for(url, environment)).map(str::to_owned)
}

/// Returns whether the token in the environment is meant for the host of this URL.
fn is_meant_for(url: &Url, environment: &Environment) -> bool {
    let host = url.host_str().unwrap_or_default();
    let Some(hosts) = set(environment, HOSTS) else { return true };
    hosts.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        // A URL, or a host with a port, is accepted as well.
        let entry = entry.split_once("://").map_or(entry.as_str(), |(_, rest)| rest);
        let entry = entry.split('/').next().unwrap_or_default();
        let (entry, port) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
            Some((name, Ok(port))) => (name, Some(port)),
            Some((_, Err(_))) | None => (entry, None),
        };
        let is_host = match entry.strip_prefix("*.") {
            Some(domain) => {
                host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => host == entry,
        };
        is_host && (port.is_none() || port == url.port_or_known_default())
    })
}

/// Takes the token's headers out of those that were written and fills up what is missing from the environment, if that
/// is to be used, with the rule by which its token is sent. Both halves or none: Access's strict mode refuses a lone one.
pub(super) fn find(
    headers: &mut Vec<Header>,
    environment: Option<(&Environment, PairRule)>,
    is_private: bool,
    warnings: &mut Vec<String>,
    described: &mut Vec<String>,
) -> Result<Option<ServiceToken>, Error> {
    let mut take = |name: http::HeaderName, shown: &str| {
        let written = headers.extract_if(.., |header| header.name == name).last()?;
        Some(TokenHalf { what: shown.to_owned(), value: written.value })
    };
    let (environment, rule) = environment.unzip();
    // A half that was written out was written for this server.
    let mut by = PairRule::Written;
    let (id, secret) = match (take(CLIENT_ID, ID_HEADER), take(CLIENT_SECRET, SECRET_HEADER), environment) {
        (None, None, None) => return Ok(None),
        (None, None, Some(environment)) => {
            let Some(pair) = in_environment(environment, warnings)? else { return Ok(None) };
            if !is_private {
                warnings.push("the service token in the environment is not sent over http".to_owned());
                return Ok(None);
            }
            by = rule.unwrap_or(PairRule::Proof);
            pair
        }
        (Some(id), Some(secret), _) => (id, secret),
        (Some(id), None, environment) => {
            let secret = environment.filter(|_| is_private).and_then(|environment| half(environment, 1));
            let Some(secret) = secret.transpose()? else { return Err(half_written(&id, SECRET_HEADER)) };
            (id, secret)
        }
        (None, Some(secret), environment) => {
            let id = environment.filter(|_| is_private).and_then(|environment| half(environment, 0));
            let Some(id) = id.transpose()? else { return Err(half_written(&secret, ID_HEADER)) };
            (id, secret)
        }
    };
    token(id, secret, warnings, described).map(|token| Some(token.by(by)))
}

/// Takes a token that was written out in one header from the headers. It is built again, because Access reads no
/// other spelling of the names than its own.
pub(super) fn in_one_header(
    headers: &mut Vec<Header>,
    warnings: &mut Vec<String>,
    described: &mut Vec<String>,
) -> Result<Option<(HeaderName, ServiceToken)>, Error> {
    let Some(header) = headers.extract_if(.., |header| header.is_single_header_token()).last() else {
        return Ok(None);
    };
    // Whatever else there is of the token: the two forms never go together.
    headers.retain(|other| other.name != CLIENT_ID && other.name != CLIENT_SECRET);
    let what = header.what();
    let wrong = |reason| Error::SingleHeader { what: what.clone(), reason };
    let members: BTreeMap<String, String> = serde_json::from_str(header.value.reveal())
        .map_err(|_| wrong("it is not a JSON object of two strings"))?;
    let half = |name: &HeaderName| {
        let value = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_str()));
        let value = value.ok_or_else(|| wrong("one of its halves is missing"))?.1;
        let what = format!("{name} in {what}");
        let value = check(value, true).map_err(|problem| Error::Value { what: what.clone(), problem })?;
        Ok(TokenHalf { what, value: Secret::new(value) })
    };
    let token = token(half(&CLIENT_ID)?, half(&CLIENT_SECRET)?, warnings, described)?;
    Ok(Some((header.name, token)))
}

/// The token that takes over when the first one is refused, if there is one to take over from. It is sent by `rule`.
pub(super) fn next(
    environment: &Environment,
    rule: PairRule,
    has_first: bool,
    warnings: &mut Vec<String>,
    described: &mut Vec<String>,
) -> Result<Option<ServiceToken>, Error> {
    match NEXT.map(|name| set(environment, name)) {
        [None, None] => Ok(None),
        [Some(_), _] | [_, Some(_)] if !has_first => {
            warnings.push(format!(
                "{} and {} are not used: there is no service token that they could replace",
                NEXT[0], NEXT[1]
            ));
            Ok(None)
        }
        [Some(id), Some(secret)] => {
            let (id, secret) = (checked(environment, NEXT[0], id)?, checked(environment, NEXT[1], secret)?);
            token(id, secret, warnings, described).map(|token| Some(token.by(rule)))
        }
        [Some(_), None] => Err(Error::HalfPair { present: NEXT[0].to_owned(), missing: NEXT[1].to_owned() }),
        [None, Some(_)] => Err(Error::HalfPair { present: NEXT[1].to_owned(), missing: NEXT[0].to_owned() }),
    }
}

/// Puts two halves together, unless one can tell that they are none.
fn token(
    id: TokenHalf,
    secret: TokenHalf,
    warnings: &mut Vec<String>,
    described: &mut Vec<String>,
) -> Result<ServiceToken, Error> {
    if are_swapped(id.value.reveal(), secret.value.reveal()) {
        return Err(Error::Swapped { secret: secret.what });
    }
    if id.value == secret.value {
        return Err(Error::Same { id: id.what, secret: secret.what });
    }
    for half in [&id, &secret] {
        if half.value.reveal().contains([' ', '\t'])
            && let Some(found) = placeholder::find(half.value.reveal(), true)
        {
            let problem = Problem::unfilled(found);
            return Err(Error::Value { what: half.what.clone(), problem });
        }
        if let Some(at) = half.value.reveal().find([' ', '\t']) {
            return Err(Error::Value { what: half.what.clone(), problem: Problem::Space(at + 1) });
        }
    }
    if !id.value.reveal().contains(".access") {
        warnings.push(format!("{} does not end in .access, as client ids do", id.what));
    }
    let token = ServiceToken::new(&id.value, &secret.value);
    let token =
        token.map_err(|_| Error::Value { what: secret.what.clone(), problem: Problem::Control(0) })?;
    let (shown_id, shown) = (token.id(), token.shown());
    described.push(format!("service token {shown_id} (secret {shown}) from {} and {}", id.what, secret.what));
    Ok(token)
}

fn half_written(present: &TokenHalf, missing: &str) -> Error {
    Error::HalfPair { present: present.what.clone(), missing: missing.to_owned() }
}

/// The first complete pair in the environment.
fn in_environment(
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Option<(TokenHalf, TokenHalf)>, Error> {
    let mut found: Option<([&str; 2], [&str; 2])> = None;
    let mut half_a_pair = None;
    for names in PAIRS {
        match names.map(|name| set(environment, name)) {
            [None, None] => {}
            [Some(_), None] => half_a_pair = half_a_pair.or(Some([names[0], names[1]])),
            [None, Some(_)] => half_a_pair = half_a_pair.or(Some([names[1], names[0]])),
            [Some(id), Some(secret)] => {
                let pair = [id, secret];
                match &found {
                    None => found = Some((names, pair)),
                    Some((used, values)) if *values != pair => warnings.push(format!(
                        "{} and {} hold different tokens; {} is used",
                        used[0], names[0], used[0]
                    )),
                    Some(_) => {}
                }
            }
        }
    }
    match (found, half_a_pair) {
        (Some((names, [id, secret])), _) => {
            Ok(Some((checked(environment, names[0], id)?, checked(environment, names[1], secret)?)))
        }
        (None, Some([present, missing])) => {
            Err(Error::HalfPair { present: present.to_owned(), missing: missing.to_owned() })
        }
        (None, None) => Ok(None),
    }
}

/// The first id (0) or secret (1) that is set.
fn half(environment: &Environment, index: usize) -> Option<Result<TokenHalf, Error>> {
    PAIRS.iter().find_map(|names| {
        let name = names.get(index)?;
        Some(checked(environment, name, set(environment, name)?))
    })
}

fn checked(environment: &Environment, name: &str, value: &str) -> Result<TokenHalf, Error> {
    let what = environment.place(name);
    let value = check(value, true).map_err(|problem| Error::Value { what: what.clone(), problem })?;
    Ok(TokenHalf { what, value: Secret::new(value) })
}

/// A variable that is set to something: a bundle of Claude Desktop passes an optional setting that was left out as an
/// empty text or as `${user_config.…}`.
fn set<'value>(environment: &'value Environment, name: &str) -> Option<&'value str> {
    let value = environment.get(name)?.trim();
    (!value.is_empty() && !value.starts_with("${user_config.")).then_some(value)
}
