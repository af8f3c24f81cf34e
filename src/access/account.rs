//! The Access objects of one account: what is read, and the few calls that change something.
//!
//! A create whose outcome is unknown is followed by a list, never by another create; a delete is repeated while the API says
//! that an earlier change has not reached everything. Deliberately not here: the order of changes (`apply`).

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, ApiError};
use super::failure::AccessFailure;
use super::model::{Application, Policy, TokenRecord};

/// How many objects a page of applications or tokens holds.
const PAGE: u32 = 1000;
/// The pauses before a delete is repeated: some eight seconds altogether.
const DELETE_PAUSES: [u64; 6] = [300, 700, 1_000, 1_500, 2_000, 2_500];
/// The pauses before the list of what an unknown create may have made.
const LIST_PAUSES: [u64; 2] = [0, 1_000];
/// Members of an application that the API sets by itself.
const READ_ONLY: [&str; 5] = ["id", "uid", "aud", "created_at", "updated_at"];

/// One account at the API.
pub(super) struct Account<'a> {
    pub(super) api: &'a Api<'a>,
    pub(super) id: String,
}

/// An object that a create made.
#[derive(Debug)]
pub(super) struct Created {
    /// The object.
    pub(super) value: Value,
    /// Whether it was found in the list, because no answer came.
    pub(super) is_found: bool,
}

impl Account<'_> {
    /// A path of this account.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/accounts/{}/{rest}", self.id)
    }

    /// The domain of the account's team, without a scheme.
    pub(super) async fn team(&self) -> Result<String, AccessFailure> {
        let organization = self.api.get(&self.path("access/organizations")).await?;
        let domain =
            organization.get("auth_domain").and_then(Value::as_str).filter(|domain| !domain.is_empty());
        let domain = domain.ok_or_else(|| {
            AccessFailure::new(
                "the account has no Zero Trust team",
                "set up Zero Trust once in the dashboard (one.dash.cloudflare.com)",
            )
        })?;
        Ok(without_scheme(domain).to_owned())
    }

    /// All service tokens.
    pub(super) async fn tokens(&self) -> Result<Vec<TokenRecord>, ApiError> {
        let all = self.api.list(&self.path("access/service_tokens"), &[], PAGE).await?;
        Ok(all.iter().filter_map(TokenRecord::of).collect())
    }

    /// One service token.
    pub(super) async fn token(&self, id: &str) -> Result<Option<TokenRecord>, ApiError> {
        Ok(TokenRecord::of(&self.api.get(&self.path(&format!("access/service_tokens/{id}"))).await?))
    }

    /// All reusable policies.
    pub(super) async fn policies(&self) -> Result<Vec<Policy>, ApiError> {
        let all = self.api.list(&self.path("access/policies"), &[], PAGE).await?;
        Ok(all.iter().filter_map(Policy::of).collect())
    }

    /// All applications, as the list has them.
    pub(super) async fn applications(&self) -> Result<Vec<Application>, ApiError> {
        let all = self.api.list(&self.path("access/apps"), &[], PAGE).await?;
        Ok(all.iter().filter_map(Application::of).collect())
    }

    /// One application with all that is known of its policies.
    pub(super) async fn application(&self, id: &str, reusable: &[Policy]) -> Result<Application, ApiError> {
        let path = self.path(&format!("access/apps/{id}"));
        let value = self.api.get(&path).await?;
        let mut application = Application::of(&value).unwrap_or_else(|| Application {
            id: id.to_owned(),
            all: value.clone(),
            ..Application::default()
        });
        let is_known = |policy: &Policy| !policy.decision.is_empty();
        for policy in &mut application.policies {
            let named = reusable.iter().find(|named| named.id == policy.id);
            match named {
                Some(named) => {
                    *policy =
                        Policy { precedence: policy.precedence, is_reusable: Some(true), ..named.clone() };
                }
                None => policy.is_reusable = policy.is_reusable.or(Some(false)),
            }
        }
        if !application.policies.iter().all(is_known) || value.get("policies").is_none() {
            let own = self.api.list(&format!("{path}/policies"), &[], PAGE).await?;
            for mut policy in own.iter().filter_map(Policy::of) {
                let is_reusable = reusable.iter().any(|named| named.id == policy.id);
                policy.is_reusable = policy.is_reusable.or(Some(is_reusable));
                application.policies.retain(|known| known.id != policy.id);
                application.policies.push(policy);
            }
        }
        Ok(application)
    }

    /// Creates an object. Where the outcome is unknown, the list is searched for one that `is_it`, before anything is sent a
    /// second time.
    pub(super) async fn create(
        &self,
        path: &str,
        body: &Value,
        is_it: &dyn Fn(&Value) -> bool,
    ) -> Result<Created, ApiError> {
        let mut is_second = false;
        loop {
            let error = match self.api.write(Method::POST, path, Some(body)).await {
                Ok(value) if value.get("id").is_some_and(Value::is_string) => {
                    return Ok(Created { value, is_found: false });
                }
                Ok(_) => ApiError::Ambiguous {
                    call: format!("POST {}", path.rsplit('/').next().unwrap_or_default()),
                    reason: "the answer names no id".to_owned(),
                    ray: None,
                    status: None,
                },
                // What the first attempt made may be listed late.
                Err(error) if error.is_ambiguous() || is_second && error.code() == Some(11010) => error,
                Err(error) => return Err(error),
            };
            for pause in LIST_PAUSES {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let all = self.api.list(path, &[], PAGE).await.map_err(|_| error.clone())?;
                let found: Vec<&Value> = all.iter().filter(|value| is_it(value)).collect();
                match found.as_slice() {
                    [] => {}
                    [value] => return Ok(Created { value: (*value).clone(), is_found: true }),
                    [_, _, ..] => return Err(error),
                }
            }
            if is_second {
                return Err(error);
            }
            is_second = true;
        }
    }

    /// Deletes an object; one that is gone counts as deleted.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ApiError> {
        let mut pauses = DELETE_PAUSES.iter();
        loop {
            let error = match self.api.write(Method::DELETE, path, None).await {
                Ok(_) => return Ok(()),
                Err(error) if error.status() == Some(404) => return Ok(()),
                Err(error) => error,
            };
            let is_early = error.status() == Some(409) || error.code() == Some(12139);
            let may_help = is_early || error.is_ambiguous() || matches!(error, ApiError::Unsent { .. });
            match pauses.next().filter(|_| may_help) {
                Some(pause) => tokio::time::sleep(Duration::from_millis(*pause)).await,
                None => return Err(error),
            }
        }
    }

    /// Issues a new secret of a service token. Returns its client id and the secret.
    pub(super) async fn rotate(
        &self,
        id: &str,
        old_expires: Option<i64>,
    ) -> Result<(String, String), ApiError> {
        let body = match old_expires {
            Some(time) => json!({ "previous_client_secret_expires_at": super::time::format(time) }),
            None => json!({}),
        };
        let path = self.path(&format!("access/service_tokens/{id}/rotate"));
        let value = self.api.write(Method::POST, &path, Some(&body)).await?;
        secret_of(&value, "POST …/rotate")
    }

    /// Changes members of a service token.
    pub(super) async fn update_token(&self, token: &TokenRecord, members: Value) -> Result<Value, ApiError> {
        let mut body = json!({ "name": token.name });
        if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
            body.extend(members);
        }
        self.api
            .write(Method::PUT, &self.path(&format!("access/service_tokens/{}", token.id)), Some(&body))
            .await
    }

    /// Replaces an application by the same one with other policies. What comes back is compared member by member; where
    /// something else changed, the application is put back as it was.
    pub(super) async fn put_policies(
        &self,
        before: &Application,
        policies: &[Value],
        further: &[(&str, Value)],
    ) -> Result<Value, AccessFailure> {
        let path = self.path(&format!("access/apps/{}", before.id));
        let mut body = writable(&before.all);
        body.insert("policies".to_owned(), Value::Array(policies.to_vec()));
        body.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let sent = self.api.write(Method::PUT, &path, Some(&Value::Object(body))).await;
        if let Err(error) = &sent
            && !error.is_ambiguous()
        {
            return Err(error.clone().into());
        }
        let after = self.api.get(&path).await?;
        let ids = |policies: &[Value]| {
            policies
                .iter()
                .filter_map(Policy::of)
                .map(|policy| policy.id)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let found = match after.get("policies").and_then(Value::as_array) {
            Some(found) => found.clone(),
            None => self.api.list(&format!("{path}/policies"), &[], PAGE).await?,
        };
        if let Err(error) = sent
            && ids(&found) != ids(policies)
        {
            // It did not take effect.
            return Err(error.into());
        }
        let except: Vec<&str> = further.iter().map(|(name, _)| *name).collect();
        let mut changed = differences(&before.all, &after, &except);
        let precedences = |all: &[Value]| -> HashMap<String, i64> {
            let all = all.iter().filter_map(Policy::of);
            all.filter_map(|policy| Some((policy.id, policy.precedence?))).collect()
        };
        // Links that are ids alone say nothing about their precedence.
        let (wanted, is) = (precedences(policies), precedences(&found));
        let is_kept = |(id, precedence): (&String, &i64)| is.get(id).is_none_or(|found| found == precedence);
        if ids(&found) != ids(policies) || !wanted.iter().all(is_kept) {
            changed.push("policies".to_owned());
        }
        if changed.is_empty() {
            return Ok(after);
        }
        let mut body = writable(&before.all);
        body.insert("policies".to_owned(), Value::Array(links(&before.policies)));
        let restored = self.api.write(Method::PUT, &path, Some(&Value::Object(body))).await;
        let failure = AccessFailure::new(
            format!(
                "the API changed more of the application {} than its policies: {}",
                before.name,
                changed.join(", ")
            ),
            "add the policy in the dashboard (Access controls > Applications)",
        );
        Err(match restored {
            Ok(_) => failure.and("; the application was put back as it was"),
            Err(error) => failure.and(&format!("; it could not be put back as it was: {error}")),
        })
    }
}

/// The client id and the secret in an answer.
pub(super) fn secret_of(value: &Value, call: &str) -> Result<(String, String), ApiError> {
    let text = |name: &str| {
        value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    match (text("client_id"), text("client_secret")) {
        (Some(id), Some(secret)) => {
            crate::redact::register_secret(&secret);
            Ok((id, secret))
        }
        _ => Err(ApiError::Ambiguous {
            call: call.to_owned(),
            reason: "the answer holds no secret".to_owned(),
            ray: None,
            status: None,
        }),
    }
}

/// A domain without a scheme and a slash at the end.
pub(super) fn without_scheme(domain: &str) -> &str {
    domain.split_once("://").map_or(domain, |(_, rest)| rest).trim_end_matches('/')
}

/// Links to policies, with the precedences that they have.
pub(super) fn links(policies: &[Policy]) -> Vec<Value> {
    let link = |policy: &Policy| match policy.precedence {
        Some(precedence) => json!({ "id": policy.id, "precedence": precedence }),
        None => json!({ "id": policy.id }),
    };
    policies.iter().map(link).collect()
}

/// Links to policies and to one more, behind them.
pub(super) fn links_with(policies: &[Policy], id: &str) -> Vec<Value> {
    let last = policies.iter().filter_map(|policy| policy.precedence).max();
    let last = last.unwrap_or_else(|| i64::try_from(policies.len()).unwrap_or(i64::MAX));
    let mut links = links(policies);
    links.push(json!({ "id": id, "precedence": last.saturating_add(1) }));
    links
}

/// What of an application can be sent back.
fn writable(application: &Value) -> Map<String, Value> {
    let members = application.as_object().cloned().unwrap_or_default();
    members.into_iter().filter(|(name, _)| !READ_ONLY.contains(&name.as_str())).collect()
}

/// The members of an application that are not what they were, its policies and those of `except` aside.
pub(super) fn differences(before: &Value, after: &Value, except: &[&str]) -> Vec<String> {
    let members = before.as_object().cloned().unwrap_or_default();
    let is_compared = |name: &str| !["updated_at", "policies"].contains(&name) && !except.contains(&name);
    let changed = members
        .into_iter()
        .filter(|(name, value)| is_compared(name) && after.get(name).unwrap_or(&Value::Null) != value);
    changed.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_precedences_and_add_one_behind() {
        let policy = |id: &str, precedence| Policy { id: id.to_owned(), precedence, ..Policy::default() };
        assert_eq!(
            links_with(&[policy("a", Some(3)), policy("b", Some(7))], "c"),
            [
                json!({"id": "a", "precedence": 3}),
                json!({"id": "b", "precedence": 7}),
                json!({"id": "c", "precedence": 8})
            ]
        );
        assert_eq!(links_with(&[], "c"), [json!({"id": "c", "precedence": 1})]);
        assert_eq!(
            links_with(&[policy("a", None)], "c"),
            [json!({"id": "a"}), json!({"id": "c", "precedence": 2})]
        );
    }

    #[test]
    fn comparison_names_every_member_that_changed() {
        let before = json!({"id": "1", "x_future": {"a": 1}, "name": "n", "updated_at": "1", "policies": []});
        assert!(
            differences(&before, &json!({"id": "1", "x_future": {"a": 1}, "name": "n", "more": 1}), &[])
                .is_empty()
        );
        assert_eq!(differences(&before, &json!({"id": "1", "name": "m"}), &[]), ["name", "x_future"]);
        assert!(writable(&before).get("x_future").is_some() && writable(&before).get("id").is_none());
    }
}
