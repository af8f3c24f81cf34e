//! Answers that end too early, at every byte: what the transport reports, and never more than came.

use mcp_tether::bridge::{ExchangeOutcome, Written};

use crate::exchange::{events, post};
use crate::support::server::{Reply, Request, Server};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=UTF-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// The stream, and behind which byte each of its events is whole.
const STREAM: &str = "\u{feff}: hello\nid: 1\ndata:\n\nevent: message\r\ndata: {\"method\":\"a\"}\r\n\r\ndata: ping\n\ndata: {\"id\":\"s\",\ndata: \"method\":\"roots/list\"}\n\nevent: ping\ndata: {\"method\":\"x\"}\n\ndata: {\"id\":1,\"result\":{}}\n\n";

fn whole() -> [(usize, &'static str); 4] {
    let end_of = |part: &str| STREAM.find(part).expect("it is there") + part.len();
    [
        (end_of("id: 1\ndata:\n\n"), "cursor #1 last=\"1\""),
        // A lone CR ends a line as well: the LF behind the second one adds nothing.
        (end_of("\"a\"}\r\n\r\n") - 1, "server #1 a"),
        (end_of("\"roots/list\"}\n\n"), "server #1 request \"s\" roots/list"),
        // The answer is whole with its last brace, whatever becomes of the line ends behind it.
        (STREAM.trim_end().len(), "server #1 result 1"),
    ]
}

/// Where to cut, which the request tells.
fn place(request: &Request) -> usize {
    request.member("params").expect("params").parse().expect("a number")
}

/// The events of a request that is answered by `handler`, with `cut` for its params.
async fn asked(server: &Server, cut: usize) -> (Vec<String>, ExchangeOutcome) {
    events(&server.url, post(&format!(r#"{{"id":1,"method":"ask","params":{cut}}}"#))).await
}

fn server(handler: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Server {
    Server::start(handler)
}

#[tokio::test]
async fn cut_stream_delivers_its_whole_events() {
    let server = server(|request, reply| {
        let cut = place(request);
        reply.raw(HEAD);
        if cut > 0 {
            reply.raw(format!("{cut:x}\r\n").as_bytes());
            reply.raw(&STREAM.as_bytes()[..cut]);
            reply.raw("\r\n");
        }
        reply.close();
    });
    for cut in 0..=STREAM.len() {
        let (lines, outcome) = asked(&server, cut).await;
        let came = whole().into_iter().filter(|(end, _)| *end <= cut).map(|(_, line)| line);
        let expected: Vec<&str> = ["sent #1", "opened #1 200"].into_iter().chain(came).collect();
        assert_eq!(lines, expected, "cut at {cut}");
        match cut >= STREAM.trim_end().len() {
            true => assert_eq!(outcome, ExchangeOutcome::Complete, "what follows the answer concerns nobody"),
            false => assert!(matches!(&outcome, ExchangeOutcome::Cut(_)), "cut at {cut}: {outcome}"),
        }
    }
}

#[tokio::test]
async fn stream_is_independent_of_chunk_borders() {
    let server = server(|request, reply| {
        let (first, second) = STREAM.as_bytes().split_at(place(request));
        reply.raw(HEAD);
        for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
            reply.raw(format!("{:x}\r\n", piece.len()));
            reply.raw(piece);
            reply.raw("\r\n");
        }
        reply.raw("0\r\n\r\n");
    });
    let expected: Vec<&str> =
        ["sent #1", "opened #1 200"].into_iter().chain(whole().map(|(_, line)| line)).collect();
    for cut in 0..=STREAM.len() {
        let (lines, outcome) = asked(&server, cut).await;
        assert_eq!(
            (lines, outcome),
            (expected.iter().map(ToString::to_string).collect(), ExchangeOutcome::Complete)
        );
    }
}

#[tokio::test]
async fn partial_head_or_body_is_never_delivered() {
    let body = r#"{"id":1,"result":{}}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = format!("{head}{body}");
    let (head, length) = (head.len(), answer.len());
    let server = server(move |request, reply| {
        reply.raw(&answer.as_bytes()[..place(request)]);
        reply.close();
    });
    for cut in 0..length {
        let (lines, outcome) = asked(&server, cut).await;
        let expected = if cut < head { &["sent #1"][..] } else { &["sent #1", "opened #1 200"] };
        assert_eq!(lines, expected, "cut at {cut}");
        assert!(
            matches!(&outcome, ExchangeOutcome::Lost { written: Written::Maybe, .. }),
            "cut at {cut} of {length}: {outcome}"
        );
    }
    let (lines, outcome) = asked(&server, length).await;
    assert_eq!((lines.len(), outcome), (3, ExchangeOutcome::Complete));
}

#[cfg(unix)]
#[tokio::test]
async fn reset_connection_is_complete_only_with_answer() {
    let server = server(|request, reply| {
        let cut = place(request);
        reply.raw(HEAD);
        reply.raw(format!("{:x}\r\n", STREAM.len()));
        reply.raw(&STREAM.as_bytes()[..cut]);
        reply.reset();
    });
    for cut in (0..=STREAM.len()).step_by(5).chain([STREAM.len()]) {
        // How much of it arrives before the reset, the network decides.
        let (lines, outcome) = asked(&server, cut).await;
        let is_answered = lines.iter().any(|line| line == "server #1 result 1");
        assert_eq!(outcome == ExchangeOutcome::Complete, is_answered, "cut at {cut}: {lines:?} {outcome}");
        assert!(
            is_answered
                || matches!(
                    outcome,
                    ExchangeOutcome::Cut(_) | ExchangeOutcome::Lost { written: Written::Maybe, .. }
                )
        );
    }
}
