//! The tables: what Access decides (A1), and what Cloudflare answers around it (A2).

use crate::edge::{Believes, Form, Mode, Policy, Settings, Trouble};
use crate::scenario::{LATER, ONCE, Row, UNKNOWN, UNPROCESSED, With, run};

/// Every form of a refusal by Access, or of a code of Cloudflare's.
const ALL: &[Form] = &[Form::Json, Form::Html, Form::Text, Form::Bare];
/// Where there is nothing to choose.
const AS_IS: &[Form] = &[Form::ByAccept];
/// With and without what is beside the essential.
const FULL_AND_BARE: &[Form] = &[Form::ByAccept, Form::Bare];
/// The redirect that says why.
const REDIRECT: &[Form] = &[Form::ByAccept];

const TEMPLATE: Row = Row {
    name: "",
    with: With::Token,
    arguments: &[],
    forms: AS_IS,
    wrong: |_| {},
    status: 0,
    cause: "",
    sentence: &[],
    advice: &[],
    sent: ONCE,
};

fn only(settings: &mut Settings, policies: &[Policy]) {
    settings.access.policies = policies.to_vec();
}

/// No token is accepted: it has expired, or was disabled or deleted.
fn dead(settings: &mut Settings) {
    settings.tokens.clear();
}

fn strict(settings: &mut Settings) {
    settings.access.mode = Mode::Strict;
}

const NOT_ACCEPTED: &[&str] = &["rejected the service token {id}", "(secret cfast_…", "(54 characters)"];
const LOOK: &[&str] =
    &["expired", "rotated", "disabled", "deleted", "Service credentials", "Refresh", "form is right"];
const SET: &[&str] = &["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"];
const NO_REASON: &[&str] = &["refused the service token {id}", "gives no reason"];
const EITHER: &[&str] = &["Service Auth (not Allow)", "expired"];
const HIDES: &[&str] = &["OAuth challenge", "{id}", "does not say why"];

#[rustfmt::skip] // a line, or two, per row
const A1: &[Row] = &[
    Row { name: "1 no credentials, Allow", with: With::Nothing, forms: FULL_AND_BARE, status: 302, cause: "access_credentials",
        sentence: &["is protected by Cloudflare Access (team {team}", "application {aud}", "carried no service token"], advice: &["CF_ACCESS_CLIENT_ID", "cloudflared access token --app=http://127.0.0.1:"], ..TEMPLATE },
    Row { name: "1 no credentials, strict", with: With::Nothing, wrong: strict, status: 302, cause: "access_credentials", sentence: &["carried no service token"], advice: SET, ..TEMPLATE },
    Row { name: "2 no credentials, Managed OAuth", with: With::Nothing, arguments: &["--auth", "none"], forms: FULL_AND_BARE, wrong: |s| s.managed_oauth = true, status: 401, cause: "access_credentials", sentence: &["carried no service token"], advice: SET, ..TEMPLATE },
    Row { name: "3 no credentials, only Service Auth", with: With::Nothing, forms: ALL, wrong: |s| only(s, &[Policy::ServiceAuth]), status: 403, cause: "access_credentials", sentence: &["carried no service token"], advice: SET, ..TEMPLATE },
    Row { name: "4 wrong secret, legacy, Allow", with: With::OtherSecret, forms: REDIRECT, status: 302, cause: "access_token", sentence: &["team {team}, application {aud}", "rejected the service token {id}", "(secret cfast_…", "(54 characters)"], advice: LOOK, ..TEMPLATE },
    Row { name: "4 the same, and the redirect does not say why", with: With::OtherSecret, forms: &[Form::Bare], status: 302, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "4 token of another account", with: With::OtherAccount, status: 302, cause: "access_token", sentence: NOT_ACCEPTED, advice: &["another account"], ..TEMPLATE },
    Row { name: "4 expired, disabled or deleted", wrong: dead, status: 302, cause: "access_token", sentence: NOT_ACCEPTED, advice: LOOK, ..TEMPLATE },
    Row { name: "5 wrong secret, Managed OAuth", with: With::OtherSecret, forms: FULL_AND_BARE, wrong: |s| s.managed_oauth = true, status: 401, cause: "access_hidden", sentence: HIDES, advice: &["expired", "add a Service Auth policy"], ..TEMPLATE },
    Row { name: "5 expired, Managed OAuth", wrong: |s| { dead(s); s.managed_oauth = true; }, status: 401, cause: "access_hidden", sentence: HIDES, advice: &["expired", "add a Service Auth policy"], ..TEMPLATE },
    Row { name: "6 wrong secret, only Service Auth", with: With::OtherSecret, forms: ALL, wrong: |s| only(s, &[Policy::ServiceAuth]), status: 403, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "6 expired, only Service Auth", wrong: |s| { dead(s); only(s, &[Policy::ServiceAuth]); }, status: 403, cause: "access_forbidden", sentence: &["application {aud}", "gives no reason"], advice: EITHER, ..TEMPLATE },
    Row { name: "7 the same, service_auth_401_redirect", with: With::OtherSecret, forms: ALL, wrong: |s| { only(s, &[Policy::ServiceAuth]); s.service_auth_401 = true; }, status: 401, cause: "access_token", sentence: NOT_ACCEPTED, advice: LOOK, ..TEMPLATE },
    Row { name: "8 wrong secret, strict", with: With::OtherSecret, forms: ALL, wrong: strict, status: 401, cause: "access_token", sentence: NOT_ACCEPTED, advice: LOOK, ..TEMPLATE },
    Row { name: "8 expired, strict", forms: ALL, wrong: |s| { dead(s); strict(s); }, status: 401, cause: "access_token", sentence: NOT_ACCEPTED, advice: LOOK, ..TEMPLATE },
    Row { name: "8 token of another account, strict, Managed OAuth", with: With::OtherAccount, wrong: |s| { strict(s); s.managed_oauth = true; }, status: 401, cause: "access_token", sentence: NOT_ACCEPTED, advice: LOOK, ..TEMPLATE },
    Row { name: "7, 8 the same without a word, which the server might have said", with: With::OtherSecret, forms: &[Form::Silent], wrong: strict, status: 401, cause: "origin_refused", sentence: &["without a reason", "by Cloudflare Access in strict mode"], advice: &["Access refused it", "check the token"], ..TEMPLATE },
    Row { name: "10 Allow instead of Service Auth", wrong: |s| only(s, &[Policy::Allow]), status: 302, cause: "access_policy", sentence: &["{id} is valid, but no Service Auth policy", "team {team}, application {aud}"], advice: &["Service Auth (not Allow)", "Include > Service Token"], ..TEMPLATE },
    Row { name: "10 the policy includes another token", wrong: |s| only(s, &[Policy::Allow, Policy::ServiceAuthOther]), status: 302, cause: "access_policy", sentence: &["{id} is valid"], advice: &["Include > Service Token"], ..TEMPLATE },
    Row { name: "10 the same, Managed OAuth", wrong: |s| { only(s, &[Policy::Allow]); s.managed_oauth = true; }, status: 401, cause: "access_hidden", sentence: HIDES, advice: &["add a Service Auth policy"], ..TEMPLATE },
    Row { name: "11 another token's policy alone", forms: ALL, wrong: |s| only(s, &[Policy::ServiceAuthOther]), status: 403, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "11 Allow alone, strict", forms: ALL, wrong: |s| { only(s, &[Policy::Allow]); strict(s); }, status: 403, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "11 the same without a word", forms: &[Form::Silent], wrong: |s| { only(s, &[Policy::Allow]); strict(s); }, status: 403, cause: "origin_refused", sentence: &["without a reason", "by Cloudflare Access in strict mode"], advice: &["Service Auth policy"], ..TEMPLATE },
    Row { name: "11 no policy at all", wrong: |s| only(s, &[]), status: 403, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "13, 14 the wrong host or a bypassed path: the server misses the assertion", wrong: |s| only(s, &[Policy::Bypass]), status: 401, cause: "origin_refused", sentence: &["itself refused", "not Cloudflare Access", "missing Cf-Access-Jwt-Assertion"], advice: &["AUD tag"], ..TEMPLATE },
    Row { name: "15 a person's token has expired", with: With::ExpiredPerson, forms: FULL_AND_BARE, status: 302, cause: "access_token", sentence: &["rejected the Access token"], advice: &["expired"], ..TEMPLATE },
    Row { name: "15 the same, Managed OAuth", with: With::ExpiredPerson, wrong: |s| s.managed_oauth = true, status: 401, cause: "access_token", sentence: &["rejected the Access token"], advice: &["expired"], ..TEMPLATE },
    Row { name: "16 the sign-in page, without credentials", with: With::Nothing, wrong: |s| s.trouble = Some(Trouble::SignInPage), status: 200, cause: "access_credentials", sentence: &["carried no service token"], advice: SET, ..TEMPLATE },
    Row { name: "16 the sign-in page, with a token", wrong: |s| s.trouble = Some(Trouble::SignInPage), status: 200, cause: "access_forbidden", sentence: NO_REASON, advice: EITHER, ..TEMPLATE },
    Row { name: "17 the server has another application's AUD tag", wrong: |s| s.believes = Believes::OtherApplication, status: 403, cause: "origin_refused", sentence: &["itself refused", "Invalid token"], advice: &["AUD tag", "{id}"], ..TEMPLATE },
    Row { name: "17 the server wants an e-mail address", wrong: |s| s.believes = Believes::People, status: 403, cause: "origin_refused", sentence: &["itself refused", "no email"], advice: &["no e-mail address"], ..TEMPLATE },
    Row { name: "the application reads tokens from no such header", with: With::OneHeader("x-token"), status: 302, cause: "access_token", sentence: NOT_ACCEPTED, advice: &["read tokens from the header x-token"], ..TEMPLATE },
    Row { name: "the same, only Service Auth", with: With::OneHeader("authorization"), forms: ALL, wrong: |s| only(s, &[Policy::ServiceAuth]), status: 403, cause: "access_forbidden", sentence: NO_REASON, advice: &["header authorization"], ..TEMPLATE },
    Row { name: "CORS for a web page, and an Origin written by hand", arguments: &["--header", "Origin: https://other.example.com"], forms: ALL, wrong: |s| s.allowed_origin = Some("https://app.example.com".to_owned()), status: 403, cause: "access_forbidden", sentence: NO_REASON, ..TEMPLATE },
];

#[test]
fn every_decision_of_access_is_explained_and_survived() {
    run(A1);
}

macro_rules! code {
    ($code:literal) => {
        |settings| settings.trouble = Some(Trouble::Code($code))
    };
    ($code:literal, $wait:literal) => {
        |settings| {
            settings.trouble = Some(Trouble::Code($code));
            settings.retry_after = Some($wait);
        }
    };
}

/// The forms of a 5xx that Cloudflare writes in the server's place.
const IN_PLACE: &[Form] = &[Form::Json, Form::Text];

#[rustfmt::skip]
const A2: &[Row] = &[
    Row { name: "a firewall rule", forms: ALL, wrong: code!(1020), status: 403, cause: "firewall", sentence: &["firewall rule", "(1020)"], advice: &["Security > Events", "ray", "Skip rule"], ..TEMPLATE },
    Row { name: "an address that is kept out", forms: ALL, wrong: code!(1006), status: 403, cause: "firewall", sentence: &["blocks this computer's network", "(1006)"], advice: &["allow this address"], ..TEMPLATE },
    Row { name: "Browser Integrity Check", forms: ALL, wrong: code!(1010), status: 403, cause: "browser_check", sentence: &["Browser Integrity Check", "(1010)"], advice: &["turned off", "User-Agent"], ..TEMPLATE },
    Row { name: "a challenge for browsers", wrong: |s| s.trouble = Some(Trouble::Challenge), status: 403, cause: "challenge", sentence: &["cf-mitigated: challenge"], advice: &["Bot Fight Mode", "/mcp"], ..TEMPLATE },
    Row { name: "a rate limit that names its time", forms: ALL, wrong: code!(1015, 60), status: 429, cause: "rate_limit", sentence: &["(1015)", "asks to wait 60 s"], advice: &["limit raised"], ..TEMPLATE },
    Row { name: "a rate limit that does not", forms: &[Form::Text], wrong: code!(1015), status: 429, cause: "rate_limit", sentence: &["(1015)", "attempts"], advice: &["limit raised"], sent: UNPROCESSED, ..TEMPLATE },
    Row { name: "a Worker beyond its day", forms: ALL, wrong: code!(1027, 60), status: 429, cause: "worker", sentence: &["(1027)"], advice: &["midnight"], ..TEMPLATE },
    Row { name: "too many connections to a cache", wrong: code!(1200, 60), status: 530, cause: "edge", sentence: &["(1200)", "asks to wait 60 s"], advice: &["developers.cloudflare.com"], ..TEMPLATE },
    Row { name: "a tunnel without a connector", forms: ALL, wrong: code!(1033, 120), status: 530, cause: "tunnel", sentence: &["Tunnel", "(1033)", "asks to wait 120 s"], advice: &["start cloudflared"], ..TEMPLATE },
    Row { name: "the same without a time", forms: &[Form::Html], wrong: code!(1033), status: 530, cause: "tunnel", sentence: &["(1033)"], advice: &["start cloudflared"], sent: UNPROCESSED, ..TEMPLATE },
    Row { name: "the server's name is unknown", forms: ALL, wrong: code!(1016), status: 530, cause: "origin_dns", sentence: &["does not find the server", "(1016)"], advice: &["DNS record"], ..TEMPLATE },
    Row { name: "a zone without a name", forms: ALL, wrong: code!(1001), status: 409, cause: "origin_dns", sentence: &["(1001)"], advice: &["DNS record"], ..TEMPLATE },
    Row { name: "an address in the place of a name", forms: ALL, wrong: code!(1003), status: 403, cause: "origin_dns", sentence: &["(1003)"], advice: &["host name into the URL"], ..TEMPLATE },
    Row { name: "a custom host name of another account", wrong: code!(1014), status: 409, cause: "origin_dns", sentence: &["(1014)"], advice: &["DNS record"], ..TEMPLATE },
    Row { name: "a custom host name that is not there", wrong: code!(1018), status: 530, cause: "origin_dns", sentence: &["(1018)"], advice: &["DNS record"], ..TEMPLATE },
    Row { name: "a Worker that failed", forms: ALL, wrong: code!(1101), status: 500, cause: "worker", sentence: &["Worker", "(1101)"], advice: &["wrangler tail"], ..TEMPLATE },
    Row { name: "a Worker beyond its limits", forms: &[Form::Json], wrong: code!(1102), status: 503, cause: "worker", sentence: &["(1102)"], advice: &["may have run"], sent: LATER, ..TEMPLATE },
    Row { name: "an empty answer of the server", forms: IN_PLACE, wrong: code!(520), status: 520, cause: "origin", sentence: &["(520)"], advice: &["server runs"], sent: LATER, ..TEMPLATE },
    Row { name: "a server that is down", forms: &[Form::Json], wrong: code!(521), status: 521, cause: "origin", sentence: &["(521)"], advice: &["server runs"], sent: UNKNOWN, ..TEMPLATE },
    Row { name: "a server, or a portal without its record, that is not reached", forms: IN_PLACE, wrong: code!(522), status: 522, cause: "origin", sentence: &["(522)"], advice: &["gateway.agents.cloudflare.com"], sent: LATER, ..TEMPLATE },
    Row { name: "a server without a way there", forms: IN_PLACE, wrong: code!(523), status: 523, cause: "origin", sentence: &["(523)"], advice: &["server runs"], sent: LATER, ..TEMPLATE },
    Row { name: "a slow server", forms: &[Form::Json], wrong: code!(524), status: 524, cause: "origin_timeout", sentence: &["100 to 120 seconds", "(524)"], advice: &["may still be running", "progress"], sent: UNKNOWN, ..TEMPLATE },
    Row { name: "no TLS with the server", forms: ALL, wrong: code!(525), status: 525, cause: "origin", sentence: &["certificate", "(525)"], advice: &["certificate"], ..TEMPLATE },
    Row { name: "a certificate of the server's that does not hold", forms: ALL, wrong: code!(526), status: 526, cause: "origin", sentence: &["certificate", "(526)"], advice: &["certificate"], ..TEMPLATE },
    Row { name: "a bad gateway", forms: IN_PLACE, wrong: code!(502), status: 502, cause: "origin", sentence: &["(502)"], advice: &["server runs"], sent: LATER, ..TEMPLATE },
    Row { name: "a gateway's timeout", forms: IN_PLACE, wrong: code!(504), status: 504, cause: "origin", sentence: &["(504)"], advice: &["server runs"], sent: LATER, ..TEMPLATE },
    Row { name: "another Host than the name of TLS", wrong: |s| s.trouble = Some(Trouble::Unstyled(403)), status: 403, cause: "edge", sentence: &["before Access and the server"], advice: &["host name", "Host"], ..TEMPLATE },
    Row { name: "a body that is too large", wrong: |s| s.trouble = Some(Trouble::Unstyled(413)), status: 413, cause: "edge", sentence: &["larger than Cloudflare lets through"], advice: &["upload limit"], ..TEMPLATE },
    Row { name: "a URL that is too long", wrong: |s| s.trouble = Some(Trouble::Unstyled(414)), status: 414, cause: "status", sentence: &["414"], advice: &["shorten the URL"], ..TEMPLATE },
    Row { name: "headers that are too large", wrong: |s| s.trouble = Some(Trouble::Unstyled(400)), status: 400, cause: "status", sentence: &["Too Large"], advice: &["shorten the headers"], ..TEMPLATE },
    Row { name: "Always Use HTTPS", wrong: |s| s.trouble = Some(Trouble::Https), status: 301, cause: "redirect", sentence: &["requires https"], advice: &["https://"], ..TEMPLATE },
    Row { name: "a page that repeats the request", wrong: |s| { only(s, &[Policy::Bypass]); s.trouble = Some(Trouble::Echo); }, status: 500, cause: "status", sentence: &["500"], advice: &["log"], ..TEMPLATE },
    Row { name: "the same with a key written by hand", arguments: &["--header", "X-API-Key: tm_marked/+=&key0123456789"], wrong: |s| s.trouble = Some(Trouble::Echo), status: 500, cause: "status", sentence: &["x-api-key: [secret]"], advice: &["log"], ..TEMPLATE },
    Row { name: "the same with a token in one header", with: With::OneHeader("x-token"), wrong: |s| { only(s, &[Policy::Bypass]); s.trouble = Some(Trouble::Echo); }, status: 500, cause: "status", sentence: &["x-token: {"], advice: &["log"], ..TEMPLATE },
];

#[test]
fn every_answer_of_cloudflare_is_explained_and_survived() {
    run(A2);
}
