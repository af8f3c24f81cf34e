//! The plan of `access setup`: what is wanted and what was read in, the steps and their lines out. Pure.
//!
//! Deliberately not here: reading (`setup`) and applying (`apply`).

use serde_json::{Value, json};

use super::account::without_scheme;
use super::edge::{Look, Openness};
use super::failure::AccessFailure;
use super::model::{Application, Policy, TokenRecord, application_for, token_rule};
use super::state::State;
use super::target::Target;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanMark {
    /// It will be created.
    New,
    /// It is there already.
    Same,
    /// It will be changed.
    Changed,
    /// It will be removed.
    Removed,
    /// It needs the user's attention.
    Warning,
}

impl PlanMark {
    /// The letter that the line begins with.
    pub(super) fn letter(self) -> char {
        match self {
            PlanMark::New => '+',
            PlanMark::Same => '=',
            PlanMark::Changed => '~',
            PlanMark::Removed => '-',
            PlanMark::Warning => '!',
        }
    }
}

/// A line of a plan: one object, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanLine {
    pub(super) mark: PlanMark,
    pub(super) text: String,
}

impl PlanLine {
    pub(super) fn new(mark: PlanMark, text: impl Into<String>) -> PlanLine {
        PlanLine { mark, text: text.into() }
    }

    /// The line for programs.
    pub(super) fn as_json(&self) -> Value {
        json!({ "mark": self.mark.letter().to_string(), "text": crate::redact::foreign(&self.text) })
    }
}

impl std::fmt::Display for PlanLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.mark.letter(), crate::redact::foreign(&self.text))
    }
}

/// What the user wants.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    pub(super) name: String,
    /// As the API takes it.
    pub(super) duration: String,
    pub(super) emails: &'a [String],
    pub(super) is_managed_oauth: bool,
    /// The name and the id of the Worker to protect.
    pub(super) worker: Option<(String, String)>,
    pub(super) adopts: bool,
    /// Where the secret goes, for users.
    pub(super) sink: String,
    /// Whether that is a file that an option names.
    pub(super) names_file: bool,
    /// The client id in the file that the secret goes to.
    pub(super) client_id: Option<String>,
    /// The hosts in that file, and those with this one, where it is missing.
    pub(super) hosts: Option<(String, String)>,
    pub(super) state: &'a State,
}

/// What was read.
#[derive(Debug)]
pub(super) struct FoundObjects {
    pub(super) team: String,
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) policies: Vec<Policy>,
    /// All applications; the one for the domain with all its policies.
    pub(super) applications: Vec<Application>,
    pub(super) look: Look,
}

/// What is done about the service token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenStep {
    Create,
    /// An earlier run created it and was stopped before the secret was saved: it gets a new secret.
    Recover(TokenRecord),
    Enable(TokenRecord),
    Keep(TokenRecord),
}

impl TokenStep {
    /// The token that is there.
    fn token(&self) -> Option<&TokenRecord> {
        match self {
            TokenStep::Create => None,
            TokenStep::Recover(token) | TokenStep::Enable(token) | TokenStep::Keep(token) => Some(token),
        }
    }
}

/// What is done about a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PolicyStep {
    Create,
    Keep(Policy),
    /// The application has policies of its own and cannot take a reusable one: it gets one more of its own.
    Own,
}

/// What is done about the application.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ApplicationStep {
    Create,
    Keep(Application),
    /// It gets one policy more.
    Adopt(Application),
}

/// The steps, and the lines that describe them.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) token: TokenStep,
    pub(super) policy: PolicyStep,
    /// The policy for users, where users are wanted.
    pub(super) users: Option<PolicyStep>,
    pub(super) application: ApplicationStep,
    pub(super) lines: Vec<PlanLine>,
    /// Whether a policy of the application admits everyone.
    pub(super) is_open: bool,
}

impl Plan {
    /// Returns whether anything is to be done.
    pub(super) fn has_changes(&self) -> bool {
        self.lines.iter().any(|line| !matches!(line.mark, PlanMark::Same | PlanMark::Warning))
    }
}

/// Makes the plan.
///
/// # Errors
/// When what is wanted must not be done, or cannot be.
pub(super) fn plan(wanted: &Wanted<'_>, found: &FoundObjects) -> Result<Plan, AccessFailure> {
    check_team(wanted, found)?;
    let domain = wanted.target.domain();
    let mut lines = Vec::new();
    let token = token_step(wanted, found)?;
    lines.push(match &token {
        TokenStep::Create => PlanLine::new(
            PlanMark::New,
            format!(
                "service token \"{}\", valid for {}; its secret goes to {}",
                wanted.name, wanted.duration, wanted.sink
            ),
        ),
        TokenStep::Recover(token) => PlanLine::new(
            PlanMark::Changed,
            format!(
                "service token \"{}\" of an interrupted run: secret unknown -> new secret in {}",
                token.name, wanted.sink
            ),
        ),
        TokenStep::Enable(token) => PlanLine::new(
            PlanMark::Changed,
            format!("service token \"{}\": enabled false -> true", token.name),
        ),
        TokenStep::Keep(token) => {
            PlanLine::new(PlanMark::Same, format!("service token \"{}\" ({})", token.name, token.client_id))
        }
    });
    if let Some((before, after)) = &wanted.hosts {
        lines.push(PlanLine::new(
            PlanMark::Changed,
            format!("{}: CF_ACCESS_HOSTS {before} -> {after}", wanted.sink),
        ));
    }
    let existing = found.applications.iter().find(|application| match &wanted.worker {
        Some((_, id)) => application.protects_worker(id),
        None => application.is_for(&domain),
    });
    let attached = existing.and_then(|application| {
        let token = token.token()?;
        application.policies.iter().find(|policy| {
            policy.decision == "non_identity"
                && policy.further.is_empty()
                && policy.include.contains(&token_rule(&token.id))
        })
    });
    let is_legacy = existing.is_some_and(|application| {
        !application.policies.is_empty()
            && application.policies.iter().any(|policy| policy.is_reusable == Some(false))
    });
    let policy = match (attached, is_legacy) {
        (Some(policy), _) => PolicyStep::Keep(policy.clone()),
        (None, true) => PolicyStep::Own,
        (None, false) => {
            reusable(found, "non_identity", token.token().map(|token| vec![token_rule(&token.id)]).as_deref())
        }
    };
    let service_auth =
        format!("policy \"{}\" (Service Auth) that includes this service token alone", wanted.name);
    lines.push(match &policy {
        PolicyStep::Create => PlanLine::new(PlanMark::New, service_auth),
        PolicyStep::Own => PlanLine::new(PlanMark::New, format!("{service_auth}, of the application's own")),
        PolicyStep::Keep(policy) => {
            PlanLine::new(PlanMark::Same, format!("policy \"{}\" (Service Auth)", policy.name))
        }
    });
    let rules: Vec<Value> =
        wanted.emails.iter().map(|email| json!({ "email": { "email": email } })).collect();
    let users = (!rules.is_empty()).then(|| reusable(found, "allow", Some(&rules)));
    if let Some(users) = &users {
        let mark = if matches!(users, PolicyStep::Keep(_)) { PlanMark::Same } else { PlanMark::New };
        lines.push(PlanLine::new(
            mark,
            format!("policy \"{} users\" (Allow) for {}", wanted.name, wanted.emails.join(", ")),
        ));
    }
    let application = application_step(wanted, existing, attached.is_some(), users.as_ref())?;
    check_decides(wanted, found, &application)?;
    let covers = match &wanted.worker {
        Some((name, _)) => format!("the Worker {name} with all its hostnames and previews"),
        None => domain.clone(),
    };
    lines.push(match &application {
        ApplicationStep::Create => {
            let oauth = if wanted.is_managed_oauth { ", with Managed OAuth" } else { "" };
            PlanLine::new(PlanMark::New, format!("application \"{}\" for {covers}{oauth}", wanted.name))
        }
        ApplicationStep::Keep(application) => {
            PlanLine::new(PlanMark::Same, format!("application \"{}\" for {covers}", application.name))
        }
        ApplicationStep::Adopt(application) => {
            let names = |policies: &[Policy]| {
                policies.iter().map(|policy| format!("\"{}\"", policy.name)).collect::<Vec<_>>()
            };
            let mut after = names(&application.policies);
            after.push(format!("\"{}\"", wanted.name));
            PlanLine::new(
                PlanMark::Changed,
                format!(
                    "application \"{}\" for {covers}: policies [{}] -> [{}]",
                    application.name,
                    names(&application.policies).join(", "),
                    after.join(", ")
                ),
            )
        }
    });
    let is_open =
        existing.is_some_and(|found| found.policies.iter().any(|policy| policy.decision == "bypass"));
    lines.extend(warnings(wanted, found, existing, &application));
    Ok(Plan { token, policy, users, application, lines, is_open })
}

/// Refuses to set up Access in one team for a host that another one protects. Where the account has the application that the
/// edge names, its own team protects the host, whatever that is called.
fn check_team(wanted: &Wanted<'_>, found: &FoundObjects) -> Result<(), AccessFailure> {
    let Some(team) = found.look.team.as_deref().map(without_scheme) else { return Ok(()) };
    // A stand-in for the edge on this computer has no name of a team.
    let is_stand_in =
        url::Url::parse(&format!("http://{team}")).is_ok_and(|url| crate::http::is_loopback(&url));
    let is_named = found.applications.iter().any(|application| {
        let is_it = application.aud.is_some() && application.aud == found.look.aud;
        is_it || is_stand_in && application.covers(wanted.target).is_some()
    });
    match is_named || team.eq_ignore_ascii_case(without_scheme(&found.team)) {
        true => Ok(()),
        false => Err(AccessFailure::new(
            format!(
                "{} is protected by the team {team}, but the account of this API token has the team {}",
                wanted.target.host, found.team
            ),
            format!("use an API token of the account with the team {team}"),
        )),
    }
}

fn token_step(wanted: &Wanted<'_>, found: &FoundObjects) -> Result<TokenStep, AccessFailure> {
    if let Some(client_id) = &wanted.client_id {
        let token = found.tokens.iter().find(|token| token.client_id == *client_id);
        let token = token.ok_or_else(|| {
            AccessFailure::new(
                format!("{} holds the service token {client_id}, which this account does not have", wanted.sink),
                "remove CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET from that file, or pass another --env-file",
            )
        })?;
        return Ok(match token.is_enabled {
            true => TokenStep::Keep(token.clone()),
            false => TokenStep::Enable(token.clone()),
        });
    }
    let Some(begun) = &wanted.state.token else { return Ok(TokenStep::Create) };
    let by_id = begun.id.as_ref().and_then(|id| found.tokens.iter().find(|token| token.id == *id));
    match (by_id, begun.is_saved, &wanted.state.env_file) {
        (Some(token), true, None) if !wanted.names_file => return Ok(TokenStep::Keep(token.clone())),
        (Some(token), true, path) => {
            let path = path.as_ref().map(|path| path.display().to_string());
            let reason = match path {
                Some(path) if path == wanted.sink => format!("is not in {path} any more"),
                Some(path) => format!("was saved in {path}, and the API does not show it again"),
                None => "was not saved in a file, and the API does not show it again".to_owned(),
            };
            return Err(AccessFailure::new(
                format!("the secret of the service token \"{}\" {reason}", token.name),
                format!(
                    "run `mcp-tether access rotate {}` with --env-file, --secret-to or --show-secret for a new secret",
                    wanted.target.url
                ),
            ));
        }
        (Some(token), false, _) => return Ok(TokenStep::Recover(token.clone())),
        (None, _, _) => {}
    }
    if begun.id.is_some() {
        // It was deleted since.
        return Ok(TokenStep::Create);
    }
    let made: Vec<&TokenRecord> = found
        .tokens
        .iter()
        .filter(|token| token.name == begun.name && !begun.before.contains(&token.id))
        .collect();
    match made.as_slice() {
        [] => Ok(TokenStep::Create),
        [token] => Ok(TokenStep::Recover((*token).clone())),
        [_, ..] => Err(AccessFailure::new(
            format!(
                "an interrupted run created one of {} service tokens named \"{}\"",
                made.len(),
                begun.name
            ),
            "delete those that nothing uses in the dashboard (Access controls > Service credentials), then run the command again",
        )),
    }
}

/// A reusable policy with exactly these rules, or that there is none.
fn reusable(found: &FoundObjects, decision: &str, include: Option<&[Value]>) -> PolicyStep {
    let policy =
        include.and_then(|include| found.policies.iter().find(|policy| policy.is_exactly(decision, include)));
    policy.map_or(PolicyStep::Create, |policy| PolicyStep::Keep(policy.clone()))
}

fn application_step(
    wanted: &Wanted<'_>,
    existing: Option<&Application>,
    is_attached: bool,
    users: Option<&PolicyStep>,
) -> Result<ApplicationStep, AccessFailure> {
    let Some(application) = existing else { return Ok(ApplicationStep::Create) };
    let has_users = match users {
        None => true,
        Some(PolicyStep::Keep(policy)) => application.policies.iter().any(|found| found.id == policy.id),
        Some(PolicyStep::Create | PolicyStep::Own) => false,
    };
    let has_oauth = application.all.pointer("/oauth_configuration/enabled") == Some(&Value::Bool(true));
    if !has_users || wanted.is_managed_oauth && !has_oauth {
        return Err(AccessFailure::new(
            format!(
                "the application \"{}\" exists already, and users are added to new applications only",
                application.name
            ),
            "leave out --allow-email and --managed-oauth, and add the users in the dashboard",
        ));
    }
    if is_attached {
        return Ok(ApplicationStep::Keep(application.clone()));
    }
    if !wanted.adopts {
        return Err(AccessFailure::new(
            format!("the application \"{}\" exists already for {}", application.name, wanted.target.domain()),
            "add --adopt to give it one policy more; nothing else of it is changed",
        ));
    }
    match application.kind.as_str() {
        "self_hosted" | "mcp_portal" | "" => Ok(ApplicationStep::Adopt(application.clone())),
        kind => Err(AccessFailure::new(
            format!(
                "the application \"{}\" is of the type {kind}, which takes no service token",
                application.name
            ),
            "protect another host, or change the application in the dashboard",
        )),
    }
}

/// Refuses to change an application while a more specific one decides about the URL.
fn check_decides(
    wanted: &Wanted<'_>,
    found: &FoundObjects,
    step: &ApplicationStep,
) -> Result<(), AccessFailure> {
    if wanted.worker.is_some() || matches!(step, ApplicationStep::Keep(_)) {
        return Ok(());
    }
    let target = wanted.target;
    let ours = Application::of(&json!({ "id": "", "domain": target.domain() }));
    let how = ours.and_then(|ours| ours.covers(target));
    match application_for(&found.applications, target).filter(|decides| decides.covers(target) > how) {
        None => Ok(()),
        Some(decides) => Err(AccessFailure::new(
            format!(
                "the application \"{}\" ({}) decides about {}, because it is more specific than {}",
                decides.name,
                decides.protected(),
                target.url,
                target.domain()
            ),
            "add --only-path --adopt to give the application of the path one policy more",
        )),
    }
}

fn warnings(
    wanted: &Wanted<'_>,
    found: &FoundObjects,
    existing: Option<&Application>,
    step: &ApplicationStep,
) -> Vec<PlanLine> {
    let target = wanted.target;
    let mut lines = Vec::new();
    let mut warn = |text: String| lines.push(PlanLine::new(PlanMark::Warning, text));
    let is_new = matches!(step, ApplicationStep::Create);
    if is_new && !target.is_path_only && found.look.is_website {
        warn(format!(
            "{} also shows a website: it will be closed to strangers; --only-path protects {} alone",
            target.host, target.path
        ));
    }
    if is_new && target.is_workers_dev() && wanted.worker.is_none() {
        warn(
            "the preview addresses of the Worker on workers.dev stay open; --worker protects them as well"
                .to_owned(),
        );
    }
    if is_new && found.look.openness == Openness::Unreachable {
        warn(format!("{} cannot be reached from here at the moment", target.host));
    }
    if is_new && wanted.is_managed_oauth && wanted.emails.is_empty() {
        warn("no user may sign in yet: add --allow-email".to_owned());
    }
    if let Some(application) = existing {
        for policy in application.policies.iter().filter(|policy| policy.decision == "bypass") {
            warn(format!(
                "the policy \"{}\" (Bypass) of the application lets requests in without a token",
                policy.name
            ));
        }
        for policy in application.policies.iter().filter(|policy| policy.includes("any_valid_service_token"))
        {
            warn(format!(
                "the policy \"{}\" of the application lets in every service token of the account (any_valid_service_token)",
                policy.name
            ));
        }
    }
    if is_new && wanted.worker.is_none() {
        for application in &found.applications {
            if application.covers(target).is_some() {
                warn(format!(
                    "the application \"{}\" ({}) decides about {} no longer: the new one is more specific",
                    application.name,
                    application.domains().join(", "),
                    target.domain()
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests;
