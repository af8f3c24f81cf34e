//! Errors of the configuration, with their remedies. They quote names, never values.

use super::expand;

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No argument is left that could be the URL.
    #[error("the URL of the server is missing")]
    NoUrl,
    /// The only argument is not a URL.
    #[error("the server's URL does not begin with https:// or http://")]
    NotUrl,
    /// More than one argument is neither an option nor a value.
    #[error("{0} arguments are neither options nor their values, but only the URL should be")]
    TooManyArguments(usize),
    /// The port of the OAuth redirect URI is out of range.
    #[error("the callback port after the URL is not a number from 1 to 65535")]
    CallbackPort,
    /// An option about signing in has a value that it cannot have.
    #[error("the value of {option} {problem}")]
    SignIn {
        /// The option.
        option: &'static str,
        /// The fault, as a verb.
        problem: &'static str,
    },
    /// A pattern that fits no tool.
    #[error("a value of {option} is empty or holds a line break, which no tool name does")]
    Pattern {
        /// The option.
        option: &'static str,
    },
    /// Options of the sign-in contradict each other, or cannot be used.
    #[error("{sentence}")]
    Grant {
        /// The fault, as a sentence.
        sentence: String,
        /// The remedy.
        advice: &'static str,
    },
    /// The URL holds a `${…}`.
    #[error("the URL holds a ${{…}}, which is expanded in headers only")]
    UrlVariable,
    /// The URL holds another placeholder.
    #[error("the URL still holds the placeholder {0}: the client did not expand it")]
    UrlPlaceholder(String),
    /// The URL cannot be read.
    #[error("the URL of the server is malformed: {0}")]
    MalformedUrl(url::ParseError),
    /// The URL carries a user name or password.
    #[error("the URL holds a user name or password")]
    UrlWithUser,
    /// http to another machine.
    #[error("the URL is not encrypted (http), and {host} is not this computer")]
    InsecureUrl {
        /// Its host.
        host: String,
    },
    /// A header file cannot be read.
    #[error("the header file {path} cannot be read: {reason}")]
    HeaderFile {
        /// The file; not quoted where it looks like a header in the place of a path.
        path: String,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A file with variables cannot be read.
    #[error("the file {path} of --env-file cannot be used: {reason}")]
    EnvFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A command has no value.
    #[error("the command of {place} {reason}")]
    Command {
        /// The option, and the header.
        place: String,
        /// Why.
        reason: String,
    },
    /// The name of a header is not one.
    #[error("the value of --access-header is not the name of a header that a token can travel in")]
    AccessHeader,
    /// There is no token for that header.
    #[error("--access-header names a header for the service token, but there is no service token")]
    AccessHeaderAlone,
    /// That header has another value as well.
    #[error("the header {name} is to carry the service token, but has another value as well")]
    AccessHeaderTaken {
        /// The header.
        name: String,
    },
    /// A service token in one header that cannot be read.
    #[error("{what} is not a service token in one header: {reason}")]
    SingleHeader {
        /// The header, and where it stands.
        what: String,
        /// The fault, as a verb.
        reason: &'static str,
    },
    /// The URL of the proxy is not one.
    #[error("the value of --proxy is not the URL of a proxy")]
    Proxy,
    /// A pin is not a fingerprint.
    #[error("the value of --pin is not the SHA-256 fingerprint of a certificate")]
    Pin,
    /// A certificate or key cannot be read.
    #[error("the file {path} of {option} cannot be used: {reason}")]
    Certificate {
        /// The option.
        option: &'static str,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A header has no colon.
    #[error("{place} is not of the form \"Name: value\"")]
    HeaderForm {
        /// The option, or the file and line.
        place: String,
    },
    /// The name of a header is not one.
    #[error("the name of {place} holds characters that no header name may have")]
    HeaderName {
        /// The option, or the file and line.
        place: String,
    },
    /// A value cannot be sent as it is.
    #[error("{what} {problem}")]
    Value {
        /// The header or variable, and where it stands.
        what: String,
        /// The fault, as a verb.
        problem: Problem,
    },
    /// One half of the service token is missing.
    #[error("{present} is set, but {missing} is not")]
    HalfPair {
        /// The half that was found.
        present: String,
        /// The name of the other half.
        missing: String,
    },
    /// Id and secret have the same value.
    #[error("{id} and {secret} hold the same value")]
    Same {
        /// The source of the id.
        id: String,
        /// The source of the secret.
        secret: String,
    },
    /// Id and secret are swapped.
    #[error("client id and client secret look swapped: {secret} holds an id (it has \".access\" in it)")]
    Swapped {
        /// The source of the secret, which holds an id.
        secret: String,
    },
}

/// A fault of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be expanded.
    #[error("cannot be expanded: {0}")]
    Expansion(expand::Error),
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It holds a placeholder, as it was written.
    #[error("still holds the placeholder {0}: the client did not expand it")]
    Unfilled(String),
    /// A variable in it holds only a placeholder.
    #[error(
        "cannot be expanded: the environment variable {0} holds the placeholder {1}, which the client did not expand"
    )]
    UnfilledVariable(String, String),
    /// It begins with a quotation mark.
    #[error("begins with a quotation mark")]
    Quoted,
    /// A control character, at a position counted from 1 (0: unknown).
    #[error("holds a control character or line break at position {0}")]
    Control(usize),
    /// A letter outside ASCII, at a position counted from 1.
    #[error("holds a character outside ASCII at position {0}")]
    NotAscii(usize),
    /// A space, at a position counted from 1.
    #[error("holds a space at position {0}")]
    Space(usize),
    /// It begins with the name of the header.
    #[error("begins with the name of a header")]
    NamePasted,
    /// It is the placeholder of an instruction.
    #[error("is a placeholder, not a value")]
    Placeholder,
}

impl Error {
    /// A certificate or key that cannot be read.
    pub(super) fn certificate(option: &'static str, path: &std::path::Path, reason: String) -> Error {
        Error::Certificate { option, path: path.display().to_string(), reason }
    }

    /// The remedy, which begins with a verb.
    pub fn advice(&self) -> String {
        match self {
            Error::NoUrl => "add it: mcp-tether https://mcp.example.com/mcp".to_owned(),
            Error::NotUrl => "write the URL in full, such as https://mcp.example.com/mcp, and put a header into quotes: --header \"Name: value\"".to_owned(),
            Error::TooManyArguments(_) => "put a header that has spaces into quotes: --header \"Name: value\"".to_owned(),
            Error::CallbackPort => "write a port from 1 to 65535 after the URL, or leave it out: mcp-tether then chooses one".to_owned(),
            Error::SignIn { option, .. } => format!("see {option} in mcp-tether --help"),
            Error::Pattern { option } => format!("write the name of a tool, with * for anything: {option} \"delete*\""),
            Error::Grant { advice, .. } => (*advice).to_owned(),
            Error::UrlVariable | Error::UrlPlaceholder(_) => "write the URL in full, and put secrets into --header \"Name: ${VAR}\"".to_owned(),
            Error::MalformedUrl(_) => "write it like https://mcp.example.com/mcp".to_owned(),
            Error::UrlWithUser => "take them out of the URL and send them as --header \"Authorization: Basic ${VAR}\"".to_owned(),
            Error::InsecureUrl { .. } => "use https://, or add --allow-http if you trust the network".to_owned(),
            Error::HeaderFile { .. } => "check the path, and that this user may read the file".to_owned(),
            Error::EnvFile { .. } => "check the path, and that each line is NAME=value, with quotes around a value that has spaces".to_owned(),
            Error::Command { reason, .. } if reason.contains("PATH") => "write the program's full path: clients start mcp-tether with a short PATH".to_owned(),
            Error::Command { .. } => "run it in a terminal: it must print the value and nothing else (cloudflared without a token prints nothing: run cloudflared access login URL)".to_owned(),
            Error::AccessHeaderAlone => "set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET in the environment or in the \"env\" of this server's entry, or leave --access-header out".to_owned(),
            Error::AccessHeaderTaken { .. } => "leave that header out, or have the application read tokens from another one (read_service_tokens_from_header)".to_owned(),
            Error::SingleHeader { .. } => "set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, and name the header with --access-header, which builds its value".to_owned(),
            Error::AccessHeader => "write the name of the header that the application reads tokens from, such as Authorization".to_owned(),
            Error::Proxy => "write it like http://proxy.example.com:3128, with user:password@ before the host if it requires credentials".to_owned(),
            Error::Pin => "write its 64 hexadecimal digits, with colons or without, as openssl x509 -fingerprint -sha256 prints them".to_owned(),
            Error::Certificate { .. } => "check the path, and that the file is in PEM form (-----BEGIN …)".to_owned(),
            Error::HeaderForm { .. } => "write --header \"Name: value\", in quotes where it has spaces".to_owned(),
            Error::HeaderName { .. } => "use letters, digits and dashes in the name, with no quotation mark before it".to_owned(),
            Error::Value { what, problem } => problem.advice(what),
            Error::HalfPair { missing, .. } => format!(
                "set {missing} as well, in the environment or in the \"env\" of this server's entry; or pass --no-access"
            ),
            Error::Same { .. } => "copy the client id and the client secret of the token again".to_owned(),
            Error::Swapped { .. } => "exchange the two values".to_owned(),
        }
    }
}

impl Problem {
    /// A placeholder that was found. A command in it is not shown.
    pub(super) fn unfilled(found: &str) -> Problem {
        Problem::Unfilled(if found.starts_with("$(") { "$(…)".to_owned() } else { found.to_owned() })
    }

    fn advice(&self, what: &str) -> String {
        match self {
            Problem::Expansion(expand::Error::Unset(name)) => format!(
                "set {name} in the environment or in the \"env\" of this server's entry, or write ${{{name}:-default}}"
            ),
            Problem::Expansion(expand::Error::Unclosed) => "close it with }, or remove the \"${\"".to_owned(),
            Problem::Expansion(expand::Error::NoName(_)) => {
                "write ${NAME} with letters, digits and underscores; only the client can expand other forms"
                    .to_owned()
            }
            Problem::Empty => "give it a value, or leave it out".to_owned(),
            Problem::Unfilled(_) | Problem::UnfilledVariable(..) => {
                "write ${NAME} there and set NAME in the environment or in the \"env\" of this server's entry, or write the value itself: this client does not expand placeholders of this form"
                    .to_owned()
            }
            Problem::Quoted => "take the quotation marks off".to_owned(),
            Problem::Control(_) | Problem::NotAscii(_) | Problem::Space(_) => {
                "copy it again, without anything before or after it".to_owned()
            }
            Problem::NamePasted => "remove the name, and keep the value after the colon".to_owned(),
            Problem::Placeholder => format!("put the real value into {what}"),
        }
    }
}
