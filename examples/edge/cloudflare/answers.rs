//! What the API answers, call by call, in its own words.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::state::{State, StoredToken, now, uuid, written};
use crate::edge::ServiceToken;
use crate::edge::token::hex;

/// An answer before it is sent.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<u64>,
    pub(super) location: Option<&'static str>,
}

impl Answer {
    pub(super) fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status");
        let mut response = (status, axum::Json(self.body)).into_response();
        let mut set = |name: &'static str, value: String| {
            response.headers_mut().insert(name, value.parse().expect("visible ASCII"));
        };
        set("cf-ray", format!("{}-TST", hex(16)));
        self.retry_after.into_iter().for_each(|seconds| set("retry-after", seconds.to_string()));
        self.location.into_iter().for_each(|location| set("location", location.to_owned()));
        response
    }
}

type Outcome = Result<(u16, Value), Answer>;

/// An error of the API.
pub(super) fn refusal(status: u16, error: Option<(i64, &str)>) -> Answer {
    let errors: Vec<Value> =
        error.into_iter().map(|(code, message)| json!({ "code": code, "message": message })).collect();
    let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
    Answer { status, body, retry_after: None, location: None }
}

fn refused<T>(status: u16, code: i64, message: &str) -> Result<T, Answer> {
    Err(refusal(status, Some((code, message))))
}

fn invalid<T>(reason: &str) -> Result<T, Answer> {
    refused(400, 12130, &format!("access.api.error.invalid_request: {reason}"))
}

fn missing<T>() -> Result<T, Answer> {
    refused(404, 11021, "access.api.error.not_found")
}

/// Answers a call, and changes what it changes.
pub(super) fn answer(
    state: &mut State,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &Value,
    authorization: Option<&str>,
) -> Answer {
    let outcome =
        authorized(state, path, authorization).and_then(|()| outcome(state, method, path, query, body));
    match outcome {
        Ok((status, result)) => {
            let mut envelope = json!({ "success": true, "errors": [], "messages": [] });
            match result {
                Value::Array(all) => {
                    let number = |name: &str, usual: usize| number(query, name).unwrap_or(usual).max(1);
                    let (page, size) = (number("page", 1), number("per_page", 1000).min(state.page_limit));
                    let total = all.len();
                    let shown: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
                    envelope["result_info"] = json!({
                        "page": page, "per_page": size, "count": shown.len(), "total_count": total,
                        "total_pages": total.div_ceil(size),
                    });
                    envelope["result"] = shown.into();
                }
                result => envelope["result"] = result,
            }
            Answer { status, body: envelope, retry_after: None, location: None }
        }
        Err(answer) => answer,
    }
}

/// A number in a query.
fn number(query: Option<&str>, name: &str) -> Option<usize> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name)?.1.parse().ok()
}

fn authorized(state: &State, path: &str, authorization: Option<&str>) -> Result<(), Answer> {
    match authorization.and_then(|value| value.strip_prefix("Bearer ")) {
        None => refused(400, 6003, "Invalid request headers"),
        Some(token) if token != state.api_token => refused(401, 1000, "Invalid API Token"),
        Some(_) if state.forbidden.iter().any(|part| path.contains(part)) => {
            refused(403, 10000, "Authentication error")
        }
        Some(_) => Ok(()),
    }
}

fn outcome(state: &mut State, method: &Method, path: &str, query: Option<&str>, body: &Value) -> Outcome {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let wanted: Vec<(String, String)> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let wanted = |name: &str| wanted.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["zones"]) => {
            let zone = json!({
                "id": "023e105f4ecef8ad9ca31a8372d0c353", "name": state.zone, "status": state.zone_status,
                "account": { "id": state.account, "name": "an account" },
                "activated_on": null, "created_on": written(0), "modified_on": written(0), "development_mode": 0,
                "meta": {}, "owner": {}, "name_servers": [], "original_dnshost": null,
                "original_name_servers": null, "original_registrar": null, "plan": {},
            });
            let fits = wanted("name").is_none_or(|name| name == state.zone);
            Ok((200, Value::Array(fits.then_some(zone).into_iter().collect())))
        }
        ("GET", ["accounts"]) => {
            Ok((200, json!([{ "id": state.account, "name": "an account", "type": "standard" }])))
        }
        ("GET", ["user", "tokens", "verify"]) => {
            Ok((200, json!({ "id": "ed17574386854bf78a67040be0a770b0", "status": "active" })))
        }
        (_, ["accounts", account, ..]) if *account != state.account => {
            refused(403, 10000, "Authentication error")
        }
        ("GET", ["accounts", _, "access", "organizations"]) => {
            Ok((200, json!({ "name": "a team", "auth_domain": state.team })))
        }
        ("GET", ["accounts", _, "workers", "scripts"]) => {
            let all = state.workers.iter().map(|(name, tag)| json!({ "id": name, "tag": tag }));
            Ok((200, all.collect()))
        }
        (_, ["accounts", _, "access", "service_tokens", rest @ ..]) => {
            service_tokens(state, method, rest, body)
        }
        (_, ["accounts", _, "access", "policies", rest @ ..]) => policies(state, method, rest, body),
        (_, ["accounts", _, "access", "apps", rest @ ..]) => applications(state, method, rest, body),
        _ => refused(404, 7003, "Could not route to the path, perhaps your object identifier is invalid?"),
    }
}

fn service_tokens(state: &mut State, method: &Method, rest: &[&str], body: &Value) -> Outcome {
    let with_secret = |token: &StoredToken| {
        json!({
            "id": token.id, "client_id": token.current.id, "client_secret": token.current.secret, "name": token.name,
            "duration": token.duration, "enabled": token.enabled,
            "created_at": written(token.created), "updated_at": written(now()),
        })
    };
    let name = body["name"].as_str();
    match (method.as_str(), rest) {
        ("GET", []) => Ok((200, state.tokens.iter().map(StoredToken::shown).collect())),
        ("POST", []) => {
            let Some(name) = name else { return invalid("name is required") };
            if state.tokens.len() >= 50 {
                return refused(400, 12130, "access.api.error.service_token_limit_reached");
            }
            let token = StoredToken::new(name, body["duration"].as_str().unwrap_or("8760h"));
            state.tokens.push(token.clone());
            Ok((201, with_secret(&token)))
        }
        (method, [id, rest @ ..]) => {
            let Some(at) = state.tokens.iter().position(|token| token.id == *id) else { return missing() };
            let is_used = state.is_used(id);
            let token = &mut state.tokens[at];
            let previous = body["previous_client_secret_expires_at"].as_str();
            let previous = previous
                .map(|time| OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339").unix_timestamp());
            match (method, rest) {
                ("GET", []) => Ok((200, token.shown())),
                ("PUT", []) => {
                    if let Some(enabled) = body["enabled"].as_bool() {
                        token.enabled = enabled;
                    }
                    if let Some(name) = name {
                        token.name = name.to_owned();
                    }
                    if let (Some((_, until)), Some(time)) = (&mut token.previous, previous) {
                        *until = time;
                    }
                    Ok((200, token.shown()))
                }
                ("DELETE", []) if is_used => refused(400, 12139, "access.api.error.service_token_in_use"),
                ("DELETE", []) => Ok((200, state.tokens.remove(at).shown())),
                ("POST", ["rotate"]) => {
                    let old = std::mem::replace(&mut token.current, ServiceToken::random());
                    token.current.id = old.id.clone();
                    token.previous = previous.map(|until| (old, until));
                    Ok((200, with_secret(token)))
                }
                ("POST", ["refresh"]) => {
                    token.expires = Some(token.expires.unwrap_or_else(now) + 365 * 24 * 3600);
                    Ok((200, token.shown()))
                }
                _ => refused(405, 10405, "Method not allowed for this authentication scheme"),
            }
        }
        _ => missing(),
    }
}

/// A policy as it is stored, from a request.
fn policy(body: &Value) -> Result<Value, Answer> {
    let decisions = ["allow", "deny", "non_identity", "bypass"];
    if body["name"].as_str().is_none() || body["include"].as_array().is_none_or(Vec::is_empty) {
        return invalid("name and include are required");
    }
    if !body["decision"].as_str().is_some_and(|decision| decisions.contains(&decision)) {
        return invalid("invalid decision");
    }
    let mut policy = body.clone();
    policy["id"] = uuid().into();
    for (member, value) in
        [("exclude", json!([])), ("require", json!([])), ("created_at", written(now()).into())]
    {
        if policy.get(member).is_none() {
            policy[member] = value;
        }
    }
    policy["updated_at"] = written(now()).into();
    Ok(policy)
}

fn policies(state: &mut State, method: &Method, rest: &[&str], body: &Value) -> Outcome {
    let at = |state: &State, id: &str| state.policies.iter().position(|policy| policy["id"] == *id);
    match (method.as_str(), rest) {
        ("GET", []) => Ok((200, state.policies.clone().into())),
        ("POST", []) => {
            let mut policy = policy(body)?;
            policy["reusable"] = true.into();
            policy["app_count"] = 0.into();
            for rule in policy["include"].as_array().into_iter().flatten() {
                let named = rule["service_token"]["token_id"].as_str();
                if named.is_some_and(|id| !state.tokens.iter().any(|token| token.id == id)) {
                    return refused(400, 12130, "access.api.error.service_token_not_found");
                }
            }
            state.policies.push(policy.clone());
            Ok((201, policy))
        }
        ("GET", [id]) => at(state, id).map_or_else(missing, |at| Ok((200, state.policies[at].clone()))),
        ("DELETE", [id]) => {
            let Some(at) = at(state, id) else { return missing() };
            let links = |found: &Value| {
                found["policies"].as_array().is_some_and(|all| all.iter().any(|link| link["id"] == **id))
            };
            if state.applications.iter().any(links) {
                return refused(409, 12132, "access.api.error.conflict");
            }
            state.policies.remove(at);
            Ok((202, json!({ "id": id })))
        }
        _ => missing(),
    }
}

fn applications(state: &mut State, method: &Method, rest: &[&str], body: &Value) -> Outcome {
    match (method.as_str(), rest) {
        ("GET", []) => Ok((200, state.applications.iter().map(|found| state.shown(found)).collect())),
        ("POST", []) => {
            let links = checked(state, body, None)?;
            let mut stored = body.clone();
            stored["id"] = uuid().into();
            stored["aud"] = state.audience.clone().into();
            stored["created_at"] = written(now()).into();
            stored["updated_at"] = written(now()).into();
            stored["policies"] = links.unwrap_or_default().into();
            state.applications.push(stored.clone());
            Ok((201, state.shown(&stored)))
        }
        (_, [id, rest @ ..]) => {
            let Some(at) = state.applications.iter().position(|found| found["id"] == **id) else {
                return missing();
            };
            application(state, method, at, rest, body)
        }
        _ => missing(),
    }
}

fn application(state: &mut State, method: &Method, at: usize, rest: &[&str], body: &Value) -> Outcome {
    let id = state.applications[at]["id"].clone();
    match (method.as_str(), rest) {
        ("GET", []) => Ok((200, state.shown(&state.applications[at]))),
        ("DELETE", []) => {
            state.applications.remove(at);
            Ok((202, json!({ "id": id })))
        }
        ("PUT", []) => {
            let links = checked(state, body, id.as_str())?;
            let before = state.applications[at].clone();
            // Whatever is not sent is reset; policies alone are kept.
            let mut stored = body.clone();
            for member in ["id", "aud", "created_at"] {
                stored[member] = before[member].clone();
            }
            stored["updated_at"] = written(now()).into();
            stored["policies"] = links.map_or_else(|| before["policies"].clone(), Value::from);
            if let Some(member) = state.changes_member.take() {
                stored[member] = "changed".into();
            }
            state.applications[at] = stored;
            Ok((200, state.shown(&state.applications[at])))
        }
        ("GET", ["policies"]) => Ok((200, state.shown(&state.applications[at])["policies"].clone())),
        ("POST", ["policies"]) => {
            let mut policy = policy(body)?;
            let own = state.applications[at]["policies"].as_array_mut().expect("a list");
            let last = own.iter().filter_map(|policy| policy["precedence"].as_i64()).max().unwrap_or(0);
            policy["precedence"] = body["precedence"].as_i64().unwrap_or(last + 1).into();
            own.push(policy.clone());
            Ok((201, policy))
        }
        ("DELETE", ["policies", policy]) => {
            let own = state.applications[at]["policies"].as_array_mut().expect("a list");
            let count = own.len();
            own.retain(|found| found["id"] != **policy);
            match own.len() < count {
                true => Ok((202, json!({ "id": policy }))),
                false => missing(),
            }
        }
        _ => missing(),
    }
}

/// Checks an application, and returns the links that it is to have, where it names any.
fn checked(state: &State, body: &Value, id: Option<&str>) -> Result<Option<Vec<Value>>, Answer> {
    if body["type"].as_str().is_none() {
        return invalid("app type is missing or invalid");
    }
    let is_worker = body["destinations"][0]["type"] == "worker";
    let domain = body["domain"].as_str();
    let Some(domain) = domain.or(is_worker.then_some("")) else { return invalid("domain is required") };
    if !is_worker && domain.split('/').next() != Some(&state.zone) {
        return invalid("domain does not belong to zone");
    }
    if domain.contains('/') && body["oauth_configuration"]["enabled"] == true {
        return invalid("domain can not have a path if oauth is configured");
    }
    let is_other = |found: &&Value| found["id"].as_str() != id;
    if !is_worker && state.applications.iter().filter(is_other).any(|found| found["domain"] == domain) {
        return refused(409, 11010, "access.api.error.application_already_exists");
    }
    let Some(all) = body["policies"].as_array() else { return Ok(None) };
    let mut links: Vec<Value> = Vec::new();
    for (at, link) in all.iter().enumerate() {
        let own =
            state.applications.iter().flat_map(|found| found["policies"].as_array().into_iter().flatten());
        let own = own.clone().find(|policy| policy["id"] == link["id"] && policy.get("decision").is_some());
        let known = state.policies.iter().find(|policy| policy["id"] == link["id"]);
        if known.is_none() && own.is_none() {
            return refused(404, 12135, "access.api.error.policy_not_found");
        }
        let precedence = link["precedence"].as_i64().unwrap_or_else(|| i64::try_from(at).expect("few") + 1);
        if links.iter().any(|link| link["precedence"] == precedence) {
            return invalid("policy precedences must be unique");
        }
        let mut stored = own
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::from_iter([("id".to_owned(), link["id"].clone())])));
        stored["precedence"] = precedence.into();
        links.push(stored);
    }
    let is_service_auth = |link: &Value| {
        state.policies.iter().any(|policy| policy["id"] == link["id"] && policy["decision"] == "non_identity")
    };
    if body["service_auth_401_redirect"] == true && !links.iter().any(is_service_auth) {
        return invalid("service_auth_401_redirect needs a Service Auth policy");
    }
    Ok(Some(links))
}
