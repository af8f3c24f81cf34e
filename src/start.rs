//! From arguments to exit code: what `main` does, as a function, so that examples can start themselves as the proxy.
//!
//! Whatever cannot work reaches the person: on a terminal at once, with a client on stdin as the answer to everything
//! it asks, for hosts hide what stands on stderr. Deliberately not here: how anything is done.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::auth::keeper::{Keeper, Source};
use crate::bridge::{self, Reason};
use crate::check::{self, Findings, Style};
use crate::cli::{self, Options, Typed};
use crate::config::{self, Config, Environment};
use crate::http::Http;
use crate::remote::streamable::Streamable;
use crate::remote::{Remote, Unconfigured};
use crate::report::{Report, UNUSABLE, exit_code};
use crate::{log, proxy, stdio};

/// Runs the program with these arguments, of which the first is its name.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    hide_panic_messages();
    let environment = Environment::of_process();
    let portable = environment.get("MCP_TETHER_STDIO") == Some("threads");
    let code = match cli::parse(arguments) {
        Ok(Typed::Print(text)) => print(&text),
        Ok(Typed::Options(options)) if options.checks => look(&options, &environment),
        Ok(Typed::Options(options)) => match set_up(&options, &environment) {
            Ok((remote, ping)) => serve(remote, ping, portable).map_or(ExitCode::FAILURE, exit_code),
            Err(report) => refuse(&report, portable),
        },
        Err(error) => refuse(&Report::from(&error), portable),
    };
    log::finish();
    code
}

fn set_up(options: &Options, environment: &Environment) -> Result<(Streamable, Option<Duration>), Report> {
    log::start(options);
    let config = Config::resolve(options, environment).map_err(|error| Report::from(&error))?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    for remark in &config.remarks {
        info!("{remark}");
    }
    let http = Http::new(&config.url, config.connection).map_err(Report::setup)?;
    let source = config::can_change(options).then(|| {
        let (options, environment) = (options.clone(), environment.clone());
        let read =
            move || config::credentials_again(&options, &environment).map_err(|error| error.to_string());
        Arc::new(read) as Source
    });
    Ok((Streamable::new(config.url, http, Keeper::new(config.found, source)), config.ping))
}

/// Looks at the whole way to the server.
fn look(options: &Options, environment: &Environment) -> ExitCode {
    log::start(options);
    let style = match (options.json, stdio::is_output_terminal()) {
        (true, _) => Style::Json,
        (false, true) => Style::Terminal,
        (false, false) => Style::Plain,
    };
    let mut findings = Findings::new(std::io::stdout(), style);
    let resolved = Config::resolve(options, environment);
    let config = match resolved {
        Ok(config) => config,
        Err(error) => {
            findings.failed("configuration", &Report::from(&error).why());
            findings.finish("", false);
            return ExitCode::from(UNUSABLE);
        }
    };
    // Without the query, which may hold a key.
    let url = config.url.join(config.url.path()).map_or_else(|_| String::new(), |url| url.to_string());
    let named = options.proxy.as_deref().and_then(|proxy| proxy.parse().ok());
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    let is_well = runtime.block_on(check::run(config, named, &mut findings));
    runtime.shutdown_background();
    findings.finish(&url, is_well);
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the proxy until the client leaves. None when the system gives no event loop.
fn serve(remote: impl Remote + Send + 'static, ping: Option<Duration>, portable: bool) -> Option<Reason> {
    let runtime = runtime()?;
    let config = bridge::Config { seed: proxy::seed(), ping };
    let reason = runtime.block_on(async {
        let (input, output) = stdio::open(portable);
        // Tasks, because the runtime asks the system for news each time the future that it blocks on is woken.
        let (mut proxy, mut signal) = (JoinSet::new(), JoinSet::new());
        signal.spawn(stdio::stop_signal());
        let stop = async move { drop(signal.join_next().await) };
        proxy.spawn(proxy::run(input, output, stop, remote, config));
        proxy.join_next().await
    });
    // A thread may stand in a read or a name lookup that nobody needs any more.
    runtime.shutdown_background();
    reason?.ok()
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
        serve(Unconfigured { why: report.why() }, None, portable);
    }
    ExitCode::from(UNUSABLE)
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
