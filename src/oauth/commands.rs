//! The commands `login`, `logout` and `tokens`, without what they print (`start`).

use std::sync::Arc;

use http::StatusCode;
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use url::Url;

use crate::auth::Credentials;
use crate::auth::credential_provider::CredentialProvider;
use crate::mcp::{header, method};
use crate::oauth::bearer::Bearer;
use crate::oauth::bearer::TokenOrigin;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::challenge::bearer;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::Query;
use crate::oauth::flows::token::{prepared, without_secrets};
use crate::oauth::http::{FORM, OAuthHttp, OAuthResponse};
use crate::oauth::issuer;
use crate::oauth::progress::done;
use crate::oauth::saving::Saved;
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in::OAuth;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::sign_in_error::place;
use crate::oauth::state::SignInState;
use crate::oauth::store::listing::{StoredEntry, stored_sign_ins};
use crate::oauth::store::off_loop;

/// What is held for a server, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTokens {
    /// The name that tells it from other sign-ins at the same server, where it has one.
    pub profile: Option<String>,
    /// The issuer of the tokens.
    pub issuer: String,
    /// What for.
    pub resource: String,
    /// What it allows.
    pub scope: Option<String>,
    /// In how many seconds the token runs out, where that is known; 0 where it has.
    pub expires_in: Option<u64>,
    /// Whether it is exchanged for another by itself.
    pub renews: bool,
    /// Whether the token is bound to a key (DPoP).
    pub is_dpop_bound: bool,
    /// Where it is kept: a file, or a store and the key there.
    pub place: String,
    /// Whether that is a file.
    pub is_in_file: bool,
}

/// A stored sign-in at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedSignIn {
    /// One of the files or of the token store of the options.
    Held(HeldTokens),
    /// One of another token store.
    Elsewhere(StoredEntry),
}

impl OAuth {
    /// Signs in anew, whatever is held. Waits as long as it takes.
    ///
    /// # Errors
    /// Why it came to nothing.
    pub async fn log_in(&self, provider: &CredentialProvider) -> Result<(), SignInError> {
        let state = &self.state;
        let ask = async |credentials: &Arc<Credentials>| {
            ping(&OAuthHttp { http: &state.http, server: &state.settings.url, credentials }).await
        };
        let mut used = provider.current().await;
        let mut answer = ask(&used.credentials).await?;
        if used.withheld.is_some() && matches!(answer.status, 300..=399 | 401 | 403) {
            match provider.prove(&used, &state.settings.url).await {
                Ok(proved) => {
                    used = proved;
                    answer = ask(&used.credentials).await?;
                    // Anything but a refusal by Access shows that it let the token through.
                    if !matches!(answer.status, 300..=399 | 403) {
                        provider.token_accepted(&used).await;
                    }
                }
                Err(reason) => tracing::warn!("the service token is not sent to this host: {reason}"),
            }
        }
        let credentials = &used.credentials;
        let http = OAuthHttp { http: &state.http, server: &state.settings.url, credentials };
        if let Some(failure) = http.refused_entry(&answer) {
            return Err(failure);
        }
        let bearer_challenge = if answer.status == 401 { bearer(&answer.headers) } else { None };
        let challenge =
            SignInChallenge { bearer_challenge: Some(bearer_challenge.unwrap_or_default()), document: None };
        // The user wants to try again, perhaps because the authorization server has expired the client registration.
        let store = state.store.clone();
        if state.settings.stores_tokens()
            && let Ok(flow) = off_loop(move || store.try_flow()).await
        {
            SignInState::note(&flow, None).await;
            // What a server once refused it may accept now.
            state
                .change(|stored| {
                    stored.registrations.clear();
                    stored.refuses_dpop = false;
                })
                .await?;
        }
        // Whatever is held is as good as refused, also where it cannot be sent.
        let refused = state.stored().await?.access_token();
        let wanted = challenge
            .bearer_challenge
            .as_ref()
            .and_then(|bearer_challenge| bearer_challenge.scope.as_deref().map(without_secrets));
        done(self.join_flow(&challenge, credentials, refused.as_deref(), wanted)?).await?;
        self.prove(credentials).await
    }

    /// Looks whether a sign-in can be found, where the server refuses what is held. Nothing is registered, opened or kept.
    ///
    /// # Errors
    /// Why it cannot be found.
    pub async fn find(&self, credentials: &Arc<Credentials>) -> Result<(), SignInError> {
        let state = &self.state;
        let (credentials, _) = self.join(credentials).await;
        let http = OAuthHttp { http: &state.http, server: &state.settings.url, credentials: &credentials };
        let answer = ping(&http).await?;
        let bearer_challenge = if answer.status == 401 { bearer(&answer.headers) } else { None };
        if bearer_challenge.is_none() || http.intercepted(&state.settings.url, &answer).is_some() {
            return Ok(());
        }
        let challenge = SignInChallenge { bearer_challenge, document: None };
        let stored = state.stored().await?;
        let before = issuer::preferred(&state.settings, &stored);
        let query = Query::new(&state.settings, before);
        Box::pin(discovery::discover(&http, &query, &challenge)).await.map(drop)
    }

    /// Makes sure that there is a token now that is of use: it can be sent, holds, is accepted, and is there for the next start.
    async fn prove(&self, credentials: &Arc<Credentials>) -> Result<(), SignInError> {
        let state = &self.state;
        let place = place(&state.settings.url);
        let (credentials, bearer) = self.join(credentials).await;
        let now = seconds(wall_clock());
        let bearer = bearer.filter(|bearer| bearer.expires.is_none_or(|expires| expires > now));
        if bearer.is_none() {
            let sentence = format!("the authorization server of {place} gave a token that is of no use");
            let advice =
                "have the authorization server's log looked at: the token has run out, or cannot be sent";
            return Err(SignInError::failed(sentence, advice));
        }
        if state.save().await != Saved::Done {
            let reason = state.held().unsaved.as_ref().map(|unsaved| unsaved.reason.clone());
            let sentence = format!("the sign-in cannot be saved: {}", reason.unwrap_or_default());
            return Err(SignInError::failed(sentence, "make that possible, then sign in again"));
        }
        let http = OAuthHttp { http: &state.http, server: &state.settings.url, credentials: &credentials };
        if ping(&http).await?.status == 401 {
            let sentence = format!("{place} does not accept the token that one has just signed in for");
            let advice = "look into the server's log; perhaps it expects a token for another resource";
            return Err(SignInError::failed(sentence, advice));
        }
        Ok(())
    }

    /// Revokes the tokens, where that is possible, and removes them, those of the company's identity provider included. Returns
    /// whether there were any.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub async fn log_out(&self, credentials: &Credentials) -> Result<bool, SignInError> {
        let was_there = self.forget(credentials).await?;
        match &self.provider {
            Some(provider) => Ok(provider.forget(credentials).await? || was_there),
            None => Ok(was_there),
        }
    }

    async fn forget(&self, credentials: &Credentials) -> Result<bool, SignInError> {
        let state = &self.state;
        // While another process refreshes them, it is not known which ones to revoke.
        let place = place(&state.settings.url);
        let _lock = state.lock(&format!("signing out at {place} is not possible")).await?;
        let mut stored = state.stored().await?;
        let http = OAuthHttp { http: &state.http, server: &state.settings.url, credentials };
        // Names the revocation endpoint.
        let _ = state.complete(&http, &mut stored, &SignInChallenge::default()).await;
        if let (Some(tokens), Some(authorization), Some(client)) =
            (&stored.tokens, &stored.authorization, &stored.client)
            && let Some(endpoint) =
                authorization.revocation_endpoint.as_deref().and_then(|text| Url::parse(text).ok())
        {
            let is_same = |written: &&OAuthClient| written.client_id == client.client_id;
            let client = state.settings.client.as_ref().filter(is_same).unwrap_or(client);
            // The one that keeps one signed in ends the other with it (RFC 7009, section 2.1).
            let token = tokens.refresh_token.as_deref().unwrap_or(&tokens.access_token);
            let (headers, body) = prepared(authorization, client, &[("token", token)], wall_clock());
            match http.post(&endpoint, FORM, body, headers).await {
                Ok(answer) if answer.is_ok() => {}
                Ok(answer) => {
                    tracing::warn!("the tokens could not be given back: {} was answered", answer.status)
                }
                Err(failure) => tracing::warn!("the tokens could not be given back: {failure}"),
            }
        }
        state.held().unsaved = None;
        let store = state.store.clone();
        let remedy = state.store.token_store().remedy();
        off_loop(move || store.forget()).await.map_err(|sentence| SignInError::failed(sentence, remedy))
    }

    /// What is held for these options; where they name only the URL, all sign-ins there.
    ///
    /// # Errors
    /// When a file or the token store cannot be read.
    pub async fn list(&self) -> Result<Vec<ListedSignIn>, SignInError> {
        let settings = &self.state.settings;
        let own = self.held(settings.identity.profile()).await?;
        let mut listed: Vec<ListedSignIn> = own.map(ListedSignIn::Held).into_iter().collect();
        if !settings.identity.distinction().is_empty() {
            return Ok(listed);
        }
        let own = self.state.store.path("json");
        for entry in OAuth::entries(settings).await {
            match entry.store(&settings.token_store) {
                None => listed.push(ListedSignIn::Elsewhere(entry)),
                Some(store) if store.path("json") == own => {}
                Some(store) => {
                    let other = OAuth::with_store(settings.clone(), Arc::clone(&self.state.http), store);
                    listed.extend(other.held(entry.profile.as_deref()).await?.map(ListedSignIn::Held));
                }
            }
        }
        Ok(listed)
    }

    /// What is held of the sign-in at the company's identity provider, where there is one.
    ///
    /// # Errors
    /// When its file or the token store cannot be read.
    pub async fn held_at_provider(&self) -> Result<Option<HeldTokens>, SignInError> {
        match &self.provider {
            Some(provider) => provider.held(self.state.settings.identity.profile()).await,
            None => Ok(None),
        }
    }

    /// The stored sign-ins at the server of `settings`, whatever their other options.
    async fn entries(settings: &SignInSettings) -> Vec<StoredEntry> {
        let Some(folder) = settings.folder.clone() else { return Vec::new() };
        let url = settings.url.clone();
        off_loop(move || stored_sign_ins(&folder, Some(&url))).await
    }

    /// Signs out of all sign-ins at the server, whatever their other options. Returns how many there were, and those that rest
    /// in another token store, which stay.
    ///
    /// # Errors
    /// When one of them cannot be removed; those before it are.
    pub async fn log_out_everywhere(
        &self,
        credentials: &Credentials,
    ) -> Result<(usize, Vec<StoredEntry>), SignInError> {
        // That of these options may be an import of mcp-remote, which has no file of ours.
        let mut count = usize::from(self.log_out(credentials).await?);
        let mut elsewhere = Vec::new();
        for entry in OAuth::entries(&self.state.settings).await {
            match self.of_entry(&entry) {
                Some(other) => count += usize::from(other.log_out(credentials).await?),
                None => elsewhere.push(entry),
            }
        }
        Ok((count, elsewhere))
    }

    /// The same server with the sign-in of a listed entry; none where that rests in another token store.
    pub fn of_entry(&self, entry: &StoredEntry) -> Option<OAuth> {
        let settings = &self.state.settings;
        let store = entry.store(&settings.token_store)?;
        Some(OAuth::with_store(settings.clone(), Arc::clone(&self.state.http), store))
    }

    async fn held(&self, profile: Option<&str>) -> Result<Option<HeldTokens>, SignInError> {
        let stored = self.state.stored().await?;
        let Some(tokens) = stored.tokens else { return Ok(None) };
        let now = seconds(wall_clock());
        let (settings, server) = (&self.state.settings, &self.state.dpop.resource);
        let bearer = Bearer::new(tokens.clone(), settings, TokenOrigin::Over, server);
        Ok(bearer.map(|bearer| HeldTokens {
            profile: profile.map(str::to_owned),
            issuer: stored.authorization.map(|authorization| authorization.issuer).unwrap_or_default(),
            resource: stored.resource.unwrap_or_default(),
            scope: tokens.scope.or(tokens.requested),
            expires_in: bearer.expires.map(|expires| expires.saturating_sub(now)),
            renews: bearer.renews,
            is_dpop_bound: bearer.is_dpop_bound(),
            place: self.state.store.place(),
            is_in_file: self.state.store.token_store().is_file(),
        }))
    }
}

/// Sends a ping without a session, which a server that requires a token rejects.
async fn ping(http: &OAuthHttp<'_>) -> Result<OAuthResponse, SignInError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(header::JSON_OR_EVENT_STREAM));
    let ping = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, method::PING);
    let answer = http.post_any(http.server, header::JSON, ping.clone(), headers.clone()).await?;
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    match http.credentials.note_response(http.server, status, &answer.headers) {
        true => http.post_any(http.server, header::JSON, ping, headers).await,
        false => Ok(answer),
    }
}
