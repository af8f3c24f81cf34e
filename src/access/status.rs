//! `access status`: what the API and the edge say of a server that is set up, and whether something needs attention.

use serde_json::json;

use super::arguments::Status;
use super::command::{Context, Existing, show};
use super::edge::{self, Checked};
use super::failure::AccessFailure;
use super::model::{TokenRecord, token_rule};
use super::plan::{PlanLine, PlanMark};
use super::time;

pub(super) async fn run(options: &Status, context: &Context<'_>) -> Result<bool, AccessFailure> {
    let target = context.existing_target(options.common.url.as_deref())?;
    let api = context.api(&options.common).await?;
    let (store, state) = context.store(&target, false)?;
    let account = context.account(&api, &options.common, &target).await?;
    let team = account.team().await?;
    let existing = Existing::read(&account, target, &store, state, options.env_file.as_deref()).await?;
    let token = existing.token();
    if token.is_none() && existing.application.is_none() {
        return Err(AccessFailure::new(
            format!("nothing is set up for {}", existing.target.host),
            format!("run `mcp-tether access setup {}`", existing.target.url),
        ));
    }
    let output = context.output;
    let mut lines = vec![token.map_or_else(
        || PlanLine::new(PlanMark::Warning, "service token: none of this account is known for this server"),
        |token| token_line(token, &existing),
    )];
    if let Some(token) = token {
        output.set("client_id", token.client_id.as_str());
        output.set("expires_at", json!(token.expires.map(time::format)));
        output.set("days_left", json!(token.expires.map(time::days_until)));
        output.set("last_seen_at", json!(token.last_seen));
    }
    lines.extend(application_lines(&existing, token));
    if let Some(until) =
        token.and_then(|token| store.grace_until(&token.id)).filter(|until| *until > time::seconds())
    {
        lines.push(PlanLine::new(
            PlanMark::Same,
            format!("grace period: the old secret is valid until {}", time::format(until)),
        ));
    }
    output.set("team_domain", format!("https://{team}"));
    lines.push(edge_line(context, &existing, token).await?);
    show(output, &lines);
    let is_well = lines.iter().all(|line| line.mark == PlanMark::Same);
    if !is_well {
        output.note("something needs attention: see the lines that begin with !");
    }
    Ok(is_well)
}

/// The token: its expiry, and when it was last used.
fn token_line(token: &TokenRecord, existing: &Existing) -> PlanLine {
    let used = token.last_seen.as_deref().unwrap_or("never, as far as the API says");
    let name = format!("service token \"{}\" ({})", token.name, token.client_id);
    let warn =
        |problem: String| PlanLine::new(PlanMark::Warning, format!("{name} {problem}; last used {used}"));
    if !token.is_enabled {
        return warn("is disabled: `access setup` enables it again".to_owned());
    }
    let renew = format!("run `mcp-tether access renew {}`", existing.target.url);
    match token.expires {
        None if token.duration.as_deref() == Some("forever") => {
            PlanLine::new(PlanMark::Same, format!("{name} never expires; last used {used}"))
        }
        None => PlanLine::new(
            PlanMark::Same,
            format!("{name}: the API does not say when it expires; last used {used}"),
        ),
        Some(expires) => {
            let (days, at) = (time::days_until(expires), time::format(expires));
            match days {
                ..0 => warn(format!("expired at {at}: {renew}")),
                0..time::WARNING_DAYS => warn(format!("expires in {days} days, at {at}: {renew}")),
                _ => PlanLine::new(
                    PlanMark::Same,
                    format!("{name} expires in {days} days, at {at}; last used {used}"),
                ),
            }
        }
    }
}

/// The application and its policies, and what of them is not as setup left it.
fn application_lines(existing: &Existing, token: Option<&TokenRecord>) -> Vec<PlanLine> {
    let Some(application) = &existing.application else {
        return vec![PlanLine::new(
            PlanMark::Warning,
            format!("no application protects {}: everyone can reach the server", existing.target.host),
        )];
    };
    let mut lines = vec![PlanLine::new(
        PlanMark::Same,
        format!(
            "application \"{}\" for {} (AUD {})",
            application.name,
            application.protected(),
            application.aud.as_deref().unwrap_or("unknown")
        ),
    )];
    let mut warn = |text: String| lines.push(PlanLine::new(PlanMark::Warning, text));
    if let Some(known) = existing.state.application.as_ref().filter(|known| known.id != application.id) {
        warn(format!(
            "another application than the one that setup used ({}) decides about this URL",
            known.id
        ));
    }
    for policy in &application.policies {
        if policy.decision == "bypass" {
            warn(format!("the policy \"{}\" (Bypass) lets requests in without a token", policy.name));
        }
        if policy.includes("any_valid_service_token") {
            warn(format!(
                "the policy \"{}\" lets in every service token of the account (any_valid_service_token)",
                policy.name
            ));
        }
    }
    let Some(token) = token else { return lines };
    let rule = token_rule(&token.id);
    let names = |decision: &str| {
        application
            .policies
            .iter()
            .find(|policy| policy.decision == decision && policy.include.contains(&rule))
    };
    match existing.policies_of(token).next() {
        Some(policy) if policy.further.is_empty() => {
            lines.push(PlanLine::new(
                PlanMark::Same,
                format!("policy \"{}\" (Service Auth) includes the service token", policy.name),
            ));
        }
        Some(policy) => warn(format!(
            "the policy \"{}\" has further conditions (Require or Exclude), which a service token may not meet",
            policy.name
        )),
        None => match names("allow") {
            Some(policy) => warn(format!(
                "the policy \"{}\" has the action Allow, which admits users and no service token: change it to Service Auth",
                policy.name
            )),
            None => warn(format!(
                "no Service Auth policy of the application includes the service token: run `mcp-tether access setup {} --adopt`",
                existing.target.url
            )),
        },
    }
    lines
}

/// Whether the edge lets the token in the file through, and refuses requests without it.
async fn edge_line(
    context: &Context<'_>,
    existing: &Existing,
    token: Option<&TokenRecord>,
) -> Result<PlanLine, AccessFailure> {
    let pair = existing.file.pair();
    let checked = edge::verify_once(&existing.target.url, pair.as_ref(), context.environment, false).await?;
    let path = existing.path.display();
    context.output.set("edge_ok", matches!(checked, Checked::Well));
    Ok(match (checked, &pair, token) {
        (Checked::Well, Some(_), _) => PlanLine::new(
            PlanMark::Same,
            format!("edge: the service token in {path} opens the server; without it, requests are refused"),
        ),
        (Checked::Well, None, _) => {
            let known = existing.state.token.as_ref().is_some_and(|token| token.is_saved);
            match (&existing.state.env_file, known) {
                (Some(_), true) => {
                    PlanLine::new(PlanMark::Warning, format!("edge: {path} holds no service token any more"))
                }
                (Some(_) | None, _) => PlanLine::new(
                    PlanMark::Same,
                    "edge: requests without a service token are refused; the token itself was not checked, because its secret is not here",
                ),
            }
        }
        (Checked::Server(reason), _, _) => PlanLine::new(
            PlanMark::Same,
            format!("edge: Access lets the service token through, but the server has a problem: {reason}"),
        ),
        (Checked::Refused(reason) | Checked::Unclear(reason), _, _) => {
            PlanLine::new(PlanMark::Warning, format!("edge: {reason}"))
        }
    })
}
