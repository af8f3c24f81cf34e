//! Tokens are exchanged for others by one process, and the others take what it got.
//!
//! Deliberately not here: when an exchange is due (`super`).

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::bearer::Trial;
use super::store::{Kept, Tokens};
use super::token::{self, Refused};
use super::trouble::{self, Trouble};
use super::wire::Wire;
use super::{
    Bearer, Inner, Invitation, discovery, inherited, issuer, monotonic_clock, registration, wall_clock,
};
use crate::auth::{Credentials, jwt};

impl Inner {
    /// Exchanges a token for another, one process after the other, or takes the one that another process has brought.
    ///
    /// # Errors
    /// When nobody can tell.
    pub(super) async fn exchanged(
        &self,
        used: &Arc<Bearer>,
        credentials: &Credentials,
        invitation: Option<&Invitation>,
    ) -> Result<bool, Trouble> {
        let began = monotonic_clock();
        let _one = self.renewing.lock().await;
        // Those who waited behind one that was locked out have waited long enough.
        if let Some((at, trouble)) = &self.held().locked_out
            && *at >= began
        {
            return Err(trouble.clone());
        }
        match self.bearer() {
            Some(bearer) if !Arc::ptr_eq(&bearer, used) => return Ok(true),
            Some(_) => {}
            // Somebody else has just heard that it cannot be exchanged.
            None => return Ok(false),
        }
        let place = trouble::place(&self.settings.url);
        let locked = self.lock(&format!("the token for {place} is not renewed")).await;
        let _lock = locked.inspect_err(|trouble| {
            self.held().locked_out = Some((monotonic_clock(), trouble.clone()));
        })?;
        let (mut kept, before) = self.current().await?;
        if kept.tokens.as_ref().is_some_and(|tokens| tokens.access_token != used.tokens.access_token) {
            let Some(tokens) = self.wanted_tokens(&kept) else { return Ok(false) };
            debug!("another process has brought a token");
            self.adopt(tokens, Trial::Over);
            return Ok(true);
        }
        let Some(tokens) = kept.tokens.clone() else {
            // Another process has heard that they cannot be exchanged, or the person has signed out.
            self.held().bearer = None;
            return Ok(false);
        };
        let wire = Wire { http: &self.http, server: &self.settings.url, credentials };
        let nothing = Invitation::default();
        if !self.complete(&wire, &mut kept, invitation.unwrap_or(&nothing)).await? {
            return Ok(false);
        }
        let (Some(refresh), Some(authorization), Some(client)) =
            (&tokens.refresh_token, &kept.authorization, &kept.client)
        else {
            return Ok(false);
        };
        if let Some(invitation) = invitation.filter(|invitation| invitation.challenge.is_some()) {
            let issuers = discovery::issuers(&wire, &self.settings.url, invitation).await;
            if issuers.is_some_and(|issuers| !issuers.is_empty() && !issuers.contains(&authorization.issuer))
            {
                info!("the server names another authorization server than the one that was signed in at");
                return Ok(false);
            }
        }
        let client = match &self.settings.client {
            Some(written) if written.client_id == client.client_id => written,
            Some(_) => return Ok(false),
            None => client,
        };
        let mut grant = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
        if let Some(resource) = kept.resource.as_deref().filter(|_| self.settings.names_resource) {
            grant.push(("resource", resource));
        }
        if let Some(scope) = &tokens.scope {
            grant.push(("scope", scope));
        }
        issuer::accept(&self.settings, &kept, authorization)?;
        let _asking = self.asking.read().await;
        match token::ask(&wire, authorization, client, &grant, wall_clock()).await {
            Ok(new) => {
                let new = Tokens {
                    refresh_token: new.refresh_token.clone().or_else(|| tokens.refresh_token.clone()),
                    scope: new.scope.clone().or_else(|| tokens.scope.clone()),
                    id_token: new.id_token.clone().or_else(|| still_good(&tokens)),
                    requested: tokens.requested.clone(),
                    ..new
                };
                new.learn();
                kept.tokens = Some(new.clone());
                self.keep(&kept, before).await;
                self.adopt(new, Trial::Renewed);
                debug!("the token was exchanged for another");
                Ok(true)
            }
            Err(refused @ (Refused::Grant(_) | Refused::Client(_))) => {
                let is_unknown = matches!(refused, Refused::Client(_));
                let trouble = refused.trouble();
                warn!(advice = trouble.advice(), "the sign-in at {place} has come to its end: {trouble}");
                if is_unknown {
                    let issuer = authorization.issuer.clone();
                    kept.registrations.retain(|client| client.issuer != issuer);
                }
                kept.tokens = None;
                self.keep(&kept, before).await;
                self.held().bearer = None;
                Ok(false)
            }
            Err(Refused::Otherwise(trouble)) => Err(trouble),
        }
    }

    /// Finds out where the tokens that mcp-remote has kept are exchanged for others. Tells whether that is where they came
    /// from; of other tokens it is known.
    ///
    /// # Errors
    /// When nobody can tell.
    pub(super) async fn complete(
        &self,
        wire: &Wire<'_>,
        kept: &mut Kept,
        invitation: &Invitation,
    ) -> Result<bool, Trouble> {
        let issuer = match &kept.authorization {
            Some(authorization) if kept.is_inherited() => authorization.issuer.clone(),
            Some(_) | None => return Ok(true),
        };
        let discovered = Box::pin(discovery::discover(
            wire,
            &self.settings.url,
            &self.settings.grant,
            invitation,
            Some(&issuer),
        ))
        .await;
        let found = match discovered {
            Ok(found) if inherited::is_same(&found.authorization.issuer, &issuer) => found,
            Ok(_) | Err(Trouble::NotOffered) => {
                info!(
                    "the server names another authorization server than the one that mcp-remote signed in at"
                );
                return Ok(false);
            }
            Err(trouble) => return Err(trouble),
        };
        let named = registration::named(&self.settings, &found.authorization);
        for client in kept.client.iter_mut().chain(&mut kept.registrations) {
            client.issuer.clone_from(&found.authorization.issuer);
        }
        // One that the person names is not among what was kept.
        kept.client = named.map(|client| self.storable(&client)).or_else(|| kept.client.take());
        kept.resource = self.settings.resource.clone().or(found.resource);
        kept.authorization = Some(found.authorization);
        Ok(true)
    }
}

/// The ID token, which need not come with an exchange (OpenID Connect Core, section 12.2), as long as it holds.
fn still_good(tokens: &Tokens) -> Option<String> {
    let holds = |token: &&String| jwt::expiry(token).is_none_or(|end| end > wall_clock());
    tokens.id_token.as_ref().filter(holds).cloned()
}
