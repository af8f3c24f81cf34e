//! The commands that manage sign-ins (`login`, `logout`, `tokens`): what they do and print.
//!
//! Deliberately not here: signing in and out (`oauth`).

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use super::console::{print, tell};
use super::terminal::Terminal;
use super::{begin_logging, resolved, runtime};
use crate::auth::access_proof::AccessProof;
use crate::auth::credential_provider::CredentialProvider;
use crate::cli::{AuthCommand, Options};
use crate::client_config::switch::Console;
use crate::config::{self, Config, Environment};
use crate::http::Http;
use crate::oauth::store::listing::{StoredEntry, stored_sign_ins};
use crate::oauth::{HeldTokens, ListedSignIn, OAuth, Pasted, SignInError, SignInSettings};
use crate::platform::Waiting;
use crate::redact;
use crate::startup_error::{STOPPED, StartupError, UNUSABLE};
use crate::stdio;

/// Runs `login`, `logout` or `tokens`.
#[inline(never)]
pub(super) fn run_auth_command(
    command: AuthCommand,
    options: &Options,
    environment: &Environment,
) -> Result<ExitCode, StartupError> {
    if let AuthCommand::Logout { all: true, is_agreed } = command
        && options.positional.is_empty()
    {
        return sign_out_of_all_servers(is_agreed, options, environment);
    }
    let Some(config) = resolved(options, environment) else { return Ok(ExitCode::from(STOPPED)) };
    let config = config?;
    let stores_tokens = config.sign_in.as_ref().is_none_or(SignInSettings::stores_tokens);
    if !stores_tokens && !matches!(command, AuthCommand::Login { .. }) {
        tell("no sign-in is stored: with --workload-identity each process obtains its own token");
        return Ok(ExitCode::FAILURE);
    }
    let (oauth, provider) = sign_in_of(config, command)?;
    let login = oauth.login().to_owned();
    let work = async {
        match command {
            AuthCommand::Login { .. } => {
                oauth.log_in(&provider).await.map(|()| Some("you are signed in".to_owned()))
            }
            AuthCommand::Logout { all: false, .. } => {
                let was_there = oauth.log_out(&provider.current().await.credentials).await?;
                Ok(was_there.then(|| "you are signed out".to_owned()))
            }
            AuthCommand::Logout { all: true, .. } => {
                let (count, elsewhere) =
                    oauth.log_out_everywhere(&provider.current().await.credentials).await?;
                elsewhere.iter().for_each(|entry| tell(&left(entry)));
                Ok((count > 0).then(|| format!("you are signed out of {}", sign_ins(count))))
            }
            AuthCommand::Tokens => {
                let mut texts: Vec<String> = oauth.list().await?.iter().map(shown).collect();
                let held = oauth.held_at_provider().await?;
                texts.extend(held.map(|held| format!("identity provider\n{}", shown_tokens(&held))));
                Ok((!texts.is_empty()).then(|| texts.join("\n\n")))
            }
        }
    };
    Ok(match unless_stopped(work)? {
        None => ExitCode::from(STOPPED),
        Some(Ok(Some(text))) => print(&format!("{text}\n")),
        Some(Ok(None)) => {
            tell(&format!("no sign-in is stored for this server and these options; sign in: {login}"));
            ExitCode::FAILURE
        }
        Some(Err(trouble)) => {
            tell_error(&trouble);
            ExitCode::FAILURE
        }
    })
}

/// The sign-in that the options describe, and the entry's own credentials.
fn sign_in_of(config: Config, command: AuthCommand) -> Result<(OAuth, CredentialProvider), StartupError> {
    let Some(mut settings) = config.sign_in else {
        return Err(StartupError::nowhere_to_sign_in());
    };
    if command == (AuthCommand::Login { paste: true }) {
        settings.pasted = Some(Pasted::read(Waiting(std::io::stdin())));
    }
    let http = Arc::new(Http::new(&config.url, config.connection).map_err(StartupError::setup)?);
    let proof = AccessProof::of(&config.url, &http, config.folder, config.found.needs_proof());
    let provider = CredentialProvider::fixed(config.found.credentials).with_proof(proof);
    Ok((OAuth::new(settings, http).without_failure_log(), provider))
}

/// Does the work of a command. None when a signal comes first.
fn unless_stopped<T>(work: impl Future<Output = T>) -> Result<Option<T>, StartupError> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => Some(done),
            // Once a signal was watched, as while commands run, it does not end the process by itself any more.
            () = stdio::stop_signal() => None,
        }
    });
    runtime.shutdown_background();
    Ok(done)
}

/// Signs out of every stored sign-in, after the user has agreed.
fn sign_out_of_all_servers(
    is_agreed: bool,
    options: &Options,
    environment: &Environment,
) -> Result<ExitCode, StartupError> {
    begin_logging(options, environment)?;
    let entries =
        config::folder(environment).map(|folder| stored_sign_ins(&folder, None)).unwrap_or_default();
    if entries.is_empty() {
        tell("no sign-in is stored");
        return Ok(ExitCode::FAILURE);
    }
    let mut terminal = Terminal;
    if !is_agreed {
        if !terminal.can_ask() {
            tell(
                "error: logout --all without a URL signs out of every server, and nothing is here to ask\n  \
                 try: add --yes, or the URL of a server",
            );
            return Ok(ExitCode::from(UNUSABLE));
        }
        entries.iter().for_each(|entry| tell(&format!("  {}", named(entry))));
        if !terminal.ask(&format!("Sign out of {}?", sign_ins(entries.len()))) {
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut code = ExitCode::SUCCESS;
    for entry in &entries {
        match sign_out_of(entry, options, environment)? {
            None => return Ok(ExitCode::from(STOPPED)),
            Some(Ok(true)) => print(&format!("signed out: {}\n", named(entry))),
            Some(Ok(false)) => {
                tell(&left(entry));
                code = ExitCode::FAILURE;
                continue;
            }
            Some(Err(trouble)) => {
                tell_error(&trouble);
                code = ExitCode::FAILURE;
                continue;
            }
        };
    }
    Ok(code)
}

/// Signs out of one stored sign-in. Returns whether its token store is the one of the options; none when a signal comes first.
fn sign_out_of(
    entry: &StoredEntry,
    options: &Options,
    environment: &Environment,
) -> Result<Option<Result<bool, SignInError>>, StartupError> {
    let url = entry.resource.clone().unwrap_or_else(|| format!("https://{}/", entry.host()));
    let options = Options {
        // The sign-in took place there.
        allow_http: options.allow_http || url.starts_with("http://"),
        positional: vec![url],
        ..options.clone()
    };
    let config = Config::resolve(&options, environment).map_err(|error| StartupError::from(&error))?;
    let command = AuthCommand::Logout { all: true, is_agreed: true };
    let (oauth, provider) = sign_in_of(config, command)?;
    unless_stopped(async {
        match oauth.of_entry(entry) {
            None => Ok(false),
            Some(oauth) => oauth.log_out(&provider.current().await.credentials).await.map(|_| true),
        }
    })
}

fn tell_error(trouble: &SignInError) {
    tell(&redact::foreign_lines(&format!("error: {trouble}\n  try: {}", trouble.advice())));
}

fn sign_ins(count: usize) -> String {
    if count == 1 { "1 sign-in".to_owned() } else { format!("{count} sign-ins") }
}

/// Names a sign-in: its server and profile.
fn named(entry: &StoredEntry) -> String {
    let server = entry.resource.as_deref().map_or_else(|| entry.host().to_owned(), redact::foreign);
    match &entry.profile {
        Some(profile) => format!("{server}, profile {profile}"),
        None => server,
    }
}

/// Says that a sign-in rests in a token store that the options do not name.
fn left(entry: &StoredEntry) -> String {
    let store = entry.token_store.as_deref().unwrap_or("file");
    format!("{} rests in another token store ({store}): add its --token-store", named(entry))
}

/// Describes a stored sign-in without secrets.
fn shown(listed: &ListedSignIn) -> String {
    match listed {
        ListedSignIn::Held(held) => shown_tokens(held),
        ListedSignIn::Elsewhere(entry) => left(entry),
    }
}

fn shown_tokens(held: &HeldTokens) -> String {
    let runs_out = match held.expires_in {
        Some(0) => "has run out".to_owned(),
        Some(seconds) => format!("expires in {seconds} seconds"),
        None => "has no stated expiry".to_owned(),
    };
    let renews = if held.renews { "is renewed automatically" } else { "cannot be renewed" };
    let bound = if held.is_dpop_bound { ", bound to a key (DPoP)" } else { "" };
    let profile = held.profile.as_ref().map(|name| format!("profile:  {name}\n")).unwrap_or_default();
    let place = if held.is_in_file { "file:    " } else { "store:   " };
    format!(
        "{profile}issuer:   {}\nresource: {}\nscope:    {}\ntoken:    {runs_out}, {renews}{bound}\n{place} {}",
        redact::foreign(&held.issuer),
        redact::foreign(&held.resource),
        held.scope.as_deref().map_or_else(|| "(not stated)".to_owned(), redact::foreign),
        held.place
    )
}
