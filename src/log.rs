//! What the program tells while it runs: on stderr, and in a file where the person wants one. stdout belongs to the client.
//!
//! Only our own events are shown, at every level: what the HTTP and TLS libraries would tell holds headers. Every line goes
//! through a queue to a thread that the first of them starts: a host that does not read stderr must not bring the
//! conversation to a halt, nor must a slow disk. What does not fit the queue is lost, and how much that was is told. Where
//! secrets are known (`auth::known`), every line is scrubbed of them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::auth::known;
use crate::cli::Options;
use crate::files::Growing;

/// How large a log file gets before it is set aside, in bytes.
pub const FILE_LIMIT: u64 = 10 * 1024 * 1024;

/// Starts logging as the options ask. A second call in the same process changes nothing.
pub fn start(options: &Options, file: Option<Growing>) {
    let verbosity = if options.debug { options.verbose.max(2) } else { options.verbose };
    let level = match (options.silent, verbosity) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let clock = if verbosity == 0 { Clock::None } else { Clock::Uptime(begin()) };
    let stderr = fmt::layer().with_writer(|| &STDERR).with_ansi(false).event_format(Format(clock));
    let file = file.map(|file| {
        let level = if verbosity > 2 { LevelFilter::TRACE } else { LevelFilter::DEBUG };
        *FILE.target.lock().expect("nothing panics in between") = Some(file);
        let layer = fmt::layer().with_writer(|| &FILE).with_ansi(false);
        layer.event_format(Format(Clock::Wall(std::process::id()))).with_filter(ours(level))
    });
    drop(tracing_subscriber::registry().with(stderr.with_filter(ours(level))).with(file).try_init());
}

fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level)
}

#[expect(clippy::disallowed_methods, reason = "lines tell how long the program has run")]
fn begin() -> Instant {
    Instant::now()
}

/// How a line is written: when, how important, what.
struct Format(Clock);

/// What a line says of the time.
enum Clock {
    /// Nothing.
    None,
    /// How long the program has run.
    Uptime(Instant),
    /// The date, and which of the processes that may write the same file it was.
    Wall(u32),
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        match &self.0 {
            Clock::None => {}
            Clock::Uptime(since) => write!(line, "{:>8.3} ", since.elapsed().as_secs_f64())?,
            Clock::Wall(process) => {
                SystemTime.format_time(&mut line)?;
                write!(line, " {process:>7} ")?;
            }
        }
        write!(line, "{:>5} ", event.metadata().level())?;
        context.format_fields(line.by_ref(), event)?;
        line.write_char('\n')
    }
}

/// How many lines may wait for whoever takes them.
const WAITING: usize = 1024;
/// How long the end of the process waits for the last of them.
const LAST_LINES: Duration = Duration::from_millis(50);

static STDERR: Queue<io::Stderr> = Queue::new();
static FILE: Queue<Growing> = Queue::new();

/// Lines on their way to one place.
struct Queue<T> {
    entries: OnceLock<SyncSender<Entry>>,
    lost: AtomicUsize,
    /// Until the thread takes it. Without one it is stderr.
    target: Mutex<Option<T>>,
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before this was written.
    End(SyncSender<()>),
}

/// Where lines go.
trait Target: Send + Sized + 'static {
    fn open(queue: &Queue<Self>) -> Option<Self>;
    /// Writes some lines. False when it makes no sense to go on.
    fn put(&mut self, lines: &[u8]) -> bool;
}

impl Target for io::Stderr {
    fn open(_: &Queue<Self>) -> Option<Self> {
        Some(io::stderr())
    }

    fn put(&mut self, lines: &[u8]) -> bool {
        // Where it is closed nobody can be told.
        let _ = self.write_all(lines);
        true
    }
}

impl Target for Growing {
    fn open(queue: &Queue<Self>) -> Option<Self> {
        queue.target.lock().expect("nothing panics in between").take()
    }

    fn put(&mut self, lines: &[u8]) -> bool {
        let written = self.write(lines);
        if let Err(error) = &written {
            warn!("the log file takes no more: {error}");
        }
        written.is_ok()
    }
}

impl<T: Target> Queue<T> {
    const fn new() -> Queue<T> {
        Queue { entries: OnceLock::new(), lost: AtomicUsize::new(0), target: Mutex::new(None) }
    }

    fn push(&'static self, line: Vec<u8>) {
        // A full queue loses the line; waiting would be worse.
        if self.entries.get_or_init(|| self.start_writing()).try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start_writing(&'static self) -> SyncSender<Entry> {
        let (sender, entries) = sync_channel(WAITING);
        let mut target = T::open(self);
        std::thread::spawn(move || {
            for entry in entries {
                match entry {
                    Entry::Line(line) => {
                        let lost = self.lost.swap(0, Ordering::Relaxed);
                        let gap =
                            if lost > 0 { format!("({lost} lines were lost here)\n") } else { String::new() };
                        if target
                            .as_mut()
                            .is_some_and(|target| !target.put(&[gap.as_bytes(), &line].concat()))
                        {
                            target = None;
                        }
                    }
                    Entry::End(done) => drop(done.try_send(())),
                }
            }
        });
        sender
    }

    fn finish(&self) {
        let Some(entries) = self.entries.get() else { return };
        let (done, written) = sync_channel(1);
        if entries.try_send(Entry::End(done)).is_ok() {
            // Whether it was in time: there is nobody left to tell.
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

/// Lets what was logged last reach stderr and the file, for a moment.
pub fn finish() {
    FILE.finish();
    STDERR.finish();
}

impl<T: Target> Write for &'static Queue<T> {
    /// Takes one line per write, as the formatter writes them.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let scrubbed = match known::is_remembering() {
            true => known::scrub(&String::from_utf8_lossy(line)).into_owned().into_bytes(),
            false => line.to_vec(),
        };
        self.push(scrubbed);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
