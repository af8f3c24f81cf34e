//! The challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1). Pure.
//!
//! A header holds several challenges, and each of them several parameters, all separated by commas. What cannot be read is
//! passed over, because servers write broken forms.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The authentication scheme as it was written; empty for parameters that stand before any scheme.
    scheme: String,
    /// Names in lower case, and values without quotes, in the order of the header.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns whether the challenge is of a scheme. Case does not matter (RFC 9110, section 11.1).
    pub fn is_scheme(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The first value of a parameter that is not empty; `name` in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let values = self.parameters.iter().filter(|(own, _)| own == name).map(|(_, value)| value.trim());
        values.into_iter().find(|value| !value.is_empty())
    }
}

/// Why a server rejects a proof (RFC 9449, 12.2). The token and the request are not to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopError {
    /// The proof has to hold a nonce of the server.
    UseNonce,
    /// The proof is invalid.
    InvalidProof,
}

impl DpopError {
    /// The error with this code, if it is one of these.
    pub fn from_code(code: &str) -> Option<DpopError> {
        match code {
            "use_dpop_nonce" => Some(DpopError::UseNonce),
            "invalid_dpop_proof" => Some(DpopError::InvalidProof),
            _ => None,
        }
    }
}

/// The reason for which a resource server rejects a proof, if its challenge names one.
pub fn dpop_error(headers: &HeaderMap) -> Option<DpopError> {
    let challenges = challenges(headers);
    let mut dpop = challenges.iter().filter(|challenge| challenge.is_scheme("DPoP"));
    dpop.find_map(|challenge| DpopError::from_code(challenge.parameter("error")?))
}

/// All challenges of a response, in their order.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        parse(value, &mut found);
    }
    found
}

/// Adds the challenges of one header.
fn parse(value: &str, found: &mut Vec<Challenge>) {
    let before = found.len();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|letter: char| !is_token(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            let mut letters = rest.chars();
            rest = match letters.next() {
                None => return,
                Some('"') => parameter_value(rest).1,
                Some(_) => letters.as_str(),
            };
            continue;
        }
        let Some(after_equals) = after.trim_start().strip_prefix('=') else {
            found.push(Challenge { scheme: name.to_owned(), parameters: Vec::new() });
            rest = after;
            continue;
        };
        if found.len() == before {
            found.push(Challenge::default());
        }
        let (value, after) = parameter_value(after_equals.trim_start());
        rest = after;
        if let Some(challenge) = found.last_mut() {
            challenge.parameters.push((name.to_ascii_lowercase(), value));
        }
    }
}

/// The value of a parameter, in quotes or not, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
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

    /// The challenges of headers as text: `scheme name=[value] …`.
    fn parsed(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().expect("a value"));
        }
        let as_text = |challenge: Challenge| {
            let parameters = challenge.parameters.iter().map(|(name, value)| format!(" {name}=[{value}]"));
            challenge.scheme.clone() + &parameters.collect::<String>()
        };
        challenges(&headers).into_iter().map(as_text).collect()
    }

    #[test]
    fn reads_challenges_in_every_form() {
        for (values, expected) in [
            (&["Bearer"][..], &["Bearer"][..]),
            (&["Bearer realm=\"x\", error=\"e\""], &["Bearer realm=[x] error=[e]"]),
            // Quotes and commas within a value, escapes, and spaces around the equals sign.
            (&[r#"Bearer realm="a, b=c \"x\"", scope="a b""#], &[r#"Bearer realm=[a, b=c "x"] scope=[a b]"#]),
            (&["Bearer scope = \"s\" ,error= e"], &["Bearer scope=[s] error=[e]"]),
            (&["Basic realm=\"Bearer scope=x\""], &["Basic realm=[Bearer scope=x]"]),
            // Several in one header, and in several.
            (&["Basic abc==, Bearer scope=a,error=b"], &["Basic abc=[=]", "Bearer scope=[a] error=[b]"]),
            (&["Basic realm=x, Digest realm=y, z=1"], &["Basic realm=[x]", "Digest realm=[y] z=[1]"]),
            (&["Negotiate, Basic realm=\"x\""], &["Negotiate", "Basic realm=[x]"]),
            (&["Basic realm=x", "Bearer scope=a"], &["Basic realm=[x]", "Bearer scope=[a]"]),
            (&["Bearer realm=x", "scope=a"], &["Bearer realm=[x]", " scope=[a]"]),
            // Letter case: a name has none, a scheme keeps its own.
            (&["BEARER Scope=A"], &["BEARER scope=[A]"]),
            // Broken forms.
            (&["Bearer error=\"unfinished"], &["Bearer error=[unfinished]"]),
            (&["Bearer error=\"a\\"], &["Bearer error=[a]"]),
            (&["resource_metadata=\"https://h/x\""], &[" resource_metadata=[https://h/x]"]),
            (&["Bearer scope=\"\" , scope=later"], &["Bearer scope=[] scope=[later]"]),
            (&["Bearer scope="], &["Bearer scope=[]"]),
            (&[",, Bearer ,; ,a=b,"], &["Bearer a=[b]"]),
            (&["\"Bearer\"", "=,=;", ""], &[]),
            (&[], &[]),
        ] {
            assert_eq!(parsed(values), expected, "{values:?}");
        }
    }

    #[test]
    fn finds_scheme_and_parameter_by_name() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "bEARER a=\"\", A=\" first \", a=second".parse().expect("a value"));
        let challenges = challenges(&headers);
        let [challenge] = &challenges[..] else { panic!("one challenge") };
        assert!(challenge.is_scheme("Bearer") && !challenge.is_scheme("Bear"));
        assert_eq!((challenge.parameter("a"), challenge.parameter("b")), (Some("first"), None));
    }

    #[test]
    fn passes_over_headers_that_are_not_text() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(b"Bearer a=\xff").expect("a value"));
        headers.append(WWW_AUTHENTICATE, "Bearer b=c".parse().expect("a value"));
        assert_eq!(challenges(&headers).len(), 1);
    }
}
