//! A client of Cloudflare's API: one base address, one token, and errors that say whether a request took effect.
//!
//! Redirects are not followed. A read that fails once is repeated; a write never is, unless the API says that it did not
//! process it (429). Members of answers are optional but for ids. Deliberately not here: what the calls are for.

use std::cell::Cell;
use std::num::IntErrorKind;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::advice::{self, Permission};
use super::failure::AccessFailure;
use super::output::AccessOutput;
use super::stop::Stop;
use crate::config::Environment;
use crate::diagnosis;
use crate::http::{Family, Http, Patience, Settings, is_loopback};
use crate::redact;
use crate::secret::Secret;
use crate::tls::Trust;

/// Where the API is.
const BASE: &str = "https://api.cloudflare.com/client/v4";
/// The variable that names another one, on this computer.
pub(super) const BASE_VARIABLE: &str = "MCP_TETHER_CLOUDFLARE_API";
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long making a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a rate limit is waited for altogether: the API's own lasts five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(330);
/// The shortest wait, so that every one counts towards the longest: an API may say 0.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// How long it is waited for where the API does not say.
const USUAL_WAIT: Duration = Duration::from_secs(10);
/// How long a read waits before it is repeated.
const PAUSE: Duration = Duration::from_millis(300);
/// How large an answer may be, in bytes.
const LIMIT: usize = 16 * 1024 * 1024;
/// How many pages of a list are read.
const MOST_PAGES: u64 = 50;

/// Why a call failed, and whether it may have taken effect.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The API refused it: it had no effect.
    Refused(Box<ApiRefusal>),
    /// The request did not reach the API: it had no effect.
    Unsent { call: String, reason: String, advice: Option<String> },
    /// It may have had its effect: the API failed, or its answer did not come or cannot be read.
    Ambiguous { call: String, reason: String, ray: Option<String>, status: Option<u16> },
    /// A signal came while a rate limit was waited for: it had no effect.
    Stopped,
}

/// What the API said against a call.
#[derive(Clone, Debug)]
pub(super) struct ApiRefusal {
    pub(super) call: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) code: Option<i64>,
    pub(super) message: String,
    pub(super) ray: Option<String>,
}

impl ApiError {
    /// Returns whether the request may have taken effect.
    pub(super) fn is_ambiguous(&self) -> bool {
        matches!(self, ApiError::Ambiguous { .. })
    }

    /// The code of a refusal.
    pub(super) fn code(&self) -> Option<i64> {
        match self {
            ApiError::Refused(refusal) => refusal.code,
            _ => None,
        }
    }

    /// The status of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            ApiError::Refused(refusal) => Some(refusal.status),
            ApiError::Ambiguous { status, .. } => *status,
            _ => None,
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            ApiError::Refused(refusal) => {
                advice::advice(refusal.status, refusal.code, &refusal.message, &refusal.path)
            }
            ApiError::Unsent { advice, .. } => advice
                .as_deref()
                .unwrap_or("check the network and the proxy, then run the command again")
                .to_owned(),
            ApiError::Ambiguous { status: Some(status), .. } => advice::advice(*status, None, "", ""),
            ApiError::Ambiguous { .. } => "run the command again: it looks at what exists first".to_owned(),
            ApiError::Stopped => "run the command again".to_owned(),
        }
    }

    /// The permission that the token lacks, where that is the reason.
    pub(super) fn missing_permission(&self) -> Option<Permission> {
        match self {
            ApiError::Refused(refusal) if advice::is_permission_missing(refusal.status, refusal.code) => {
                (!refusal.message.contains("1010")).then(|| Permission::of_path(&refusal.path))
            }
            _ => None,
        }
    }

    /// The parts of the error for programs.
    pub(super) fn details(&self) -> Map<String, Value> {
        let (code, status, ray) = match self {
            ApiError::Refused(refusal) => (refusal.code, Some(refusal.status), refusal.ray.clone()),
            ApiError::Ambiguous { ray, status, .. } => (None, *status, ray.clone()),
            ApiError::Unsent { .. } | ApiError::Stopped => (None, None, None),
        };
        let permission = self.missing_permission().map(Permission::name);
        let members = [
            ("code", json!(code)),
            ("status", json!(status)),
            ("cf_ray", json!(ray)),
            ("permission", json!(permission)),
        ];
        members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let with_ray = |f: &mut std::fmt::Formatter<'_>, ray: &Option<String>| match ray {
            Some(ray) => write!(f, " (cf-ray {ray})"),
            None => Ok(()),
        };
        match self {
            ApiError::Refused(refusal) => {
                let ApiRefusal { call, status, code, message, ray, .. } = &**refusal;
                write!(f, "Cloudflare's API refused {call}: ")?;
                match code {
                    Some(code) => write!(f, "error {code} (HTTP {status})")?,
                    None => write!(f, "HTTP {status}")?,
                }
                if !message.is_empty() {
                    write!(f, ", \"{message}\"")?;
                }
                with_ray(f, ray)?;
                match self.missing_permission() {
                    Some(permission) => {
                        write!(f, "; the API token may lack the permission \"{}\"", permission.name())
                    }
                    None => Ok(()),
                }
            }
            ApiError::Unsent { call, reason, .. } => {
                write!(f, "Cloudflare's API could not be reached for {call}: {reason}")
            }
            ApiError::Ambiguous { call, reason, ray, .. } => {
                match call.starts_with("GET ") {
                    true => write!(f, "Cloudflare's API gave no usable answer to {call}: {reason}")?,
                    false => write!(f, "Cloudflare's API did not say whether {call} took effect: {reason}")?,
                }
                with_ray(f, ray)
            }
            ApiError::Stopped => write!(f, "the command was stopped"),
        }
    }
}

/// The client.
pub(super) struct Api<'a> {
    http: Http,
    base: Url,
    token: Secret,
    output: &'a AccessOutput<'a>,
    stop: &'a Stop,
    waited: Cell<Duration>,
}

/// One answer: its status, its ray and its body.
struct Answer {
    status: u16,
    ray: Option<String>,
    wait: Option<Duration>,
    text: String,
}

impl<'a> Api<'a> {
    /// A client for the API at `base`.
    pub(super) fn new(
        base: Url,
        token: Secret,
        environment: &Environment,
        output: &'a AccessOutput<'a>,
        stop: &'a Stop,
    ) -> Result<Api<'a>, AccessFailure> {
        let http = http(&base, environment)?;
        Ok(Api { http, base, token, output, stop, waited: Cell::new(Duration::ZERO) })
    }

    /// Reads one object.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        Ok(self.read(path, &[]).await?.remove("result").unwrap_or_default())
    }

    /// Reads a list, all pages of it.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        size: u32,
    ) -> Result<Vec<Value>, ApiError> {
        let (mut all, mut page) = (Vec::new(), 1_u64);
        loop {
            let (number, size) = (page.to_string(), size.to_string());
            let mut query = query.to_vec();
            query.extend([("page", number.as_str()), ("per_page", &size)]);
            let mut envelope = self.read(path, &query).await?;
            let pages =
                envelope.get("result_info").and_then(|info| info.get("total_pages")).and_then(Value::as_u64);
            match envelope.remove("result") {
                Some(Value::Array(items)) => all.extend(items),
                Some(Value::Null) | None => {}
                Some(_) => {
                    let call = call(&Method::GET, path);
                    let reason = "the answer holds no list".to_owned();
                    return Err(ApiError::Ambiguous { call, reason, ray: None, status: None });
                }
            }
            if page >= pages.unwrap_or(1).min(MOST_PAGES) {
                return Ok(all);
            }
            page = page.saturating_add(1);
        }
    }

    /// Reads an envelope; a read that fails once is repeated.
    async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Map<String, Value>, ApiError> {
        match self.send(&Method::GET, path, query, None).await {
            Err(ApiError::Unsent { .. } | ApiError::Ambiguous { .. }) => {
                tokio::time::sleep(PAUSE).await;
                self.send(&Method::GET, path, query, None).await
            }
            other => other,
        }
    }

    /// Changes something, once.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut envelope = self.send(&method, path, &[], body).await?;
        Ok(envelope.remove("result").unwrap_or_default())
    }

    /// Asks, without an effect, whether the token may change applications and policies: an application without a type is
    /// refused as invalid to a token that may, and as unauthorized to one that may not.
    pub(super) async fn probe_permission(&self, path: &str) -> Result<(), ApiError> {
        let probe = json!({});
        let mut answer = self.write(Method::POST, path, Some(&probe)).await;
        if matches!(answer, Err(ApiError::Unsent { .. } | ApiError::Ambiguous { .. })) {
            tokio::time::sleep(PAUSE).await;
            answer = self.write(Method::POST, path, Some(&probe)).await;
        }
        match answer {
            Ok(_) => Ok(()),
            Err(ApiError::Refused(refusal))
                if matches!(refusal.status, 400 | 422)
                    && ![Some(9999), Some(7000), Some(7003), Some(6003)].contains(&refusal.code)
                    || refusal.code == Some(12130) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a request, and again when the API asked to wait.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Map<String, Value>, ApiError> {
        loop {
            let answer = self.exchange(method, path, query, body).await?;
            if answer.status != 429 {
                return envelope(method, path, answer);
            }
            let wait = wait(answer.wait);
            let total = self.waited.get().saturating_add(wait);
            if total > LONGEST_WAIT {
                self.output.note(&format!(
                    "the API's rate limit is reached (429), and it asks to wait {} seconds, which is longer than this command waits",
                    wait.as_secs_f64().ceil()
                ));
                return envelope(method, path, answer);
            }
            self.waited.set(total);
            self.output.note(&format!(
                "the API's rate limit is reached (429): waiting {} seconds, as it asks, before {}",
                wait.as_secs_f64().ceil(),
                call(method, path)
            ));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.requested() => return Err(ApiError::Stopped),
            }
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        let named = || call(method, path);
        let unsent = |reason: String| ApiError::Unsent { call: named(), reason, advice: None };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let client = self.http.client();
        let mut request = client
            .request(method.clone(), url)
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .header(
                AUTHORIZATION,
                bearer(&self.token).ok_or_else(|| unsent("the API token is no header value".to_owned()))?,
            );
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answered = async {
            let response = client.send(request).await?;
            let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.trim().to_owned());
            let (ray, wait) = (header("cf-ray"), header("retry-after"));
            let status = response.status().as_u16();
            let mut response = response;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if bytes.len().saturating_add(chunk.len()) > LIMIT {
                    break;
                }
                bytes.extend_from_slice(&chunk);
            }
            let ray = ray.map(|ray| redact::foreign(&ray).chars().take(80).collect());
            let wait = wait.as_deref().and_then(delay);
            Ok::<_, reqwest::Error>(Answer {
                status,
                ray,
                wait,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        };
        let ambiguous =
            |reason: String| ApiError::Ambiguous { call: named(), reason, ray: None, status: None };
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                let report = diagnosis::transport(&self.base, &self.http.transport_error(&self.base, &error));
                let (reason, advice) = (report.to_string(), report.advice.as_deref().map(str::to_owned));
                Err(ApiError::Unsent { call: named(), reason, advice })
            }
            Ok(Err(_)) => Err(ambiguous("the connection broke before the answer came".to_owned())),
            Err(_) => Err(ambiguous(format!("no answer came within {} seconds", PATIENCE.as_secs()))),
        }
    }
}

/// The HTTP client for a host: proxies and authorities of the environment, nothing else.
pub(super) fn http(url: &Url, environment: &Environment) -> Result<Http, AccessFailure> {
    let authorities = environment.get("NODE_EXTRA_CA_CERTS").filter(|path| !path.is_empty());
    let settings = Settings {
        connect_timeout: Some(CONNECT_PATIENCE),
        patience: Patience { head: Some(PATIENCE), gap: Some(PATIENCE) },
        trust: Trust {
            authorities: Vec::new(),
            late_authorities: authorities.map(Into::into),
            identity: None,
            pins: Vec::new(),
        },
        proxy: None,
        family: Family::Any,
        cookies: false,
        inspect: false,
    };
    Http::new(url, settings).map_err(|error| {
        AccessFailure::new(
            format!("the HTTP client cannot be set up: {error}"),
            "report this, with the platform and the version (mcp-tether --version)",
        )
    })
}

/// The address of the API: Cloudflare's, or one on this computer that the environment names.
pub(super) fn base(environment: &Environment) -> Result<(Url, bool), AccessFailure> {
    let Some(text) = environment.get(BASE_VARIABLE).map(str::trim).filter(|text| !text.is_empty()) else {
        let base =
            Url::parse(BASE).map_err(|_| AccessFailure::new("the API has no address", "report this"))?;
        return Ok((base, false));
    };
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && is_loopback(url)
            && url.username().is_empty()
            && url.password().is_none()
            && !text.contains('@')
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let url = url.ok_or_else(|| {
        AccessFailure::new(
            format!("{BASE_VARIABLE} is not an address of this computer without a user name"),
            format!("unset {BASE_VARIABLE}, or set it to an address such as http://127.0.0.1:8080"),
        )
    })?;
    Ok((url, true))
}

/// How long a rate limit is waited for.
fn wait(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(USUAL_WAIT).max(SHORTEST_WAIT)
}

/// How long `Retry-After` asks to wait: seconds, or a date (RFC 9110, 10.2.3).
fn delay(text: &str) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // More than any command waits.
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(Duration::MAX),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(super::time::now()).unwrap_or_default())
        }
    }
}

fn bearer(token: &Secret) -> Option<http::HeaderValue> {
    let mut value = http::HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A call as it is named in errors, without ids.
fn call(method: &Method, path: &str) -> String {
    let is_id = |part: &str| part.len() >= 20 && part.bytes().any(|byte| byte.is_ascii_digit());
    let shown: Vec<&str> = path.split('/').map(|part| if is_id(part) { "…" } else { part }).collect();
    format!("{method} {}", shown.join("/"))
}

/// The envelope of a success, or what the API says against the call.
fn envelope(method: &Method, path: &str, answer: Answer) -> Result<Map<String, Value>, ApiError> {
    let Answer { status, ray, text, .. } = answer;
    let parsed = match serde_json::from_str(&text) {
        Ok(Value::Object(members)) => Some(members),
        Ok(_) | Err(_) => None,
    };
    let named = call(method, path);
    if (200..300).contains(&status) {
        return match parsed {
            Some(members) if members.get("success") != Some(&Value::Bool(false)) => Ok(members),
            Some(members) => Err(refusal(named, path, status, Some(&members), &text, ray)),
            None if text.is_empty() && *method == Method::DELETE => Ok(Map::new()),
            None => {
                let reason = "its answer is not JSON".to_owned();
                Err(ApiError::Ambiguous { call: named, reason, ray, status: Some(status) })
            }
        };
    }
    match status {
        // A server may do as it is asked, and then send the program on (RFC 9110, 15.4.4).
        300..400 if *method != Method::GET => {
            let reason = format!("it answered HTTP {status}, a redirect, which is never followed");
            Err(ApiError::Ambiguous { call: named, reason, ray, status: Some(status) })
        }
        408 | 500.. => {
            let detail = parsed.as_ref().and_then(|members| first_error(members).1);
            let detail = detail.map(|detail| format!(", \"{}\"", shown(&detail))).unwrap_or_default();
            let reason = format!("it answered HTTP {status}{detail}");
            Err(ApiError::Ambiguous { call: named, reason, ray, status: Some(status) })
        }
        _ => Err(refusal(named, path, status, parsed.as_ref(), &text, ray)),
    }
}

fn refusal(
    call: String,
    path: &str,
    status: u16,
    members: Option<&Map<String, Value>>,
    text: &str,
    ray: Option<String>,
) -> ApiError {
    let (code, message) = match members {
        Some(members) => first_error(members),
        // Cloudflare's edge answers with a page or a line of text.
        None => (None, text.contains("1010").then(|| "error code: 1010".to_owned())),
    };
    let message = message.map(|message| shown(&message)).unwrap_or_default();
    ApiError::Refused(Box::new(ApiRefusal { call, path: path.to_owned(), status, code, message, ray }))
}

/// The code and the messages of an envelope's first error, with its chain.
fn first_error(members: &Map<String, Value>) -> (Option<i64>, Option<String>) {
    let Some(error) = members.get("errors").and_then(|errors| errors.get(0)) else { return (None, None) };
    let message = |error: &Value| error.get("message").and_then(Value::as_str).map(str::to_owned);
    let chain = error.get("error_chain").and_then(Value::as_array).into_iter().flatten().filter_map(message);
    let messages: Vec<String> = message(error).into_iter().chain(chain).collect();
    (error.get("code").and_then(Value::as_i64), (!messages.is_empty()).then(|| messages.join(": ")))
}

/// A text of the API's, as it may be shown.
fn shown(text: &str) -> String {
    redact::foreign(text).chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, text: &str) -> Result<Map<String, Value>, ApiError> {
        let answer = Answer { status, ray: Some("8a-TST".to_owned()), wait: None, text: text.to_owned() };
        envelope(&Method::POST, "/accounts/a/access/apps", answer)
    }

    #[test]
    fn answers_say_whether_a_call_took_effect() {
        assert!(read(201, r#"{"success":true,"result":{"id":"1"}}"#).is_ok());
        for (status, text, ambiguous) in [
            (201, "<html>", true),
            (200, r#"{"success":false,"errors":[{"code":12130,"message":"no"}]}"#, false),
            (400, r#"{"success":false,"errors":[{"code":12130,"message":"no"}]}"#, false),
            (403, "<html>error code: 1010</html>", false),
            (302, "", true),
            (307, "", true),
            (408, "", true),
            (500, "", true),
            (504, "<html>", true),
        ] {
            let error = read(status, text).expect_err("no success");
            assert_eq!(error.is_ambiguous(), ambiguous, "{status} {text}: {error}");
        }
    }

    #[test]
    fn unusable_answer_to_a_read_names_no_effect() {
        let answer = Answer { status: 200, ray: None, wait: None, text: "<html>".to_owned() };
        let error = envelope(&Method::GET, "/zones", answer).expect_err("no JSON").to_string();
        assert!(error.contains("no usable answer to GET /zones") && !error.contains("effect"), "{error}");
        let answer = Answer { status: 302, ray: None, wait: None, text: String::new() };
        let error = envelope(&Method::GET, "/zones", answer).expect_err("a redirect");
        assert!(!error.is_ambiguous(), "{error}");
    }

    #[test]
    fn errors_show_code_message_ray_and_permission() {
        let error = read(403, r#"{"errors":[{"code":10000,"message":"Authentication error"}]}"#)
            .expect_err("refused");
        let text = error.to_string();
        for part in ["10000", "HTTP 403", "Authentication error", "8a-TST", "Access: Apps and Policies"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn base_takes_loopback_addresses_without_userinfo() {
        for (text, ok) in [
            ("http://127.0.0.1:9/x", true),
            ("http://localhost:9", true),
            ("http://[::1]:9", true),
            ("https://api.example.com", false),
            ("http://user@127.0.0.1:9", false),
            ("http://@127.0.0.1:9", false),
            ("ftp://127.0.0.1", false),
            ("http://127.0.0.1.example.com", false),
            ("http://127.0.0.1:9?x", false),
            ("nonsense", false),
        ] {
            let environment = Environment::from_iter([(BASE_VARIABLE.to_owned(), text.to_owned())]);
            let found = base(&environment);
            assert_eq!(found.is_ok(), ok, "{text}");
            if let Err(failure) = found {
                assert!(failure.sentence.contains(BASE_VARIABLE));
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(delay("soon"), None);
        assert_eq!(delay("99999999999999999999"), Some(Duration::MAX));
        assert_eq!(wait(Some(Duration::ZERO)), SHORTEST_WAIT);
        assert!(wait(delay("99999999999999999999")) > LONGEST_WAIT);
    }
}
