//! From arguments to exit code: what `main` does, as a function, so that examples can start themselves as the proxy.
//!
//! Whatever cannot work reaches the person: on a terminal at once, with a client on stdin as the answer to everything
//! it asks, for hosts hide what stands on stderr. Deliberately not here: how anything is done.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use url::Url;

use crate::auth::access_proof::AccessProof;
use crate::auth::keeper::{Keeper, Source};
use crate::auth::oauth::{Farewell, HeldTokens, OAuth, Trouble};
use crate::bridge::{self, Reason};
use crate::cache::Cache;
use crate::check::{self, Findings, Outcome, Style};
use crate::cli::{self, ByHand, Options, Transport, Typed};
use crate::config::{self, Config, Environment};
use crate::entry::{self, Here, Part};
use crate::files::Growing;
use crate::http::Http;
use crate::proxy::Keeping;
use crate::record::Recorder;
use crate::redact;
use crate::remote::streamable::Streamable;
use crate::remote::{Remote, Server, Unconfigured};
use crate::report::{Report, STOPPED, UNUSABLE, exit_code};
use crate::{files, log, platform, proxy, stdio};

/// Runs the program with these arguments, of which the first is its name.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    hide_panic_messages();
    let environment = Environment::of_process();
    let portable = environment.get("MCP_TETHER_STDIO") == Some("threads");
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // As far as can be told of arguments that are not understood.
    let is_check = arguments.iter().any(|argument| {
        ["check", "login", "logout", "tokens", "completions"].iter().any(|command| argument == command)
    });
    let code = match cli::parse(arguments) {
        Ok(Typed::Print(text)) => print(&text),
        Ok(Typed::Entry(asked)) => print_entry(asked, &environment),
        Ok(Typed::Options(options)) if options.checks => look(&options, &environment),
        Ok(Typed::Options(options)) if options.by_hand.is_some() => match by_hand(&options, &environment) {
            Ok(code) => code,
            Err(report) => {
                tell(&report.to_string());
                ExitCode::from(UNUSABLE)
            }
        },
        Ok(Typed::Options(options)) => match set_up(&options, &environment) {
            Ok(ready) => {
                serve(ready.remote, ready.bridge, ready.record, ready.cache, ready.farewell, portable)
                    .map_or(ExitCode::FAILURE, exit_code)
            }
            Err(report) => refuse(&report, portable),
        },
        // A person or a script waits for it, and no client.
        Err(error) if is_check => {
            tell(&Report::from(&error).to_string());
            ExitCode::from(UNUSABLE)
        }
        Err(error) => refuse(&Report::from(&error), portable),
    };
    log::finish();
    code
}

/// What it takes to run.
struct Ready {
    remote: Server,
    bridge: bridge::Config,
    /// Where the conversation is recorded.
    record: Option<File>,
    /// Where the server's era is remembered.
    cache: Cache,
    /// What is said at the end.
    farewell: Option<Farewell>,
}

fn set_up(options: &Options, environment: &Environment) -> Result<Ready, Report> {
    begin_logging(options, environment)?;
    let config = Config::resolve(options, environment).map_err(|error| Report::from(&error))?;
    // A server may echo them, too.
    config.url.query().into_iter().for_each(redact::register_secret);
    config.url.query_pairs().for_each(|(_, value)| redact::register_secret(&value));
    let record = options.record.as_deref().map(config::home_expanded).map(|path| {
        let is_log = options.log_file.as_deref().map(config::home_expanded).as_ref() == Some(&path);
        let file = match is_log {
            true => Err(std::io::Error::other("the log is written there")),
            false => files::anew(&path),
        };
        file.map_err(|reason| Report::unwritable("--record", &path, &reason))
    });
    let record = record.transpose()?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    for remark in &config.remarks {
        info!("{remark}");
    }
    let patience = config.connection.connect_timeout.unwrap_or(config::UNBOUNDED);
    let http = Http::new(&config.url, config.connection).map_err(Report::setup)?;
    let source = config::can_change(options).then(|| {
        let (options, environment) = (options.clone(), environment.clone());
        let read =
            move || config::credentials_again(&options, &environment).map_err(|error| error.to_string());
        Arc::new(read) as Source
    });
    let cache = match options.no_cache {
        true => Cache::none(),
        false => Cache::of(dirs::cache_dir(), &config.url, &config.found.credentials),
    };
    let bridge = bridge::Config {
        seed: proxy::seed(),
        secret: u128::from(proxy::seed()) << 64 | u128::from(proxy::seed()),
        ping: config.ping,
        era: config.era,
        known: cache.recall(now()),
        transport: match config.transport {
            Transport::HttpFirst => bridge::Transport::HttpFirst,
            Transport::SseFirst => bridge::Transport::SseFirst,
            Transport::HttpOnly => bridge::Transport::HttpOnly,
            Transport::SseOnly => bridge::Transport::SseOnly,
        },
        tools: config.tools,
    };
    let http = Arc::new(http);
    let sign_in = config.sign_in.map(|settings| OAuth::new(settings, Arc::clone(&http)));
    let farewell = sign_in.as_ref().map(OAuth::farewell);
    let proof =
        AccessProof::of(&config.url, &http, config.folder, config.found.needs_proof() || source.is_some());
    let keeper = Keeper::new(config.found, source).with_proof(proof).with_sign_in(sign_in);
    let remote = Server::new(Streamable::new(config.url, http, keeper), patience);
    Ok(Ready { remote, bridge, record, cache, farewell })
}

/// Starts the log. A file that was asked for and cannot be written is an error: whoever looks for it later would find
/// nothing. That of `--debug` alone, whose place nobody chose, is a warning.
fn begin_logging(options: &Options, environment: &Environment) -> Result<(), Report> {
    if options.verbose > 0 || options.debug || options.log_file.is_some() || options.record.is_some() {
        redact::remember();
    }
    let named = options.log_file.as_deref().map(config::home_expanded);
    let path = named.clone().or_else(|| options.debug.then(|| debug_log(options, environment)).flatten());
    let opened = path.as_deref().map(|path| {
        if let (None, Some(folder)) = (&named, path.parent()) {
            platform::create_private_folder(folder)?;
        }
        Growing::open(path, log::FILE_LIMIT)
    });
    let (file, refused) = match opened {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let is_open = file.is_some();
    log::start(options, file);
    let Some(path) = path else { return Ok(()) };
    match refused {
        Some(reason) if named.is_some() => return Err(Report::unwritable("--log-file", &path, &reason)),
        Some(reason) => warn!("there is no log file, {} cannot be written: {reason}", path.display()),
        None => {}
    }
    if is_open && platform::others_can_read(&path) {
        warn!("others on this computer can read the log file {}: chmod 600", path.display());
    }
    debug!("mcp-tether {} begins; the log is in {}", env!("CARGO_PKG_VERSION"), path.display());
    Ok(())
}

/// Where `--debug` has its log: in the folder that mcp-remote has its own in, one file for each server.
fn debug_log(options: &Options, environment: &Environment) -> Option<PathBuf> {
    let url: Url = options.positional.first()?.parse().ok()?;
    let folder = environment.get("MCP_REMOTE_CONFIG_DIR").filter(|folder| !folder.is_empty());
    let folder = config::home_expanded(Path::new(folder.unwrap_or("~/.mcp-auth")));
    let port = url.port().map(|port| format!("_{port}")).unwrap_or_default();
    let host = url.host_str()?.replace(['[', ']', ':'], "_");
    Some(folder.join("mcp-tether").join(format!("{host}{port}_debug.log")))
}

/// Looks at the whole way to the server.
fn look(options: &Options, environment: &Environment) -> ExitCode {
    let is_set = |name| environment.get(name).is_some_and(|value| !value.is_empty());
    // A terminal without means is written to like a file (https://no-color.org for the other variable).
    let style = match stdio::is_output_terminal() && environment.get("TERM") != Some("dumb") {
        _ if options.json => Style::Json,
        true => Style::Terminal { coloured: !is_set("NO_COLOR") },
        false => Style::Plain,
    };
    let mut findings = Findings::new(std::io::stdout(), style);
    // Commands that print secrets take their time.
    findings.begin("credentials");
    let resolved = begin_logging(options, environment)
        .and_then(|()| Config::resolve(options, environment).map_err(|error| Report::from(&error)));
    let config = match resolved {
        Ok(config) => config,
        Err(report) => {
            findings.failed("configuration", &report.why());
            findings.finish("", false);
            return ExitCode::from(UNUSABLE);
        }
    };
    // Without the query, which may hold a key.
    let url = config.url.join(config.url.path()).map_or_else(|_| String::new(), |url| url.to_string());
    let named = options.proxy.as_deref().and_then(|proxy| proxy.parse().ok());
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    let outcome = runtime.block_on(check::run(config, named, stdio::stop_signal(), &mut findings));
    runtime.shutdown_background();
    findings.finish(&url, outcome == Outcome::Well);
    match outcome {
        Outcome::Well => ExitCode::SUCCESS,
        Outcome::Wrong => ExitCode::FAILURE,
        Outcome::Stopped => ExitCode::from(STOPPED),
    }
}

/// Signs in or out, or shows what is held.
fn by_hand(options: &Options, environment: &Environment) -> Result<ExitCode, Report> {
    begin_logging(options, environment)?;
    let config = Config::resolve(options, environment).map_err(|error| Report::from(&error))?;
    let Some(settings) = config.sign_in else {
        return Err(Report::nowhere_to_sign_in());
    };
    let http = Arc::new(Http::new(&config.url, config.connection).map_err(Report::setup)?);
    let proof = AccessProof::of(&config.url, &http, config.folder, config.found.needs_proof());
    let keeper = Keeper::fixed(config.found.credentials).with_proof(proof);
    let Some(runtime) = runtime() else { return Ok(ExitCode::FAILURE) };
    let done: Result<Option<String>, Trouble> = runtime.block_on(async {
        let oauth = OAuth::new(settings, http);
        match options.by_hand {
            Some(ByHand::LogIn) => oauth.log_in(&keeper).await.map(|()| Some("you are signed in".to_owned())),
            Some(ByHand::LogOut) => {
                let was_there = oauth.log_out(&keeper.current().await.own).await?;
                Ok(was_there.then(|| "you are signed out".to_owned()))
            }
            Some(ByHand::Tokens) | None => Ok(oauth.held().as_ref().map(shown)),
        }
    });
    runtime.shutdown_background();
    Ok(match done {
        Ok(Some(text)) => print(&format!("{text}\n")),
        Ok(None) => {
            tell("nothing is held for this server");
            ExitCode::FAILURE
        }
        Err(trouble) => {
            tell(&format!("error: {trouble}\n  try: {}", trouble.advice()));
            ExitCode::FAILURE
        }
    })
}

/// What is held, without what proves anything.
fn shown(held: &HeldTokens) -> String {
    let runs_out = match held.expires_in {
        Some(0) => "has run out".to_owned(),
        Some(seconds) => format!("runs out in {seconds} seconds"),
        None => "does not say when it runs out".to_owned(),
    };
    let renews = if held.renews { "is renewed by itself" } else { "cannot be renewed" };
    format!(
        "issuer:   {}\nresource: {}\nscope:    {}\ntoken:    {runs_out}, {renews}\nfile:     {}",
        held.issuer,
        held.resource,
        held.scope.as_deref().unwrap_or("(not said)"),
        held.path
    )
}

/// Runs the proxy until the client leaves. None when the system gives no event loop.
fn serve(
    remote: impl Remote + Send + 'static,
    config: bridge::Config,
    record: Option<File>,
    cache: Cache,
    farewell: Option<Farewell>,
    portable: bool,
) -> Option<Reason> {
    let runtime = runtime()?;
    let recorder = record.map(|file| Recorder::new(file, &config, proxy::now()));
    let remember = Box::new(move |known: &_| cache.keep(known, now()));
    let reason = runtime.block_on(async {
        let (input, output) = stdio::open(portable);
        // Tasks, because the runtime asks the system for news each time the future that it blocks on is woken.
        let (mut proxy, mut signal) = (JoinSet::new(), JoinSet::new());
        signal.spawn(stdio::stop_signal());
        let stop = async move { drop(signal.join_next().await) };
        proxy.spawn(proxy::run_keeping(input, output, stop, remote, config, Keeping { recorder, remember }));
        let ended = proxy.join_next().await;
        if let Some(farewell) = farewell {
            farewell.say().await;
        }
        ended
    });
    // A thread may stand in a read or a name lookup that nobody needs any more.
    runtime.shutdown_background();
    reason?.ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long something has been known is a matter of the calendar"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn runtime() -> Option<Runtime> {
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            tell(&Report::setup(error).to_string());
            None
        }
    }
}

/// Says why the program cannot start: to a person at once, to a client whenever it asks something.
fn refuse(report: &Report, portable: bool) -> ExitCode {
    tell(&report.to_string());
    if !stdio::is_terminal() {
        serve(
            Unconfigured { why: report.why() },
            bridge::Config::default(),
            None,
            Cache::none(),
            None,
            portable,
        );
    }
    ExitCode::from(UNUSABLE)
}

/// Prints the entry of a client's configuration: what is pasted on stdout, what is said about it on stderr.
fn print_entry(asked: Vec<OsString>, environment: &Environment) -> ExitCode {
    match entry::answer(asked, environment, &Here::of(environment)) {
        Ok(parts) => {
            for part in parts {
                match part {
                    Part::Told(text) => tell(&text),
                    Part::Printed(text) => drop(print(&text)),
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&Report::from(&error).to_string());
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Writes to stderr. Where that is closed there is nobody to tell.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes help or version to stdout, which is not a client's then.
fn print(text: &str) -> ExitCode {
    let _ = write!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

/// The message of a panic can quote data; the place is what a report needs.
fn hide_panic_messages() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tell(&format!("mcp-tether: a defect at {place}; please report it"));
    }));
}
