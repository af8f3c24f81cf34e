//! What the program tells while it runs: on stderr, and in a file where the person wants one. stdout belongs to the client.
//!
//! Only our own events are shown, at every level: what the HTTP and TLS libraries would tell holds headers. Every line goes
//! through a queue to a thread that the first of them starts: a host that does not read stderr must not bring the
//! conversation to a halt, nor must a slow disk. What does not fit the queue is lost, and how much that was is told. Every
//! line is redacted once more, whatever it was made of.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber, warn};

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
    let begun = (verbosity > 0).then(monotonic_clock);
    SILENT.store(options.silent, Ordering::Relaxed);
    if set_global_default(Log { stderr, file: in_file, begun }).is_ok() {
        *FILE.target.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

/// Whether the user wants nothing on stderr.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Tells why the program cannot start, at every level.
pub fn tell(text: &str) {
    STDERR.push(format!("{text}\n"));
}

/// Tells of a defect of the program: where it is, and nothing that its message may quote. Safe in a panic hook: it neither
/// waits nor takes a lock that a panicking thread may hold.
pub fn defect(place: &str) {
    let text = format!("mcp-tether: a defect at {place}; please report it\n");
    if FILE.entries.get().is_some() {
        FILE.push(format!("{} {:>7} {text}", Date(wall_clock()), std::process::id()));
    }
    if !SILENT.load(Ordering::Relaxed) {
        STDERR.push(text);
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

/// Turns events into lines. There are no spans.
struct Log {
    /// What is told on stderr.
    stderr: LevelFilter,
    /// What is told in the file.
    file: LevelFilter,
    /// From when on the lines on stderr count the time, where they do.
    begun: Option<Instant>,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        ours && *metadata.level() <= self.stderr.max(self.file)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.stderr.max(self.file))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level();
        let mut words = Words(String::new());
        event.record(&mut words);
        let words = match event.metadata().target() == LINES {
            true => shortened(harmless(&redact::redact(&words.0))),
            false => shown(&words.0),
        };
        if *level <= self.stderr {
            let at = self.begun.map(|begun| format!("{:>8.3} ", begun.elapsed().as_secs_f64()));
            STDERR.push(format!("{}{level:>5} {words}\n", at.unwrap_or_default()));
        }
        if *level <= self.file {
            let (date, process) = (Date(wall_clock()), std::process::id());
            FILE.push(format!("{date} {process:>7} {level:>5} {words}\n"));
        }
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

/// The message of an event, then its fields.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // A string takes everything.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}

/// A moment as `2026-07-28T12:34:56.789Z`.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, milliseconds) = (since.as_secs(), since.subsec_millis());
        // Years begin in March here, so that the day that comes and goes is their last.
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = 400 * era + year + carry;
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
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
    Line(String),
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

impl<T: LogTarget> Queue<T> {
    const fn new() -> Queue<T> {
        Queue { entries: OnceLock::new(), lost: AtomicUsize::new(0), target: Mutex::new(None) }
    }

    fn push(&'static self, line: String) {
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
                        if target.as_mut().is_some_and(|target| !target.put((gap + &line).as_bytes())) {
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
    fn nobody_writes_a_line_of_ours_or_commands_a_terminal() {
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
