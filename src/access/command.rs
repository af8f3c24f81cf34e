//! What the commands share: the connection to the API, the confirmation, and how a plan is shown.

use serde_json::Value;

use super::account::Account;
use super::api::{self, Api};
use super::arguments::{Change, Common};
use super::credential;
use super::env_file::{EnvFile, Pair};
use super::failure::AccessFailure;
use super::model::{Application, Policy, TokenRecord, application_for, token_rule};
use super::output::AccessOutput;
use super::plan::{PlanLine, PlanMark};
use super::sink;
use super::state::{State, StateStore};
use super::stop::Stop;
use super::target::{self, Target};
use crate::config::Environment;
use crate::redact;

/// What a command runs in.
pub(super) struct Context<'a> {
    pub(super) environment: &'a Environment,
    pub(super) output: &'a AccessOutput<'a>,
    pub(super) stop: &'a Stop,
}

impl<'a> Context<'a> {
    /// Reads the URL of a command.
    pub(super) fn target(&self, url: Option<&str>, is_path_only: bool) -> Result<Target, AccessFailure> {
        let (_, takes_loopback) = api::base(self.environment)?;
        let url = url.ok_or_else(|| {
            AccessFailure::usage("the URL is missing", "write a URL such as https://mcp.example.com/mcp")
        })?;
        let target = Target::new(url, is_path_only, takes_loopback)?;
        redact::register_url(&target.url);
        let mut shown = target.url.clone();
        shown.set_query(None);
        self.output.set("url", shown.as_str());
        Ok(target)
    }

    /// Reads the URL of a command for a server that is set up. Where its path alone was protected, that is what is meant.
    pub(super) fn existing_target(&self, url: Option<&str>) -> Result<Target, AccessFailure> {
        let target = self.target(url, false)?;
        if target.path.is_empty() {
            return Ok(target);
        }
        let path_only = Target { is_path_only: true, ..target.clone() };
        let is_known = StateStore::open(&path_only, self.environment, false)?.path().exists();
        Ok(if is_known { path_only } else { target })
    }

    /// The client of the API, with the user's token.
    pub(super) async fn api(&self, common: &Common) -> Result<Api<'a>, AccessFailure> {
        let (base, _) = api::base(self.environment)?;
        let token = credential::api_token(common.api_token_command.as_deref(), self.environment).await?;
        Api::new(base, token, self.environment, self.output, self.stop)
    }

    /// The account that holds a target.
    pub(super) async fn account<'b>(
        &self,
        api: &'b Api<'b>,
        common: &Common,
        target: &Target,
    ) -> Result<Account<'b>, AccessFailure> {
        let id = target::account(api, target, common.account.as_deref(), self.environment).await?;
        Ok(Account { api, id })
    }

    /// Shows a plan, and asks whether to apply it. Returns whether to.
    pub(super) async fn approve(&self, lines: &[PlanLine], change: &Change) -> Result<bool, AccessFailure> {
        show(self.output, lines);
        if !lines.iter().any(|line| !matches!(line.mark, PlanMark::Same | PlanMark::Warning)) {
            self.output.set("applied", false);
            return Ok(false);
        }
        if change.dry_run {
            self.output.set("applied", false);
            self.output.note("dry run: nothing was changed");
            return Ok(false);
        }
        if !change.yes
            && !self
                .ask("Apply this plan? [y/N] ")
                .await?
                .is_some_and(|answer| ["y", "yes"].contains(&&*answer))
        {
            return Err(AccessFailure::new("the plan was not applied", "answer y, or pass --yes"));
        }
        Ok(true)
    }

    /// Asks the user. None where the answer is empty.
    pub(super) async fn ask(&self, question: &str) -> Result<Option<String>, AccessFailure> {
        if !self.output.console.is_terminal {
            return Err(AccessFailure::new(
                "the plan needs a confirmation, and stdin is not a terminal",
                "pass --yes to apply it without asking, or --dry-run to see it",
            ));
        }
        (self.output.console.tell)(question.trim_end());
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = read.await.ok().and_then(Result::ok).unwrap_or_default().trim().to_lowercase();
        Ok((!line.is_empty()).then_some(line))
    }

    /// Opens what is known here of a server.
    pub(super) fn store(
        &self,
        target: &Target,
        is_locked: bool,
    ) -> Result<(StateStore, State), AccessFailure> {
        let store = StateStore::open(target, self.environment, is_locked)?;
        let state = store.load()?;
        Ok((store, state))
    }
}

/// Shows lines, on stdout or in the document.
pub(super) fn show(output: &AccessOutput<'_>, lines: &[PlanLine]) {
    lines.iter().for_each(|line| output.line(&line.to_string()));
    output.set("plan", lines.iter().map(PlanLine::as_json).collect::<Vec<Value>>());
}

/// What exists for a server, for every command but setup.
pub(super) struct Existing {
    pub(super) target: Target,
    pub(super) state: State,
    /// The file that should hold the secret, and what it holds.
    pub(super) path: std::path::PathBuf,
    pub(super) file: EnvFile,
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) policies: Vec<Policy>,
    pub(super) applications: Vec<Application>,
    /// The application that decides about the server, with all its policies.
    pub(super) application: Option<Application>,
}

impl Existing {
    /// Reads all of it.
    pub(super) async fn read(
        account: &Account<'_>,
        target: Target,
        store: &StateStore,
        state: State,
        env_file: Option<&std::path::Path>,
    ) -> Result<Existing, AccessFailure> {
        let path = env_file.map(sink::absolute);
        let path = path.or_else(|| state.env_file.clone()).unwrap_or_else(|| store.default_env_file());
        let file = EnvFile::read(&path).map_err(|error| sink::unusable(&path, &error))?;
        let tokens = account.tokens().await?;
        let policies = account.policies().await?;
        let applications = account.applications().await?;
        let application = match application_for(&applications, &target) {
            Some(found) => Some(account.application(&found.id, &policies).await?),
            None => match &state.application {
                // One for a Worker has no domain.
                Some(known) if applications.iter().any(|found| found.id == known.id) => {
                    Some(account.application(&known.id, &policies).await?)
                }
                Some(_) | None => None,
            },
        };
        Ok(Existing { target, state, path, file, tokens, policies, applications, application })
    }

    /// The service token of this server: the one in the file, the one that setup created, or the only one that the
    /// application's Service Auth policies include.
    pub(super) fn token(&self) -> Option<&TokenRecord> {
        let by_client = self.file.get(super::env_file::PAIR[0]);
        let by_client = by_client.and_then(|id| self.tokens.iter().find(|token| token.client_id == id));
        let by_id = self.state.token.as_ref().and_then(|token| token.id.as_ref());
        let by_id = by_id.and_then(|id| self.tokens.iter().find(|token| token.id == *id));
        by_client.or(by_id).or_else(|| {
            let included = |token: &&TokenRecord| self.policies_of(token).next().is_some();
            let mut all = self.tokens.iter().filter(included);
            all.next().filter(|_| all.next().is_none())
        })
    }

    /// The same, or that there is none.
    pub(super) fn required_token(&self) -> Result<&TokenRecord, AccessFailure> {
        self.token().ok_or_else(|| {
            AccessFailure::new(
                format!("no service token is set up for {}", self.target.host),
                format!(
                    "run `mcp-tether access setup {}`, or name its file with --env-file",
                    self.target.url
                ),
            )
        })
    }

    /// The Service Auth policies of the application that include a token.
    pub(super) fn policies_of<'a>(&'a self, token: &'a TokenRecord) -> impl Iterator<Item = &'a Policy> {
        let policies = self.application.iter().flat_map(|application| &application.policies);
        policies.filter(|policy| {
            policy.decision == "non_identity" && policy.include.contains(&token_rule(&token.id))
        })
    }

    /// The pair in the file, if it is that of the token.
    pub(super) fn pair(&self, token: &TokenRecord) -> Option<Pair> {
        self.file.pair().filter(|pair| pair.client_id == token.client_id)
    }
}
