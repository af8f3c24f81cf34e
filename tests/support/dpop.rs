//! Proofs of a key (RFC 9449), as both servers of a sign-in accept or refuse them.
//!
//! Deliberately not here: what a valid proof is, which the tests that use it bring along.

use std::collections::{HashMap, HashSet};

use super::server::{Reply, Request};

/// Verifies a proof for a method, an address and a token, at a moment in seconds since 1970. Returns the hash of the key, the id
/// and the nonce.
pub(crate) type Verify =
    fn(&str, &str, &str, Option<&str>, i64) -> Result<(String, String, Option<String>), String>;

/// What both servers ask of proofs, and how they go wrong.
#[derive(Clone, Debug)]
pub(crate) struct DpopRules {
    pub(crate) verify: Verify,
    /// The nonce that proofs for the token endpoint have to hold.
    pub(crate) authorization_nonce: Option<String>,
    /// The nonce that proofs for the server have to hold.
    pub(crate) resource_nonce: Option<String>,
    /// The path at which no nonce is the right one.
    pub(crate) never_satisfied: Option<&'static str>,
    /// The path at which every proof is invalid.
    pub(crate) rejects: Option<&'static str>,
    /// Whether the tokens that it gives are not bound.
    pub(crate) gives_bearer: bool,
    /// Whether the server knows nothing of bound tokens.
    pub(crate) knows_bearer_only: bool,
    /// By how many seconds the servers' clocks are ahead.
    pub(crate) ahead: i64,
}

/// A proof that came.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// Where: the method and the path, without the query.
    pub(crate) at: String,
    pub(crate) thumbprint: String,
    pub(crate) id: String,
    pub(crate) nonce: Option<String>,
}

/// What the servers know of keys.
#[derive(Debug, Default)]
pub(crate) struct DpopMemory {
    /// The key of each token that is bound, access tokens and refresh tokens alike.
    keys: HashMap<String, String>,
    /// The key that the code is bound to.
    pub(crate) code_key: Option<String>,
    /// The ids of proofs that were used.
    used: HashSet<String>,
    /// Every proof that was valid, nonces aside.
    pub(crate) proofs: Vec<Proof>,
    /// What was wrong with the others.
    pub(crate) faults: Vec<String>,
    nonces: usize,
}

/// A refusal for a proof: its error, and the nonce that comes with it.
pub(crate) struct Refused {
    error: &'static str,
    nonce: Option<String>,
}

/// Verifies what stands in a proof itself.
fn verified(request: &Request, token: Option<&str>, rules: &DpopRules) -> Result<Proof, String> {
    let text = request.header("dpop").ok_or("there is no proof, or more than one")?;
    let path = request.path.split('?').next().expect("a path");
    let url = format!("http://{}{path}", request.header("host").expect("a host"));
    let (thumbprint, id, nonce) = (rules.verify)(text, &request.method, &url, token, now() + rules.ahead)?;
    Ok(Proof { at: format!("{} {path}", request.method), thumbprint, id, nonce })
}

/// The moment, in seconds since 1970.
fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time")
}

impl DpopMemory {
    /// Verifies the proof of a request, with the token that it goes along with. Returns the key.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn verify(
        &mut self,
        request: &Request,
        token: Option<&str>,
        rules: &DpopRules,
    ) -> Result<String, Refused> {
        let path = request.path.split('?').next().expect("a path");
        let invalid = Refused { error: "invalid_dpop_proof", nonce: None };
        let proof = match verified(request, token, rules) {
            Ok(proof) => proof,
            Err(fault) => {
                self.faults.push(fault);
                return Err(invalid);
            }
        };
        if !self.used.insert(proof.id.clone()) {
            self.faults.push("a proof was used twice".to_owned());
            return Err(invalid);
        }
        self.proofs.push(proof.clone());
        if rules.rejects == Some(path) {
            return Err(invalid);
        }
        let wanted = match token {
            None => rules.authorization_nonce.clone(),
            Some(_) => rules.resource_nonce.clone(),
        };
        self.nonces += 1;
        let other = (rules.never_satisfied == Some(path)).then(|| format!("nonce-{}", self.nonces));
        match other.or(wanted) {
            Some(nonce) if proof.nonce.as_ref() != Some(&nonce) => {
                Err(Refused { error: "use_dpop_nonce", nonce: Some(nonce) })
            }
            _ => Ok(proof.thumbprint),
        }
    }

    /// Binds tokens to a key.
    pub(crate) fn bind(&mut self, tokens: &[&str], key: &str) {
        self.keys.extend(tokens.iter().map(|token| ((*token).to_owned(), key.to_owned())));
    }

    /// Returns whether a token is bound to this key, or to none.
    pub(crate) fn is_bound_to(&self, token: &str, key: Option<&str>) -> bool {
        self.keys.get(token).is_none_or(|own| Some(own.as_str()) == key)
    }
}

impl Refused {
    /// The key is not that of the token.
    pub(crate) fn wrong_key() -> Refused {
        Refused { error: "invalid_dpop_proof", nonce: None }
    }

    /// The answer of a token endpoint.
    pub(crate) fn at_token_endpoint(&self, ahead: i64, reply: &mut Reply) {
        let body = format!(r#"{{"error":"{}"}}"#, self.error);
        self.answer(400, ("content-type", "application/json"), ahead, &body, reply);
    }

    /// The answer of a server.
    pub(crate) fn at_server(&self, ahead: i64, reply: &mut Reply) {
        let challenge = format!(r#"DPoP error="{}", algs="ES256""#, self.error);
        self.answer(401, ("www-authenticate", &challenge), ahead, "", reply);
    }

    fn answer(&self, status: u16, header: (&str, &str), ahead: i64, body: &str, reply: &mut Reply) {
        let now = std::time::Duration::from_secs((now() + ahead).unsigned_abs());
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + now);
        let mut headers = vec![header, ("date", &date)];
        headers.extend(self.nonce.as_deref().map(|nonce| ("dpop-nonce", nonce)));
        reply.answer(status, &headers, body);
    }
}
