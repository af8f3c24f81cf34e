//! The errors of Cloudflare's API by code: what each means here, and the next step.
//!
//! Pure. Sources: the API's OpenAPI document, and the reports of users for what that leaves out. Deliberately not here: how
//! an answer is read (`api`).

/// A permission of an API token, named as the dashboard names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// Applications and policies.
    Applications,
    /// Service tokens.
    ServiceTokens,
    /// The organization of the account.
    Organizations,
    /// Zones.
    Zones,
    /// Workers.
    Workers,
}

impl Permission {
    /// The four that every command needs.
    pub(super) const NEEDED: [Permission; 4] =
        [Permission::Applications, Permission::ServiceTokens, Permission::Organizations, Permission::Zones];

    /// Its name in the dashboard, with the level that is needed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Permission::Applications => "Access: Apps and Policies Edit",
            Permission::ServiceTokens => "Access: Service Tokens Edit",
            Permission::Organizations => "Access: Organizations, Identity Providers, and Groups Read",
            Permission::Zones => "Zone Read",
            Permission::Workers => "Workers Scripts Read",
        }
    }

    /// The permission that a path of the API asks for.
    pub(super) fn of_path(path: &str) -> Permission {
        let has = |part: &str| path.contains(part);
        if has("/access/service_tokens") {
            Permission::ServiceTokens
        } else if has("/access/organizations") {
            Permission::Organizations
        } else if has("/workers/") {
            Permission::Workers
        } else if has("/access/") {
            Permission::Applications
        } else {
            Permission::Zones
        }
    }
}

/// Returns whether an answer says that the API token lacks a permission.
pub(super) fn is_permission_missing(status: u16, code: Option<i64>) -> bool {
    matches!((status, code), (403, Some(10000 | 9109) | None) | (401, Some(10000)))
}

/// What to do about an error.
pub(super) fn advice(status: u16, code: Option<i64>, message: &str, path: &str) -> String {
    let says = |part: &str| message.contains(part);
    let permission = Permission::of_path(path).name();
    let text = match (status, code) {
        (_, Some(6003 | 6111 | 6103)) => {
            "set CLOUDFLARE_API_TOKEN to an API token alone, without quotes, spaces or `Bearer`"
        }
        (_, Some(1000)) => "create a new API token: this one is wrong, has expired or was deleted",
        (_, Some(1001)) => "name the account with --account",
        (_, Some(1010)) | (403, None) if says("1010") => {
            "try another network: Cloudflare refused the request before it reached the API (1010)"
        }
        (401 | 403, Some(9109)) => {
            return format!(
                "add the permission \"{permission}\" to the API token, and check its account, zone and IP address filters"
            );
        }
        (401 | 403, Some(10000)) | (403, None) => {
            return format!(
                "add the permission \"{permission}\" to the API token, and check that --account names its account"
            );
        }
        (_, Some(7000 | 7003)) => "check the account id: it is 32 hexadecimal digits",
        (_, Some(9999)) => {
            "set up Zero Trust once in the dashboard (one.dash.cloudflare.com): choose a team name and a plan"
        }
        (_, Some(11010 | 12136)) => {
            "add --adopt to use the application that exists, or delete that application in the dashboard"
        }
        (_, Some(12130)) if says("does not belong to zone") => {
            "check that the zone of the host is active and belongs to this account"
        }
        (_, Some(12130)) if says("precedences must be unique") => {
            "give each policy of the application a precedence of its own in the dashboard, then run the command again"
        }
        (_, Some(12130)) if says("path if oauth") => {
            "leave out --only-path: Managed OAuth protects whole hosts"
        }
        (_, Some(12130)) if says("tag") => {
            "create the tag in the dashboard, or remove it from the application"
        }
        (_, Some(12139)) => {
            "remove the token from the policies, groups and SCIM settings that name it, then run the command again"
        }
        (404, _) => "run `mcp-tether access status` to see what exists",
        (409, _) => "run the command again: something else changed the same object",
        (429, _) => "wait five minutes: the API counts all tokens of a user together",
        (300..=399, _) => "check MCP_TETHER_CLOUDFLARE_API: redirects are never followed",
        (500..=599, _) => "run the command again: the API failed, see https://www.cloudflarestatus.com",
        _ => "read the message, then run the command again",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_has_its_next_step() {
        let apps = "/accounts/a/access/apps";
        for (status, code, message, path, expected) in [
            (400, Some(6003), "Invalid request headers", apps, "without quotes"),
            (401, Some(1000), "Invalid API Token", apps, "create a new API token"),
            (403, Some(9109), "Unauthorized", apps, "Access: Apps and Policies Edit"),
            (
                403,
                Some(10000),
                "Authentication error",
                "/accounts/a/access/service_tokens",
                "Service Tokens Edit",
            ),
            (
                403,
                Some(10000),
                "Authentication error",
                "/accounts/a/access/organizations",
                "Organizations, Identity",
            ),
            (403, Some(10000), "Authentication error", "/zones", "Zone Read"),
            (403, None, "error code: 1010", apps, "another network"),
            (400, Some(1001), "account owned", "/accounts", "--account"),
            (400, Some(7003), "Could not route", apps, "account id"),
            (404, Some(9999), "access.api.error.not_enabled", apps, "Zero Trust"),
            (409, Some(11010), "application_already_exists", apps, "--adopt"),
            (400, Some(12130), "domain does not belong to zone", apps, "zone of the host is active"),
            (400, Some(12130), "policy precedences must be unique", apps, "precedence"),
            (400, Some(12130), "domain can not have a path if oauth is configured", apps, "--only-path"),
            (400, Some(12130), "tags contain a tag that does not exist", apps, "tag"),
            (400, Some(12139), "service_token_in_use", apps, "remove the token"),
            (429, None, "", apps, "five minutes"),
            (302, None, "", apps, "never followed"),
            (502, None, "", apps, "cloudflarestatus"),
        ] {
            let advice = advice(status, code, message, path);
            assert!(advice.contains(expected), "{status} {code:?} {message}: {advice}");
        }
    }
}
