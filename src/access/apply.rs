//! Applies the plan of `access setup`: step by step, and back again where one fails.
//!
//! The secret is written before the next call. A definite failure removes what this run created, newest first; whatever
//! cannot be removed is named, and the state file stays, so that the next run takes it up. Deliberately not here: what the
//! steps are (`plan`).

use serde_json::{Map, Value, json};

use super::account::{Account, Created, differences, links_with, secret_of};
use super::api::ApiError;
use super::env_file::Pair;
use super::failure::{AccessFailure, Exit};
use super::model::{Application, Policy, TokenRecord, token_rule};
use super::output::AccessOutput;
use super::plan::{ApplicationStep, Plan, PolicyStep, TokenStep, Wanted};
use super::sink::OpenSink;
use super::state::{ApplicationState, State, StateStore, TokenState};
use super::stop::Stop;

/// What this run created, to be removed again.
#[derive(Debug)]
enum Done {
    TokenRecord { id: String, name: String },
    Enabled(TokenRecord),
    Secret,
    Policy { path: String, name: String },
    Application { id: String, name: String },
}

/// What there is at the end.
#[derive(Debug)]
pub(super) struct Applied {
    /// The service token, where this run knows its secret.
    pub(super) pair: Option<Pair>,
    pub(super) client_id: String,
    pub(super) aud: Option<String>,
}

/// A run that applies a plan.
pub(super) struct Run<'a> {
    pub(super) account: &'a Account<'a>,
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) plan: &'a Plan,
    /// The tokens and applications that were there before.
    pub(super) tokens: &'a [TokenRecord],
    pub(super) applications: &'a [Application],
    pub(super) sink: Option<OpenSink>,
    pub(super) store: &'a StateStore,
    pub(super) output: &'a AccessOutput<'a>,
    pub(super) stop: &'a Stop,
    pub(super) state: State,
    done: Vec<Done>,
    /// What may exist, because a create had an unknown outcome.
    unknown: Vec<String>,
}

impl<'a> Run<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of a run, each once")]
    pub(super) fn new(
        account: &'a Account<'a>,
        wanted: &'a Wanted<'a>,
        plan: &'a Plan,
        tokens: &'a [TokenRecord],
        applications: &'a [Application],
        sink: Option<OpenSink>,
        store: &'a StateStore,
        output: &'a AccessOutput<'a>,
        stop: &'a Stop,
        state: State,
    ) -> Run<'a> {
        let (done, unknown) = (Vec::new(), Vec::new());
        Run { account, wanted, plan, tokens, applications, sink, store, output, stop, state, done, unknown }
    }

    /// Applies the plan, or leaves everything as it was.
    pub(super) async fn apply(mut self) -> Result<Applied, AccessFailure> {
        match self.steps().await {
            Ok(applied) => Ok(applied),
            Err(failure) => {
                self.stop.ignore();
                Err(self.roll_back(failure).await)
            }
        }
    }

    async fn steps(&mut self) -> Result<Applied, AccessFailure> {
        let probe = self.account.path("access/apps");
        self.account.api.probe_permission(&probe).await?;
        self.check_stop()?;
        let (token_id, client_id, pair) = self.token().await?;
        if let (Some((_, hosts)), Some(sink)) = (&self.wanted.hosts, &self.sink) {
            self.done.push(Done::Secret);
            sink.write_hosts(hosts)?;
        }
        self.check_stop()?;
        let rule = token_rule(&token_id);
        let name = self.wanted.name.clone();
        let policy = match &self.plan.policy {
            PolicyStep::Create => Some(self.policy(&name, "non_identity", vec![rule.clone()]).await?),
            PolicyStep::Keep(policy) => Some(policy.id.clone()),
            PolicyStep::Own => None,
        };
        self.check_stop()?;
        let users = match &self.plan.users {
            None => None,
            Some(PolicyStep::Keep(policy)) => Some(policy.id.clone()),
            Some(PolicyStep::Create | PolicyStep::Own) => {
                let rules =
                    self.wanted.emails.iter().map(|email| json!({ "email": { "email": email } })).collect();
                Some(self.policy(&format!("{name} users"), "allow", rules).await?)
            }
        };
        self.check_stop()?;
        let (application, is_adopted, policy) = match (&self.plan.application, policy) {
            (ApplicationStep::Keep(application), policy) => (application.all.clone(), false, policy),
            (ApplicationStep::Create, policy) => {
                let links: Vec<&String> = policy.iter().chain(&users).collect();
                (self.application(&links).await?, false, policy)
            }
            (ApplicationStep::Adopt(application), Some(policy)) => {
                (self.adopt(application, &policy).await?, true, Some(policy))
            }
            (ApplicationStep::Adopt(application), None) => {
                let id = self.own_policy(application, rule).await?;
                (application.all.clone(), true, Some(id))
            }
        };
        let text = |name: &str| application.get(name).and_then(Value::as_str).map(str::to_owned);
        let known = self.state.application.take();
        let id = text("id").or_else(|| text("uid")).unwrap_or_default();
        let is_adopted = is_adopted || known.is_some_and(|known| known.id == id && known.is_adopted);
        self.state.application = Some(ApplicationState { id, is_adopted });
        self.state.policy = policy;
        self.store.save(&self.state)?;
        let aud = match (text("aud"), &self.state.application) {
            (Some(aud), _) => Some(aud),
            // Not every answer to a create names it, and nothing fails without it.
            (None, Some(application)) => {
                self.account.application(&application.id, &[]).await.ok().and_then(|found| found.aud)
            }
            (None, None) => None,
        };
        Ok(Applied { pair, client_id, aud })
    }

    fn check_stop(&self) -> Result<(), AccessFailure> {
        if self.stop.is_requested() { Err(AccessFailure::stopped()) } else { Ok(()) }
    }

    /// Sees to the service token: its id, its client id, and itself where its secret is new.
    async fn token(&mut self) -> Result<(String, String, Option<Pair>), AccessFailure> {
        let name = self.wanted.name.clone();
        match &self.plan.token {
            TokenStep::Keep(token) => {
                self.state.token = Some(self.saved(token));
                Ok((token.id.clone(), token.client_id.clone(), None))
            }
            TokenStep::Enable(token) => {
                self.account.update_token(token, json!({ "enabled": true })).await?;
                self.done.push(Done::Enabled(token.clone()));
                self.state.token = Some(self.saved(token));
                Ok((token.id.clone(), token.client_id.clone(), None))
            }
            TokenStep::Recover(token) => {
                self.done.push(Done::TokenRecord { id: token.id.clone(), name: token.name.clone() });
                let (client_id, secret) = self.new_secret(&token.id).await?;
                self.save_secret(&token.id, &token.name, &client_id, &secret).await
            }
            TokenStep::Create => {
                let before =
                    self.tokens.iter().filter(|token| token.name == name).map(|token| token.id.clone());
                let before: Vec<String> = before.collect();
                self.state.token = Some(TokenState {
                    name: name.clone(),
                    id: None,
                    before: before.clone(),
                    is_saved: false,
                });
                self.store.save(&self.state)?;
                let body = json!({ "name": name, "duration": self.wanted.duration });
                let is_it = |value: &Value| {
                    let text = |member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default();
                    text("name") == name && !before.iter().any(|id| id == text("id"))
                };
                let path = self.account.path("access/service_tokens");
                let created = self.create("service token", &name, &path, &body, &is_it).await?;
                let id = created.value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.done.push(Done::TokenRecord { id: id.clone(), name: name.clone() });
                self.remember_token(&id, false)?;
                let (client_id, secret) = match secret_of(&created.value, "POST …/service_tokens") {
                    Ok(found) if !created.is_found => found,
                    // Its secret came with the answer that did not come.
                    Ok(_) | Err(_) => self.new_secret(&id).await?,
                };
                self.save_secret(&id, &name, &client_id, &secret).await
            }
        }
    }

    /// What is remembered of a token that is there already.
    fn saved(&self, token: &TokenRecord) -> TokenState {
        TokenState {
            name: token.name.clone(),
            id: Some(token.id.clone()),
            before: Vec::new(),
            is_saved: true,
        }
    }

    /// Issues a new secret for a token that nothing uses yet, so that it may be repeated.
    async fn new_secret(&self, id: &str) -> Result<(String, String), ApiError> {
        match self.account.rotate(id, None).await {
            Err(error) if error.is_ambiguous() => self.account.rotate(id, None).await,
            other => other,
        }
    }

    fn remember_token(&mut self, id: &str, is_saved: bool) -> Result<(), AccessFailure> {
        if let Some(token) = &mut self.state.token {
            token.id = Some(id.to_owned());
            token.is_saved = is_saved;
        }
        self.store.save(&self.state)
    }

    async fn save_secret(
        &mut self,
        id: &str,
        name: &str,
        client_id: &str,
        secret: &str,
    ) -> Result<(String, String, Option<Pair>), AccessFailure> {
        let pair = Pair::new(client_id, secret);
        let sink = self
            .sink
            .as_ref()
            .ok_or_else(|| AccessFailure::new("the secret has no place to go", "report this"))?;
        // Before it is written, so that a file that was written in part is put back.
        self.done.push(Done::Secret);
        sink.write(&pair, &self.wanted.target.host, false, self.output).await?;
        if self.state.token.is_none() {
            self.state.token = Some(TokenState { name: name.to_owned(), ..TokenState::default() });
        }
        self.remember_token(id, true)?;
        Ok((id.to_owned(), client_id.to_owned(), Some(pair)))
    }

    /// Creates something, and notes it where its outcome stays unknown.
    async fn create(
        &mut self,
        kind: &str,
        name: &str,
        path: &str,
        body: &Value,
        is_it: &dyn Fn(&Value) -> bool,
    ) -> Result<Created, AccessFailure> {
        match self.account.create(path, body, is_it).await {
            Ok(created) => Ok(created),
            Err(error) => {
                if error.is_ambiguous() {
                    self.unknown.push(format!("{kind} \"{name}\""));
                }
                Err(error.into())
            }
        }
    }

    async fn policy(
        &mut self,
        name: &str,
        decision: &str,
        include: Vec<Value>,
    ) -> Result<String, AccessFailure> {
        let body = json!({ "name": name, "decision": decision, "include": include });
        // The token is new, so that no older policy includes it; one for users was looked for before.
        let is_it = |value: &Value| {
            Policy::of(value)
                .is_some_and(|policy| policy.name == name && policy.is_exactly(decision, &include))
        };
        let path = self.account.path("access/policies");
        let created = self.create("policy", name, &path, &body, &is_it).await?;
        let id = created.value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.done.push(Done::Policy { path: format!("{path}/{id}"), name: name.to_owned() });
        self.state.policy = Some(id.clone());
        self.store.save(&self.state)?;
        Ok(id)
    }

    async fn application(&mut self, policies: &[&String]) -> Result<Value, AccessFailure> {
        let (name, domain) = (self.wanted.name.clone(), self.wanted.target.domain());
        let links =
            policies.iter().zip(1..).map(|(id, precedence)| json!({ "id": id, "precedence": precedence }));
        let links: Vec<Value> = links.collect();
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("type", json!("self_hosted"));
        set("name", json!(name));
        set("session_duration", json!("24h"));
        set("app_launcher_visible", json!(false));
        set("policies", Value::Array(links));
        let worker = self.wanted.worker.as_ref().map(|(_, id)| id.clone());
        match &worker {
            Some(id) => set("destinations", json!([{ "type": "worker", "worker_id": id }])),
            None => set("domain", json!(domain)),
        };
        if self.wanted.is_managed_oauth {
            let registration =
                json!({ "enabled": true, "allow_any_on_localhost": true, "allow_any_on_loopback": true });
            set(
                "oauth_configuration",
                json!({ "enabled": true, "dynamic_client_registration": registration }),
            );
        }
        let body = Value::Object(body);
        let before: Vec<String> =
            self.applications.iter().map(|application| application.id.clone()).collect();
        let is_it = |value: &Value| {
            Application::of(value).is_some_and(|found| {
                let is_for =
                    worker.as_ref().map_or_else(|| found.is_for(&domain), |id| found.protects_worker(id));
                is_for && found.name == name && !before.contains(&found.id)
            })
        };
        let path = self.account.path("access/apps");
        let created = self.create("application", &name, &path, &body, &is_it).await?;
        let id = created.value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.done.push(Done::Application { id, name });
        Ok(created.value)
    }

    /// Adds a reusable policy to an application. Returns it as it is now.
    async fn adopt(&mut self, planned: &Application, policy: &str) -> Result<Value, AccessFailure> {
        let before = self.account.application(&planned.id, &planned.policies).await?;
        let changed = differences(&planned.all, &before.all, &[]);
        let ids = |application: &Application| {
            application.policies.iter().map(|policy| policy.id.clone()).collect::<Vec<_>>()
        };
        if !changed.is_empty() || ids(planned) != ids(&before) {
            return Err(AccessFailure::new(
                format!("the application \"{}\" was changed by someone else meanwhile", planned.name),
                "run the command again for a new plan",
            ));
        }
        self.state.application = Some(ApplicationState { id: before.id.clone(), is_adopted: true });
        self.store.save(&self.state)?;
        let after = self.account.put_policies(&before, &links_with(&before.policies, policy), &[]).await;
        if after.is_err() {
            self.state.application = None;
        }
        after
    }

    /// Adds a policy to an application that has its own. Returns its id.
    async fn own_policy(&mut self, application: &Application, rule: Value) -> Result<String, AccessFailure> {
        let name = self.wanted.name.clone();
        let body = json!({ "name": name, "decision": "non_identity", "include": [rule] });
        let is_it = |value: &Value| {
            Policy::of(value)
                .is_some_and(|policy| policy.is_exactly("non_identity", std::slice::from_ref(&rule)))
        };
        self.state.application = Some(ApplicationState { id: application.id.clone(), is_adopted: true });
        self.store.save(&self.state)?;
        let path = self.account.path(&format!("access/apps/{}", application.id));
        let own = format!("{path}/policies");
        let created = self.create("policy", &name, &own, &body, &is_it).await;
        if created.is_err() {
            self.state.application = None;
        }
        let id = created?.value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.done.push(Done::Policy { path: format!("{own}/{id}"), name });
        let changed = differences(&application.all, &self.account.api.get(&path).await?, &[]);
        match changed.is_empty() {
            true => Ok(id),
            false => Err(AccessFailure::new(
                format!(
                    "the API changed more of the application \"{}\" than its policies: {}",
                    application.name,
                    changed.join(", ")
                ),
                "add the policy in the dashboard (Access controls > Applications)",
            )),
        }
    }

    /// Removes what this run created, newest first, and says so.
    async fn roll_back(&mut self, failure: AccessFailure) -> AccessFailure {
        if !self.done.is_empty() {
            self.output.note("removing what this run created");
        }
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        let mut keeps_token = false;
        while let Some(done) = self.done.pop() {
            let (what, result) = match done {
                Done::Secret => {
                    if let Some(place) = self.sink.as_ref().and_then(OpenSink::take_back) {
                        left.push(format!("what was written to {place}"));
                    }
                    continue;
                }
                Done::TokenRecord { id, name } => {
                    let path = self.account.path(&format!("access/service_tokens/{id}"));
                    let result = self.account.delete(&path).await;
                    keeps_token |= result.is_err();
                    (format!("service token \"{name}\" ({id})"), result)
                }
                Done::Enabled(token) => {
                    let result = self.account.update_token(&token, json!({ "enabled": false })).await;
                    (format!("the enabling of the service token \"{}\"", token.name), result.map(drop))
                }
                Done::Policy { path, name } => {
                    let id = path.rsplit('/').next().unwrap_or_default().to_owned();
                    (format!("policy \"{name}\" ({id})"), self.account.delete(&path).await)
                }
                Done::Application { id, name } => {
                    let path = self.account.path(&format!("access/apps/{id}"));
                    (format!("application \"{name}\" ({id})"), self.account.delete(&path).await)
                }
            };
            match result {
                Ok(()) => removed.push(what),
                Err(error) => left.push(format!("{what}: {error}")),
            }
        }
        self.forget(keeps_token);
        let mut failure = failure;
        for (parts, before) in [
            (&removed, "; removed again: "),
            (&left, "; could not be removed: "),
            (&self.unknown, "; may exist, because the API did not answer: "),
        ] {
            if !parts.is_empty() {
                failure = failure.and(&format!("{before}{}", parts.join(", ")));
            }
        }
        let values = |parts: &[String]| {
            Value::from(parts.iter().map(|part| crate::redact::foreign(part)).collect::<Vec<_>>())
        };
        self.output.set("removed", values(&removed));
        self.output.set("left", values(&left));
        if failure.exit == Exit::Stopped && removed.is_empty() && left.is_empty() {
            failure = failure.and("; nothing was changed");
        }
        failure
    }

    /// Remembers what is left, and nothing else.
    fn forget(&mut self, keeps_token: bool) {
        let is_unknown = self.unknown.iter().any(|what| what.starts_with("service token"));
        let token = self.state.token.take().filter(|_| keeps_token || is_unknown);
        let token = token.map(|token| TokenState { is_saved: false, ..token });
        let before = self.wanted.state.clone();
        self.state =
            State { token: token.or_else(|| before.token.clone().filter(|token| token.is_saved)), ..before };
        // Nothing more can be done about a state that cannot be written.
        let _ = match self.state.token.is_some() || self.state.application.is_some() {
            true => self.store.save(&self.state),
            false => self.store.clear(),
        };
    }
}
