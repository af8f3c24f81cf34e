//! Tokens that are bound to a key (RFC 9449), before servers that verify each proof with a library: whose key it is, which
//! request it is for, that it is used once, and that it holds the server's nonce.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::proof::{self, Proved, hash};
use super::support::authority::{Authority, Instead, Set, value, visit};
use super::support::dpop::{DpopRules, Proof};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::{Reply, Request};
use super::support::{INITIALIZE, INITIALIZED};
use super::{Home, call, page};

const OFFERED: &str = r#","dpop_signing_alg_values_supported":["RS256","ES256"]"#;
const CLIENT: [&str; 3] = [
    "--client-credentials",
    "--static-oauth-client-info",
    r#"{"client_id":"a","client_secret":"marked-secret"}"#,
];

/// Servers that verify proofs and are never wrong.
pub(super) fn usual() -> DpopRules {
    DpopRules {
        verify: |proof, method, url, token, now| {
            let claims = proof::verify(proof, Proved { method, url, token, now })?;
            Ok((claims.thumbprint, claims.id, claims.nonce))
        },
        authorization_nonce: None,
        resource_nonce: None,
        never_satisfied: None,
        rejects: None,
        gives_bearer: false,
        knows_bearer_only: false,
        ahead: 0,
    }
}

/// Servers that both know of proofs: the one that gives tokens offers them, the other requires them.
pub(super) fn set(rules: DpopRules) -> Set {
    let mut set = Set { dpop: Some(rules), ..Set::default() };
    set.metadata.push_str(OFFERED);
    set.resource.push_str(r#","dpop_bound_access_tokens_required":true"#);
    set.challenge = set.challenge.replace("Bearer ", "DPoP algs=\"ES256\", ");
    set
}

/// Signs in with the first call.
fn signed_in(home: &Home, authority: &Authority, arguments: &[&str]) -> Proxy {
    let mut proxy = home.start(authority, arguments);
    proxy.send(&call(1));
    let shown = visit(&page(&proxy, 1));
    assert!(shown.contains("You are signed in"), "{shown}");
    let line = proxy.line();
    assert!(line.contains("\"result\""), "{line}");
    proxy
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(arguments).env_clear().envs(home.environment(&[])).output().expect("it starts")
}

/// Where the proofs were sent, in order.
fn places(authority: &Authority) -> Vec<String> {
    authority.proofs().into_iter().map(|proof| proof.at).collect()
}

/// What is stored, as JSON.
fn stored(home: &Home) -> Value {
    serde_json::from_str(&home.kept()).expect("one document")
}

/// The one key of all proofs, each of which was used once.
pub(super) fn one_key(proofs: &[Proof]) -> String {
    let ids: HashSet<&str> = proofs.iter().map(|proof| proof.id.as_str()).collect();
    let keys: HashSet<&str> = proofs.iter().map(|proof| proof.thumbprint.as_str()).collect();
    assert_eq!((ids.len(), keys.len()), (proofs.len(), 1), "{proofs:?}");
    proofs[0].thumbprint.clone()
}

#[test]
fn each_request_has_a_new_proof_of_one_key() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    let record = home.path().join("record");
    let mut proxy = signed_in(&home, &authority, &["-vvv", "--record", record.to_str().expect("UTF-8")]);
    for id in 2..200 {
        proxy.send(&call(id));
    }
    for _ in 2..200 {
        assert!(proxy.line().contains("\"result\""));
    }
    let mut told = proxy.finish().stderr;
    assert_eq!(authority.faults(), [""; 0]);
    let proofs = authority.proofs();
    let key = one_key(&proofs);
    assert_eq!(proofs.len(), 200, "one for the token, and one for each call");
    let asked = authority.last("/authorize").path;
    assert_eq!(value(asked.split_once('?').expect("a query").1, "dpop_jkt"), Some(key.clone()));

    // The next start uses the same key, and a refresh proves it.
    let mut proxy = home.start(&authority, &["-vvv"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    told.push_str(&proxy.finish().stderr);
    assert_eq!(value(&authority.last("/token").body, "grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(one_key(&authority.proofs()), key);
    assert_eq!(authority.faults(), [""; 0]);

    // The key stands in the file alone.
    let secret = stored(&home)["tokens"]["dpop_key"].as_str().expect("a key").to_owned();
    told.push_str(&std::fs::read_to_string(record).expect("written"));
    let proof = authority.last("/mcp").header("dpop").expect("a proof").to_owned();
    for hidden in [secret.as_str(), &secret[40..80], "marked", &proof] {
        assert!(!told.contains(hidden), "{hidden}");
    }
    let url = authority.server.url.as_str();
    let shown = run(&home, &["tokens", url]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("bound to a key (DPoP)") && !text.contains(&secret), "{text}");
    assert!(String::from_utf8_lossy(&run(&home, &["check", url]).stdout).contains("tools"));
    assert_eq!(authority.faults(), [""; 0]);
    assert!(run(&home, &["logout", url]).status.success());
    assert_eq!(home.kept(), "");

    // Another sign-in has another key.
    signed_in(&home, &authority, &[]).finish();
    assert_ne!(authority.proofs().last().expect("a proof").thumbprint, key);
}

/// Sends a call with these headers; returns the status.
fn asked_by_thief(authority: &Authority, headers: &[(&str, &str)]) -> u16 {
    let mut stream = TcpStream::connect(&authority.server.address).expect("it listens");
    let body = call(1);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n{body}",
        authority.server.address,
        body.len()
    )
    .expect("it reads");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}

/// A proof by a key (PKCS #8), made by a library.
fn proof_by(pkcs8: &[u8], public: Value, claims: &Value) -> String {
    let key: Jwk = serde_json::from_value(public).expect("a key");
    let header = Header { typ: Some("dpop+jwt".to_owned()), jwk: Some(key), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(pkcs8)).expect("a proof")
}

/// The public part of a key.
fn public(point: &[u8]) -> Value {
    let [x, y] = [&point[1..33], &point[33..65]].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
}

#[test]
fn stolen_token_is_refused_without_its_key() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    signed_in(&home, &authority, &[]).finish();
    let last = authority.last("/mcp");
    let (token, used) = (last.header("authorization").expect("a token"), last.header("dpop").expect("one"));
    let stolen = token.strip_prefix("DPoP ").expect("a bound token");
    let claims = |ath: &str, id: usize| {
        json!({
            "jti": format!("a-proof-of-a-thief-{id}"), "htm": "POST", "htu": authority.server.url,
            "iat": jsonwebtoken::get_current_timestamp(), "ath": ath,
        })
    };
    // The only thing that opens the door: the key in the file.
    let stored = stored(&home)["tokens"]["dpop_key"].as_str().expect("a key").to_owned();
    let own = BASE64_STANDARD.decode(stored).expect("base64");
    let ring_key = ring::signature::EcdsaKeyPair::from_pkcs8(
        &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &own,
        &ring::rand::SystemRandom::new(),
    );
    let ring_key = ring_key.expect("a key");
    let own_public = public(ring::signature::KeyPair::public_key(&ring_key).as_ref());
    let right = proof_by(&own, own_public.clone(), &claims(&hash(stolen), 1));
    assert_eq!(asked_by_thief(&authority, &[("authorization", token), ("dpop", &right)]), 200);

    let other = rcgen::KeyPair::generate().expect("a key");
    let (other_key, other_public) = (other.serialize_der(), public(other.public_key_raw()));
    let foreign = proof_by(&other_key, other_public.clone(), &claims(&hash(stolen), 2));
    let pretended = proof_by(&other_key, own_public.clone(), &claims(&hash(stolen), 3));
    let for_another = proof_by(&own, own_public.clone(), &claims(&hash("another token"), 4));
    let mut elsewhere = claims(&hash(stolen), 5);
    elsewhere["htu"] = json!("https://other.example/mcp");
    let elsewhere = proof_by(&own, own_public.clone(), &elsewhere);
    let mut old = claims(&hash(stolen), 6);
    old["iat"] = json!(jsonwebtoken::get_current_timestamp() - 3600);
    let old = proof_by(&own, own_public, &old);
    let bearer = format!("Bearer {stolen}");
    for (what, headers) in [
        ("as a bearer token", vec![("authorization", bearer.as_str())]),
        ("as a bearer token with a proof", vec![("authorization", &*bearer), ("dpop", &*foreign)]),
        ("without a proof", vec![("authorization", token)]),
        ("with a used proof", vec![("authorization", token), ("dpop", used)]),
        ("with a used proof of its own", vec![("authorization", token), ("dpop", &right)]),
        ("with another key", vec![("authorization", token), ("dpop", &foreign)]),
        ("with a signature of another key", vec![("authorization", token), ("dpop", &pretended)]),
        ("with a proof for another token", vec![("authorization", token), ("dpop", &for_another)]),
        ("with a proof for another server", vec![("authorization", token), ("dpop", &elsewhere)]),
        ("with an old proof", vec![("authorization", token), ("dpop", &old)]),
        ("with two proofs", vec![("authorization", token), ("dpop", &foreign), ("dpop", &foreign)]),
    ] {
        assert_eq!(asked_by_thief(&authority, &headers), 401, "{what}");
    }
}

#[test]
fn nonces_of_both_servers_are_kept_apart() {
    let rules = |authorization: &str, resource: &str| DpopRules {
        authorization_nonce: Some(authorization.to_owned()),
        resource_nonce: Some(resource.to_owned()),
        ..usual()
    };
    let (home, authority) = (Home::new(), Authority::start(set(rules("as-1", "rs-1"))));
    let mut proxy = signed_in(&home, &authority, &[]);
    let nonces = |authority: &Authority| {
        let proofs = authority.proofs();
        one_key(&proofs);
        let short = |proof: Proof| format!("{} {}", proof.at, proof.nonce.unwrap_or_default());
        proofs.into_iter().map(short).collect::<Vec<_>>()
    };
    let mut expected = vec!["POST /token ", "POST /token as-1", "POST /mcp ", "POST /mcp rs-1"];
    assert_eq!(nonces(&authority), expected);
    for id in 2..5 {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        expected.push("POST /mcp rs-1");
    }
    // The servers forget their nonces, and name others.
    authority.change(|set| set.dpop = Some(rules("as-2", "rs-2")));
    assert!(proxy.ask(&call(5)).contains("\"result\""));
    authority.forget(false);
    assert!(proxy.ask(&call(6)).contains("\"result\""));
    expected.extend(["POST /mcp rs-1", "POST /mcp rs-2", "POST /mcp rs-2"]);
    expected.extend(["POST /token as-1", "POST /token as-2", "POST /mcp rs-2"]);
    assert_eq!(nonces(&authority), expected);
    // A response of success may bring the next one.
    authority.change(|set| {
        set.dpop.as_mut().expect("rules").resource_nonce = None;
        set.instead = Instead::new(|request, reply| {
            let is_call = request.title() == "tools/call";
            if is_call {
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id());
                let headers = [("content-type", "application/json"), ("dpop-nonce", "rs-3")];
                reply.answer(200, &headers, &body);
            }
            is_call
        });
    });
    assert!(proxy.ask(&call(7)).contains("\"result\""));
    authority.change(|set| set.instead = None);
    assert!(proxy.ask(&call(8)).contains("\"result\""));
    expected.push("POST /mcp rs-3");
    assert_eq!(nonces(&authority), expected);
    proxy.finish();
    assert_eq!((authority.faults().len(), authority.count("/authorize")), (0, 1));
}

#[test]
fn endless_demands_for_nonces_end_in_an_error() {
    let endless = |at| set(DpopRules { never_satisfied: Some(at), ..usual() });
    let (home, authority) = (Home::new(), Authority::start(endless("/token")));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("gave no token: use_dpop_nonce") && line.contains("--dpop never"), "{line}");
    assert_eq!(authority.count("/token"), 2);
    proxy.finish();

    let (home, authority) = (Home::new(), Authority::start(endless("/mcp")));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(
        line.contains("\"cause\":\"dpop_proof\"")
            && line.contains("does not accept the DPoP nonce that it named"),
        "{line}"
    );
    assert!(line.contains("--dpop never"), "{line}");
    assert_eq!((authority.count("/mcp"), authority.count("/token")), (3, 1));
    // The token is valid: no sign-in follows, and the token is used as soon as the server accepts it.
    assert!(proxy.ask(&call(2)).contains("\"cause\":\"dpop_proof\""));
    assert_eq!((authority.count("/mcp"), authority.count("/token")), (5, 1));
    authority.change(|set| set.dpop = Some(usual()));
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.faults().len(), authority.count("/authorize")), (0, 1));
}

#[test]
fn rejected_proof_is_reported_and_ends_no_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    let mut proxy = signed_in(&home, &authority, &[]);
    authority.change(|set| set.dpop.as_mut().expect("rules").rejects = Some("/mcp"));
    let line = proxy.ask(&call(2));
    assert!(line.contains("\"cause\":\"dpop_proof\"") && line.contains("(invalid_dpop_proof)"), "{line}");
    assert!(line.contains("check this computer's clock"), "{line}");
    authority.change(|set| set.dpop.as_mut().expect("rules").rejects = Some("/token"));
    authority.forget(false);
    let line = proxy.ask(&call(3));
    assert!(line.contains("gave no token: invalid_dpop_proof") && line.contains("clock"), "{line}");
    authority.change(|set| set.dpop.as_mut().expect("rules").rejects = None);
    let mut id = 4;
    while !proxy.ask(&call(id)).contains("\"result\"") {
        id += 1;
    }
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn clock_of_server_is_taken_into_account() {
    for ahead in [7200, -7200] {
        let (home, authority) = (Home::new(), Authority::start(set(DpopRules { ahead, ..usual() })));
        let mut proxy = signed_in(&home, &authority, &[]);
        assert!(proxy.ask(&call(2)).contains("\"result\""));
        proxy.finish();
        // One for each server.
        assert_eq!(authority.faults().len(), 2, "{:?}", authority.faults());
        assert_eq!(places(&authority), ["POST /token", "POST /mcp", "POST /mcp"]);
    }
}

#[test]
fn keys_are_used_as_offered_and_as_the_option_says() {
    let plain = || set(usual());
    let change = |change: &dyn Fn(&mut Set)| {
        let mut set = plain();
        change(&mut set);
        set
    };
    let not_required = |set: &mut Set| {
        set.resource = set.resource.replace(r#","dpop_bound_access_tokens_required":true"#, "");
    };
    let challenge = |set: &mut Set| set.challenge = Set::default().challenge;
    let cases: [(&str, Set, &[&str], bool); 9] = [
        ("both", plain(), &[], true),
        ("the challenge alone", change(&|set| not_required(set)), &[], true),
        ("the metadata alone", change(&|set| challenge(set)), &[], true),
        (
            "algorithms in the metadata",
            change(&|set| {
                not_required(set);
                challenge(set);
                set.resource.push_str(OFFERED);
            }),
            &[],
            true,
        ),
        (
            "the authorization server alone",
            change(&|set| {
                not_required(set);
                challenge(set);
            }),
            &[],
            false,
        ),
        ("the server alone", change(&|set| set.metadata = Set::default().metadata), &[], false),
        (
            "other algorithms",
            change(&|set| set.metadata = set.metadata.replace("\"ES256\"", "\"PS256\"")),
            &[],
            false,
        ),
        ("both, and never", plain(), &["--dpop", "never"], false),
        ("neither, and always", Set { dpop: Some(usual()), ..Set::default() }, &["--dpop", "always"], true),
    ];
    for (what, set, arguments, expected) in cases {
        let (home, authority) = (Home::new(), Authority::start(set));
        signed_in(&home, &authority, arguments).finish();
        assert_eq!(places(&authority).len(), if expected { 2 } else { 0 }, "{what}");
        let scheme = if expected { "DPoP marked-access-1" } else { "Bearer marked-access-1" };
        assert_eq!(authority.last("/mcp").header("authorization"), Some(scheme), "{what}");
        assert_eq!(authority.last("/authorize").path.contains("dpop_jkt="), expected, "{what}");
        assert_eq!(authority.faults(), [""; 0], "{what}");
    }
}

#[test]
fn unbound_token_is_used_unless_bound_ones_are_required() {
    let rules = || DpopRules { gives_bearer: true, ..usual() };
    let (home, authority) = (Home::new(), Authority::start(set(rules())));
    let mut proxy = signed_in(&home, &authority, &[]);
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-1"));
    assert_eq!(authority.last("/mcp").header("dpop"), None);
    // The refresh token is bound nevertheless.
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!(places(&authority), ["POST /token", "POST /token"]);
    one_key(&authority.proofs());
    // From now on access tokens are bound as well.
    authority.change(|set| set.dpop.as_mut().expect("rules").gives_bearer = false);
    authority.forget(false);
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("DPoP marked-access-3"));
    proxy.finish();
    assert_eq!((authority.faults().len(), authority.count("/authorize")), (0, 1));

    let (home, authority) = (Home::new(), Authority::start(set(rules())));
    let mut proxy = home.start(&authority, &["--dpop", "always"]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("gave a token that is not bound to a key (DPoP)"), "{line}");
    assert!(line.contains("--dpop auto") && !home.kept().contains("marked-access"), "{line}");
    proxy.finish();
}

#[test]
fn server_that_knows_bearer_only_leads_to_one_sign_in_without() {
    let rules = || DpopRules { knows_bearer_only: true, ..usual() };
    let bearer_only = || Set { challenge: Set::default().challenge, ..set(rules()) };
    let (home, authority) = (Home::new(), Authority::start(bearer_only()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    visit(&page(&proxy, 2));
    let line = proxy.line();
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!((authority.count("/authorize"), authority.count("/token")), (2, 2));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    proxy.finish();
    // The next sign-in knows it.
    authority.forget(true);
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/authorize"), places(&authority).len()), (3, 1));
    // Until the user signs in by hand, perhaps because the server has changed.
    authority.change(|set| set.dpop.as_mut().expect("rules").knows_bearer_only = false);
    let arguments = ["login", authority.server.url.as_str()];
    let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
    visit(&page(&proxy, 1));
    assert_eq!(proxy.wait_unread(), Some(0));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("DPoP marked-access-4"));

    // One that accepts neither is not asked for ever.
    let (home, authority) = (Home::new(), Authority::start(Set { accepts: false, ..bearer_only() }));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    visit(&page(&proxy, 2));
    let line = proxy.line();
    assert!(line.contains("does not accept the token that one has just signed in for"), "{line}");
    assert_eq!(authority.count("/authorize"), 2);
    proxy.finish();

    let (home, authority) = (Home::new(), Authority::start(bearer_only()));
    let mut proxy = home.start(&authority, &["--dpop", "always"]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("does not accept the token") && line.contains("--dpop never"), "{line}");
    assert_eq!(authority.count("/authorize"), 1);
    proxy.finish();
}

#[test]
fn other_grants_bind_their_tokens_too() {
    let nonces = || {
        set(DpopRules {
            authorization_nonce: Some("as".to_owned()),
            resource_nonce: Some("rs".to_owned()),
            ..usual()
        })
    };
    let (home, authority) = (Home::new(), Authority::start(nonces()));
    let mut proxy = home.start(&authority, &CLIENT);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    // Each token of the client's own is a sign-in of its own.
    authority.forget(true);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    proxy.finish();
    let proofs = authority.proofs();
    let keys: HashSet<&str> = proofs.iter().map(|proof| proof.thumbprint.as_str()).collect();
    assert_eq!((keys.len(), authority.faults().len()), (2, 0), "{proofs:?}");
    assert!(!home.kept().contains("marked-secret"));

    let mut device = nonces();
    device.metadata.push_str(r#","device_authorization_endpoint":"BASE/device""#);
    let (home, authority) = (Home::new(), Authority::start(device));
    let mut proxy = home.start(&authority, &["--device-code"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    one_key(&authority.proofs());
    assert_eq!(authority.faults(), [""; 0]);
    assert_eq!(authority.last("/mcp").header("authorization"), Some("DPoP marked-access-1"));
}

#[test]
fn sign_in_of_a_process_that_is_gone_keeps_its_key() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.kill();
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    assert_eq!(page(&proxy, 1), address);
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    let asked = authority.last("/authorize").path;
    let asked = value(asked.split_once('?').expect("a query").1, "dpop_jkt");
    assert_eq!(asked, Some(one_key(&authority.proofs())));

    // It is not resumed by an entry that wants no key.
    authority.forget(true);
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.kill();
    let mut proxy = home.start(&authority, &["--dpop", "never"]);
    proxy.send(&call(1));
    assert_ne!(page(&proxy, 1), address);
    assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    proxy.finish();
}

#[test]
fn processes_share_one_sign_in_and_its_key() {
    let rules = DpopRules { resource_nonce: Some("rs".to_owned()), ..usual() };
    let (home, authority) = (Home::new(), Authority::start(set(rules)));
    let first = signed_in(&home, &authority, &[]);
    let mut proxies: Vec<Proxy> = (0..4).map(|_| home.start(&authority, &[])).chain([first]).collect();
    for _ in 0..2 {
        for proxy in &mut proxies {
            proxy.send(&call(7));
        }
        for proxy in &mut proxies {
            assert!(proxy.line().contains("\"result\""));
        }
        authority.forget(false);
    }
    for proxy in proxies {
        proxy.finish();
    }
    one_key(&authority.proofs());
    assert_eq!(
        (authority.faults().len(), authority.count("/authorize"), authority.count("/token")),
        (0, 1, 2)
    );
}

/// A server with a session, and a stream that stays open.
fn legacy_server(request: &Request, reply: &mut Reply) {
    match request.title() {
        "initialize" => {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
                request.id()
            );
            let headers = [("content-type", "application/json"), ("mcp-session-id", "session-1")];
            reply.answer(200, &headers, &body);
        }
        "GET" => {
            reply.open_stream();
            reply.hang();
        }
        "DELETE" => reply.status(204),
        title if title.starts_with("notifications/") => reply.status(202),
        _ => reply.result(request, r#"{"content":[]}"#),
    }
}

#[test]
fn every_kind_of_request_is_proved() {
    let rules = DpopRules { resource_nonce: Some("rs".to_owned()), ..usual() };
    let (home, authority) = (Home::new(), Authority::before(set(rules), legacy_server));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(INITIALIZE);
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"protocolVersion\""));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(&call(2)).contains("\"content\""));
    authority.server.wait_for(|request| request.method == "GET" && request.path == "/mcp");
    proxy.finish();
    authority.server.wait_for(|request| request.method == "DELETE");
    one_key(&authority.proofs());
    assert_eq!(authority.faults(), [""; 0]);
    let places: HashSet<String> = places(&authority).into_iter().collect();
    let expected = ["POST /token", "POST /mcp", "GET /mcp", "DELETE /mcp"].map(str::to_owned);
    assert_eq!(places, HashSet::from(expected));
}

#[test]
fn messages_of_http_sse_are_proved() {
    let server = super::transports::old_server();
    let rules = DpopRules { resource_nonce: Some("rs".to_owned()), ..usual() };
    let (home, authority) = (Home::new(), Authority::before(set(rules), server));
    let mut proxy = home.start(&authority, &["--transport", "sse-only"]);
    proxy.send(INITIALIZE);
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"protocolVersion\""));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(&call(2)).contains("\"content\""));
    proxy.finish();
    one_key(&authority.proofs());
    assert_eq!(authority.faults(), [""; 0]);
    // The query of the address is no part of a proof.
    let places = places(&authority);
    assert!(
        places.contains(&"GET /mcp".to_owned()) && places.contains(&"POST /messages".to_owned()),
        "{places:?}"
    );
}

#[test]
fn each_hop_of_a_redirect_has_its_own_proof() {
    let moved = Instead::new(|request, reply| {
        let is_moved = request.path == "/mcp" && request.header("authorization").is_some();
        if is_moved {
            reply.answer(307, &[("location", "/messages?x=1")], "");
        }
        is_moved
    });
    let (home, authority) = (Home::new(), Authority::start(Set { instead: moved, ..set(usual()) }));
    let proxy = signed_in(&home, &authority, &[]);
    proxy.finish();
    assert_eq!(authority.faults(), [""; 0]);
    assert_eq!(places(&authority), ["POST /token", "POST /messages"]);
    let (first, second) = (authority.last("/mcp"), authority.last("/messages"));
    assert!(first.header("dpop").is_some() && first.header("dpop") != second.header("dpop"));

    // Neither token nor proof goes to another origin.
    let other = super::support::server::Server::start(|_, reply| reply.status(404));
    let target = format!("http://{}/mcp", other.address);
    let elsewhere = Instead::new(move |request, reply| {
        let is_moved = request.path == "/mcp" && request.header("authorization").is_some();
        if is_moved {
            reply.answer(307, &[("location", &target)], "");
        }
        is_moved
    });
    let (home, authority) = (Home::new(), Authority::start(Set { instead: elsewhere, ..set(usual()) }));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("credentials are not sent to another address"));
    proxy.finish();
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn login_proves_its_token_with_a_nonce() {
    let rules = DpopRules { resource_nonce: Some("rs".to_owned()), ..usual() };
    let (home, authority) = (Home::new(), Authority::start(set(rules)));
    let arguments = ["login", authority.server.url.as_str()];
    let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
    visit(&page(&proxy, 1));
    assert_eq!(proxy.wait_unread(), Some(0));
    one_key(&authority.proofs());
    assert_eq!(authority.faults(), [""; 0]);
    let both = run(&home, &["check", &authority.server.url, "--dpop", "always", "--use-id-token"]);
    let told = String::from_utf8_lossy(&both.stdout);
    assert!(told.contains("--dpop always cannot be used with --use-id-token"), "{told}");
}
