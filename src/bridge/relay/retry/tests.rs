//! The table of decisions, row by row.

use super::*;
use crate::bridge::error_report::ErrorKind;
use crate::bridge::event::{Cursor, Refusal, Written};
use crate::jsonrpc::Message;

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn start() -> Instant {
    Instant::now()
}

fn report(cause: ErrorKind) -> ErrorReport {
    ErrorReport::new(cause, "it failed", "")
}

fn lost(cause: ErrorKind, written: Written) -> ExchangeOutcome {
    ExchangeOutcome::Lost { written, report: report(cause) }
}

fn cut() -> ExchangeOutcome {
    ExchangeOutcome::Cut(report(ErrorKind::Connection))
}

fn refused(status: u16, processing: Processing, seconds: Option<u64>) -> ExchangeOutcome {
    ExchangeOutcome::Refused(Refusal {
        status,
        answer: None,
        retry_after: seconds.map(Duration::from_secs),
        processing,
        report: report(ErrorKind::Status),
    })
}

/// The decision at the moment 0, and its delay.
fn decided(outcome: &ExchangeOutcome, subject: Subject<'_>, now: Instant) -> (Decision, Option<Duration>) {
    let decision = decide(outcome, subject, now, &mut Jitter::new(7));
    let wait = match decision {
        Decision::Retry { at, .. } | Decision::Restart { at } => Some(at - now),
        _ => None,
    };
    (decision, wait)
}

fn attempts(made: u32, since: Instant) -> Attempts {
    Attempts { made, since: Some(since), ..Attempts::default() }
}

fn message(attempts: &Attempts, is_repeatable: bool) -> Subject<'_> {
    Subject::Message(MessageFacts {
        attempts,
        is_repeatable,
        has_effects: !is_repeatable,
        is_probe: false,
        is_wanted: true,
    })
}

#[test]
fn messages_are_repeated_only_if_nothing_is_done_twice() {
    let now = start();
    let first = attempts(1, now);
    let again = None;
    let nothing = Some(Remark::Nothing);
    let ran = Some(Remark::MayHaveRun);
    for (outcome, repeatable, effects) in [
        (lost(ErrorKind::Connect, Written::No), again, again),
        (lost(ErrorKind::Connection, Written::Maybe), again, ran),
        (lost(ErrorKind::Tls, Written::No), nothing, nothing),
        (lost(ErrorKind::Answer, Written::Maybe), nothing, ran),
        (cut(), again, ran),
        (ExchangeOutcome::Complete, again, ran),
        (ExchangeOutcome::Accepted(202), nothing, ran),
        (refused(429, Processing::NotProcessed, None), again, again),
        (refused(429, Processing::NotProcessed, Some(2)), again, again),
        (
            refused(429, Processing::NotProcessed, Some(9)),
            Some(Remark::AsksToWait(Duration::from_secs(9))),
            Some(Remark::AsksToWait(Duration::from_secs(9))),
        ),
        (refused(502, Processing::Unknown, None), again, ran),
        (refused(526, Processing::Outage, None), nothing, nothing),
        (refused(500, Processing::Final, None), nothing, ran),
        (refused(404, Processing::Final, None), nothing, nothing),
    ] {
        for (is_repeatable, expected) in [(true, repeatable), (false, effects)] {
            let (decision, _) = decided(&outcome, message(&first, is_repeatable), now);
            let remark = match decision {
                Decision::Retry { .. } => None,
                Decision::Fail(remark) => Some(remark),
                other => panic!("{outcome}: {other:?}"),
            };
            assert_eq!(remark, expected, "{outcome}, repeatable: {is_repeatable}");
        }
    }
}

#[test]
fn messages_end_after_four_attempts_or_six_seconds() {
    let now = start() + Duration::from_secs(60);
    let failed = lost(ErrorKind::Connect, Written::No);
    for (made, ago, is_tried) in
        [(1, 0, true), (3, 0, true), (4, 0, false), (2, 5, true), (2, 6, false), (2, 7, false)]
    {
        let attempts = attempts(made, now - Duration::from_secs(ago));
        let (decision, wait) = decided(&failed, message(&attempts, true), now);
        assert_eq!(matches!(decision, Decision::Retry { .. }), is_tried, "{made} attempts, {ago} s");
        assert!(wait.is_none_or(|wait| wait + Duration::from_secs(ago) <= BUDGET), "{wait:?}");
        if !is_tried {
            assert_eq!(decision, Decision::Fail(Remark::Attempts(made)));
        }
    }
}

#[test]
fn lost_session_moves_messages_a_bounded_number_of_times() {
    let now = start();
    let renew = Decision::Renew;
    let in_vain = Decision::Fail(Remark::RenewedInVain);
    for (loss, status, sessions_lost, expected) in [
        (SessionLoss::Said, 404, 0, renew),
        (SessionLoss::Said, 404, 2, renew),
        (SessionLoss::Said, 404, 3, Decision::Fail(Remark::Nothing)),
        (SessionLoss::Said, 400, 0, renew),
        (SessionLoss::Said, 400, 1, Decision::Fail(Remark::Nothing)),
        (SessionLoss::Presumed, 404, 0, renew),
        (SessionLoss::Presumed, 404, 1, in_vain),
        (SessionLoss::Unauthorized, 401, 0, renew),
        (SessionLoss::Unauthorized, 401, 1, in_vain),
    ] {
        let outcome = refused(status, Processing::Final, None);
        let subject = Subject::InSession { loss, sessions_lost, settles: None };
        assert_eq!(decided(&outcome, subject, now).0, expected, "{loss:?} {status} {sessions_lost}");
        let new = Subject::InSession { loss, sessions_lost, settles: Some(1) };
        let wait = decided(&outcome, new, now).1;
        let settles = loss != SessionLoss::Unauthorized;
        assert_eq!(wait, settles.then_some(SETTLING * 2), "{loss:?} in a new session");
    }
}

#[test]
fn answer_streams_are_resumed_behind_their_last_event() {
    let now = start();
    let mut known = StreamPosition::default();
    let unknown = known.clone();
    known.advance(Cursor { last: Some("7".to_owned()), retry: None });
    let mut asked = known.clone();
    asked.advance(Cursor { last: None, retry: Some(Duration::from_secs(3)) });
    let mut tired = known.clone();
    tired.set_attempts(RESUMPTIONS);
    let conflict = refused(409, Processing::Final, None);
    let missing = refused(404, Processing::Final, None);
    for (outcome, position, is_wanted, expected) in [
        (cut(), &known, true, Some(FIRST_RESUMPTION)),
        (cut(), &asked, true, Some(Duration::from_secs(3))),
        (cut(), &unknown, true, None),
        (cut(), &known, false, None),
        (cut(), &tired, true, None),
        (conflict, &known, true, Some(FIRST_RESUMPTION)),
        (missing, &known, true, None),
        (ExchangeOutcome::Accepted(202), &known, true, None),
    ] {
        let subject = Subject::AnswerStream { position, is_wanted };
        assert_eq!(decided(&outcome, subject, now).1, expected, "{outcome} {position:?}");
    }
}

#[test]
fn listening_ends_only_where_the_server_offers_none() {
    let now = start();
    let mut position = StreamPosition::default();
    for (status, processing, before, after) in [
        (405, Processing::Final, "end", "end"),
        (404, Processing::Final, "end", "renew"),
        (400, Processing::Final, "end", "renew"),
        (409, Processing::Final, "end", "again"),
        (500, Processing::Final, "end", "again"),
        (502, Processing::Unknown, "again", "again"),
        (526, Processing::Outage, "again", "again"),
        (429, Processing::NotProcessed, "again", "again"),
    ] {
        for (was_there, expected) in [(false, before), (true, after)] {
            let listening =
                ListeningFacts { position: &position, was_there, lasted: false, names_session: true };
            let outcome = refused(status, processing, None);
            let found = match decided(&outcome, Subject::Listening(listening), now).0 {
                Decision::Renew => "renew",
                Decision::Retry { .. } => "again",
                Decision::Fail(_) => "end",
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{status}, was there: {was_there}");
        }
    }
    position.advance(Cursor { last: Some("7".to_owned()), retry: None });
    let listening =
        ListeningFacts { position: &position, was_there: true, lasted: false, names_session: true };
    let outcome = refused(400, Processing::Final, None);
    let (decision, _) = decided(&outcome, Subject::Listening(listening), now);
    assert!(matches!(decision, Decision::Restart { .. }), "{decision:?}");
}

#[test]
fn session_renewal_retries_only_transient_failures() {
    let now = start();
    for (outcome, attempts, is_tried) in [
        (cut(), 1, true),
        (cut(), 4, false),
        (ExchangeOutcome::Complete, 1, true),
        (ExchangeOutcome::Accepted(202), 1, false),
        (lost(ErrorKind::Connection, Written::Maybe), 1, true),
        (lost(ErrorKind::Tls, Written::No), 1, false),
        (refused(526, Processing::Outage, None), 1, true),
        (refused(404, Processing::Final, None), 1, false),
        (refused(429, Processing::NotProcessed, Some(5)), 1, true),
        (refused(429, Processing::NotProcessed, Some(7)), 1, false),
    ] {
        let subject = Subject::Renewal { attempts, since: now, is_wanted: true };
        let (decision, _) = decided(&outcome, subject, now);
        assert_eq!(matches!(decision, Decision::Retry { .. }), is_tried, "{outcome}, {attempts}");
    }
}

#[test]
fn session_stream_waits_longer_each_time_it_ends_soon() {
    let now = start();
    let stream = |attempts, lasted| Subject::SessionStream { attempts, lasted };
    for outcome in [cut(), ExchangeOutcome::Complete, lost(ErrorKind::Answer, Written::Maybe)] {
        for attempts in [0, 3, u32::MAX] {
            assert_eq!(decided(&outcome, stream(attempts, true), now), (Decision::Renew, None));
        }
        let waits = [0, 3, u32::MAX].map(|attempts| decided(&outcome, stream(attempts, false), now).1);
        let [Some(first), Some(fourth), Some(last)] = waits else { panic!("no wait: {waits:?}") };
        assert!(first <= Duration::from_millis(250) && first < fourth && fourth < last, "{waits:?}");
        assert!(last <= Duration::from_secs(30), "{last:?}");
    }
}

#[test]
fn third_ping_without_an_answer_loses_the_session() {
    let now = start();
    let answer = Message::parse(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#.into());
    let mut answered = refused(404, Processing::Final, None);
    if let ExchangeOutcome::Refused(refusal) = &mut answered {
        refusal.answer = answer.ok();
    }
    let fails = Decision::Fail(Remark::Nothing);
    for (outcome, lost, is_session_lost, expected) in [
        (&answered, 2, false, Decision::Deliver),
        (&cut(), 0, false, fails),
        (&cut(), 1, false, fails),
        (&cut(), 2, false, Decision::Renew),
        (&answered, 0, true, Decision::Renew),
    ] {
        assert_eq!(decided(outcome, Subject::Ping { lost, is_session_lost }, now).0, expected, "{outcome}");
    }
}

#[test]
fn other_transport_is_tried_where_the_first_is_unknown() {
    let now = start();
    for (transport, outcome, any_4xx, is_tried) in [
        (Transport::StreamableHttp, refused(405, Processing::Final, None), false, true),
        (Transport::StreamableHttp, refused(401, Processing::Final, None), true, false),
        (Transport::StreamableHttp, refused(410, Processing::Final, None), false, false),
        (Transport::StreamableHttp, refused(410, Processing::Final, None), true, true),
        (Transport::StreamableHttp, refused(502, Processing::Unknown, None), true, false),
        (Transport::StreamableHttp, lost(ErrorKind::Transport, Written::Maybe), false, true),
        (Transport::StreamableHttp, lost(ErrorKind::Connect, Written::No), false, false),
        (Transport::HttpSse, refused(404, Processing::Final, None), false, true),
        (Transport::HttpSse, refused(501, Processing::Final, None), false, true),
        (Transport::HttpSse, lost(ErrorKind::NoAnswer, Written::Maybe), false, true),
        (Transport::HttpSse, lost(ErrorKind::Connect, Written::No), false, false),
    ] {
        let (decision, _) = decided(&outcome, Subject::Handshake { transport, any_4xx }, now);
        assert_eq!(decision == Decision::OtherTransport, is_tried, "{transport:?} {outcome} {any_4xx}");
    }
}
