//! The program from arguments to exit code, as a function, so that examples can start themselves as the proxy.
//!
//! An error at start reaches the user: on a terminal at once, with a client on stdin as the answer to everything
//! it asks, because clients hide stderr. Deliberately not here: the work itself.

mod auth_commands;
mod console;
mod terminal;

use std::ffi::OsString;
use std::fs::File;
use std::future::pending;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{debug, info, warn};
use url::Url;

use self::auth_commands::run_auth_command;
use self::console::{manage_access, print, print_entry, tell};
use crate::auth::access_proof::AccessProof;
use crate::auth::credential_provider::{CredentialProvider, CredentialSource};
use crate::bridge::{self, ExitReason};
use crate::cache::{Cache, Writing};
use crate::channel::Channel;
use crate::check::{self, CheckResult, Findings, Style};
use crate::cli::{self, Invocation, Mode, Options, TransportOption};
use crate::config::{self, Config, Environment};
use crate::files::Growing;
use crate::http::Http;
use crate::oauth::{OAuth, RequestCredentials, SignInShutdown};
use crate::orphan::WatchedInput;
use crate::platform::Waiting;
use crate::proxy::Keeping;
use crate::record::Recorder;
use crate::remote::streamable::Streamable;
use crate::remote::{HttpRemote, Remote, Unconfigured};
use crate::startup_error::{STOPPED, StartupError, UNUSABLE, exit_code};
use crate::stdio::{Stdin, Stdout};
use crate::{early, files, log, platform, proxy, refuse, stdio};

/// Runs the program with these arguments, of which the first is its name.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parent = platform::parent();
    platform::survive_file_limits();
    hide_panic_messages();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // A defect outside of any exchange ends the program, but not without what was told of it.
    let code = catch_unwind(AssertUnwindSafe(|| run(arguments, parent))).unwrap_or(ExitCode::FAILURE);
    config::end_commands();
    log::finish();
    code
}

// Each step and each command below keeps a stack frame of its own (`inline(never)`). Inlined into this function, the frames of all
// would lie beneath the proxy as long as it runs.
fn run(arguments: Vec<OsString>, parent: Option<u32>) -> ExitCode {
    let environment = Environment::of_process();
    if arguments.get(1).is_some_and(|word| word == "access") {
        return manage_access(arguments.into_iter().skip(2).collect(), &environment);
    }
    let client = Side { is_portable: environment.get("MCP_TETHER_STDIO") == Some("threads"), parent };
    let is_interactive = cli::is_interactive(&arguments);
    match cli::parse(arguments) {
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Version(text)) => print(&format!("{text}{}\n", Channel::of_process().line())),
        Ok(Invocation::Config(arguments)) => print_entry(*arguments, &environment),
        Ok(Invocation::Switch(command)) => terminal::run_switch(*command, &environment),
        Ok(Invocation::Options(options)) => run_mode(options, environment, client),
        // The user or a script waits for it, and no client.
        Err(error) if is_interactive => {
            tell(&StartupError::from(&error).to_string());
            ExitCode::from(UNUSABLE)
        }
        Err(error) => serve(SetUp::Done(Err(StartupError::from(&error))), client),
    }
}

#[inline(never)]
fn run_mode(options: Box<Options>, environment: Environment, client: Side) -> ExitCode {
    match options.mode {
        Mode::Check { json } => run_check(&options, json, &environment),
        Mode::Auth(command) => match run_auth_command(command, &options, &environment) {
            Ok(code) => code,
            Err(report) => {
                tell(&report.to_string());
                ExitCode::from(UNUSABLE)
            }
        },
        Mode::Run => {
            let takes_time = config::runs_commands(&options);
            let work = move || set_up(&options, &environment);
            match takes_time {
                false => serve(SetUp::Done(work().map(Box::new)), client),
                // The command may want the terminal that the client's messages would be read from.
                true if stdio::is_terminal() => match unless_stopped(work) {
                    Some(result) => serve(SetUp::Done(result.map(Box::new)), client),
                    None => ExitCode::from(STOPPED),
                },
                true => serve(SetUp::ToDo(Box::new(move || work().map(Box::new))), client),
            }
        }
    }
}

/// How the client is spoken to.
#[derive(Clone, Copy)]
struct Side {
    /// Threads read stdin and write stdout, whatever they are.
    is_portable: bool,
    /// Who started us.
    parent: Option<u32>,
}

/// What it takes to run, or why there is no running.
enum SetUp {
    Done(Result<Box<Ready>, StartupError>),
    /// It may take as long as a command does.
    ToDo(Box<dyn FnOnce() -> Result<Box<Ready>, StartupError> + Send>),
}

/// Does something that may take as long as a command does, unless a signal comes. None if one does.
#[inline(never)]
fn unless_stopped<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let Ok(runtime) = runtime() else { return Some(work()) };
    let result = runtime.block_on(async {
        tokio::select! {
            result = tokio::task::spawn_blocking(work) => result.ok(),
            () = stdio::stop_signal() => None,
        }
    });
    if result.is_none() {
        config::end_commands();
    }
    runtime.shutdown_background();
    result
}

/// What it takes to run.
struct Ready {
    remote: HttpRemote,
    bridge: bridge::Config,
    /// Where the conversation is recorded.
    record: Option<File>,
    /// Where the server's era is remembered.
    cache: Cache,
    /// What is said at the end.
    farewell: Option<SignInShutdown>,
}

#[inline(never)]
fn set_up(options: &Options, environment: &Environment) -> Result<Ready, StartupError> {
    begin_logging(options, environment)?;
    let config = Config::resolve(options, environment).map_err(|error| StartupError::from(&error))?;
    let record = options.record.as_deref().map(config::home_expanded).map(|path| {
        let is_log = options.log_file.as_deref().map(config::home_expanded).as_ref() == Some(&path);
        let file = match is_log {
            true => Err(std::io::Error::other("the log is written to this file")),
            false => files::anew(&path),
        };
        file.map_err(|reason| StartupError::unwritable("--record", &path, &reason))
    });
    let record = record.transpose()?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    for remark in &config.remarks {
        info!("{remark}");
    }
    let patience = config.connection.connect_timeout.unwrap_or(config::UNBOUNDED);
    let http = Http::new(&config.url, config.connection).map_err(StartupError::setup)?;
    let source = config::can_change(options).then(|| {
        let (options, environment) = (options.clone(), environment.clone());
        let read =
            move || config::credentials_again(&options, &environment).map_err(|error| error.to_string());
        Arc::new(read) as CredentialSource
    });
    let cache = match options.no_cache {
        true => Cache::none(),
        false => Cache::of(dirs::cache_dir(), &config.url, &config.found.credentials),
    };
    let bridge = bridge::Config {
        seed: proxy::seed(),
        secret: u128::from(proxy::seed()) << 64 | u128::from(proxy::seed()),
        ping: config.ping,
        no_listening: config.no_listen,
        era: config.era,
        known: cache.recall(now()),
        transport: match config.transport {
            TransportOption::HttpFirst => bridge::TransportOrder::HttpFirst,
            TransportOption::SseFirst => bridge::TransportOrder::SseFirst,
            TransportOption::HttpOnly => bridge::TransportOrder::HttpOnly,
            TransportOption::SseOnly => bridge::TransportOrder::SseOnly,
        },
        tools: config.tools,
    };
    let http = Arc::new(http);
    let sign_in = config.sign_in.map(|settings| OAuth::new(settings, Arc::clone(&http)));
    let farewell = sign_in.as_ref().map(OAuth::shutdown);
    let proof =
        AccessProof::of(&config.url, &http, config.folder, config.found.needs_proof() || source.is_some());
    let provider = CredentialProvider::new(config.found, source).with_proof(proof);
    let request_credentials = RequestCredentials::new(provider, sign_in);
    let remote = HttpRemote::new(Streamable::new(config.url, http, request_credentials), patience);
    Ok(Ready { remote, bridge, record, cache, farewell })
}

/// Starts the log. A file that was asked for and cannot be written is an error, because
/// it would be missed later. That of `--debug` alone, whose place no option names, is a warning.
fn begin_logging(options: &Options, environment: &Environment) -> Result<(), StartupError> {
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
        Some(reason) if named.is_some() => {
            return Err(StartupError::unwritable("--log-file", &path, &reason));
        }
        Some(reason) => warn!("{} cannot be written, so there is no log file: {reason}", path.display()),
        None => {}
    }
    if is_open && platform::others_can_read(&path) {
        warn!("other users can read the log file {}: run chmod 600 on it", path.display());
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

/// Runs `check`: diagnoses the connection step by step.
#[inline(never)]
fn run_check(options: &Options, json: bool, environment: &Environment) -> ExitCode {
    let is_set = |name| environment.get(name).is_some_and(|value| !value.is_empty());
    // A terminal without means is written to like a file (https://no-color.org for the other variable).
    let style = match stdio::is_output_terminal() && environment.get("TERM") != Some("dumb") {
        _ if json => Style::Json,
        true => Style::Terminal { coloured: !is_set("NO_COLOR") },
        false => Style::Plain,
    };
    let mut findings = Findings::new(Waiting(std::io::stdout()), style);
    let program = format!("mcp-tether {}, {}", env!("CARGO_PKG_VERSION"), Channel::of_process().line());
    // Commands that print secrets take their time.
    findings.begin("credentials");
    let url = check_url(options);
    let url = url.as_deref();
    let config = match resolved(options, environment) {
        Some(Ok(config)) => config,
        None => {
            findings.fail("stopped", &StartupError::stopped());
            findings.finish(url, false, &program);
            return ExitCode::from(STOPPED);
        }
        Some(Err(report)) => {
            findings.fail("configuration", &report.for_client());
            findings.finish(url, false, &program);
            return ExitCode::from(UNUSABLE);
        }
    };
    let named = options.proxy.as_deref().and_then(|proxy| proxy.parse().ok());
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(report) => {
            findings.fail("setup", &report.for_client());
            findings.finish(url, false, &program);
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(check::run(config, named, stdio::stop_signal(), &mut findings));
    runtime.shutdown_background();
    findings.finish(url, outcome == CheckResult::Passed, &program);
    match outcome {
        CheckResult::Passed => ExitCode::SUCCESS,
        CheckResult::Failed => ExitCode::FAILURE,
        CheckResult::Stopped => ExitCode::from(STOPPED),
    }
}

/// The URL that was given, without the parts that may hold secrets: user name, password, query and fragment.
fn check_url(options: &Options) -> Option<String> {
    let url: Url = options.positional.first()?.parse().ok()?;
    let mut url = Some(url).filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // Neither fails for http and https.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    Some(url.to_string())
}

/// Resolves the configuration while the user waits. None when a signal comes first.
fn resolved(options: &Options, environment: &Environment) -> Option<Result<Config, StartupError>> {
    if let Err(report) = begin_logging(options, environment) {
        return Some(Err(report));
    }
    let (owned, variables) = (options.clone(), environment.clone());
    let resolve = move || Config::resolve(&owned, &variables).map_err(|error| StartupError::from(&error));
    match config::runs_commands(options) {
        true => unless_stopped(resolve),
        false => Some(resolve()),
    }
}

/// Runs the proxy until the client leaves. If it cannot start it reports why: on a terminal at once, to a client in answer to
/// each request.
#[inline(never)]
fn serve(set_up: SetUp, client: Side) -> ExitCode {
    if let SetUp::Done(Err(report)) = &set_up {
        log::tell(&report.to_string());
        if stdio::is_terminal() {
            return ExitCode::from(UNUSABLE);
        }
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(report) => {
            log::tell(&report.to_string());
            let (input, output) = (Waiting(std::io::stdin()), Waiting(std::io::stdout()));
            // Whether it could be told does not change anything.
            let _ = refuse::answer_all(input, output, &report.for_client(), proxy::now());
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(Box::pin(conversation(set_up, client)));
    // A thread may still be in a read or a name lookup whose result is not needed.
    runtime.shutdown_background();
    code
}

async fn conversation(set_up: SetUp, client: Side) -> ExitCode {
    let (input, output) = stdio::open(client.is_portable);
    let input: Stdin = match client.parent.is_some() && platform::is_input_stream() {
        true => Box::new(WatchedInput::new(input, client.parent, platform::parent)),
        false => input,
    };
    // A task, because the runtime asks the system for news each time the future that it blocks on is woken.
    let mut signal = JoinSet::new();
    signal.spawn(stdio::stop_signal());
    let (result, input): (_, Stdin) = match set_up {
        SetUp::Done(result) => (result, input),
        SetUp::ToDo(work) => {
            let mut input = input;
            let stop = async { drop(signal.join_next().await) };
            let (outcome, heard) = early::listen(&mut input, stop, spawn_blocking(work)).await;
            let heard = Cursor::new(heard);
            match outcome {
                early::EarlyOutcome::Done(result) => {
                    let result =
                        result.unwrap_or_else(|_| Err(StartupError::setup("a defect of mcp-tether")));
                    if let Err(report) = &result {
                        log::tell(&report.to_string());
                    }
                    (result, Box::new(heard.chain(input)))
                }
                early::EarlyOutcome::Stopped | early::EarlyOutcome::Left => {
                    config::end_commands();
                    let remote = Unconfigured { report: StartupError::stopped() };
                    let reason = converse(heard, output, pending(), remote, bridge::Config::default(), None);
                    return reason.await.map_or(ExitCode::FAILURE, exit_code);
                }
            }
        }
    };
    let stop = async move { drop(signal.join_next().await) };
    match result {
        Ok(ready) => {
            let Ready { remote, bridge, record, cache, farewell } = *ready;
            let recorder = record.map(|file| Recorder::new(file, &bridge, proxy::now()));
            let writing = Writing::into(cache);
            let remember = writing.clone();
            let remember = Box::new(move |known: &_| remember.keep(known, now()));
            let keeping = Some(Keeping { recorder, remember });
            let reason = converse(input, output, stop, remote, bridge, keeping).await;
            if let Some(farewell) = farewell {
                farewell.finish().await;
            }
            writing.finish().await;
            reason.map_or(ExitCode::FAILURE, exit_code)
        }
        Err(report) => {
            let remote = Unconfigured { report: report.for_client() };
            converse(input, output, stop, remote, bridge::Config::default(), None).await;
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Runs the driver as a task of its own; see there. None when a defect ended it.
async fn converse<R: Remote + Send + 'static>(
    input: impl AsyncRead + Send + Unpin + 'static,
    output: Stdout,
    stop: impl Future<Output = ()> + Send + 'static,
    remote: R,
    config: bridge::Config,
    keeping: Option<Keeping>,
) -> Option<ExitReason> {
    let keeping = keeping.unwrap_or_else(|| Keeping { recorder: None, remember: Box::new(|_| {}) });
    let mut proxy = JoinSet::new();
    proxy.spawn(proxy::run_keeping(input, output, stop, remote, config, keeping));
    proxy.join_next().await?.ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long something has been known is a matter of the calendar"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// How many descriptors the runtime, stdin, stdout and one connection take.
const DESCRIPTORS: usize = 10;

/// The event loop of one thread.
fn runtime() -> Result<Runtime, StartupError> {
    // The library does not return an error for each of those that it cannot have.
    if !platform::has_descriptors(DESCRIPTORS) {
        return Err(StartupError::too_few_descriptors());
    }
    Builder::new_current_thread().enable_all().build().map_err(StartupError::setup)
}

/// The message of a panic can quote data; the place is what a report needs.
fn hide_panic_messages() {
    std::panic::set_hook(Box::new(|panic| {
        log::defect(&panic.location().map(ToString::to_string).unwrap_or_default());
        // The event loop does not wait for stderr. Anything else may end the process behind this.
        if tokio::runtime::Handle::try_current().is_err() {
            log::finish();
        }
    }));
}
