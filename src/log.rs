//! The log of the program: on stderr, and in a file if the user names one. stdout belongs to the client.
//!
//! `tracing-subscriber` decides by output which events and spans are enabled; the form of a line (`Form`) and the way to its
//! output (`Queue`) are here. Only our own events are shown, at every level: those of the HTTP and TLS libraries hold
//! headers. Every line goes through a queue to a thread that the first line starts: a host that does not read stderr must not
//! stop the conversation, nor must a slow disk. Lines that do not fit the queue are lost and counted. Every line is redacted
//! once more, whatever it was made of.
//!
#![doc = include_str!("logging.md")]

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber, warn};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::cli::Options;
use crate::files::Growing;
use crate::platform::Waiting;
use crate::redact;

/// How large a log file gets before it is set aside, in bytes.
pub const FILE_LIMIT: u64 = 10 * 1024 * 1024;

/// The one module whose events have lines below their first; in others only a foreign text could have them.
const LINES: &str = concat!(env!("CARGO_CRATE_NAME"), "::traffic");

/// Where what belongs to the line above begins.
pub const INDENT: &str = "          ";

/// Starts logging as the options ask. A second call in the same process changes nothing.
pub fn start(options: &Options, file: Option<Growing>) {
    let verbosity = if options.debug { options.verbose.max(2) } else { options.verbose };
    let stderr = match (options.silent, verbosity) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let in_file = match (&file, verbosity) {
        (None, _) => LevelFilter::OFF,
        (Some(_), 0..=2) => LevelFilter::DEBUG,
        (Some(_), _) => LevelFilter::TRACE,
    };
    let stamp = if verbosity > 0 { Stamp::Elapsed(monotonic_clock()) } else { Stamp::None };
    SILENT.store(options.silent, Ordering::Relaxed);
    let is_set = match stderr <= LevelFilter::WARN && in_file == LevelFilter::OFF {
        true => set_global_default(Warnings(stderr)),
        false => {
            let subscriber = Registry::default().with(layer(&STDERR, stamp, stderr));
            set_global_default(subscriber.with(layer(&FILE, Stamp::Date, in_file)))
        }
    };
    if is_set.is_ok() {
        *FILE.target.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

/// The subscriber of a run that logs nothing but warnings, up to this level. No span is as severe, so it needs no registry of
/// spans, which would take 32 KB and a thirtieth of the start.
struct Warnings(LevelFilter);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target().strip_prefix(env!("CARGO_CRATE_NAME"));
        metadata.level() <= &self.0 && target.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = String::new();
        let visited =
            debug_fn(write_field as WriteField).delimited(" ").format_fields(Writer::new(&mut words), event);
        let mut line = String::new();
        if visited.and_then(|()| write_line(&mut line, &Stamp::None, event, words, "")).is_ok() {
            STDERR.push(line.into_bytes());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// One output: our own events and spans up to a level, formatted and handed to a queue.
fn layer<S, T>(queue: &'static Queue<T>, stamp: Stamp, level: LevelFilter) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    T: LogTarget,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .log_internal_errors(false)
        .fmt_fields(debug_fn(write_field as WriteField).delimited(" "))
        .event_format(Form(stamp))
        .with_writer(queue)
        .with_filter(Targets::new().with_target(env!("CARGO_CRATE_NAME"), level))
}

/// Whether the user wants nothing on stderr.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Tells why the program cannot start, at every level.
pub fn tell(text: &str) {
    STDERR.push(format!("{text}\n").into_bytes());
}

/// Tells of a defect of the program: where it is, and nothing that its message may quote. Safe in a panic hook: it neither
/// waits nor takes a lock that a panicking thread may hold.
pub fn defect(place: &str) {
    let text = format!("mcp-tether: a defect at {place}; please report it\n");
    if FILE.entries.get().is_some() {
        FILE.push(format!("{} {:>7} {text}", Date(wall_clock()), std::process::id()).into_bytes());
    }
    if !SILENT.load(Ordering::Relaxed) {
        STDERR.push(text.into_bytes());
    }
}

#[expect(clippy::disallowed_methods, reason = "lines tell how long the program has run")]
fn monotonic_clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "lines of a file tell the date")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// What stands before the level of a line.
enum Stamp {
    None,
    /// The seconds since this moment.
    Elapsed(Instant),
    /// The date and the process ID.
    Date,
}

/// The form of a line: stamp, level, message, fields, then the fields of the spans that it belongs to, outermost first.
struct Form(Stamp);

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = String::new();
        context.format_fields(Writer::new(&mut words), event)?;
        let mut spans = String::new();
        for span in context.event_scope().into_iter().flat_map(|spans| spans.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(spans, " {fields}")?;
            }
        }
        write_line(&mut writer, &self.0, event, words, &spans)
    }
}

/// Writes the line of an event, from its own words and those of its spans.
fn write_line(
    writer: &mut dyn fmt::Write,
    stamp: &Stamp,
    event: &Event<'_>,
    mut words: String,
    spans: &str,
) -> fmt::Result {
    let words = match event.metadata().target() == LINES {
        true => {
            words.insert_str(words.find('\n').unwrap_or(words.len()), spans);
            shortened(harmless(&redact::redact(&words)))
        }
        false => shown(&words) + &shown(spans),
    };
    match stamp {
        Stamp::None => {}
        Stamp::Elapsed(since) => write!(writer, "{:>8.3} ", since.elapsed().as_secs_f64())?,
        Stamp::Date => write!(writer, "{} {:>7} ", Date(wall_clock()), std::process::id())?,
    }
    writeln!(writer, "{:>5} {words}", event.metadata().level())
}

/// Writes one field of an event or a span. A message goes without its name.
type WriteField = fn(&mut Writer<'_>, &Field, &dyn fmt::Debug) -> fmt::Result;

/// See [`WriteField`].
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name => write!(writer, "{name}={value:?}"),
    }
}

/// A text without anything that a terminal would obey or that looks like a line of its own, whoever wrote it: what
/// belongs to the line above is indented.
fn harmless(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut harmless = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        harmless.push(if line.starts_with(INDENT) { '\n' } else { ' ' });
        harmless.push_str(line);
    }
    let obeyed = |letter: char| letter != '\n' && redact::is_unprintable(letter);
    harmless.replace(obeyed, " ")
}

/// The longest line, in bytes, with room for what stands before the words.
const LONGEST_LINE: usize = 4000;

/// A text of one line as it is told. What is cut off is not looked through before: it may be megabytes.
fn shown(words: &str) -> String {
    let (mut shown, is_cut) = redact::excerpt(words, LONGEST_LINE);
    if is_cut {
        shown.push('…');
    }
    shown
}

/// A text with what is too long cut off each line: others choose names of any length.
fn shortened(words: String) -> String {
    if words.len() <= LONGEST_LINE {
        return words;
    }
    let lines = words.split('\n').map(|line| {
        let cut = (0..=LONGEST_LINE.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
        match line.split_at_checked(cut.unwrap_or_default()) {
            Some((short, rest)) if !rest.is_empty() => format!("{short}…"),
            Some(_) | None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A moment as `2026-07-28T12:34:56.789Z`.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        // A clock beyond the year 9999 is as good as none.
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, (hour, minute, second)) = (at.date(), at.to_hms());
        write!(f, "{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
    }
}

/// How many lines may wait for whoever takes them.
const WAITING: usize = 1024;
/// How long the end of the process waits for the last of them.
const LAST_LINES: Duration = Duration::from_millis(250);

static STDERR: Queue<Waiting<io::Stderr>> = Queue::new();
static FILE: Queue<Growing> = Queue::new();

/// Lines on their way to one place.
struct Queue<T> {
    entries: OnceLock<SyncSender<LogEntry>>,
    lost: AtomicUsize,
    /// Until the thread takes it. Without one it is stderr.
    target: Mutex<Option<T>>,
}

enum LogEntry {
    Line(Vec<u8>),
    /// Everything before this was written.
    End(SyncSender<()>),
}

/// Where lines go.
trait LogTarget: Send + Sized + 'static {
    fn open(queue: &Queue<Self>) -> Option<Self>;
    /// Writes some lines. False when it makes no sense to go on.
    fn put(&mut self, lines: &[u8]) -> bool;
}

impl LogTarget for Waiting<io::Stderr> {
    fn open(_: &Queue<Self>) -> Option<Self> {
        Some(Waiting(io::stderr()))
    }

    fn put(&mut self, lines: &[u8]) -> bool {
        // Where it is closed nobody can be told.
        let _ = self.write_all(lines);
        true
    }
}

impl LogTarget for Growing {
    fn open(queue: &Queue<Self>) -> Option<Self> {
        queue.target.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&mut self, lines: &[u8]) -> bool {
        let written = self.write(lines);
        if let Err(error) = &written {
            warn!("the log file takes no more: {error}");
        }
        written.is_ok()
    }
}

impl<'a, T: LogTarget> MakeWriter<'a> for &'static Queue<T> {
    type Writer = LineWriter<T>;

    fn make_writer(&'a self) -> LineWriter<T> {
        LineWriter(self)
    }
}

/// Hands each line to a queue; a line is written as a whole.
struct LineWriter<T: LogTarget>(&'static Queue<T>);

impl<T: LogTarget> Write for LineWriter<T> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: LogTarget> Queue<T> {
    const fn new() -> Queue<T> {
        Queue { entries: OnceLock::new(), lost: AtomicUsize::new(0), target: Mutex::new(None) }
    }

    fn push(&'static self, line: Vec<u8>) {
        // A full queue loses the line; waiting would be worse.
        if self.entries.get_or_init(|| self.start_writing()).try_send(LogEntry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start_writing(&'static self) -> SyncSender<LogEntry> {
        let (sender, entries) = sync_channel(WAITING);
        let mut target = T::open(self);
        // Without a thread every line is lost: there is no other way to tell anything that does not wait.
        let _ = std::thread::Builder::new().spawn(move || {
            for entry in entries {
                match entry {
                    LogEntry::Line(line) => {
                        let lost = self.lost.swap(0, Ordering::Relaxed);
                        let gap =
                            if lost > 0 { format!("({lost} lines were lost here)\n") } else { String::new() };
                        let lines = [gap.into_bytes(), line].concat();
                        if target.as_mut().is_some_and(|target| !target.put(&lines)) {
                            target = None;
                        }
                    }
                    LogEntry::End(done) => drop(done.try_send(())),
                }
            }
        });
        sender
    }

    fn finish(&self) {
        let Some(entries) = self.entries.get() else { return };
        let (done, written) = sync_channel(1);
        if entries.try_send(LogEntry::End(done)).is_ok() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_forges_no_line_or_terminal_command() {
        let text = format!("a\n{INDENT}b: c\n   0.001  INFO forged\r\u{1b}[2Jd");
        assert_eq!(harmless(&text), format!("a\n{INDENT}b: c    0.001  INFO forged  [2Jd"));
    }

    #[test]
    fn lines_of_any_length_are_cut_at_a_letter() {
        for text in
            ["x".repeat(5000), "ä".repeat(5000), format!("{}\n{}", "x".repeat(5000), "y".repeat(9000))]
        {
            let short = shortened(text.clone());
            assert_eq!(short.lines().count(), text.lines().count());
            assert!(short.lines().all(|line| line.len() <= 4003 && line.ends_with('…')), "{short}");
        }
        assert_eq!(shortened("ä\nb".to_owned()), "ä\nb");
    }

    #[test]
    fn line_without_end_is_cut_before_a_secret() {
        redact::register_secret("secret-of-this-test");
        let text = format!("{}secret-of-this-test{}", "x".repeat(LONGEST_LINE - 5), "y ".repeat(1_000_000));
        let told = shown(&text);
        let left = told.strip_suffix('…').expect("it is cut").trim_start_matches('x');
        assert!("[secret]".starts_with(left) && told.len() > LONGEST_LINE - 100, "{left}");
        assert_eq!(shown("a secret-of-this-test\nb"), "a [secret] b");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_785_240_896_789, "2026-07-28T12:14:56.789Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Date(UNIX_EPOCH + Duration::from_millis(milliseconds)).to_string(), expected);
        }
    }
}
