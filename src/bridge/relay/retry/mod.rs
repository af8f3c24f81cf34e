//! The one place where the outcome of an exchange becomes a decision.
//!
//! [`decide`] is a table: from what the outcome proves about what was sent, what that was, how often and how long it was
//! tried, and what the server asks for, to what is done. Calls, streams, renewals, pings and the choice of the transport
//! all use it. Nothing is ever done twice: a message whose outcome is unknown is sent again only if it may be repeated.
//! Deliberately not here: doing it.
#![doc = include_str!("../retry.md")]

mod backoff;
mod proof;

use std::time::{Duration, Instant};

pub(super) use backoff::Jitter;
pub(super) use proof::report;

use super::ledger::Attempts;
use super::session_loss::SessionLoss;
use super::stream_position::StreamPosition;
use crate::bridge::error_report::ErrorReport;
use crate::bridge::event::{ExchangeOutcome, Processing};

/// How often a message is sent at most.
const ATTEMPTS: u32 = 4;
/// How long all attempts may take together.
const BUDGET: Duration = Duration::from_secs(6);
/// The same for the probe of a client that has little patience before it falls back to `initialize`.
const BUDGET_PROBE: Duration = Duration::from_millis(900);
/// How many sessions may be lost over one message.
const SESSIONS_LOST: u32 = 3;
/// How long a message waits before it is sent once more in a session that is new; twice as long for each session in a row
/// that was lost before it took anything.
const SETTLING: Duration = Duration::from_millis(400);
/// How often that doubles.
const SETTLING_DOUBLES: u32 = 2;
/// How many pings in a row may stay without an answer.
const PINGS_LOST: u32 = 3;
/// How often in a row a stream with an answer is resumed without anything coming.
const RESUMPTIONS: u32 = 8;
/// How often the listening stream is asked for while it was never there, where the server is not well.
pub(super) const FIRST_ATTEMPTS: u32 = 6;
/// How long the first attempt to resume an answer's stream waits, where the server does not say: servers do not keep
/// events for long, and a gateway that cuts streams is there again at once.
const FIRST_RESUMPTION: Duration = Duration::from_millis(20);
/// The shortest wait before a stream is opened again, whatever the server wishes, for it may end every stream at once.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_RETRY: Duration = Duration::from_secs(60 * 60);

/// One of the two transports of the legacy era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Streamable HTTP: the endpoint answers.
    StreamableHttp,
    /// HTTP+SSE: a stream names where to POST.
    HttpSse,
}

/// The subject of a decision, with its attempts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// A message of the client.
    Message(MessageFacts<'a>),
    /// A message that names a session, and whose refusal speaks against the session.
    InSession {
        loss: SessionLoss,
        /// How many sessions that were lost have refused it.
        sessions_lost: u32,
        /// How many sessions in a row were lost before a message was taken in them, if this one has not taken any and the
        /// message was not sent once more in it yet.
        settles: Option<u32>,
    },
    /// A subscription of the modern era that was acknowledged, with the number of failed attempts in a row to open it again.
    Subscription { attempts: u32 },
    /// The GET or POST whose stream was to bring an answer.
    AnswerStream { position: &'a StreamPosition, is_wanted: bool },
    /// The stream for the server's own messages.
    Listening(ListeningFacts<'a>),
    /// `initialize` in the client's place.
    Renewal { attempts: u32, since: Instant, is_wanted: bool },
    /// The first message in a new session, refused because the session is lost; `retold`: for the second time.
    Ready { retold: bool, lost_unproven: u32 },
    /// The stream of an HTTP+SSE session, after so many in a row that ended soon; `lasted`: it did not.
    SessionStream { attempts: u32, lasted: bool },
    /// A ping, after so many in a row without an answer.
    Ping { lost: u32, is_session_lost: bool },
    /// `initialize`, by one of the transports.
    Handshake { transport: Transport, any_4xx: bool },
}

/// The facts of a message of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageFacts<'a> {
    pub(super) attempts: &'a Attempts,
    /// Whether it may be sent again although the server may have processed it.
    pub(super) is_repeatable: bool,
    /// Whether it may change something that stays when its exchange is over.
    pub(super) has_effects: bool,
    /// Whether it is the client's `server/discover`.
    pub(super) is_probe: bool,
    /// Whether the client still wants it, and nothing ends.
    pub(super) is_wanted: bool,
}

/// The facts of the stream for the server's own messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListeningFacts<'a> {
    pub(super) position: &'a StreamPosition,
    /// Whether it was open once, in this session.
    pub(super) was_there: bool,
    /// Whether it was open for a while.
    pub(super) lasted: bool,
    pub(super) names_session: bool,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The outcome is the answer, or a good one: nothing is to be done about it.
    Deliver,
    /// The same is sent or opened again at this time. Its attempts count from `since`.
    Retry { at: Instant, since: Instant },
    /// A stream is opened again at this time, from now on: the server does not know its last event any more.
    Restart { at: Instant },
    /// The session is lost, and another one is opened.
    Renew,
    /// The other transport is tried.
    OtherTransport,
    /// Nothing more is tried.
    Fail(Remark),
}

/// A remark beside a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    Nothing,
    /// The server asks to wait so long.
    AsksToWait(Duration),
    /// The request may have run, and was not repeated.
    MayHaveRun,
    /// So many attempts were made.
    Attempts(u32),
    /// A new session refused it as the one before did: the session was not the cause.
    RenewedInVain,
}

impl Remark {
    /// Adds it to the words of a failure.
    pub(super) fn add_to(self, report: ErrorReport) -> ErrorReport {
        let sentence = &report.sentence;
        let sentence = match self {
            Remark::AsksToWait(wait) if !wait.is_zero() => {
                format!("{sentence}; it asks to wait {} s", wait.as_secs().max(1))
            }
            Remark::MayHaveRun => format!("{sentence}; it may have run and was not repeated"),
            Remark::Attempts(attempts) => format!("{sentence} ({attempts} attempts)"),
            Remark::AsksToWait(_) | Remark::Nothing | Remark::RenewedInVain => return report,
        };
        ErrorReport { sentence, ..report }
    }
}

/// Returns what follows from an outcome.
pub(super) fn decide(
    outcome: &ExchangeOutcome,
    subject: Subject<'_>,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    match subject {
        Subject::Message(message) => decide_message(outcome, message, now, jitter),
        Subject::InSession { loss, sessions_lost, settles } => {
            decide_in_session(outcome, loss, sessions_lost, settles, now)
        }
        Subject::Subscription { attempts } => decide_subscription(outcome, attempts, now, jitter),
        Subject::AnswerStream { position, is_wanted } => {
            decide_answer_stream(outcome, position, is_wanted, now, jitter)
        }
        Subject::Listening(listening) => decide_listening(outcome, listening, now, jitter),
        Subject::Renewal { attempts, since, is_wanted } => {
            decide_renewal(outcome, attempts, since, is_wanted, now, jitter)
        }
        Subject::Ready { retold: true, .. } => Decision::Fail(Remark::Nothing),
        Subject::Ready { retold: false, lost_unproven } => retry(now + settling(lost_unproven), now),
        Subject::SessionStream { lasted: true, .. } => Decision::Renew,
        // A server that ends each stream at once is not asked without a pause.
        Subject::SessionStream { attempts, lasted: false } => {
            retry(now + backoff::delay(attempts, jitter.draw()), now)
        }
        Subject::Ping { is_session_lost: true, .. } => Decision::Renew,
        // The server's own error shows that it is there as well.
        Subject::Ping { .. } if proof::refusal(outcome).is_some_and(|it| it.answer.is_some()) => {
            Decision::Deliver
        }
        Subject::Ping { lost, .. } if lost + 1 >= PINGS_LOST => Decision::Renew,
        Subject::Ping { .. } => Decision::Fail(Remark::Nothing),
        Subject::Handshake { transport, any_4xx } => match proof::speaks_against(transport, outcome, any_4xx)
        {
            true => Decision::OtherTransport,
            false => Decision::Fail(Remark::Nothing),
        },
    }
}

fn retry(at: Instant, since: Instant) -> Decision {
    Decision::Retry { at, since }
}

/// A message is sent again if the server has certainly not processed it, or if it may be repeated: four times and for six
/// seconds in all.
fn decide_message(
    outcome: &ExchangeOutcome,
    message: MessageFacts<'_>,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    let processing = proof::processing(outcome);
    let may_repeat = match processing {
        Processing::NotProcessed => true,
        Processing::Unknown => message.is_repeatable,
        Processing::Outage | Processing::Final => false,
    };
    let fails = Decision::Fail(remark(outcome, message));
    if !may_repeat || !message.is_wanted {
        return fails;
    }
    // A stream that went well for a while has its own beginning.
    let since = match message.attempts {
        Attempts { opened: true, made: ..=1, .. } => now,
        Attempts { since, .. } => since.unwrap_or(now),
    };
    let backoff = backoff::resending(message.attempts.made.saturating_sub(1), jitter.draw());
    let deadline = since + if message.is_probe { BUDGET_PROBE } else { BUDGET };
    let at = match proof::wait(outcome).filter(|_| processing == Processing::NotProcessed) {
        Some(wait) => now.checked_add(wait.max(backoff)),
        // The last attempt uses up the time there is.
        None => Some((now + backoff).min(deadline)).filter(|at| *at > now),
    };
    match at.filter(|at| *at <= deadline && message.attempts.made < ATTEMPTS) {
        Some(at) => retry(at, since),
        None => fails,
    }
}

/// The remark about a request that is not sent again.
fn remark(outcome: &ExchangeOutcome, message: MessageFacts<'_>) -> Remark {
    let is_repeated = message.attempts.made > 1;
    match (proof::processing(outcome), proof::wait(outcome)) {
        (Processing::NotProcessed, Some(wait)) if !wait.is_zero() => Remark::AsksToWait(wait),
        (Processing::Unknown | Processing::Outage | Processing::Final, _)
            if proof::may_have_run(outcome) && message.has_effects && !message.is_repeatable =>
        {
            Remark::MayHaveRun
        }
        (Processing::NotProcessed | Processing::Unknown, _) if is_repeated => {
            Remark::Attempts(message.attempts.made)
        }
        (_, _) => Remark::Nothing,
    }
}

/// A message that a session refused because it is lost goes into the next one, a bounded number of times. A session that
/// has taken no message yet may be one that the server's other processes do not know yet: it gets one more chance.
fn decide_in_session(
    outcome: &ExchangeOutcome,
    loss: SessionLoss,
    sessions_lost: u32,
    settles: Option<u32>,
    now: Instant,
) -> Decision {
    let most = match (loss, proof::refusal(outcome).map(|refusal| refusal.status)) {
        (SessionLoss::Said, Some(404)) => SESSIONS_LOST,
        // Words may mean something else, and the server may have acted before it said them. A status says less.
        (SessionLoss::Said | SessionLoss::Presumed | SessionLoss::Unauthorized, _) => 1,
    };
    match settles.filter(|_| loss != SessionLoss::Unauthorized) {
        Some(lost_unproven) => retry(now + settling(lost_unproven), now),
        None if sessions_lost < most => Decision::Renew,
        None if loss == SessionLoss::Said => Decision::Fail(Remark::Nothing),
        None => Decision::Fail(Remark::RenewedInVain),
    }
}

/// How long a new session is given to be known to all of the server.
fn settling(lost_unproven: u32) -> Duration {
    SETTLING * (1 << lost_unproven.min(SETTLING_DOUBLES))
}

/// A subscription that broke off is opened again as long as the client is there.
fn decide_subscription(
    outcome: &ExchangeOutcome,
    attempts: u32,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Cut(_) | ExchangeOutcome::Lost { .. } => {
            retry(now + backoff::delay(attempts, jitter.draw()), now)
        }
        ExchangeOutcome::Accepted(_) | ExchangeOutcome::Refused(_) => Decision::Fail(Remark::Nothing),
    }
}

/// The stream of an answer is resumed where it named an event, a bounded number of times in a row.
fn decide_answer_stream(
    outcome: &ExchangeOutcome,
    position: &StreamPosition,
    is_wanted: bool,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    let seed = jitter.draw();
    let broke = match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Cut(_) => true,
        ExchangeOutcome::Lost { .. } => proof::is_network_failure(outcome),
        // 409: the server has not noticed yet that the stream broke.
        ExchangeOutcome::Refused(refusal) => refusal.status == 409 || refusal.processing != Processing::Final,
        ExchangeOutcome::Accepted(_) => false,
    };
    if !broke || !is_wanted || position.last().is_none() || position.attempts() >= RESUMPTIONS {
        return Decision::Fail(Remark::Nothing);
    }
    let wait = proof::wait(outcome);
    match position.retry().or(wait) {
        None if position.attempts() == 0 => retry(now + FIRST_RESUMPTION, now),
        None | Some(_) => retry(now + stream_delay(position.retry(), position.attempts(), wait, seed), now),
    }
}

/// How long it takes until a stream is opened again: as long as the server says, unless nothing came of that before.
fn stream_delay(wish: Option<Duration>, attempts: u32, wait: Option<Duration>, seed: u64) -> Duration {
    let wished = wish.max(wait).map(|wish| wish.clamp(SHORTEST_RETRY, LONGEST_RETRY));
    match (wished, attempts) {
        (Some(wished), 0) => wished,
        (wished, attempts) => backoff::delay(attempts, seed).max(wished.unwrap_or_default()),
    }
}

/// The listening stream is opened again as long as the session lives, unless the server has none.
fn decide_listening(
    outcome: &ExchangeOutcome,
    listening: ListeningFacts<'_>,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    let ListeningFacts { position, was_there, lasted, names_session } = listening;
    let is_forgotten = matches!(proof::refusal(outcome), Some(refusal) if refusal.status == 400)
        && was_there
        && position.last().is_some();
    let comes_again = match outcome {
        // Servers that do not know the event any more say so by 400: from now on is enough.
        ExchangeOutcome::Refused(_) if is_forgotten => true,
        ExchangeOutcome::Refused(refusal) => match refusal.status {
            // Before it ever was there, this only says that there is none.
            400 | 404 if was_there && names_session => return Decision::Renew,
            400 | 404 if was_there => false,
            // The server has not noticed yet that the stream broke, or has a weak moment.
            409 | 500 => was_there,
            _ => {
                refusal.processing != Processing::Final && (was_there || position.attempts() < FIRST_ATTEMPTS)
            }
        },
        ExchangeOutcome::Complete | ExchangeOutcome::Cut(_) => true,
        ExchangeOutcome::Accepted(_) => false,
        ExchangeOutcome::Lost { .. } => was_there || proof::is_network_failure(outcome),
    };
    if !comes_again {
        return Decision::Fail(Remark::Nothing);
    }
    let attempts = if lasted { 0 } else { position.attempts() };
    let at = now + stream_delay(position.retry(), attempts, proof::wait(outcome), jitter.draw());
    if is_forgotten { Decision::Restart { at } } else { retry(at, now) }
}

/// `initialize` in the client's place changes nothing, so that it is sent again whatever became of it.
fn decide_renewal(
    outcome: &ExchangeOutcome,
    attempts: u32,
    since: Instant,
    is_wanted: bool,
    now: Instant,
    jitter: &mut Jitter,
) -> Decision {
    let processing = proof::processing(outcome);
    let passes = match outcome {
        ExchangeOutcome::Complete => true,
        ExchangeOutcome::Refused(_) => processing != Processing::Final,
        ExchangeOutcome::Cut(_) | ExchangeOutcome::Lost { .. } => proof::is_network_failure(outcome),
        ExchangeOutcome::Accepted(_) => false,
    };
    let wait = proof::wait(outcome).filter(|_| processing == Processing::NotProcessed).unwrap_or_default();
    let backoff = backoff::resending(attempts.saturating_sub(1), jitter.draw());
    // Beyond the budget all waits are the same.
    let at = now + backoff.max(wait.min(BUDGET * 2));
    match passes && is_wanted && at <= since + BUDGET && attempts < ATTEMPTS {
        true => retry(at, since),
        false => Decision::Fail(Remark::AsksToWait(wait)),
    }
}

#[cfg(test)]
mod tests;
