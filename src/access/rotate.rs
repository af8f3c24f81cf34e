//! `access rotate` and `access renew`: a new secret beside the old one, the end of the old one, and another year.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::account::Account;
use super::arguments::{Renew, Rotate};
use super::command::{Context, Existing, show};
use super::edge::{self, Checked};
use super::env_file::{self, EnvFile, HOSTS, PAIR, Pair};
use super::failure::AccessFailure;
use super::model::TokenRecord;
use super::plan::{PlanLine, PlanMark};
use super::sink::{self, Sink};
use super::state::{State, StateStore, TokenState};
use super::time;
use crate::auth::cf_access::NEXT;

/// The longest grace period that the dashboard offers.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) async fn run(options: &Rotate, context: &Context<'_>) -> Result<bool, AccessFailure> {
    let target = context.existing_target(options.common.url.as_deref())?;
    let grace = time::duration(&options.grace).filter(|grace| *grace <= LONGEST_GRACE).ok_or_else(|| {
        AccessFailure::usage(
            "the value of --grace is not a length of time of up to 30 days",
            "write one such as 24h, 7d or 0",
        )
    })?;
    let named = Sink::of(&options.sink);
    let api = context.api(&options.common).await?;
    let (store, state) = context.store(&target, !options.change.dry_run)?;
    let account = context.account(&api, &options.common, &target).await?;
    let named_file = named.as_ref().and_then(Sink::env_file);
    let existing = Existing::read(&account, target, &store, state, named_file).await?;
    let token = existing.required_token()?;
    if options.finish {
        return finish(options, context, &account, &existing, token, &store).await;
    }
    let grace_until = store.grace_until(&token.id).filter(|until| *until > time::seconds());
    if let Some(until) = grace_until {
        return Err(AccessFailure::new(
            format!(
                "the service token \"{}\" was rotated before, and the old secret is valid until {}: a second rotation would end it at once",
                token.name,
                time::format(until)
            ),
            format!("run `mcp-tether access rotate {} --finish` first", existing.target.url),
        ));
    }
    let sink = match named {
        Some(sink) => sink,
        None if existing.pair(token).is_some() => Sink::EnvFile(existing.path.clone()),
        None => {
            return Err(AccessFailure::new(
                format!(
                    "{} does not hold the service token \"{}\", so the new secret has no place to go",
                    existing.path.display(),
                    token.name
                ),
                "pass --env-file, --secret-to or --show-secret; nothing was rotated",
            ));
        }
    };
    let until = (!grace.is_zero())
        .then(|| time::seconds().saturating_add(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)));
    let (place, end) = (
        if options.next { format!("{}, as the _NEXT pair", sink.shown()) } else { sink.shown() },
        until.map_or_else(
            || "ends at once".to_owned(),
            |until| format!("stays valid until {}", time::format(until)),
        ),
    );
    let lines = [PlanLine::new(
        PlanMark::Changed,
        format!(
            "service token \"{}\": old secret -> new secret in {place}; the old secret {end}",
            token.name
        ),
    )];
    if !context.approve(&lines, &options.change).await? {
        return Ok(true);
    }
    context.stop.set_changing(true);
    let opened = sink.open(context.environment, sink.env_file() == Some(&store.default_env_file()))?;
    let rotated = account.rotate(&token.id, until).await;
    let (client_id, secret) = rotated.map_err(|error| match error.is_ambiguous() {
        true => AccessFailure::from(error).and(&format!(
            "; if it did, the new secret is lost and the old secret {end}. Rotate again before that"
        )),
        false => error.into(),
    })?;
    let pair = Pair::new(&client_id, &secret);
    let saved = opened.write(&pair, &existing.target.host, options.next, context.output).await;
    let mut state = remembered(&existing, token, &account.id);
    if let Sink::EnvFile(path) = &sink {
        state.env_file = Some(path.clone());
    }
    state.grace_until = until;
    let remembered = store.save(&state);
    if let Err(failure) = saved {
        return Err(rescue(failure, &pair, &existing, &store));
    }
    remembered?;
    context.output.set("applied", true);
    context.output.set("client_id", client_id);
    context.output.set("old_secret_valid_until", json!(until.map(time::format)));
    context.output.line(&format!("rotated: the new secret is in {place}; the old secret {end}"));
    if until.is_some() {
        let (url, refused) = (&existing.target.url, "when the old secret is refused");
        let proxies = match &sink {
            Sink::EnvFile(_) => format!("running proxies read the file again {refused}"),
            Sink::Command(_) | Sink::Show => {
                format!("give running proxies the new secret: they fail {refused}")
            }
        };
        context.output.line(&format!("{proxies}; `mcp-tether access rotate {url} --finish` ends it earlier"));
    }
    context.output.note("rotations made in the dashboard or on another computer are not visible here");
    context.stop.set_changing(false);
    report(edge::verify(&existing.target.url, Some(&pair), context.environment, true).await?, context)
}

/// Says what a check with the new secret found.
fn report(checked: Checked, context: &Context<'_>) -> Result<bool, AccessFailure> {
    context.output.set("verified", matches!(checked, Checked::Well));
    match checked {
        Checked::Well => Ok(true),
        Checked::Server(reason) => {
            context.output.line(&format!(
                "! Access lets the new secret through, but the server has a problem: {reason}"
            ));
            Ok(true)
        }
        Checked::Refused(reason) | Checked::Unclear(reason) => Err(AccessFailure::new(
            format!("the new secret is saved, but the check with it failed: {reason}"),
            "wait a minute, then run `mcp-tether access status`",
        )),
    }
}

/// The state of a server whose token is known.
fn remembered(existing: &Existing, token: &TokenRecord, account: &str) -> State {
    let mut state = existing.state.clone();
    state.account = account.to_owned();
    state.token = Some(TokenState {
        name: token.name.clone(),
        id: Some(token.id.clone()),
        before: Vec::new(),
        is_saved: true,
    });
    state
}

/// Saves a secret whose place failed at the last moment in the config directory.
fn rescue(failure: AccessFailure, pair: &Pair, existing: &Existing, store: &StateStore) -> AccessFailure {
    let path = store.rescue_file();
    let file = EnvFile::read(&path).and_then(|file| {
        let mut variables = pair.variables(PAIR);
        variables.push((HOSTS, Some(existing.target.host.clone())));
        file.write(&variables)
    });
    match file {
        Ok(()) => failure.and(&format!("; the new secret is in {} instead", path.display())),
        Err(error) => failure.and(&format!(
            "; the new secret is lost, because {} cannot be written either: {error}. Rotate again",
            path.display()
        )),
    }
}

/// Promotes the new secret, where it stands beside the old one, and ends the old one.
async fn finish(
    options: &Rotate,
    context: &Context<'_>,
    account: &Account<'_>,
    existing: &Existing,
    token: &TokenRecord,
    store: &StateStore,
) -> Result<bool, AccessFailure> {
    let next = existing.file.next_pair().filter(|pair| pair.client_id == token.client_id);
    let remembered_until = store.grace_until(&token.id);
    let until = remembered_until.filter(|until| *until > time::seconds());
    let mut lines = Vec::new();
    if next.is_some() {
        lines.push(PlanLine::new(
            PlanMark::Changed,
            format!("{}: the _NEXT pair becomes the pair", existing.path.display()),
        ));
    }
    match until {
        Some(until) => lines.push(PlanLine::new(
            PlanMark::Changed,
            format!(
                "service token \"{}\": old secret valid until {} -> ends now",
                token.name,
                time::format(until)
            ),
        )),
        None => lines.push(PlanLine::new(
            PlanMark::Same,
            format!("service token \"{}\": no grace period is known here", token.name),
        )),
    }
    if !context.approve(&lines, &options.change).await? {
        if until.is_none() && remembered_until.is_some() && !options.change.dry_run {
            store.end_grace(&token.id)?;
        }
        if until.is_none() {
            context
                .output
                .note("rotations made in the dashboard or on another computer are not visible here");
        }
        return Ok(true);
    }
    let pair = next.clone().or_else(|| existing.pair(token));
    if let Some(pair) = &pair
        && let Checked::Refused(reason) | Checked::Unclear(reason) =
            edge::verify(&existing.target.url, Some(pair), context.environment, true).await?
    {
        return Err(AccessFailure::new(
            format!("the old secret was not ended, because the new one does not open the server: {reason}"),
            "run `mcp-tether access status`, then run the command again",
        ));
    }
    context.stop.set_changing(true);
    if let Some(pair) = &next {
        let mut variables = pair.variables(PAIR);
        variables.extend(NEXT.map(|name| (name, None)));
        existing.file.write(&variables).map_err(|error| sink::unusable(&existing.path, &error))?;
    }
    if until.is_some() {
        let past = time::format(time::seconds().saturating_sub(1));
        account.update_token(token, json!({ "previous_client_secret_expires_at": past })).await?;
    }
    store.save(&State { grace_until: None, ..remembered(existing, token, &account.id) })?;
    store.end_grace(&token.id)?;
    context.output.set("applied", true);
    context.output.line("finished: only the new secret is valid");
    context.stop.set_changing(false);
    match pair {
        Some(pair) => {
            report(edge::verify(&existing.target.url, Some(&pair), context.environment, true).await?, context)
        }
        None => Ok(true),
    }
}

/// Extends the token by a year.
pub(super) async fn renew(options: &Renew, context: &Context<'_>) -> Result<bool, AccessFailure> {
    let target = context.existing_target(options.common.url.as_deref())?;
    let api = context.api(&options.common).await?;
    let (store, state) = context.store(&target, !options.change.dry_run)?;
    let account = context.account(&api, &options.common, &target).await?;
    let existing = Existing::read(&account, target, &store, state, options.env_file.as_deref()).await?;
    let token = existing.required_token()?;
    if token.duration.as_deref() == Some("forever") {
        show(
            context.output,
            &[PlanLine::new(PlanMark::Same, format!("service token \"{}\" never expires", token.name))],
        );
        context.output.set("applied", false);
        return Ok(true);
    }
    let before = token.expires.map_or_else(|| "unknown".to_owned(), time::format);
    let line = format!(
        "service token \"{}\": expiry {before} -> one year more; the secret stays the same",
        token.name
    );
    if !context.approve(&[PlanLine::new(PlanMark::Changed, line)], &options.change).await? {
        return Ok(true);
    }
    context.stop.set_changing(true);
    let path = account.path(&format!("access/service_tokens/{}/refresh", token.id));
    let renewed = match account.api.write(Method::POST, &path, None).await {
        Ok(answer) => TokenRecord::of(&answer),
        // Whether it took effect shows in the expiry.
        Err(error) if error.is_ambiguous() => {
            let now = account.token(&token.id).await?;
            match now.filter(|now| now.expires > token.expires) {
                Some(now) => Some(now),
                None => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let expires = renewed.and_then(|token| token.expires).map(time::format);
    context.output.set("applied", true);
    context.output.set("expires_at", json!(expires));
    context.output.line(&match expires {
        Some(expires) => format!("renewed: the service token \"{}\" expires at {expires}", token.name),
        None => format!("renewed: the service token \"{}\"", token.name),
    });
    Ok(true)
}

/// Removes a service token from a file.
pub(super) fn forget_pair(file: &EnvFile) -> std::io::Result<()> {
    let names = PAIR.into_iter().chain(NEXT).chain([env_file::HOSTS]);
    file.write(&names.map(|name| (name, None)).collect::<Vec<_>>())
}
