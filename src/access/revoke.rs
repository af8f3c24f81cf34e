//! `access revoke`: disables the service token, or removes it with what setup added.
//!
//! An application is never deleted along with the rest: that makes its server public, so it has an option of its own and wants the
//! host typed.

use serde_json::{Value, json};

use super::account::links;
use super::arguments::Revoke;
use super::command::{Context, Existing, show};
use super::failure::AccessFailure;
use super::model::{Policy, TokenRecord};
use super::plan::{PlanLine, PlanMark};
use super::rotate::forget_pair;
use super::sink;
use super::state::StateStore;

pub(super) async fn run(options: &Revoke, context: &Context<'_>) -> Result<bool, AccessFailure> {
    let target = context.existing_target(options.common.url.as_deref())?;
    let api = context.api(&options.common).await?;
    let (store, state) = context.store(&target, !options.change.dry_run)?;
    let account = context.account(&api, &options.common, &target).await?;
    let existing = Existing::read(&account, target, &store, state, options.env_file.as_deref()).await?;
    if options.delete && !options.delete_application && is_gone(&existing) {
        return forget(options, context, &existing, &store).await;
    }
    let token = existing.required_token()?;
    let output = context.output;
    let ours: Vec<&Policy> =
        existing.policies_of(token).filter(|policy| is_ours(&existing, policy, token)).collect();
    let uses = other_uses(&existing, token, &ours);
    if !options.delete {
        let mut lines = vec![match token.is_enabled {
            true => PlanLine::new(
                PlanMark::Changed,
                format!("service token \"{}\": enabled true -> false", token.name),
            ),
            false => PlanLine::new(PlanMark::Same, format!("service token \"{}\" is disabled", token.name)),
        }];
        if token.is_enabled && !uses.is_empty() {
            let text = format!("the token is refused everywhere; it is also used by {}", uses.join(", "));
            lines.push(PlanLine::new(PlanMark::Warning, text));
        }
        if !context.approve(&lines, &options.change).await? {
            return Ok(true);
        }
        context.stop.set_changing(true);
        match account.update_token(token, json!({ "enabled": false })).await {
            Err(error) if error.is_ambiguous() => {
                let now = account.token(&token.id).await?;
                if now.is_none_or(|now| now.is_enabled) {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        output.set("applied", true);
        output.line(&format!(
            "revoked: the service token \"{}\" is disabled; `access setup` enables it again",
            token.name
        ));
        return Ok(true);
    }
    if !uses.is_empty() {
        return Err(AccessFailure::new(
            format!("the service token \"{}\" is used elsewhere: {}", token.name, uses.join(", ")),
            "remove it there first, or leave out --delete to disable the token everywhere",
        ));
    }
    let lines = lines(options, &existing, token, &ours);
    if options.change.dry_run {
        context.approve(&lines, &options.change).await?;
        return Ok(true);
    }
    match options.delete_application {
        true => {
            show(output, &lines);
            confirm_host(context, &existing).await?;
        }
        false => {
            if !context.approve(&lines, &options.change).await? {
                return Ok(true);
            }
        }
    }
    context.stop.set_changing(true);
    if let Some(application) = &existing.application {
        let path = account.path(&format!("access/apps/{}", application.id));
        let is_reusable = |policy: &&Policy| policy.is_reusable != Some(false);
        let rest: Vec<Policy> = application
            .policies
            .iter()
            .filter(|policy| !ours.iter().any(|our| our.id == policy.id))
            .cloned()
            .collect();
        if options.delete_application {
            account.delete(&path).await?;
        } else if ours.iter().any(is_reusable) {
            // The API refuses this setting without a Service Auth policy.
            let is_last = !rest.iter().any(|policy| policy.decision == "non_identity");
            let has_setting = application.all.get("service_auth_401_redirect") == Some(&Value::Bool(true));
            let further: &[(&str, Value)] =
                if is_last && has_setting { &[("service_auth_401_redirect", json!(false))] } else { &[] };
            account.put_policies(application, &links(&rest), further).await?;
        }
        for policy in &ours {
            match is_reusable(policy) {
                true => account.delete(&account.path(&format!("access/policies/{}", policy.id))).await?,
                false if options.delete_application => {}
                false => account.delete(&format!("{path}/policies/{}", policy.id)).await?,
            }
        }
    }
    // An earlier run may have detached it and failed then.
    for policy in existing.policies.iter().filter(|policy| is_ours(&existing, policy, token)) {
        if !ours.iter().any(|our| our.id == policy.id) {
            account.delete(&account.path(&format!("access/policies/{}", policy.id))).await?;
        }
    }
    account.delete(&account.path(&format!("access/service_tokens/{}", token.id))).await?;
    if existing.file.get(super::env_file::PAIR[0]).is_some_and(|id| id == token.client_id) {
        forget_pair(&existing.file).map_err(|error| sink::unusable(&existing.path, &error))?;
    }
    store.clear()?;
    output.set("applied", true);
    output.line(&format!("deleted: the service token \"{}\" and its policies", token.name));
    Ok(true)
}

/// Returns whether the token that setup created exists no longer: an earlier run may have been stopped behind its last call.
fn is_gone(existing: &Existing) -> bool {
    existing.token().is_none() && existing.state.token.as_ref().is_some_and(|token| token.id.is_some())
}

/// Removes what is left here of a token that exists no longer.
async fn forget(
    options: &Revoke,
    context: &Context<'_>,
    existing: &Existing,
    store: &StateStore,
) -> Result<bool, AccessFailure> {
    let is_in_file = existing.state.env_file.as_ref() == Some(&existing.path)
        && existing.file.get(super::env_file::PAIR[0]).is_some();
    let place = match is_in_file {
        true => existing.path.display().to_string(),
        false => "the state file".to_owned(),
    };
    let line = format!("the service token in {place}, which does not exist any more");
    if !context.approve(&[PlanLine::new(PlanMark::Removed, line)], &options.change).await? {
        return Ok(true);
    }
    if is_in_file {
        forget_pair(&existing.file).map_err(|error| sink::unusable(&existing.path, &error))?;
    }
    store.clear()?;
    context.output.set("applied", true);
    context.output.line("deleted: nothing is left of the service token");
    Ok(true)
}

/// Returns whether a policy is the one that setup made, as it made it: it includes this token and nothing else. Where nothing
/// is remembered, it is the one of the application.
fn is_ours(existing: &Existing, policy: &Policy, token: &TokenRecord) -> bool {
    let is_exact = policy.is_exactly("non_identity", &[super::model::token_rule(&token.id)]);
    let is_remembered = match &existing.state.policy {
        Some(id) => policy.id == *id,
        None => existing.policies_of(token).next().is_some_and(|first| first.id == policy.id),
    };
    is_exact && is_remembered
}

/// The policies that use the token beside those that setup made.
fn other_uses(existing: &Existing, token: &TokenRecord, ours: &[&Policy]) -> Vec<String> {
    let is_our = |policy: &Policy| ours.iter().any(|our| our.id == policy.id);
    let here = existing.application.as_ref().map(|application| application.id.as_str());
    let own = existing.application.iter().flat_map(|application| &application.policies);
    let mut uses: Vec<String> = Vec::new();
    for policy in existing.policies.iter().chain(own) {
        if policy.names_token(&token.id) && !is_our(policy) && !is_ours(existing, policy, token) {
            uses.push(format!("the policy \"{}\"", policy.name));
        }
    }
    for application in
        existing.applications.iter().filter(|application| Some(application.id.as_str()) != here)
    {
        for policy in &application.policies {
            let reusable = existing.policies.iter().find(|named| named.id == policy.id).unwrap_or(policy);
            if reusable.names_token(&token.id) {
                uses.push(format!(
                    "the policy \"{}\" of the application \"{}\"",
                    reusable.name, application.name
                ));
            }
        }
    }
    uses.sort();
    uses.dedup();
    uses
}

fn lines(options: &Revoke, existing: &Existing, token: &TokenRecord, ours: &[&Policy]) -> Vec<PlanLine> {
    let mut lines = Vec::new();
    if let Some(application) = &existing.application {
        let names = |policies: &[&Policy]| {
            policies.iter().map(|policy| format!("\"{}\"", policy.name)).collect::<Vec<_>>().join(", ")
        };
        let all: Vec<&Policy> = application.policies.iter().collect();
        let rest: Vec<&Policy> = application
            .policies
            .iter()
            .filter(|policy| !ours.iter().any(|our| our.id == policy.id))
            .collect();
        lines.push(match (options.delete_application, ours.is_empty()) {
            (true, _) => PlanLine::new(
                PlanMark::Removed,
                format!("application \"{}\": {} becomes public", application.name, existing.target.host),
            ),
            (false, false) => PlanLine::new(
                PlanMark::Changed,
                format!(
                    "application \"{}\": policies [{}] -> [{}]",
                    application.name,
                    names(&all),
                    names(&rest)
                ),
            ),
            (false, true) => PlanLine::new(PlanMark::Same, format!("application \"{}\"", application.name)),
        });
        if rest.is_empty() && !options.delete_application {
            lines.push(PlanLine::new(
                PlanMark::Warning,
                format!(
                    "{} stays closed to everyone: the application has no policy left",
                    existing.target.host
                ),
            ));
        }
    }
    lines.extend(
        ours.iter().map(|policy| PlanLine::new(PlanMark::Removed, format!("policy \"{}\"", policy.name))),
    );
    lines.push(PlanLine::new(
        PlanMark::Removed,
        format!("service token \"{}\" ({})", token.name, token.client_id),
    ));
    lines
}

/// Has the user type the host whose server becomes public.
async fn confirm_host(context: &Context<'_>, existing: &Existing) -> Result<(), AccessFailure> {
    let host = &existing.target.host;
    if !context.output.console.is_terminal {
        return Err(AccessFailure::new(
            "--delete-application makes the server public, and stdin is not a terminal: --yes does not count here",
            "run the command in a terminal and type the host, or delete the application in the dashboard",
        ));
    }
    let question = format!("{host} becomes public. Type its name to delete the application: ");
    match context.ask(&question).await? {
        Some(answer) if answer == *host => Ok(()),
        Some(_) | None => {
            Err(AccessFailure::new("nothing was deleted: the host was not typed", format!("type {host}")))
        }
    }
}
