//! The layer that translates between the eras, where client and server do not share one.
//!
//! It wires `detection`, which knows the server's era, to the translator that follows from it. Without a translator every
//! message passes. Deliberately not here: how a message is translated (`legacy_client`, `modern_client`).

use std::collections::VecDeque;
use std::time::Instant;

use super::detection::{Detection, EraDecision, is_probe};
use super::era_translator::{Direction, EraTranslator};
use super::event::{Action, Notice};
use super::layer::{Layer, Output, ServerMessage};
use super::legacy_client::LegacyClient;
use super::modern_client::ModernClient;
use super::own_ids::OwnIds;
use super::relay::{EraMismatch, Evidence, stopped};
use super::revision::{self, Era};
use super::{Config, Known};
use crate::jsonrpc::{Kind, Message};
use crate::mcp::{OwnId, message, method};

/// The layer.
#[derive(Debug)]
pub(super) struct Translation {
    detection: Detection,
    translator: EraTranslator,
    /// The ids of the next translator for a legacy client: the client may still answer what one before it asked.
    legacy_ids: OwnIds,
    /// See [`Config`].
    secret: u128,
    /// Whether the relay has begun to leave.
    is_leaving: bool,
    /// Outputs of this layer itself. They go before those of the translator.
    outputs: VecDeque<Output>,
}

impl Translation {
    /// A layer without a translator.
    pub(super) fn new(config: &Config) -> Translation {
        Translation {
            detection: Detection::new(config),
            translator: EraTranslator::None,
            legacy_ids: OwnIds::new(OwnId::LegacyClient),
            secret: config.secret,
            is_leaving: false,
            outputs: VecDeque::new(),
        }
    }

    /// Returns whether a message of the client is this layer's affair. Every other message may pass beside it.
    pub(super) fn takes_client(&self, message: &Message) -> bool {
        !self.translator.is_none() || self.detection.concerns(message)
    }

    /// Returns whether an output of the relay is this layer's affair. Every other output may pass beside it.
    pub(super) fn takes_server(&self, output: &Output) -> bool {
        !self.translator.is_none()
            || self.detection.is_probing()
            || matches!(output, Output::EraMismatch(_) | Output::Leaving)
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::ToServer(message));
    }

    fn deliver(&mut self, message: Message) {
        self.outputs.push_back(Output::to_client(message));
    }

    fn remember(&mut self, known: Option<Known>) {
        self.outputs.extend(known.map(|known| Output::Do(Action::Remember(known))));
    }

    /// Takes in the client's response to a request of the server.
    fn response(&mut self, message: Message, now: Instant) {
        if let Some(legacy) = self.translator.legacy_mut() {
            return legacy.handle_client(message, now);
        }
        match self.translator.modern_mut().filter(|modern| modern.is_modern_only()) {
            Some(modern) => modern.handle_client(message, now),
            None => self.send(message),
        }
    }

    /// Takes in the client's cancellation of a request.
    fn cancellation(&mut self, message: Message, now: Instant) {
        let Some(id) = message.request_id_param() else { return self.send(message) };
        self.detection.cancelled(&id);
        let serving: Option<&mut dyn Layer<FromServer = ServerMessage>> =
            if self.translator.legacy_serves(&id) {
                self.translator.legacy_mut().map(|it| it as _)
            } else if self.translator.modern_serves(&id) {
                self.translator.modern_mut().map(|it| it as _)
            } else {
                None
            };
        match serving {
            Some(translator) => translator.handle_client(message, now),
            None => self.send(message),
        }
    }

    /// Takes in a request or notification of a legacy client.
    fn legacy_message(&mut self, message: Message, now: Instant) {
        let starts = message.method() == Some(method::INITIALIZE);
        if starts {
            self.detection.session_started();
            if let Some(modern) = self.translator.modern_mut() {
                modern.client_opened_session();
                let known = self.detection.fell_back();
                self.remember(known);
            }
        }
        if let Some(modern) = self.translator.modern_mut().filter(|modern| modern.is_modern_only()) {
            return modern.handle_client(message, now);
        }
        match self.translator.legacy_mut() {
            Some(legacy) => legacy.handle_client(message, now),
            None if starts && self.detection.translates_session() => {
                self.translator.begin_legacy(LegacyClient::begin(message, None, true, self.legacy_ids));
            }
            None => self.send(message),
        }
    }

    /// Takes in a request or notification of a modern client.
    fn modern_message(&mut self, message: Message, now: Instant) {
        let is_request = matches!(message.kind(), Kind::Request { .. });
        if is_probe(&message) {
            self.detection.prober_seen(&message);
        }
        if is_request && self.detection.translates_request(&message) {
            self.translator.begin_modern(ModernClient::begin(self.secret));
        }
        if let Some(modern) = self.translator.modern_mut().filter(|modern| !modern.is_hedge()) {
            return modern.handle_client(message, now);
        }
        if is_request && is_probe(&message) {
            self.detection.probe_sent(&message, self.translator.modern().is_none(), now);
        }
        self.send(message);
    }

    /// Takes in a message of the server.
    fn server_message(&mut self, input: ServerMessage, now: Instant) {
        // A client that has not asked to be told does not get it.
        let changes_tools = input.message.method() == Some(method::TOOLS_CHANGED);
        let Some(ServerMessage { message, within }) = self.translator.handle_server(input, now) else {
            return self.outputs.extend(changes_tools.then_some(Output::ToolsChanged));
        };
        self.detection.answered(&message);
        if self.detection.has_proved_modern()
            && let Some(modern) = self.translator.modern_mut()
        {
            modern.retire();
        }
        self.outputs.push_back(Output::ToClient { message, within });
    }

    /// Takes in that the server does not understand the era of a request.
    fn mismatch(&mut self, mismatch: EraMismatch, now: Instant) {
        let answer = &mismatch.last_word.answer;
        if self.translator.legacy().is_some_and(|legacy| legacy.takes(answer, None)) {
            return self.legacy_mismatch(mismatch, now);
        }
        // What a translator asked is its own affair, whatever the refusal shows.
        if self.translator.modern().is_some_and(|modern| modern.takes(answer, None)) {
            return self.modern_mismatch(mismatch, now);
        }
        match self.detection.decide(&mismatch.request, mismatch.evidence, answer) {
            EraDecision::TranslateLegacy => self.begin_legacy(mismatch, now),
            EraDecision::TranslateModern => {
                self.translator.begin_modern(ModernClient::begin(self.secret));
                if let Some(modern) = self.translator.modern_mut() {
                    modern.refused(mismatch.request, mismatch.last_word, now);
                }
            }
            EraDecision::Deliver => {
                self.deliver(mismatch.last_word.answer);
                self.outputs.extend(mismatch.last_word.notice.map(Output::notice));
                self.outputs.extend(mismatch.waiting.into_iter().map(Output::ToServer));
            }
        }
    }

    /// Takes in a mismatch that answers a request of the translator for a legacy client.
    fn legacy_mismatch(&mut self, mismatch: EraMismatch, now: Instant) {
        let answer = mismatch.last_word.answer;
        let Some(legacy) = self.translator.legacy_mut() else { return };
        if !self.detection.is_open() || !legacy.was_assumed() {
            return legacy.handle_server(ServerMessage { message: answer, within: None }, now);
        }
        // The server is not what it was: it is asked as if nothing were known.
        legacy.return_held(&answer);
        let known = self.detection.disproved();
        self.remember(known);
    }

    /// Takes in a mismatch that answers a request of the translator for a modern client.
    fn modern_mismatch(&mut self, mismatch: EraMismatch, now: Instant) {
        let Some(modern) = self.translator.modern_mut() else { return };
        if self.detection.is_open() && modern.was_assumed() {
            modern.return_held();
            let known = self.detection.disproved();
            self.remember(known);
        } else {
            let message = mismatch.last_word.answer;
            modern.handle_server(ServerMessage { message, within: None }, now);
        }
        self.outputs.extend(mismatch.waiting.into_iter().map(Output::ToServer));
    }

    /// Puts a translator in place for the session of a client that its server refused.
    fn begin_legacy(&mut self, mismatch: EraMismatch, now: Instant) {
        let EraMismatch { request, evidence, last_word, waiting } = mismatch;
        // A server that has shown its era has a better answer than this one.
        let last_word = Some(last_word).filter(|_| evidence == Evidence::Nothing);
        let mut legacy = LegacyClient::begin(request, last_word, false, self.legacy_ids);
        for message in waiting {
            // What the session was asked in a modern client's place has its answer from the server.
            match self.translator.is_of_own_session(&message) {
                true => self.send(message),
                false => legacy.handle_client(message, now),
            }
        }
        self.translator.begin_legacy(legacy);
    }

    fn era_found(&mut self, era: Era, now: Instant) {
        let found = self.detection.found(era);
        if found.is_new {
            self.outputs.push_back(Output::notice(Notice::Bridged { server: era }));
        }
        self.remember(found.remember);
        // A probe without an answer is answered by what the other way brought.
        if let Some((id, probe)) = found.probe {
            self.send(message::cancelled(&id, None));
            if let Some(modern) = self.translator.modern_mut() {
                modern.handle_client(probe, now);
            }
        }
    }

    fn finished(&mut self, direction: Direction, held: Vec<Message>) {
        match direction {
            // At the end of the process it still knows which answers are not for the client.
            Direction::LegacyClient if self.is_leaving => {}
            Direction::LegacyClient => {
                self.legacy_ids = self.translator.end_legacy().unwrap_or(self.legacy_ids);
            }
            Direction::ModernClient => self.translator.end_modern(),
        }
        for message in held {
            match message.kind() {
                Kind::Request { id, .. } if self.is_leaving => self.deliver(stopped(id)),
                _ => self.send(message),
            }
        }
    }

    /// Takes in the outputs of the translator, until it has none.
    fn collect(&mut self, now: Instant) {
        while let Some((direction, output)) = self.translator.poll_output() {
            match output {
                Output::EraFound(era) => self.era_found(era, now),
                Output::Finished(held) => self.finished(direction, held),
                output => self.outputs.push_back(output),
            }
        }
    }
}

impl Layer for Translation {
    type FromServer = Output;

    fn handle_client(&mut self, message: Message, now: Instant) {
        let (era, _) = revision::classify(&message);
        match (message.kind(), era) {
            (Kind::Response { .. }, _) => self.response(message, now),
            (Kind::Notification { method }, _) if method.as_str() == method::CANCELLED => {
                self.cancellation(message, now);
            }
            (Kind::Request { .. } | Kind::Notification { .. }, Era::Legacy) => {
                self.legacy_message(message, now)
            }
            (Kind::Request { .. } | Kind::Notification { .. }, Era::Modern) => {
                self.modern_message(message, now)
            }
        }
        self.collect(now);
    }

    fn handle_server(&mut self, output: Output, now: Instant) {
        match output {
            Output::ToClient { message, within } => {
                self.server_message(ServerMessage { message, within }, now)
            }
            Output::EraMismatch(mismatch) => self.mismatch(*mismatch, now),
            Output::Leaving => self.is_leaving = true,
            Output::Do(Action::Exit(reason)) => {
                self.close(now);
                self.outputs.push_back(Output::Do(Action::Exit(reason)));
            }
            output => self.outputs.push_back(output),
        }
        self.collect(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let translator = self.translator.each().filter_map(Layer::poll_timeout);
        translator.chain(self.detection.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(legacy) = self.translator.legacy_mut() {
            legacy.handle_timeout(now);
        }
        if let Some(modern) = self.translator.modern_mut() {
            modern.handle_timeout(now);
        }
        if let Some(probe) = self.detection.hedge_due(now) {
            self.translator.begin_modern(ModernClient::hedge(&probe, self.secret));
        }
        self.collect(now);
    }

    fn close(&mut self, now: Instant) {
        if let Some(legacy) = self.translator.legacy_mut() {
            legacy.close(now);
        }
        if let Some(modern) = self.translator.modern_mut() {
            modern.close(now);
        }
        self.collect(now);
    }

    fn is_idle(&self) -> bool {
        self.translator.each().all(Layer::is_idle)
    }

    fn waiting_cost(&self) -> usize {
        self.translator.each().map(Layer::waiting_cost).sum()
    }
}
