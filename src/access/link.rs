//! `access link`: a server behind Access calls another one with the Access token of its user (Linked App Token).
//!
//! The application of the second server gets one policy more, which takes the tokens of the first.

use serde_json::{Value, json};

use super::account::links_with;
use super::arguments::Link;
use super::command::Context;
use super::failure::AccessFailure;
use super::model::{Application, Policy, application_for, link_rule};
use super::plan::{PlanLine, PlanMark};
use super::setup::checked_name;
use super::target::Target;

pub(super) async fn run(options: &Link, context: &Context<'_>) -> Result<bool, AccessFailure> {
    let to = context.target(Some(&options.to), false)?;
    let from = context.target(options.common.url.as_deref(), false)?;
    context.output.set("to", to.url.as_str());
    let name = match &options.name {
        Some(name) => checked_name(name)?,
        None => format!("mcp-tether {} to {}", from.host, to.host),
    };
    let api = context.api(&options.common).await?;
    let account = context.account(&api, &options.common, &to).await?;
    let policies = account.policies().await?;
    let applications = account.applications().await?;
    let source = found(&applications, &from)?;
    let sink = found(&applications, &to)?;
    if source.id == sink.id {
        return Err(AccessFailure::usage(
            "both URLs belong to the same application",
            "pass the URL of the server that the MCP server calls",
        ));
    }
    let sink = account.application(&sink.id, &policies).await?;
    let rule = link_rule(&source.id);
    let accepts = |policy: &&Policy| policy.decision == "non_identity" && policy.include.contains(&rule);
    if let Some(policy) = sink.policies.iter().find(accepts) {
        let line = format!(
            "policy \"{}\" of the application \"{}\" takes the tokens of \"{}\"",
            policy.name, sink.name, source.name
        );
        super::command::show(context.output, &[PlanLine::new(PlanMark::Same, line)]);
        context.output.set("applied", false);
        context.output.line("nothing to do");
        return Ok(true);
    }
    let is_legacy = sink.policies.iter().any(|policy| policy.is_reusable == Some(false));
    let kept = policies
        .iter()
        .find(|policy| policy.is_exactly("non_identity", std::slice::from_ref(&rule)) && !is_legacy);
    let policy_line = match kept {
        Some(policy) => PlanLine::new(
            PlanMark::Same,
            format!("policy \"{}\" (Service Auth) for tokens of \"{}\"", policy.name, source.name),
        ),
        None => PlanLine::new(
            PlanMark::New,
            format!("policy \"{name}\" (Service Auth) for tokens of \"{}\"", source.name),
        ),
    };
    let names: Vec<String> = sink.policies.iter().map(|policy| format!("\"{}\"", policy.name)).collect();
    let lines = [
        policy_line,
        PlanLine::new(
            PlanMark::Changed,
            format!(
                "application \"{}\": policies [{}] -> [{}]",
                sink.name,
                names.join(", "),
                [names.clone(), vec![format!("\"{name}\"")]].concat().join(", ")
            ),
        ),
    ];
    if !options.adopt {
        return Err(AccessFailure::new(
            format!("the application \"{}\" of {} would be changed", sink.name, to.host),
            "add --adopt to give it one policy more; nothing else of it is changed",
        ));
    }
    if !context.approve(&lines, &options.change).await? {
        return Ok(true);
    }
    context.stop.set_changing(true);
    account.api.probe_permission(&account.path("access/apps")).await?;
    let body = json!({ "name": name, "decision": "non_identity", "include": [rule.clone()] });
    let is_it = |value: &Value| {
        Policy::of(value).is_some_and(|policy| {
            policy.name == name && policy.is_exactly("non_identity", std::slice::from_ref(&rule))
        })
    };
    if is_legacy {
        let path = account.path(&format!("access/apps/{}/policies", sink.id));
        account.create(&path, &body, &is_it).await?;
    } else {
        let path = account.path("access/policies");
        let (id, is_new) = match kept {
            Some(policy) => (policy.id.clone(), false),
            None => {
                let created = account.create(&path, &body, &is_it).await?;
                (created.value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(), true)
            }
        };
        if let Err(failure) = account.put_policies(&sink, &links_with(&sink.policies, &id), &[]).await {
            let removed = if is_new { account.delete(&format!("{path}/{id}")).await } else { Ok(()) };
            return Err(match removed {
                Ok(()) => failure.and("; the policy was removed again"),
                Err(error) => {
                    failure.and(&format!("; the policy \"{name}\" ({id}) could not be removed: {error}"))
                }
            });
        }
    }
    context.output.set("applied", true);
    context.output.line(&format!(
        "linked: {} takes the Access tokens of \"{}\"; send them as Cf-Access-Token, or as Authorization: Bearer",
        to.host, source.name
    ));
    Ok(true)
}

/// The application that protects a server.
fn found<'a>(applications: &'a [Application], target: &Target) -> Result<&'a Application, AccessFailure> {
    application_for(applications, target).ok_or_else(|| {
        AccessFailure::new(
            format!("no application of this account protects {}", target.host),
            format!("run `mcp-tether access setup {}` first", target.url),
        )
    })
}
