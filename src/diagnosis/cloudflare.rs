//! Explains the answers that Cloudflare's edge gives in place of the server: before Access and behind it.
//!
//! The same code comes as JSON (RFC 9457), as one line of text, or in a page. Pure. Deliberately not here: Access itself.

use url::Url;

use super::{RefusalFacts, place, title};
use crate::bridge::{ErrorKind, ErrorReport};
use crate::json;

/// The beginning of a remedy that needs the ray of the request.
const FIND_RAY: &str = "ask the zone's administrator to look the ray up under Security > Events";

/// The explanation of an answer that Cloudflare's edge gave; none where it was the server's own.
pub(super) fn explain(url: &Url, facts: &RefusalFacts<'_>) -> Option<ErrorReport> {
    let place = place(url);
    let status = facts.status;
    if facts.header("cf-mitigated").is_some_and(|value| value.eq_ignore_ascii_case("challenge")) {
        return Some(challenge(url).with_status(status));
    }
    let Some(code) = code(facts) else {
        return block_page(url, facts).or_else(|| unstyled(&place, facts));
    };
    let report = refused_by_edge(code, url).or_else(|| failed_behind_edge(code, &place));
    let report = report.unwrap_or_else(|| {
        ErrorReport::new(
            ErrorKind::Edge,
            format!("Cloudflare refused the request to {place} ({code})"),
            format!("look the code up at developers.cloudflare.com/support, or {FIND_RAY}"),
        )
    });
    Some(report.with_status(status))
}

/// A challenge that only a browser can pass.
fn challenge(url: &Url) -> ErrorReport {
    let place = place(url);
    let sentence = format!(
        "Cloudflare requires a browser challenge for {place}, which a program cannot pass (cf-mitigated: challenge)"
    );
    let advice = format!(
        "have Bot Fight Mode or the managed challenge skip {place}{}: Security > WAF > Custom rules",
        url.path()
    );
    ErrorReport::new(ErrorKind::Challenge, sentence, advice)
}

/// The codes of a refusal: a rule, a limit or the host name stopped the request at the edge.
fn refused_by_edge(code: u16, url: &Url) -> Option<ErrorReport> {
    let place = place(url);
    let (cause, sentence, advice) = match code {
        1020 => (
            ErrorKind::Firewall,
            format!("a firewall rule of Cloudflare blocked the request to {place} (1020)"),
            format!("{FIND_RAY} and to add a Skip rule for {place}{}", url.path()),
        ),
        1010 => (
            ErrorKind::BrowserCheck,
            format!(
                "Cloudflare's Browser Integrity Check refused this program's User-Agent for {place} (1010)"
            ),
            format!("have the check turned off for {place}, or write another --header \"User-Agent: …\""),
        ),
        1005..=1009 | 1012 | 1106 => (
            ErrorKind::Firewall,
            format!("Cloudflare blocks this computer's network or country for {place} ({code})"),
            format!("{FIND_RAY} and to allow this address, or use another network"),
        ),
        1003 => (
            ErrorKind::OriginDns,
            format!("Cloudflare has no site of the name {place} (1003)"),
            "write the host name into the URL, not an address".to_owned(),
        ),
        1015 => (
            ErrorKind::RateLimit,
            format!("Cloudflare's rate limit for {place} is exceeded (1015)"),
            "wait a while, or have the rule's limit raised".to_owned(),
        ),
        _ => return None,
    };
    Some(ErrorReport::new(cause, sentence, advice))
}

/// The codes of a failure behind the edge: DNS, a tunnel, a Worker or the server itself.
fn failed_behind_edge(code: u16, place: &str) -> Option<ErrorReport> {
    let (cause, sentence, advice) = match code {
        1033 => (
            ErrorKind::Tunnel,
            format!("the Cloudflare Tunnel behind {place} has no running connector (1033)"),
            "start cloudflared at the server".to_owned(),
        ),
        1000..=1004 | 1014 | 1016 | 1018 => (
            ErrorKind::OriginDns,
            format!("Cloudflare does not find the server behind {place} ({code})"),
            "check the DNS record of the host: it names no server, or one that Cloudflare may not use".to_owned(),
        ),
        1027 => (
            ErrorKind::Worker,
            format!("the Worker behind {place} has exceeded its daily limit of requests (1027)"),
            "wait until midnight UTC, or have the plan's limit raised".to_owned(),
        ),
        1101 => (
            ErrorKind::Worker,
            format!("the Worker behind {place} failed (1101)"),
            "look into the Worker's log (wrangler tail)".to_owned(),
        ),
        1102 => (
            ErrorKind::Worker,
            format!("the Worker behind {place} exceeded its limit of time or memory (1102)"),
            "look into the Worker's log; the call may have run in part".to_owned(),
        ),
        524 => (
            ErrorKind::OriginTimeout,
            format!("the server behind {place} did not answer within Cloudflare's limit of 100 to 120 seconds (524)"),
            "have the tool report progress or answer sooner; the call may still be running".to_owned(),
        ),
        525 | 526 => (
            ErrorKind::Origin,
            format!("Cloudflare does not accept the certificate of the server behind {place} ({code})"),
            "renew the certificate of the server itself".to_owned(),
        ),
        522 => (
            ErrorKind::Origin,
            format!("Cloudflare cannot reach the server behind {place} (522)"),
            "check that the server runs; for an MCP portal, the host must be a proxied CNAME of gateway.agents.cloudflare.com".to_owned(),
        ),
        502 | 504 | 520 | 521 | 523 => (
            ErrorKind::Origin,
            format!("Cloudflare got no usable answer from the server behind {place} ({code})"),
            "check that the server runs, and look into its log".to_owned(),
        ),
        _ => return None,
    };
    Some(ErrorReport::new(cause, sentence, advice))
}

/// A page without a code: that of the firewall, or an older one that wants the user to prove to be no program. Managed rules and
/// custom rules with the action Block write the first one, whose title, words and elements are the zone's own only where it has
/// an Enterprise plan.
fn block_page(url: &Url, facts: &RefusalFacts<'_>) -> Option<ErrorReport> {
    let has = |part: &str| facts.body.contains(part);
    let is_titled = title(facts.body).is_some_and(|title| title.trim_end().ends_with("| Cloudflare"));
    let is_block = has("Sorry, you have been blocked") && (has("cf-") || is_from_cloudflare(facts));
    let is_page = has("cf-error-details") || is_block || (is_titled && is_from_cloudflare(facts));
    if !(400..500).contains(&facts.status) || !is_page {
        return None;
    }
    let (place, path, status) = (place(url), url.path(), facts.status);
    let report = match has("cf-captcha") || has("challenge-form") {
        true => ErrorReport::new(
            ErrorKind::Challenge,
            format!(
                "Cloudflare requires a browser challenge for {place}, which a program cannot pass ({status}, a page with a challenge)"
            ),
            format!("have the challenge skip {place}{path}: Security > WAF > Custom rules"),
        ),
        false => ErrorReport::new(
            ErrorKind::Firewall,
            format!(
                "Cloudflare's firewall (managed rules, or a rule of the zone) blocked the request to {place} because its payload \
                 looks like an attack ({status})"
            ),
            format!(
                "except {place}{path} from the managed rules: Security > WAF > Managed rules > Add exception; or ask the zone's \
                 administrator to look the ray up under Security > Events"
            ),
        ),
    };
    Some(ErrorReport { ray: ray_of_page(facts.body), ..report.with_status(status) })
}

/// The ray that a page names behind `Ray ID:`, which may have markup in between.
fn ray_of_page(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("Ray ID:")?;
    let words = rest.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut words =
        words.filter(|word| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    words.next().map(str::to_owned)
}

/// A page of the web server that Cloudflare is built upon: it came to nothing before Access and before the server.
fn unstyled(place: &str, facts: &RefusalFacts<'_>) -> Option<ErrorReport> {
    let is_its_own = facts.body.contains("<center>cloudflare</center>");
    let status = facts.status;
    let (sentence, advice) = match status {
        403 if is_its_own => (
            format!("Cloudflare refused the request to {place} before Access and the server saw it (403)"),
            "check the host name in the URL, and that no --header and no proxy on the way changes the Host"
                .to_owned(),
        ),
        413 if is_its_own => (
            format!("the request is larger than Cloudflare lets through to {place} (413)"),
            "send less at once, or have the zone's upload limit raised".to_owned(),
        ),
        _ => return None,
    };
    Some(ErrorReport::new(ErrorKind::Edge, sentence, advice).with_status(status))
}

/// The code that Cloudflare gives, in any of its three forms or in the header beside them. A status that only Cloudflare has is one as well.
pub(super) fn code(facts: &RefusalFacts<'_>) -> Option<u16> {
    let is_code = |code: &u16| (500..=530).contains(code) || (1000..=1299).contains(code);
    let from_header = || facts.header("cf-error-type")?.parse().ok();
    let from_json = || {
        let is_cloudflares = json::member(facts.body, "cloudflare_error") == Some("true");
        let code = json::member(facts.body, "error_code").and_then(|code| code.parse().ok());
        code.filter(|_| is_cloudflares || is_from_cloudflare(facts))
    };
    let from_text = || {
        let text = facts.body.trim();
        let is_line = text.len() < 40 && text.to_ascii_lowercase().starts_with("error code");
        is_line.then(|| number_after(text)).flatten()
    };
    let from_page = || {
        let is_page = facts.body.contains("cf-error-details") || is_from_cloudflare(facts);
        let at = facts.body.to_ascii_lowercase().find("error code")?;
        is_page.then(|| number_after(facts.body.get(at..)?)).flatten()
    };
    let from_status = || match facts.status {
        520..=526 => Some(facts.status),
        // Other hosts of web sites have a 530 as well.
        530 if is_from_cloudflare(facts) => Some(530),
        _ => None,
    };
    let told = from_header().filter(is_code).or_else(from_json);
    told.or_else(from_text).or_else(from_page).filter(is_code).or_else(from_status)
}

/// Returns whether the answer passed Cloudflare's edge.
pub(super) fn is_from_cloudflare(facts: &RefusalFacts<'_>) -> bool {
    facts.header("cf-ray").is_some() || facts.header("server") == Some("cloudflare")
}

/// The first number behind the words `error code`, which may have markup in between.
fn number_after(text: &str) -> Option<u16> {
    let rest = text.get("error code".len()..)?;
    let digits = rest.find(|letter: char| letter.is_ascii_digit()).filter(|at| *at < 60)?;
    let rest = rest.get(digits..)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn explains_every_code_in_every_form() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        for (status, code, cause) in [
            (403, 1020, ErrorKind::Firewall),
            (403, 1010, ErrorKind::BrowserCheck),
            (429, 1015, ErrorKind::RateLimit),
            (530, 1033, ErrorKind::Tunnel),
            (530, 1016, ErrorKind::OriginDns),
            (409, 1001, ErrorKind::OriginDns),
            (403, 1014, ErrorKind::OriginDns),
            (530, 1018, ErrorKind::OriginDns),
            (500, 1101, ErrorKind::Worker),
            (503, 1102, ErrorKind::Worker),
            (502, 502, ErrorKind::Origin),
            (504, 504, ErrorKind::Origin),
            (520, 520, ErrorKind::Origin),
            (521, 521, ErrorKind::Origin),
            (522, 522, ErrorKind::Origin),
            (523, 523, ErrorKind::Origin),
            (524, 524, ErrorKind::OriginTimeout),
            (525, 525, ErrorKind::Origin),
            (526, 526, ErrorKind::Origin),
            (403, 1003, ErrorKind::OriginDns),
            (403, 1006, ErrorKind::Firewall),
            (403, 1009, ErrorKind::Firewall),
            (403, 1106, ErrorKind::Firewall),
            (429, 1027, ErrorKind::Worker),
            (530, 1038, ErrorKind::Edge),
            (530, 1200, ErrorKind::Edge),
        ] {
            for body in [
                String::new(),
                format!(r#"{{"cloudflare_error":true,"error_code":{code},"ray_id":"8f00"}}"#),
                format!("error code: {code}"),
                format!(
                    "<html><body><div id=\"cf-error-details\"><span>Error code {code}</span></div></body></html>"
                ),
                format!(
                    "<div id=\"cf-error-details\"><h1><span>Error code</span><span class=\"x\">{code}</span></h1></div>"
                ),
            ] {
                let mut headers = HeaderMap::new();
                if body.is_empty() {
                    headers.insert("cf-error-type", code.to_string().parse().expect("a value"));
                }
                let facts = RefusalFacts { body: &body, ..RefusalFacts::of(status, &headers) };
                let report = explain(&url, &facts).unwrap_or_else(|| panic!("{body}"));
                assert_eq!(report.cause, cause, "{body}");
                assert!(
                    report.sentence.contains(&code.to_string())
                        && report.sentence.contains("mcp.example.com"),
                    "{report}"
                );
                assert!(report.advice.is_some(), "{report}");
            }
        }
    }

    #[test]
    fn names_browser_challenge() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let headers: HeaderMap =
            [(http::HeaderName::from_static("cf-mitigated"), "challenge".parse().expect("a value"))]
                .into_iter()
                .collect();
        let facts =
            RefusalFacts { body: "<title>Just a moment...</title>", ..RefusalFacts::of(403, &headers) };
        assert_eq!(explain(&url, &facts).map(|report| report.cause), Some(ErrorKind::Challenge));
    }

    #[test]
    fn recognizes_cloudflare_page_without_code() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let headers = HeaderMap::new();
        let page = "<center><h1>403 Forbidden</h1></center><hr><center>cloudflare</center>";
        for (status, body, expected) in [
            (403, page, Some("before Access")),
            (413, page, Some("larger than Cloudflare lets through")),
            (404, page, None),
            (403, "<hr><center>nginx</center>", None),
        ] {
            let report = explain(&url, &RefusalFacts { body, ..RefusalFacts::of(status, &headers) });
            let told = report
                .as_ref()
                .is_some_and(|report| expected.is_some_and(|part| report.sentence.contains(part)));
            assert_eq!(report.is_some(), expected.is_some(), "{status} {body}");
            assert_eq!(told, expected.is_some(), "{report:?}");
        }
    }

    #[test]
    fn block_page_without_code_is_firewall() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let whole = r#"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>
            <div id="cf-wrapper"><div id="cf-error-details" class="cf-error-details-wrapper"><h1>Sorry, you have been blocked</h1>
            <p>Cloudflare Ray ID: <strong class="font-semibold">8f00aa11bb22cc33</strong></p></div></div></body></html>"#;
        let cut = "<html><head><title>Attention Required! | Cloudflare</title></head><body>";
        let words = "<h1 data-translate=\"block_headline\">Sorry, you have been blocked</h1>";
        let captcha = "<title>Attention Required! | Cloudflare</title><div class=\"cf-captcha-container\">One more step";
        for (status, body, through, expected) in [
            (403, whole, true, Some(ErrorKind::Firewall)),
            (403, whole, false, Some(ErrorKind::Firewall)),
            (429, whole, true, Some(ErrorKind::Firewall)),
            (403, cut, true, Some(ErrorKind::Firewall)),
            (403, words, true, Some(ErrorKind::Firewall)),
            (403, captcha, true, Some(ErrorKind::Challenge)),
            // An application's own.
            (403, cut, false, None),
            (403, words, false, None),
            (403, "<title>Forbidden</title><h1>You have been blocked</h1>", true, None),
            (500, whole, true, None),
        ] {
            let headers: HeaderMap = through
                .then(|| (http::HeaderName::from_static("server"), "cloudflare".parse().expect("a value")))
                .into_iter()
                .collect();
            let report = explain(&url, &RefusalFacts { body, ..RefusalFacts::of(status, &headers) });
            assert_eq!(report.as_ref().map(|report| report.cause), expected, "{status} {body}");
        }
        let headers = HeaderMap::new();
        let report = explain(&url, &RefusalFacts { body: whole, ..RefusalFacts::of(403, &headers) })
            .expect("explained");
        assert!(report.sentence.contains("managed rules") && report.sentence.contains("payload"), "{report}");
        assert!(report.advice.as_ref().is_some_and(|told| told.contains("except mcp.example.com/mcp")));
        assert_eq!(report.ray.as_deref(), Some("8f00aa11bb22cc33"));
    }

    #[test]
    fn status_530_without_code_needs_cloudflare_header() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let through: HeaderMap =
            [(http::header::HeaderName::from_static("cf-ray"), "8f00".parse().expect("a value"))]
                .into_iter()
                .collect();
        let explained =
            |headers: &HeaderMap| explain(&url, &RefusalFacts::of(530, headers)).map(|report| report.cause);
        assert_eq!(explained(&through), Some(ErrorKind::Edge));
        assert_eq!(explained(&HeaderMap::new()), None);
    }

    #[test]
    fn servers_own_refusal_is_not_explained() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let headers = HeaderMap::new();
        for (status, body) in [
            (502, "<html><center>nginx</center></html>"),
            (500, r#"{"error_code":1020}"#),
            (400, "the tool ended with error code 1020, which it should not"),
            (403, ""),
        ] {
            let facts = RefusalFacts { body, ..RefusalFacts::of(status, &headers) };
            assert_eq!(explain(&url, &facts), None, "{status} {body}");
        }
    }
}
