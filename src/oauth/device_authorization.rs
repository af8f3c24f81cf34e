//! A code that the user enters on any computer (RFC 8628, section 3.2), as the authorization server gives it and as it is stored.
//!
//! Deliberately not here: asking for one, and for the tokens (`flows::device_code`).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::oauth::documents;
use crate::oauth::object::Object;
use crate::oauth::sign_in_error::{UserAction, foreign};

/// How often it is asked, unless the authorization server says how often.
const INTERVAL: Duration = Duration::from_secs(5);
/// The most and the least often, whatever is said.
pub(super) const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(300)];
/// How long a code holds at most, in seconds.
const LIFE: f64 = 3600.0;

/// A device authorization response (RFC 8628, section 3.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAuthorization {
    /// What we ask with. It is secret.
    pub device_code: String,
    /// The code that the user enters.
    pub user_code: String,
    /// Where.
    pub page: String,
    /// How often we may ask, in milliseconds.
    #[serde(deserialize_with = "bounded_interval")]
    pub interval: u64,
    /// Until when it holds, in seconds since 1970.
    pub until: u64,
    /// What tokens are to allow.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Without the code that tokens are asked for with.
impl std::fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceAuthorization").field("until", &self.until).finish_non_exhaustive()
    }
}

/// A stored interval, which is no longer than the longest that we wait.
fn bounded_interval<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    u64::deserialize(from).map(|interval| interval.min(milliseconds(INTERVALS[1])))
}

impl DeviceAuthorization {
    /// The page for the user, and the code to enter there.
    pub(super) fn action(&self) -> UserAction {
        UserAction { url: self.page.clone(), code: Some(self.user_code.clone()), elsewhere: None }
    }

    /// Reads what an authorization server has given us.
    pub(super) fn given(body: &str, scope: Option<&str>, now: u64) -> Option<DeviceAuthorization> {
        let given = Object::parse(body)?;
        let page = given.text("verification_uri").or_else(|| given.text("verification_url"))?;
        let interval = given.number("interval").and_then(|each| Duration::try_from_secs_f64(each).ok());
        let interval = interval.unwrap_or(INTERVAL).clamp(INTERVALS[0], INTERVALS[1]);
        let life = given.number("expires_in").filter(|life| *life > 0.0).unwrap_or(LIFE).min(LIFE);
        Some(DeviceAuthorization {
            device_code: given.text("device_code").filter(|code| !code.is_empty())?,
            user_code: given.text("user_code").map(|code| foreign(&code)).filter(|code| !code.is_empty())?,
            page: given.text("verification_uri_complete").filter(|page| !page.is_empty()).unwrap_or(page),
            interval: milliseconds(interval),
            until: now.saturating_add(life as u64),
            scope: scope.map(str::to_owned),
        })
    }
}

fn milliseconds(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_device_code_in_every_form() {
        let code = |more: &str| format!(r#"{{"device_code":"d","user_code":"AB-CD"{more}}}"#);
        let page = r#","verification_uri":"https://as.example/device""#;
        for (body, expected) in [
            (code(page), Some(("https://as.example/device", 5_000, 3_700))),
            (
                code(&format!(r#"{page},"interval":1,"expires_in":600"#)),
                Some(("https://as.example/device", 1_000, 700)),
            ),
            (
                code(&format!(r#"{page},"interval":"2","expires_in":"60""#)),
                Some(("https://as.example/device", 2_000, 160)),
            ),
            (
                code(&format!(r#"{page},"interval":0,"expires_in":0"#)),
                Some(("https://as.example/device", 100, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":-1,"expires_in":1e300"#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (code(&format!(r#"{page},"interval":1e9"#)), Some(("https://as.example/device", 300_000, 3_700))),
            (
                code(&format!(r#"{page},"interval":1e300,"expires_in":18446744073709551615"#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":"NaN","expires_in":"-inf""#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":"","expires_in":0.4"#)),
                Some(("https://as.example/device", 5_000, 100)),
            ),
            (
                code(&format!(r#"{page},"verification_uri_complete":"https://as.example/c?AB""#)),
                Some(("https://as.example/c?AB", 5_000, 3_700)),
            ),
            (code(r#","verification_url":"https://g.example""#), Some(("https://g.example", 5_000, 3_700))),
            (code(""), None),
            (r#"{"user_code":"x","verification_uri":"https://h"}"#.to_owned(), None),
            ("<html>".to_owned(), None),
        ] {
            let found = DeviceAuthorization::given(&body, Some("s"), 100);
            let shown = found.as_ref().map(|device| (device.page.as_str(), device.interval, device.until));
            assert_eq!(shown, expected, "{body}");
            let again = found.as_ref().and_then(|device| documents::read(&documents::write(device)));
            assert_eq!(again, found);
        }
    }

    #[test]
    fn stored_device_with_absurd_numbers_keeps_its_bounds() {
        let text = r#"{"device_code":"d","user_code":"u","page":"p","interval":18446744073709551615,"until":18446744073709551615}"#;
        let device = documents::read::<DeviceAuthorization>(text).expect("a device");
        assert_eq!((device.interval, device.until), (300_000, u64::MAX));
        for number in ["-1", "1.5", "1e300", "18446744073709551616", "\"1\""] {
            let text = text.replacen("18446744073709551615", number, 1);
            assert!(documents::read::<DeviceAuthorization>(&text).is_none(), "{number}");
        }
    }
}
