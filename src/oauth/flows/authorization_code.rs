//! One sign-in from beginning to end, in the order in which it happens: who signs people in, who we are there, the page,
//! the way back, the token.
//!
//! What is under way is noted where another process can go on with it. Deliberately not here: when a sign-in is due, and
//! who waits for it (`super`).

use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::auth::Credentials;
use crate::oauth::authorization_request::{Request, Returned, Wanted, scope};
use crate::oauth::browser;
use crate::oauth::challenge::Invitation;
use crate::oauth::client::Client;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::Query;
use crate::oauth::failure::FailureKind;
use crate::oauth::flows::callback::{Callback, Page};
use crate::oauth::flows::registration::{introduce, port_of};
use crate::oauth::flows::token;
use crate::oauth::flows::token::Refused;
use crate::oauth::http::Wire;
use crate::oauth::http::error_response;
use crate::oauth::issuer;
use crate::oauth::metadata::Authorization;
use crate::oauth::progress::Step;
use crate::oauth::sign_in_error::{Errand, Trouble, foreign, place};
use crate::oauth::state::Inner;
use crate::oauth::store::{Asked, Begun, Flow, Kept, Tokens, off_loop};
use crate::redact;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a page that was opened is not opened again, in seconds.
const STILL_OPEN: u64 = 60;

/// Signs a person in, with a scope that a token needs beyond what was asked for before.
pub(in crate::oauth) async fn sign_in(
    inner: &Inner,
    invitation: &Invitation,
    credentials: &Credentials,
    wanted: Option<&str>,
    lock: &mut Flow,
    progress: &watch::Sender<Step>,
) -> Result<Tokens, Trouble> {
    let settings = &inner.settings;
    let wire = Wire { http: &inner.http, server: &settings.url, credentials };
    if let Some((begun, way)) = begun_before(inner, wanted, lock).await {
        info!("a sign-in that another process began is gone on with");
        match finish(inner, &wire, begun, &way, lock, progress).await {
            Ok(tokens) => return Ok(tokens),
            // Nobody said no, nor waited in vain: perhaps it is only old.
            Err(refused @ (Refused::Grant(_) | Refused::Client(_))) => {
                info!("that sign-in failed, a new one begins: {}", refused.trouble());
            }
            Err(Refused::Otherwise(trouble)) => return Err(trouble),
        }
    }
    let mut kept = inner.kept().await?;
    let before = issuer::preferred(settings, &kept);
    let found = discovery::discover(&wire, &Query::new(settings, before), invitation).await?;
    issuer::accept(settings, &kept, &found.authorization)?;
    let scope = scope(settings.scope.as_deref(), wanted, found.scopes.as_deref(), &found.authorization);
    let resource = settings.resource.clone().or(found.resource).unwrap_or_default();
    let mut is_second = false;
    loop {
        let now = seconds(wall_clock());
        let us = introduce(&wire, settings, &found.authorization, &kept, scope.as_deref(), now).await;
        let us = us.map_err(|trouble| trouble.of_kind(FailureKind::Registration))?;
        if us.is_ours && !kept.registrations.contains(&us.client) {
            let remember = |kept: &mut Kept| {
                kept.registrations
                    .retain(|client| client.issuer != us.client.issuer || client.redirect_uris.is_empty());
                kept.registrations.push(us.client.clone());
            };
            inner.change(remember).await?;
        }
        let request = Request::new(
            &found.authorization,
            &Wanted {
                client: &us.client.client_id,
                resource: settings.names_resource.then_some(resource.as_str()),
                scope: scope.as_deref(),
                redirect: &us.redirect,
                parameters: &settings.parameters,
            },
        );
        let Some(request) = request else {
            let sentence = format!("{} names no page to sign in at", foreign(&found.authorization.issuer));
            return Err(Trouble::failed(sentence, "have its metadata looked at"));
        };
        redact::register_token(&request.verifier);
        let begun = Begun {
            at: now,
            asked: Asked::Page(request.clone()),
            authorization: found.authorization.clone(),
            resource: resource.clone(),
            client: us.client.clone(),
        };
        Inner::note(lock, Some(Begun { client: inner.storable(&us.client), ..begun.clone() })).await;
        let elsewhere = show(inner, &request, &found.authorization);
        let way = Way { request, callback: us.callback, elsewhere };
        match finish(inner, &wire, begun, &way, lock, progress).await {
            Ok(tokens) => return Ok(tokens),
            // The authorization server has forgotten us: once more, with a new introduction.
            Err(Refused::Client(_)) if us.is_ours && !is_second => {
                is_second = true;
                kept = inner.change(|kept| kept.registrations.retain(|client| *client != us.client)).await?;
            }
            Err(refused) => return Err(refused.trouble().of_kind(FailureKind::Token)),
        }
    }
}

/// A page that the user was sent to, and the way back.
struct Way {
    request: Request,
    callback: Callback,
    /// The command by which a browser of another computer can be used, where none could be opened here.
    elsewhere: Option<String>,
}

/// The sign-in that a process which is gone has begun, with the listener that its page leads back to.
async fn begun_before(inner: &Inner, wanted: Option<&str>, lock: &mut Flow) -> Option<(Begun, Way)> {
    let begun = left_behind(inner, wanted, lock).await?;
    let Asked::Page(request) = begun.asked.clone() else { return None };
    let age = seconds(wall_clock()).checked_sub(begun.at)?;
    if age >= PATIENCE.as_secs() {
        doubt(inner, &begun).await;
        return None;
    }
    if !leads_back(inner, &request) {
        return None;
    }
    let port = port_of(&request.redirect)?;
    let callback = Callback::bind(&inner.settings, Some(port)).await.ok()?;
    let elsewhere = if age >= STILL_OPEN {
        show(inner, &request, &begun.authorization)
    } else {
        let login = &inner.login;
        warn!(
            "sign in at {} (the page may be open already; if it shows an error, get another one: {login})",
            request.url
        );
        None
    };
    Some((begun, Way { request, callback, elsewhere }))
}

/// What a process that is gone has begun, if it is still what is wanted.
pub(in crate::oauth) async fn left_behind(inner: &Inner, wanted: Option<&str>, lock: &Flow) -> Option<Begun> {
    let lock = lock.shared();
    let mut begun = off_loop(move || lock.begun()).await?;
    let covers =
        |word: &str| begun.asked.scope().is_some_and(|scope| scope.split(' ').any(|other| other == word));
    if !wanted.is_none_or(|wanted| wanted.split(' ').all(covers)) {
        return None;
    }
    let kept = inner.kept().await.ok()?;
    if !is_us(inner, &kept, &begun) || issuer::accept(&inner.settings, &kept, &begun.authorization).is_err() {
        return None;
    }
    if let Some(client) = &inner.settings.client {
        begun.client.client_secret.clone_from(&client.client_secret);
        begun.client.key.clone_from(&client.key);
    }
    Some(begun)
}

/// Nobody came back from a page: perhaps because it knows us no more, which it could only tell the person. The next one is
/// that of a new introduction.
async fn doubt(inner: &Inner, begun: &Begun) {
    let is_other = |client: &Client| client.client_id != begun.client.client_id;
    // Where that cannot be noted, the next one is as good as this one.
    let _ = inner.change(|kept| kept.registrations.retain(is_other)).await;
}

/// Tells whether a sign-in was begun by whom the options name now, and for what.
fn is_us(inner: &Inner, kept: &Kept, begun: &Begun) -> bool {
    let settings = &inner.settings;
    let id = &begun.client.client_id;
    let is_us = match (&settings.client, &settings.client_metadata_url) {
        (Some(client), _) => client.client_id == *id,
        (None, Some(url)) if url.as_str() == id => true,
        (None, _) => kept.registrations.iter().any(|client| client.client_id == *id),
    };
    is_us && settings.resource.as_deref().is_none_or(|resource| resource == begun.resource)
}

/// Tells whether it leads back to where the options say now.
fn leads_back(inner: &Inner, request: &Request) -> bool {
    let settings = &inner.settings;
    let Ok(back) = url::Url::parse(&request.redirect) else { return false };
    back.path() == settings.callback_path
        && settings.port.is_none_or(|port| back.port() == Some(port))
        && settings.host.as_deref().is_none_or(|host| back.host_str() == Some(host))
}

/// Has the page opened, or says where it is. Returns the command by which a browser of another computer can be used, where none
/// could be opened here.
fn show(inner: &Inner, request: &Request, authorization: &Authorization) -> Option<String> {
    let (settings, url) = (&inner.settings, &request.url);
    if settings.pasted.is_some() {
        warn!("sign in at {url}");
        warn!(
            "in a browser on any computer; then paste the address that it ends at here. It begins with {}, and need not load",
            request.redirect
        );
        return None;
    }
    if browser::open(url, &settings.url, &settings.browser) {
        warn!(
            "sign in at {url} (a browser should have opened; if the page shows an error, get another one: {})",
            inner.login
        );
        return None;
    }
    warn!("sign in at {url} (if the page shows an error, get another one: {})", inner.login);
    let command = elsewhere(inner, authorization);
    warn!("no browser could be opened here; with one on another computer: {command}");
    Some(command)
}

/// The command to sign in by where no browser can come back to this computer: with a code, where the authorization server gives
/// any.
fn elsewhere(inner: &Inner, authorization: &Authorization) -> String {
    let option = match authorization.device_authorization_endpoint {
        Some(_) => "--device-code",
        None => "--paste",
    };
    inner.settings.identity.command_with("login", Some(option))
}

/// Waits for what comes back with the user: at the listener, with the page that waits for what becomes of it, or pasted. None where
/// nothing can be pasted any more.
async fn returned(
    inner: &Inner,
    way: &Way,
    authorization: &Authorization,
) -> Option<(Returned, Option<Page>)> {
    let at_listener = way.callback.answer(&way.request, authorization);
    let Some(pasted) = &inner.settings.pasted else {
        let (returned, page) = at_listener.await;
        return Some((returned, Some(page)));
    };
    tokio::select! {
        (returned, page) = at_listener => Some((returned, Some(page))),
        returned = pasted.answer(&way.request, authorization) => returned.map(|returned| (returned, None)),
    }
}

/// Waits for the person, and makes tokens of what they bring back.
async fn finish(
    inner: &Inner,
    wire: &Wire<'_>,
    begun: Begun,
    way: &Way,
    lock: &mut Flow,
    progress: &watch::Sender<Step>,
) -> Result<Tokens, Refused> {
    let at = place(&inner.settings.url);
    let errand = Errand { elsewhere: way.elsewhere.clone(), ..begun.asked.errand() };
    let _ = progress.send(Step::Waiting(errand));
    let answer = tokio::time::timeout(PATIENCE, returned(inner, way, &begun.authorization)).await;
    // Whoever goes on when this process is gone would wait for an answer that has come.
    Inner::note(lock, None).await;
    let Ok(answer) = answer else {
        doubt(inner, &begun).await;
        let sentence = format!("nobody signed in at {at} within {} minutes", PATIENCE.as_secs() / 60);
        let advice = format!(
            "try again, and sign in on the page that opens; if a browser cannot come back to this computer: {}",
            elsewhere(inner, &begun.authorization)
        );
        let trouble = Trouble::failed(sentence, advice);
        return Err(Refused::Otherwise(trouble.of_kind(FailureKind::TimedOut)));
    };
    let Some((returned, page)) = answer else {
        let sentence = format!("nobody signed in at {at}: the input ended before an address was pasted");
        let advice = "try again, and paste the address that the browser ends at; the input has to stay open until then";
        return Err(Refused::Otherwise(Trouble::failed(sentence, advice)));
    };
    let _ = progress.send(Step::Preparing);
    let obtained = match returned {
        Returned::Code(code) => exchange(inner, wire, &begun, &way.request, &code).await,
        Returned::Refused(error, said) => {
            let description = said.as_deref().map(|text| format!(" ({})", foreign(text))).unwrap_or_default();
            let sentence = format!(
                "{} did not sign you in for {at}: {}{description}",
                foreign(&begun.authorization.issuer),
                foreign(&error)
            );
            let advice = match () {
                () if error_response::is_about_resource(&error, said.as_deref()) => token::LEAVE_OUT_RESOURCE,
                () if error_response::is_about_redirect(&error, said.as_deref()) => {
                    "have this computer's address registered for the client there, or spell it is registered: \
                     --host localhost"
                }
                () => "try again; if it stays like this, ask whoever runs the server",
            };
            let trouble = Trouble::failed(sentence, advice).of_kind(FailureKind::Denied);
            Err(match error.as_str() {
                "invalid_client" | "unauthorized_client" => Refused::Client(trouble),
                _ => Refused::Otherwise(trouble),
            })
        }
        Returned::WrongIssuer(issuer) => {
            let named = issuer.map_or_else(|| "nobody".to_owned(), |issuer| foreign(&issuer));
            let sentence = format!(
                "the answer to the sign-in for {at} names {named} as its issuer, not {}",
                foreign(&begun.authorization.issuer)
            );
            let advice = "do not go on; tell whoever runs the server, for somebody may be mixing up sign-ins";
            Err(Refused::Otherwise(Trouble::failed(sentence, advice)))
        }
    };
    if let Some(page) = page {
        say(page, &at, &obtained, inner.settings.success_url.as_ref().map(url::Url::as_str)).await;
    }
    obtained
}

async fn say(page: Page, at: &str, obtained: &Result<Tokens, Refused>, elsewhere: Option<&str>) {
    match obtained {
        Ok(_) => page.succeed(at, elsewhere).await,
        Err(Refused::Client(trouble) | Refused::Grant(trouble) | Refused::Otherwise(trouble)) => {
            page.fail(&trouble.to_string(), trouble.advice()).await;
        }
    }
}

/// A code becomes tokens, which are kept.
async fn exchange(
    inner: &Inner,
    wire: &Wire<'_>,
    begun: &Begun,
    request: &Request,
    code: &str,
) -> Result<Tokens, Refused> {
    redact::register_token(code);
    let mut grant = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &request.redirect),
        ("code_verifier", &request.verifier),
    ];
    if inner.settings.names_resource {
        grant.push(("resource", &begun.resource));
    }
    inner.bind(&begun.authorization).await.map_err(Refused::Otherwise)?;
    let _asking = inner.asking.read().await;
    let tokens = token::ask(wire, &begun.authorization, &begun.client, &grant, wall_clock()).await?;
    Ok(keep(inner, begun, tokens).await)
}

/// Keeps the tokens of a person who has signed in.
pub(in crate::oauth) async fn keep(inner: &Inner, begun: &Begun, tokens: Tokens) -> Tokens {
    let tokens = Tokens { requested: begun.asked.scope().map(str::to_owned), ..tokens };
    tokens.learn();
    let client: Client = inner.storable(&begun.client);
    inner
        .record(|kept| {
            kept.resource = Some(begun.resource.clone());
            kept.authorization = Some(begun.authorization.clone());
            kept.client = Some(client);
            kept.tokens = Some(tokens.clone());
            (kept.omits_resource, kept.refused_at) = (false, None);
        })
        .await;
    info!("signed in at {} for {}", foreign(&begun.authorization.issuer), place(&inner.settings.url));
    tokens
}
