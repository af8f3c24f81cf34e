//! What a refusal asks for: the Bearer challenge among those of `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750,
//! section 3; RFC 9728, section 5.1). Pure.
//!
//! Deliberately not here: whose refusal it is (`diagnosis`), and what follows from it (`super`).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use url::Url;

/// A Bearer challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// Where the server describes who signs people in for it.
    pub resource_metadata: Option<String>,
    /// What a token has to allow.
    pub scope: Option<String>,
    /// What is wrong with the one that was sent.
    pub error: Option<String>,
}

impl BearerChallenge {
    /// Tells whether a token is wanted that allows more.
    pub fn wants_more(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// A refusal that invites to sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInChallenge {
    /// The server's challenge.
    pub bearer_challenge: Option<BearerChallenge>,
    /// Where Cloudflare Access describes how.
    pub document: Option<Url>,
}

/// The Bearer challenge of an answer; of several, the first that says where to go on.
pub fn bearer(headers: &HeaderMap) -> Option<BearerChallenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<BearerChallenge> = values.flat_map(challenges).collect();
    let best =
        found.iter().position(|bearer_challenge| bearer_challenge.resource_metadata.is_some()).unwrap_or(0);
    (best < found.len()).then(|| found.swap_remove(best))
}

/// The Bearer challenges of one header. What cannot be read is passed over.
fn challenges(value: &str) -> Vec<BearerChallenge> {
    let mut found: Vec<BearerChallenge> = Vec::new();
    let mut is_bearer = false;
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|letter: char| !is_token(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            let mut letters = rest.chars();
            rest = match letters.next() {
                None => return found,
                Some('"') => parameter(rest).1,
                Some(_) => letters.as_str(),
            };
            continue;
        }
        let Some(after_equals) = after.trim_start().strip_prefix('=') else {
            is_bearer = name.eq_ignore_ascii_case("bearer");
            if is_bearer {
                found.push(BearerChallenge::default());
            }
            rest = after;
            continue;
        };
        let (parameter, after) = parameter(after_equals.trim_start());
        rest = after;
        let Some(bearer_challenge) = found.last_mut().filter(|_| is_bearer) else { continue };
        let place = match name.to_ascii_lowercase().as_str() {
            "resource_metadata" => &mut bearer_challenge.resource_metadata,
            "scope" => &mut bearer_challenge.scope,
            "error" => &mut bearer_challenge.error,
            _ => continue,
        };
        // The first counts; an empty one says nothing.
        if place.is_none() && !parameter.trim().is_empty() {
            *place = Some(parameter.trim().to_owned());
        }
    }
}

/// The value of a parameter, in quotes or not, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            _ => value.push(letter),
        }
    }
    (value, letters.as_str())
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_in_every_form() {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (values, expected) in [
            (&["Bearer"][..], Some(("", "", ""))),
            (&["bearer realm=\"OAuth\", error=\"invalid_token\""], Some(("", "", "invalid_token"))),
            (
                &[r#"Bearer realm="a, b=c \"x\"", resource_metadata="https://h/.well-known/x", scope="a b""#],
                Some(("https://h/.well-known/x", "a b", "")),
            ),
            (
                &["Basic abc==, Bearer scope=read,resource_metadata=https://h/x"],
                Some(("https://h/x", "read", "")),
            ),
            (
                &["Basic realm=x", "BEARER Scope = \"s\" , error=insufficient_scope"],
                Some(("", "s", "insufficient_scope")),
            ),
            (
                &["Bearer scope=one", "Bearer resource_metadata=\"https://h/2\""],
                Some(("https://h/2", "", "")),
            ),
            (&["Bearer scope=\"\" , scope=later"], Some(("", "later", ""))),
            (&["Bearer scope=a, Digest scope=b, error=c"], Some(("", "a", ""))),
            (&["Bearer error=\"unfinished"], Some(("", "", "unfinished"))),
            (&["Cloudflare-Access resource_metadata=\"https://h/x\""], None),
            (&["Basic realm=\"Bearer scope=x\""], None),
            (&["\"Bearer\"", "=,=;"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().expect("a value"));
            }
            let expected = expected.map(|(metadata, scope, error)| BearerChallenge {
                resource_metadata: some(metadata),
                scope: some(scope),
                error: some(error),
            });
            assert_eq!(bearer(&headers), expected, "{values:?}");
        }
    }
}
