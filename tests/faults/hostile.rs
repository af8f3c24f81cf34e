//! A server, and a client, that say what costs far more than it weighs: the memory of the real binary stays within its
//! bounds, and everybody else is served.
//!
//! Memory is the most that the process ever had, where the system tells it (Linux). The bounds leave room for an
//! allocator and for a build without optimisation.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Reply, Request, Server};

/// What the process may take beside three times what it has to decode, in MiB: the program itself, without optimisation.
const ITSELF: usize = 40;
/// How long nothing moves before it counts as held back.
const HELD_BACK: Duration = Duration::from_millis(700);

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"bomb"}"#;

/// Ten megabytes of an array.
fn array(element: &str) -> String {
    let element = format!("{element},");
    format!("[{}{}]", element.repeat(10_000_000 / element.len()), &element[..element.len() - 1])
}

/// Sixty-four megabytes of an array, in many members of gzip that hold the same.
fn packed_array() -> Vec<u8> {
    let pack = |text: &str| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(text.as_bytes()).expect("in memory");
        packed.finish().expect("in memory")
    };
    [pack("["), pack(&"0,".repeat(524_288)).repeat(64), pack("0]")].concat()
}

fn check_peak(proxy: &Proxy, limit: usize, what: &str) {
    if let Some(peak) = proxy.peak() {
        assert!(peak <= limit, "{what}: {peak} MiB, of which {limit} are allowed");
    }
}

/// Has a call answered by a bomb, and a ping beside it. Returns both lines, that of the bomb first.
fn explode(what: &str, limit: usize, bomb: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> String {
    let server = Server::start(move |request, reply| match request.title() {
        "bomb" => bomb(request, reply),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.send(CALL);
    proxy.send(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#);
    let lines = [proxy.line(), proxy.line()];
    let (bombs, others): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| line.contains(r#""id":7"#));
    assert!(others.len() == 1 && others[0].contains(r#""id":8"#), "{what}: {others:?}");
    check_peak(&proxy, limit, what);
    proxy.finish();
    bombs.into_iter().next().expect("one answer")
}

#[test]
fn array_of_anything_costs_no_more_than_its_text() {
    for element in ["0", r#"{},"",null,[]"#, r#"{"id":1,"method":"x"}"#] {
        let text = array(element);
        let line = explode(element, 30 + ITSELF, move |_, reply| reply.json(&text));
        assert!(line.contains("the limit of mcp-tether is 1000"), "{line}");
    }
}

#[test]
fn array_in_event_costs_only_its_size() {
    let text = array("0");
    let line = explode("event", 30 + ITSELF, move |_, reply| {
        reply.open_stream();
        reply.event(&text);
        reply.hang();
    });
    assert!(line.contains("the limit of mcp-tether is 1000"), "{line}");
}

#[test]
fn compressed_array_is_decoded_no_further_than_allowed() {
    let body = packed_array();
    assert!(body.len() < 100_000, "it is no bomb: {}", body.len());
    let line = explode("gzip", 3 * 64 + ITSELF, move |_, reply| {
        reply.raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        ));
        reply.raw(&body);
    });
    assert!(line.contains("the limit of mcp-tether is 1000"), "{line}");
}

#[test]
fn invalid_tool_list_costs_only_its_size() {
    for (options, member) in
        [(&[][..], "readOnlyHint"), (&["--read-only"], "x"), (&["--ignore-tool", "a*"], "x")]
    {
        let text = format!(r#"{{"{member}":"x-mcp-header","tools":{}}}"#, array("0"));
        let server = Server::start(move |request, reply| reply.result(request, &text));
        let arguments: Vec<&str> = options.iter().copied().chain([&*server.url]).collect();
        let mut proxy = Proxy::start(&arguments);
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).contains(r#""id":1"#));
        check_peak(&proxy, 30 + ITSELF, "tools");
        proxy.finish();
    }
}

#[test]
fn oversized_client_batch_gets_one_error() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for element in ["0", r#"{},"",null,[]"#] {
        let mut proxy = Proxy::start(&[&server.url]);
        let line = proxy.ask(&array(element));
        assert!(line.contains(r#""id":null"#) && line.contains("the limit of mcp-tether is 1000"), "{line}");
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).contains(r#""id":1"#));
        check_peak(&proxy, 30 + ITSELF, element);
        proxy.finish();
    }
}

/// Waits until nothing moves any more; fails if it never stops.
fn wait_until_held_back(moves: &Receiver<()>, what: &str) {
    for _ in 0..100_000 {
        match moves.recv_timeout(HELD_BACK) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    panic!("{what}: nothing holds it back");
}

#[test]
#[cfg(unix)]
fn flooding_client_that_does_not_read_is_throttled() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for line in ["x\n", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n", "[0,0,0,0,0,0,0,0,0,0,0,0]\n"]
    {
        let mut proxy = Proxy::start_unread(Stdin::Pipes, &[&server.url]);
        let mut input = proxy.take_input();
        let (wrote, moves) = channel();
        let chunk = line.repeat(16 * 1024 / line.len());
        // Its end is that of the process.
        let writer = std::thread::spawn(move || {
            for _ in 0..16 * 1024 {
                if input.write_all(chunk.as_bytes()).is_err() || wrote.send(()).is_err() {
                    return;
                }
            }
        });
        wait_until_held_back(&moves, line);
        check_peak(&proxy, 300, line);
        let killed = std::process::Command::new("kill").arg("-TERM").arg(proxy.id().to_string()).status();
        assert!(killed.expect("kill runs").success());
        let (ended, end) = channel();
        std::thread::spawn(move || ended.send(proxy.wait_unread()));
        end.recv_timeout(crate::support::PATIENCE).expect("it ends");
        drop(moves);
        writer.join().expect("no panic");
    }
}

#[test]
fn flooding_server_is_throttled_by_unread_client() {
    for size in [100, 100_000, 5_000_000] {
        let (wrote, moves) = channel();
        let wrote = Mutex::new(wrote);
        let server = Server::start(move |_, reply| {
            reply.open_stream();
            let event = format!(
                "data: {{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{{\"x\":\"{}\"}}}}\n\n",
                "x".repeat(size)
            );
            let chunk = event.repeat((64_000 / size).max(1));
            for _ in 0..400_000_000 / chunk.len() {
                reply.raw(&chunk);
                if wrote.lock().expect("no panic").send(()).is_err() {
                    return;
                }
            }
        });
        let mut proxy = Proxy::start_unread(Stdin::Pipes, &[&server.url]);
        proxy.send(CALL);
        moves.recv_timeout(crate::support::PATIENCE).expect("it begins");
        wait_until_held_back(&moves, "notifications");
        check_peak(&proxy, 60 + ITSELF, "notifications");
        proxy.kill_unread();
    }
}

#[test]
fn unanswered_server_requests_cost_only_their_ids() {
    let question = |number: usize| {
        let text = "x".repeat(1_000_000);
        format!(
            r#"{{"jsonrpc":"2.0","id":"q{number}","method":"sampling/createMessage","params":{{"x":"{text}"}}}}"#
        )
    };
    let server = Server::start(move |request, reply| match request.title() {
        "bomb" => {
            reply.open_stream();
            (0..200).for_each(|number| reply.event(&question(number)));
            reply.hang();
        }
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.send(CALL);
    for number in 0..200 {
        let line = proxy.line();
        assert!(line.contains(&format!(r#""id":"q{number}""#)), "{}", &line[..100]);
    }
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#).contains(r#""id":8"#));
    check_peak(&proxy, 60 + ITSELF, "questions");
    proxy.kill();
}

#[test]
fn log_line_stays_below_four_kilobytes() {
    let server = Server::start(|request, reply| {
        let name = "n".repeat(2_000_000);
        let schema = r#"{"type":"object","properties":{"p":{"type":"string","x-mcp-header":"a b"}}}"#;
        let tools =
            format!(r#"{{"resultType":"complete","tools":[{{"name":"{name}","inputSchema":{schema}}}]}}"#);
        reply.result(request, &tools);
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{meta}}}}}"#));
    proxy.tells("is left out");
    let stderr = proxy.finish().stderr;
    assert!(stderr.lines().all(|line| line.len() <= 4096), "{}", stderr.len());
}
