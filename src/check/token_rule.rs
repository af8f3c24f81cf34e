//! By which rule the service token is sent to the server, or why it is not: one finding.
//!
//! Deliberately not here: the rules (`config`), and whether Access accepts the token (`conversation`).

use std::io::Write;

use url::Url;

use super::findings::Findings;
use crate::auth::access_proof::{AccessProof, NotSent};
use crate::auth::cf_access::{PairRule, ServiceToken};

/// The step.
const STEP: &str = "rule";

/// Reports the rule of a token that needs no proof.
pub(super) fn report(token: &ServiceToken, findings: &mut Findings<impl Write>) {
    let reason = match token.rule() {
        PairRule::Written => "it is written in this server's headers",
        PairRule::Listed => "CF_ACCESS_HOSTS names this host",
        PairRule::Loopback => "the server is on this computer",
        PairRule::Always => "--access always",
        // Told once it is known.
        PairRule::Proof => return,
    };
    findings.ok(STEP, &format!("the service token is sent: {reason}"));
    detail(token, true, findings);
}

/// Reports that `CF_ACCESS_HOSTS`, of this value, keeps the token from the server.
pub(super) fn report_unlisted(hosts: &str, url: &Url, findings: &mut Findings<impl Write>) {
    let reason = NotSent::Unlisted(hosts.to_owned());
    findings.note(STEP, &format!("the service token is not sent: {reason}; {}", reason.advice(url)));
    findings.detail("rule", "unlisted".to_owned());
    findings.detail("sent", false);
}

/// Reports what became of a token that needs a proof, after the first request; `was_known` says whether the host was
/// remembered before it.
pub(super) fn report_proof(
    token: &ServiceToken,
    proof: &AccessProof,
    was_known: bool,
    url: &Url,
    findings: &mut Findings<impl Write>,
) {
    if token.rule() != PairRule::Proof {
        return;
    }
    let team = token.client_id().and_then(|id| proof.team(id));
    match (&team, proof.failure(token)) {
        (Some(team), _) if was_known => findings.ok(
            STEP,
            &format!("the service token is sent: this host is remembered as protected by an Access application of its team {team}"),
        ),
        (Some(team), _) => findings.ok(
            STEP,
            &format!("the service token is sent: the host refuses requests without it, and proves that an Access application of its team {team} protects it; that is remembered"),
        ),
        (None, Some(reason)) => {
            let reason = NotSent::NotProved(reason);
            findings.warn(STEP, &format!("the service token is not sent: {reason}; {}", reason.advice(url)));
        }
        (None, None) => findings
            .note(STEP, "the service token is not sent: Cloudflare Access does not refuse requests without it"),
    }
    detail(token, team.is_some(), findings);
    if let Some(team) = team {
        findings.detail("team", team.domain().to_owned());
    }
}

fn detail(token: &ServiceToken, is_sent: bool, findings: &mut Findings<impl Write>) {
    findings.detail("rule", token.rule().word().to_owned());
    findings.detail("sent", is_sent);
}
