//! `access setup`: reads, plans, asks, applies, checks, and prints the line to paste.

use std::path::Path;

use serde_json::Value;

use super::account::Account;
use super::apply::{Applied, Run};
use super::arguments::Setup;
use super::command::Context;
use super::edge::{self, Checked};
use super::env_file::{EnvFile, Pair};
use super::failure::AccessFailure;
use super::plan::{ApplicationStep, FoundObjects, Plan, TokenStep, Wanted, plan};
use super::sink::{self, Sink};
use super::state::{State, StateStore};
use super::target::Target;
use super::time;

/// The longest name that the API takes, in characters.
const LONGEST_NAME: usize = 350;

pub(super) async fn run(options: &mut Setup, context: &Context<'_>) -> Result<bool, AccessFailure> {
    take_url_from_worker(options);
    let target = context.target(options.common.url.as_deref(), options.only_path)?;
    let duration = duration(&options.duration)?;
    let name = match &options.name {
        Some(name) => checked_name(name)?,
        None => target.default_name().chars().take(LONGEST_NAME).collect(),
    };
    check_emails(&options.allow_emails)?;
    if let Some(Sink::Command(command)) = Sink::of(&options.sink) {
        Sink::Command(command).open(context.environment, false)?;
    }
    let api = context.api(&options.common).await?;
    let (store, state) = context.store(&target, !options.change.dry_run)?;
    let sink = Sink::of(&options.sink)
        .or_else(|| state.env_file.clone().map(Sink::EnvFile))
        .unwrap_or_else(|| Sink::EnvFile(store.default_env_file()));
    let file = match sink.env_file() {
        Some(path) => Some(EnvFile::read(path).map_err(|error| sink::unusable(path, &error))?),
        None => None,
    };
    let pair = file.as_ref().and_then(EnvFile::pair);
    let look = edge::look(&target.url, context.environment).await?;
    let account = context.account(&api, &options.common, &target).await?;
    let worker = match &options.worker {
        Some(name) => Some(worker(&account, &target, name).await?),
        None => None,
    };
    let wanted = Wanted {
        target: &target,
        name,
        duration,
        emails: &options.allow_emails,
        is_managed_oauth: options.managed_oauth,
        worker,
        adopts: options.adopt,
        sink: sink.shown(),
        names_file: options.sink.env_file.is_some(),
        client_id: pair.as_ref().map(|pair| pair.client_id.clone()),
        hosts: file.as_ref().filter(|_| pair.is_some()).and_then(|file| file.missing_host(&target.host)),
        state: &state,
    };
    let found = read(&account, &wanted, look).await?;
    let plan = plan(&wanted, &found)?;
    context.output.set("account", account.id.as_str());
    context.output.set("team_domain", format!("https://{}", found.team));
    let is_approved = context.approve(&plan.lines, &options.change).await?;
    if !is_approved {
        if !plan.has_changes() {
            let aud = match &plan.application {
                ApplicationStep::Keep(application) => application.aud.clone(),
                ApplicationStep::Create | ApplicationStep::Adopt(_) => None,
            };
            let client_id = wanted.client_id.clone().unwrap_or_default();
            let path = sink.env_file().filter(|_| pair.is_some());
            tell(context, &target, path, &Applied { pair: None, client_id, aud }, &found.team);
            context.output.line("nothing to do");
        }
        return Ok(true);
    }
    let applied = apply(context, &account, &wanted, &plan, &found, &sink, &store).await?;
    context.output.set("applied", true);
    let pair = applied.pair.clone().or(pair);
    tell(context, &target, sink.env_file().filter(|_| pair.is_some()), &applied, &found.team);
    context.stop.set_changing(false);
    verify(context, &target, pair.as_ref(), plan.is_open).await
}

async fn apply(
    context: &Context<'_>,
    account: &Account<'_>,
    wanted: &Wanted<'_>,
    plan: &Plan,
    found: &FoundObjects,
    sink: &Sink,
    store: &StateStore,
) -> Result<Applied, AccessFailure> {
    context.stop.set_changing(true);
    let is_new = matches!(plan.token, TokenStep::Create | TokenStep::Recover(_));
    let owns_folder = sink.env_file() == Some(&store.default_env_file());
    let opened = if is_new || wanted.hosts.is_some() {
        Some(sink.open(context.environment, owns_folder)?)
    } else {
        None
    };
    let state = State {
        url: wanted.target.url.origin().ascii_serialization() + wanted.target.url.path(),
        account: account.id.clone(),
        env_file: match is_new || wanted.client_id.is_some() {
            true => sink.env_file().map(std::path::Path::to_path_buf),
            false => wanted.state.env_file.clone(),
        },
        ..wanted.state.clone()
    };
    let run = Run::new(
        account,
        wanted,
        plan,
        &found.tokens,
        &found.applications,
        opened,
        store,
        context.output,
        context.stop,
        state,
    );
    run.apply().await
}

/// Reads everything the plan is made of.
async fn read(
    account: &Account<'_>,
    wanted: &Wanted<'_>,
    look: edge::Look,
) -> Result<FoundObjects, AccessFailure> {
    let team = account.team().await?;
    let tokens = account.tokens().await?;
    let policies = account.policies().await?;
    let mut applications = account.applications().await?;
    let domain = wanted.target.domain();
    for application in &mut applications {
        let is_it = match &wanted.worker {
            Some((_, id)) => application.protects_worker(id),
            None => application.is_for(&domain),
        };
        if is_it {
            *application = account.application(&application.id, &policies).await?;
        }
    }
    Ok(FoundObjects { team, tokens, policies, applications, look })
}

/// `--worker URL` means the URL, and a Worker of the host's name.
fn take_url_from_worker(options: &mut Setup) {
    if options.common.url.is_none()
        && let Some(url) = options.worker.take_if(|worker| worker.contains("://"))
    {
        options.common.url = Some(url);
        options.worker = Some(String::new());
    }
}

/// Finds a Worker: its name and its id.
async fn worker(
    account: &Account<'_>,
    target: &Target,
    name: &str,
) -> Result<(String, String), AccessFailure> {
    let name = match name {
        "" => target.host.split('.').next().unwrap_or_default(),
        name => name,
    };
    let scripts = account.api.list(&account.path("workers/scripts"), &[], 100).await?;
    let text = |script: &Value, member: &str| script.get(member).and_then(Value::as_str).map(str::to_owned);
    let script = scripts.iter().find(|script| text(script, "id").as_deref() == Some(name));
    let tag = script.and_then(|script| text(script, "tag"));
    match tag {
        Some(tag) => Ok((name.to_owned(), tag)),
        None => Err(AccessFailure::new(
            format!("the account has no Worker named {name}"),
            "pass its name as --worker NAME; it must be deployed before it can be protected",
        )),
    }
}

fn duration(text: &str) -> Result<String, AccessFailure> {
    if text == "forever" {
        return Ok(text.to_owned());
    }
    let duration = time::duration(text).filter(|duration| !duration.is_zero());
    duration.map(time::as_api_duration).ok_or_else(|| {
        AccessFailure::usage(
            "the value of --duration is not a length of time",
            "write hours as in 8760h, days as in 90d, or forever",
        )
    })
}

/// A name that the API takes.
pub(super) fn checked_name(name: &str) -> Result<String, AccessFailure> {
    let name = name.trim();
    let is_usable = !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(crate::redact::is_unprintable);
    match is_usable {
        true => Ok(name.to_owned()),
        false => Err(AccessFailure::usage(
            "the value of --name cannot be a name",
            format!("write 1 to {LONGEST_NAME} visible characters"),
        )),
    }
}

fn check_emails(emails: &[String]) -> Result<(), AccessFailure> {
    let is_email = |email: &String| {
        email.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'))
            && !email.chars().any(|letter| letter.is_whitespace() || letter.is_control())
    };
    match emails.iter().all(is_email) {
        true => Ok(()),
        false => Err(AccessFailure::usage(
            "the value of --allow-email is not an email address",
            "write one such as ada@example.com",
        )),
    }
}

/// Prints what a Worker and a client need. `path` is the file that holds the service token.
fn tell(context: &Context<'_>, target: &Target, path: Option<&Path>, applied: &Applied, team: &str) {
    let output = context.output;
    let aud = applied.aud.as_deref().unwrap_or_default();
    output.set("aud", aud);
    output.set("client_id", applied.client_id.as_str());
    output.line(&format!("\nPOLICY_AUD={aud}\nTEAM_DOMAIN=https://{team}"));
    let mut url = target.url.clone();
    url.set_query(None);
    let quote = |text: &str| shell_words::quote(text).into_owned();
    let name: String =
        target.host.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let command = match path {
        Some(path) => {
            let path = path.display().to_string();
            output.set("env_file", path.as_str());
            output.line(&format!("env file: {path}"));
            format!(
                "claude mcp add {} -- mcp-tether --env-file {} {}",
                quote(&name),
                quote(&path),
                quote(url.as_str())
            )
        }
        None => format!(
            "claude mcp add {} -e CF_ACCESS_CLIENT_ID=ID -e CF_ACCESS_CLIENT_SECRET=SECRET -e CF_ACCESS_HOSTS={} -- mcp-tether {}",
            quote(&name),
            target.host,
            quote(url.as_str())
        ),
    };
    output.set("add", command.as_str());
    output.line(&format!("add it to a client:\n  {command}"));
}

/// Checks the connection until the edge knows what was changed. Returns whether the token opens the server.
async fn verify(
    context: &Context<'_>,
    target: &Target,
    pair: Option<&Pair>,
    is_open: bool,
) -> Result<bool, AccessFailure> {
    let output = context.output;
    output.note("checking the connection; the edge may need some seconds");
    let checked = edge::verify(&target.url, pair, context.environment, is_open).await?;
    output.set("verified", matches!(checked, Checked::Well));
    match checked {
        Checked::Well => {
            output.line(match (pair.is_some(), is_open) {
                (true, false) => {
                    "checked: the server answers with the service token, and refuses requests without it"
                }
                (true, true) => {
                    "checked: the server answers with the service token; requests without it are subject to the Bypass policy"
                }
                (false, false) => "checked: the server refuses requests without the service token",
                (false, true) => "checked: the server can be reached; the service token itself was not checked",
            });
            Ok(true)
        }
        Checked::Server(reason) => {
            output.line(&format!(
                "! Access lets the service token through, but the server has a problem: {reason}"
            ));
            output.set("server_problem", crate::redact::foreign(&reason));
            Ok(true)
        }
        Checked::Refused(reason) | Checked::Unclear(reason) => Err(AccessFailure::new(
            format!("everything is set up, but the check failed: {reason}"),
            format!("wait a minute, then run `mcp-tether access status {}`", target.url),
        )),
    }
}
