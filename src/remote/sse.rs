//! Server-sent events from bytes as they arrive, by the WHATWG rules
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).
//!
//! A push parser over bytes: data is appended straight to the buffer that becomes the message, so that an event of any
//! size is copied once and costs linear time. `src/README.md` says why this is not a crate; the crate the user named is
//! the oracle of the property test below.

use std::time::Duration;

use crate::jsonrpc::{MESSAGE_LIMIT, MessageBuffer};

/// Longest value of `id`, `event` and `retry` that is kept, in bytes. A longer one is left out, as if not sent: an id is
/// sent back as a header, of which servers take 8 KiB.
const FIELD_LIMIT: usize = 8 * 1024;
/// Longest time to wait before reconnecting that is believed.
const LONGEST_RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// What one block of the stream said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The type; empty means `message`.
    pub event: String,
    /// The data, its lines joined by spaces (a line end cannot stand inside JSON). Empty when there was none.
    pub data: MessageBuffer,
    /// The event id, to resume after. An empty one takes the last id back.
    pub id: Option<String>,
    /// The time to wait before reconnecting.
    pub retry: Option<Duration>,
}

impl SseEvent {
    /// Returns whether this is an event that MCP gives a meaning: of type `message`, with data.
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && (self.event.is_empty() || self.event == "message")
    }
}

/// An event beyond the size limit, which ends the stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {} MiB, the limit of mcp-tether", MESSAGE_LIMIT / 1024 / 1024)]
pub struct TooLarge;

/// The parser: bytes in, events out.
#[derive(Debug, Default)]
pub struct Parser {
    state: ParserState,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// How many bytes of a leading byte order mark were seen; none are looked for once a line began.
    mark: usize,
    /// The name of the field that is being read, or its value where that is not data.
    field: Vec<u8>,
    event: SseEvent,
    /// Whether the current block had a data line, for its lines are joined.
    has_data: bool,
}

/// Where in a line the parser stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ParserState {
    /// Before the first byte of the stream.
    #[default]
    Start,
    /// In a field name (also: at the beginning of a line).
    Name,
    /// Behind the colon, where one space is dropped.
    Colon(Field),
    /// In a value.
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
    /// A comment, an unknown field, or one that grew too long.
    Other,
}

const MARK: &[u8] = b"\xEF\xBB\xBF";

impl Parser {
    /// Reads one chunk and hands every block that it completes to `sink`.
    ///
    /// # Errors
    /// [`TooLarge`] when an event grows beyond [`MESSAGE_LIMIT`]; the stream cannot be read any further.
    pub fn push(&mut self, mut chunk: &[u8], mut sink: impl FnMut(SseEvent)) -> Result<(), TooLarge> {
        while let Some(&first) = chunk.first() {
            let behind = chunk.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                chunk = behind;
                continue;
            }
            if self.state == ParserState::Start {
                if MARK.get(self.mark) == Some(&first) {
                    self.mark += 1;
                    chunk = behind;
                    if self.mark < MARK.len() {
                        continue;
                    }
                } else {
                    // What looked like the beginning of a mark is the beginning of a field name.
                    self.field.extend(MARK.iter().take(self.mark));
                }
                self.state = ParserState::Name;
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', chunk);
            let line = end.and_then(|end| chunk.split_at_checked(end));
            let Some((line, [end, rest @ ..])) = line else {
                self.take(chunk)?;
                break;
            };
            self.after_cr = *end == b'\r';
            chunk = rest;
            if let Some(value) = self.whole_data(line) {
                self.begin_value(Field::Data)?;
                self.add_data(value)?;
                continue;
            }
            self.take(line)?;
            if let Some(event) = self.end_line()? {
                sink(event);
            }
        }
        self.event.data.scan();
        Ok(())
    }

    /// The event that has begun and that no blank line has ended yet, where it has data.
    pub fn pending(&self) -> Option<&SseEvent> {
        (!self.event.data.is_empty()).then_some(&self.event)
    }

    /// Ends the event that has begun, and gives it if it has data. A line that is not ended counts only if it is data: any
    /// other value may lack its end.
    pub fn finish(&mut self) -> Option<SseEvent> {
        if self.state != ParserState::Start {
            self.state = ParserState::Name;
        }
        self.field.clear();
        self.has_data = false;
        let event = std::mem::take(&mut self.event);
        (!event.data.is_empty()).then_some(event)
    }

    /// The value of a line of data that is there as a whole. A large event may have thousands of them, and they are nothing else.
    fn whole_data<'line>(&self, line: &'line [u8]) -> Option<&'line [u8]> {
        if self.state != ParserState::Name || !self.field.is_empty() {
            return None;
        }
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    }

    /// Takes a part of a line, without its end.
    fn take(&mut self, mut part: &[u8]) -> Result<(), TooLarge> {
        if self.state == ParserState::Name {
            let colon = memchr::memchr(b':', part).and_then(|colon| part.split_at_checked(colon));
            let name = colon.map_or(part, |(name, _)| name);
            // No field has a name of more than five letters: eight bytes are enough to tell.
            self.field.extend(name.iter().take(8usize.saturating_sub(self.field.len())));
            let Some((_, [_, value @ ..])) = colon else { return Ok(()) };
            part = value;
            let field = self.named_field();
            self.begin_value(field)?;
            self.state = ParserState::Colon(field);
        }
        if let ParserState::Colon(field) = self.state
            && !part.is_empty()
        {
            part = part.strip_prefix(b" ").unwrap_or(part);
            self.state = ParserState::Value(field);
        }
        match self.state {
            ParserState::Value(Field::Data) => {
                self.add_data(part)?;
            }
            ParserState::Value(Field::Event | Field::Id | Field::Retry) => {
                if self.field.len() + part.len() > FIELD_LIMIT {
                    self.state = ParserState::Value(Field::Other);
                } else {
                    self.field.extend_from_slice(part);
                }
            }
            ParserState::Value(Field::Other)
            | ParserState::Colon(_)
            | ParserState::Start
            | ParserState::Name => {}
        }
        Ok(())
    }

    fn named_field(&self) -> Field {
        match self.field.as_slice() {
            b"data" => Field::Data,
            b"event" => Field::Event,
            b"id" => Field::Id,
            b"retry" => Field::Retry,
            _ => Field::Other,
        }
    }

    fn begin_value(&mut self, field: Field) -> Result<(), TooLarge> {
        self.field.clear();
        if field == Field::Data && std::mem::replace(&mut self.has_data, true) {
            self.add_data(b" ")?;
        }
        Ok(())
    }

    /// The only way by which data grows.
    fn add_data(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        if self.event.data.len() + part.len() > MESSAGE_LIMIT {
            return Err(TooLarge);
        }
        self.event.data.push(part);
        Ok(())
    }

    /// Ends a line; an empty one ends the block.
    fn end_line(&mut self) -> Result<Option<SseEvent>, TooLarge> {
        let field = match self.state {
            ParserState::Start => return Ok(None),
            ParserState::Name if self.field.is_empty() => {
                self.has_data = false;
                let event = std::mem::take(&mut self.event);
                return Ok((event != SseEvent::default()).then_some(event));
            }
            // A line without a colon is a field with an empty value.
            ParserState::Name => {
                let field = self.named_field();
                self.begin_value(field)?;
                field
            }
            ParserState::Colon(field) | ParserState::Value(field) => field,
        };
        self.state = ParserState::Name;
        let value = std::mem::take(&mut self.field);
        match field {
            Field::Event => self.event.event = String::from_utf8_lossy(&value).into_owned(),
            Field::Id if !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(&value).into_owned());
            }
            Field::Retry if value.iter().all(u8::is_ascii_digit) => {
                let text = std::str::from_utf8(&value).ok();
                let retry = text.and_then(|text| text.parse().ok()).map(Duration::from_millis);
                self.event.retry = retry.map(|retry| retry.min(LONGEST_RETRY));
            }
            Field::Id | Field::Retry | Field::Data | Field::Other => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};
    use proptest::prelude::*;

    /// Reads the whole in chunks of the sizes given, in turn.
    fn read(stream: &[u8], sizes: &[usize]) -> Vec<SseEvent> {
        let (mut parser, mut events, mut from) = (Parser::default(), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let to = (from + size).min(stream.len());
            parser.push(&stream[from..to], |event| events.push(event)).expect("small");
            from = to;
            if from == stream.len() {
                break;
            }
        }
        events
    }

    fn data(stream: &str) -> Vec<String> {
        let whole = read(stream.as_bytes(), &[usize::MAX / 2]);
        assert_eq!(whole, read(stream.as_bytes(), &[1]), "the result depends on where the chunks end");
        whole.into_iter().map(|event| String::from_utf8(event.data.to_vec()).expect("UTF-8")).collect()
    }

    #[test]
    fn line_ends_comments_and_fields_follow_the_standard() {
        assert_eq!(data("data: a\n\ndata:b\r\n\r\ndata:  c\r\r"), ["a", "b", " c"]);
        assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
        assert_eq!(data("data: a\ndata\ndata: b\n\n"), ["a  b"]);
        assert_eq!(data(": comment\ndata: a\nunknown: x\ndatax: y\n\n"), ["a"]);
        assert_eq!(data("data: a"), [""; 0], "an event that was not ended is none");
        assert_eq!(data(":\n\n\n\n"), [""; 0]);
    }

    #[test]
    fn unfinished_event_is_given_on_request() {
        for (stream, expected) in [
            ("data: a", Some(("", "a", None))),
            ("id: 1\nevent: x\ndata: a\ndata: b\r", Some(("x", "a b", Some("1")))),
            ("data: a\nid: 1", Some(("", "a", None))),
            ("data: a\neve", Some(("", "a", None))),
            ("data: a\n\n", None),
            ("event: x\n", None),
            ("\u{feff}", None),
        ] {
            let mut parser = Parser::default();
            parser.push(stream.as_bytes(), |_| ()).expect("small");
            let pending = parser.pending().cloned();
            let event = parser.finish();
            assert_eq!(event, pending, "{stream:?}");
            let found = event.as_ref().map(|event| {
                let data = std::str::from_utf8(&event.data).expect("UTF-8");
                (event.event.as_str(), data, event.id.as_deref())
            });
            assert_eq!(found, expected, "{stream:?}");
            // What follows is an event of its own.
            let mut events = Vec::new();
            parser.push(b"\n\ndata: next\n\n", |event| events.push(event)).expect("small");
            assert_eq!(events.len(), 1, "{stream:?}");
            assert_eq!((events[0].data.as_ref(), events[0].id.as_deref()), (&b"next"[..], None));
        }
    }

    #[test]
    fn the_mark_counts_only_at_the_beginning() {
        assert_eq!(read(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", &[1]).len(), 1);
        assert_eq!(read(b"\xEFdata: a\n\ndata: b\n\n", &[1]).len(), 1);
        assert_eq!(read(b"\n\xEF\xBB\xBFdata: a\n\n", &[3]).len(), 0);
    }

    #[test]
    fn id_and_retry_are_told_also_without_data() {
        let events = read(
            b"id: 7\nretry: 250\ndata:\n\nretry: +5\nid: a\0b\n\nid\n\nevent: x\nid: 8\ndata: d\n\n",
            &[4],
        );
        assert_eq!(events.len(), 3);
        assert_eq!((events[0].id.as_deref(), events[0].retry), (Some("7"), Some(Duration::from_millis(250))));
        assert!(!events[0].is_message());
        assert_eq!(events[1].id.as_deref(), Some(""));
        assert_eq!((events[2].id.as_deref(), events[2].is_message()), (Some("8"), false));
    }

    #[test]
    fn bytes_that_are_not_utf8_lose_nothing_that_follows() {
        let events = read(b"data: \xff\xfe\n\ndata: b\n\n", &[3]);
        assert_eq!((events[0].data.as_ref(), events[1].data.as_ref()), (&b"\xff\xfe"[..], &b"b"[..]));
    }

    #[test]
    fn an_event_beyond_the_limit_ends_the_stream() {
        let mut parser = Parser::default();
        parser.push(b"data: ", |_| ()).expect("small");
        let chunk = vec![b'a'; 1024 * 1024];
        for _ in 0..MESSAGE_LIMIT / chunk.len() {
            parser.push(&chunk, |_| ()).expect("within the limit");
        }
        assert_eq!(parser.push(b"a", |_| ()), Err(TooLarge));
    }

    #[test]
    fn event_of_empty_data_lines_ends_at_limit() {
        for line in [&b"data\n"[..], b"data:\n", b"data: \r\n"] {
            let mut parser = Parser::default();
            parser.push(&line.repeat(101), |_| ()).expect("small");
            assert_eq!(parser.event.data.len(), 100);
            parser.event.data.push(&vec![b' '; MESSAGE_LIMIT - 110]);
            parser.push(&line.repeat(10), |_| ()).expect("within the limit");
            assert_eq!(parser.push(line, |_| ()), Err(TooLarge));
        }
    }

    #[test]
    fn other_fields_without_end_keep_nothing() {
        for line in ["id: 1\n", ": comment\n", "event\n", "unknown: x\n", ":", "id:", "x", "data\u{1}"] {
            let mut parser = Parser::default();
            parser.push(line.repeat(16 * 1024).as_bytes(), |_| ()).expect("nothing grows");
            let kept = parser.field.capacity() + parser.event.data.capacity() + parser.event.event.capacity();
            assert!(kept <= 4 * FIELD_LIMIT, "{line:?}: {kept}");
        }
    }

    #[test]
    fn ids_and_times_beyond_reason_are_not_believed() {
        let id = "7".repeat(FIELD_LIMIT + 1);
        let events = read(format!("id: {id}\nretry: {}\ndata: d\n\n", u64::MAX).as_bytes(), &[999]);
        assert_eq!((events[0].id.as_deref(), events[0].retry), (None, Some(LONGEST_RETRY)));
        let events = read(format!("retry: {id}\ndata: d\n\n").as_bytes(), &[999]);
        assert_eq!(events[0].retry, None);
    }

    /// What `eventsource-stream` makes of the same bytes, in the same chunks.
    fn oracle(stream: &str, size: usize) -> Vec<(String, String)> {
        let chunks: Vec<Result<Vec<u8>, std::convert::Infallible>> =
            stream.as_bytes().chunks(size).map(|chunk| Ok(chunk.to_vec())).collect();
        eventsource_stream::EventStream::new(futures_util::stream::iter(chunks))
            .filter_map(async |event| event.ok())
            .map(|event| (event.event, event.data.replace('\n', " ")))
            .filter(|(_, data)| std::future::ready(!data.is_empty()))
            .collect()
            .now_or_never()
            .expect("an iterator is always ready")
    }

    proptest! {
        /// Inputs without a byte order mark, lone CR, `retry` and broken UTF-8, where the oracle itself is wrong.
        #[test]
        fn agrees_with_eventsource_stream(
            lines in prop::collection::vec(
                prop_oneof![
                    4 => "(data|event|id|other|dat|datas)(:|: |:  )?[a-zäß{}\":, ]{0,12}",
                    2 => Just(String::new()),
                    1 => ":[a-z ]{0,6}",
                ],
                0..24,
            ),
            end in prop_oneof![Just("\n"), Just("\r\n")],
            size in 1usize..40,
        ) {
            let stream = lines.iter().map(|line| format!("{line}{end}")).collect::<String>();
            let ours: Vec<(String, String)> = read(stream.as_bytes(), &[size])
                .into_iter()
                .filter(|event| !event.data.is_empty())
                .map(|event| {
                    let name = if event.event.is_empty() { "message".to_owned() } else { event.event };
                    (name, String::from_utf8(event.data.to_vec()).expect("UTF-8"))
                })
                .collect();
            prop_assert_eq!(ours, oracle(&stream, size));
        }
    }
}
