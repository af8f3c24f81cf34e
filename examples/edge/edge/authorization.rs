//! An authorization server: Access's own, at the team's host, where an application has Managed OAuth; and that of an MCP
//! server which signs people in by itself (Access for SaaS), at the server.
//!
//! It insists on what the real ones insist on, and answers as they do: the resource byte for byte as it was published, a
//! challenge that begins with a letter or a digit, redirect addresses that are allowed by spelling. The person is whoever
//! comes, and agrees. Deliberately not here: who may use a token (`access`, `origin`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::access::visible;
use super::dpop::{self, Proved};
use super::settings::Switches;
use super::token;

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Cloudflare Access, for an application with Managed OAuth.
    Access,
    /// The MCP server.
    Server,
}

impl Of {
    /// How its tokens begin, by which Access tells its own from the server's.
    fn prefix(self) -> &'static str {
        match self {
            Of::Access => "oauth:",
            Of::Server => "saas:",
        }
    }

    /// Where its endpoints are: for authorization, tokens and registrations.
    fn paths(self) -> [&'static str; 3] {
        match self {
            Of::Access => [
                "/cdn-cgi/access/oauth/authorization",
                "/cdn-cgi/access/oauth/token",
                "/cdn-cgi/access/oauth/registration",
            ],
            Of::Server => ["/authorize", "/token", "/register"],
        }
    }
}

/// An authorization server.
#[derive(Clone)]
pub(super) struct Authorization(Arc<Inner>);

struct Inner {
    of: Of,
    issuer: String,
    /// The address of the application.
    application: String,
    switches: Switches,
    given: Mutex<Given>,
}

/// What it has given out.
#[derive(Default)]
struct Given {
    /// The redirect addresses of each client.
    clients: HashMap<String, Vec<String>>,
    codes: HashMap<String, Code>,
    /// Until when each token holds, in seconds since 1970.
    tokens: HashMap<String, u64>,
    /// The client of each.
    refresh_tokens: HashMap<String, String>,
    /// The key of each token that is bound to one, of both kinds.
    keys: HashMap<String, String>,
    /// The ids of proofs that were used.
    proofs: HashSet<String>,
}

/// A code, and what it is bound to.
struct Code {
    client: String,
    redirect: String,
    challenge: String,
}

type Form = HashMap<String, String>;

impl Authorization {
    /// One at `issuer`, for the application at `application`.
    pub(super) fn new(of: Of, issuer: &str, application: &str, switches: &Switches) -> Authorization {
        Authorization(Arc::new(Inner {
            of,
            issuer: issuer.to_owned(),
            application: application.to_owned(),
            switches: switches.clone(),
            given: Mutex::default(),
        }))
    }

    /// Its document and its endpoints.
    pub(super) fn router(&self) -> Router {
        let [authorize, token, register] = self.0.of.paths();
        Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route(authorize, get(ask))
            .route(token, post(exchange))
            .route(register, post(introduce))
            .layer(from_fn_with_state(self.clone(), only_where_it_is))
            .with_state(self.clone())
    }

    /// The person whose token of ours goes along with a request.
    pub(super) fn person(&self, headers: &HeaderMap) -> Option<String> {
        let until = *self.given().tokens.get(self.token(headers)?)?;
        (jsonwebtoken::get_current_timestamp() < until).then(|| "ada@example.com".to_owned())
    }

    /// The same for a request to `url`, which proves the key if the token is bound to one.
    pub(super) fn proven_person(&self, method: &str, url: &str, headers: &HeaderMap) -> Option<String> {
        let token = self.token(headers)?;
        let is_bound = headers.get(AUTHORIZATION)?.as_bytes().starts_with(b"DPoP ");
        let proven = if is_bound { self.prove(method, url, headers, Some(token)) } else { None };
        let key = self.given().keys.get(token).cloned();
        if key == proven { self.person(headers) } else { None }
    }

    /// The key that a request proves, with a proof that was not used before.
    fn prove(&self, method: &str, url: &str, headers: &HeaderMap, token: Option<&str>) -> Option<String> {
        let mut proofs = headers.get_all("dpop").iter();
        let (proof, None) = (proofs.next()?.to_str().ok()?, proofs.next()) else { return None };
        let now = i64::try_from(jsonwebtoken::get_current_timestamp()).ok()?;
        let claims = dpop::verify(proof, Proved { method, url, token, now }).ok()?;
        let is_new = claims.nonce.is_none() && self.given().proofs.insert(claims.id);
        is_new.then_some(claims.thumbprint)
    }

    /// Whether it binds tokens to keys.
    pub(super) fn binds(&self) -> bool {
        self.0.of == Of::Server && self.0.switches.lock().binds_tokens
    }

    /// A token that looks like one of ours.
    pub(super) fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let is_ours = ["Bearer", "DPoP"].contains(&scheme) && token.starts_with(self.0.of.prefix());
        is_ours.then_some(token)
    }

    /// No token holds any more; what they are exchanged with does.
    pub(super) fn expire(&self) {
        self.given().tokens.clear();
    }

    /// Nothing holds any more, as after the end of a session or a change of policy.
    pub(super) fn end(&self) {
        self.expire();
        self.given().refresh_tokens.clear();
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.given.lock().expect("nothing panics in between")
    }

    /// What the application is called here.
    fn resource(&self) -> String {
        self.0.switches.lock().resource(&self.0.application)
    }

    fn tokens(&self, client: &str, keeps: bool, key: Option<String>) -> Value {
        let seconds = self.0.switches.lock().token_seconds;
        let prefix = self.0.of.prefix();
        let (access, refresh) =
            (format!("{prefix}{}", token::hex(40)), format!("{prefix}{}", token::hex(40)));
        let mut answer = json!({
            "access_token": access, "token_type": "bearer", "expires_in": seconds, "scope": "",
            "resource": self.resource(),
        });
        let mut given = self.given();
        if let Some(key) = key {
            answer["token_type"] = "DPoP".into();
            given.keys.extend([&access, &refresh].map(|token| (token.clone(), key.clone())));
        }
        given.tokens.insert(access, jsonwebtoken::get_current_timestamp() + seconds);
        if !keeps {
            answer["refresh_token"] = refresh.as_str().into();
            given.refresh_tokens.insert(refresh, client.to_owned());
        }
        answer
    }
}

/// Where it is switched off there is nothing.
async fn only_where_it_is(State(at): State<Authorization>, request: Request, next: Next) -> Response {
    let settings = at.0.switches.now();
    let is_there = match at.0.of {
        Of::Access => settings.managed_oauth,
        Of::Server => settings.signs_in,
    };
    if is_there { next.run(request).await } else { StatusCode::NOT_FOUND.into_response() }
}

async fn metadata(State(at): State<Authorization>) -> Json<Value> {
    let [authorize, token, register] = at.0.of.paths().map(|path| format!("{}{path}", at.0.issuer));
    let mut document = json!({
        "issuer": at.0.issuer, "authorization_endpoint": authorize, "token_endpoint": token,
        "registration_endpoint": register, "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": at.0.of == Of::Server,
    });
    if at.binds() {
        document["dpop_signing_alg_values_supported"] = json!(["ES256"]);
    }
    Json(document)
}

fn refusal(error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// A client introduces itself: the two spellings of its computer are allowed separately.
async fn introduce(State(at): State<Authorization>, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let redirects: Vec<String> = serde_json::from_value(body["redirect_uris"].clone()).unwrap_or_default();
    let settings = at.0.switches.now();
    let is_allowed = |redirect: &String| {
        let url = Url::parse(redirect).ok();
        match url.as_ref().and_then(Url::host_str) {
            Some("127.0.0.1") => settings.loopback_clients,
            Some("localhost") => settings.localhost_clients,
            _ => false,
        }
    };
    if redirects.is_empty() || !redirects.iter().all(is_allowed) {
        let description = "redirect_uri is not allowed by the account configuration";
        return refusal("invalid_client_metadata", description);
    }
    let id = token::hex(32);
    at.given().clients.insert(id.clone(), redirects.clone());
    (StatusCode::CREATED, Json(json!({ "client_id": id, "redirect_uris": redirects }))).into_response()
}

/// A person comes, and agrees.
async fn ask(State(at): State<Authorization>, uri: Uri) -> Response {
    let form: Form =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let value = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let (client, redirect, challenge) = (value("client_id"), value("redirect_uri"), value("code_challenge"));
    let is_known =
        at.given().clients.get(client).is_some_and(|known| known.iter().any(|known| known == redirect));
    if !is_known || value("response_type") != "code" {
        return refusal("invalid_request", "unknown client or redirect_uri");
    }
    let begins_well = challenge.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if value("code_challenge_method") != "S256" || !begins_well {
        return refusal("invalid_request", "code_challenge_method must be S256 for public clients");
    }
    if value("resource") != at.resource() {
        // As with Access: the person lands on the application, and nobody knows why.
        return (StatusCode::FOUND, [(LOCATION, visible(&at.0.application))]).into_response();
    }
    let code = token::hex(32);
    let (client, challenge) = (client.to_owned(), challenge.to_owned());
    at.given().codes.insert(code.clone(), Code { client, redirect: redirect.to_owned(), challenge });
    let mut back = form_urlencoded::Serializer::new(String::new());
    back.append_pair("code", &code).append_pair("state", value("state"));
    if at.0.of == Of::Server {
        back.append_pair("iss", &at.0.issuer);
    }
    (StatusCode::FOUND, [(LOCATION, visible(&format!("{redirect}?{}", back.finish())))]).into_response()
}

/// A code, or what keeps one signed in, becomes a token.
async fn exchange(State(at): State<Authorization>, headers: HeaderMap, body: String) -> Response {
    let form: Form = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let client = value("client_id");
    if value("resource") != at.resource() {
        return refusal("invalid_target", "the resource is another");
    }
    let key = match at.binds() && headers.contains_key("dpop") {
        false => None,
        true => match at.prove("POST", &format!("{}/token", at.0.issuer), &headers, None) {
            None => return refusal("invalid_dpop_proof", "the proof is of no use"),
            key => key,
        },
    };
    match value("grant_type") {
        "authorization_code" => {
            let code = at.given().codes.remove(value("code"));
            let proven = ring::digest::digest(&ring::digest::SHA256, value("code_verifier").as_bytes());
            let proven = BASE64_URL_SAFE_NO_PAD.encode(proven);
            let is_right = |code: &Code| {
                code.client == client && code.redirect == value("redirect_uri") && code.challenge == proven
            };
            match code.as_ref().is_some_and(is_right) {
                true => Json(at.tokens(client, false, key)).into_response(),
                false => refusal("invalid_grant", "the code is of no use"),
            }
        }
        "refresh_token" => {
            let token = value("refresh_token");
            let is_bound = at.given().keys.get(token).is_none_or(|own| Some(own) == key.as_ref());
            let is_known =
                at.given().refresh_tokens.get(token).is_some_and(|known| known == client) && is_bound;
            // Access's goes on; the server's is good once.
            let keeps = at.0.of == Of::Access;
            if is_known && !keeps {
                at.given().refresh_tokens.remove(token);
            }
            match is_known {
                true => Json(at.tokens(client, keeps, key)).into_response(),
                false => refusal("invalid_grant", "Grant not found"),
            }
        }
        _ => refusal("unsupported_grant_type", "no such grant"),
    }
}
