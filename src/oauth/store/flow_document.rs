//! The document of a sign-in under way, as it stands in the `.flow` file.
//!
//! Deliberately not here: the lock on that file (`lock`), and who reads it (`store`).

use serde::{Deserialize, Serialize};

use crate::auth::dpop::DpopKey;
use crate::oauth::authorization_request::AuthorizationRequest;
use crate::oauth::client::OAuthClient;
use crate::oauth::device_authorization::DeviceAuthorization;
use crate::oauth::documents;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::store::{PendingSignIn, Prompt};
use crate::redact;

/// What stands in the file of a sign-in under way: a pending one, or one that failed.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct FlowDocument {
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    request: Option<AuthorizationRequest>,
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    device: Option<DeviceAuthorization>,
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    authorization: Option<AuthorizationServer>,
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    client: Option<OAuthClient>,
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    dpop_key: Option<DpopKey>,
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) in_vain: Option<FailedDocument>,
    /// The process that writes it. It is read by `lock` alone.
    #[serde(skip_deserializing)]
    pid: u32,
}

/// A failed sign-in, as it stands there. A sentence, which earlier versions have written, may hold the words of a server.
#[derive(Serialize, Deserialize)]
pub(super) struct FailedDocument {
    pub(super) at: u64,
    pub(super) kind: String,
}

impl FlowDocument {
    /// That of a sign-in that failed.
    pub(super) fn failed(failed: FailedDocument) -> FlowDocument {
        FlowDocument { in_vain: Some(failed), ..FlowDocument::default() }
    }

    /// The text of the file, with the process that writes it.
    pub(super) fn write(self) -> String {
        documents::write(&FlowDocument { pid: std::process::id(), ..self })
    }
}

impl PendingSignIn {
    pub(super) fn read(text: &str) -> Option<PendingSignIn> {
        let FlowDocument { at, request, device, authorization, resource, client, dpop_key, .. } =
            documents::read(text)?;
        let pending = PendingSignIn {
            at: at?,
            prompt: device.map(Prompt::Device).or_else(|| request.map(Prompt::Page))?,
            authorization: authorization?,
            resource: resource?,
            client: client?,
            dpop_key,
        };
        match &pending.prompt {
            Prompt::Page(request) => redact::register_token(&request.verifier),
            Prompt::Device(device) => redact::register_token(&device.device_code),
        }
        pending.client.register_secrets();
        Some(pending)
    }

    pub(super) fn document(&self) -> FlowDocument {
        let (request, device) = match &self.prompt {
            Prompt::Page(request) => (Some(request.clone()), None),
            Prompt::Device(device) => (None, Some(device.clone())),
        };
        FlowDocument {
            at: Some(self.at),
            request,
            device,
            authorization: Some(self.authorization.clone()),
            resource: Some(self.resource.clone()),
            client: Some(self.client.clone()),
            dpop_key: self.dpop_key.clone(),
            ..FlowDocument::default()
        }
    }
}
