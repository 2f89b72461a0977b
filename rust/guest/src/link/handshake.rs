//! The handshake on a shared line.
//!
//! If other hosts have used the line before, an answer to a `hello` may be meant for another host:
//! earlier messages are answered first, perhaps by another agent with another offer. In version 1
//! an answer does not name its `hello`, but a line keeps the order of messages, and ids need not
//! start at 1. So the host sends a `ping` with a random id after its `hello`. When the answer to
//! that ping arrives, all answers to earlier messages have arrived, and the last answer to a
//! `hello` is the one for this host.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use antiphon_wire::{Empty, Envelope, HelloErr, HelloOk, HostLink, HostOffer, Message};
use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::seek::{Awaited, Found};
use super::{Incoming, LinkError};
use crate::port::STALL_MAX;

/// The interval at which `hello` is repeated on a shared line until it is answered. The agent may
/// read the first `hello` as a part of an earlier host's unfinished message. The interval is well
/// above the agent's timeout for an unfinished message, because each `hello` extends such a
/// message.
const HELLO_EVERY: Duration = STALL_MAX.saturating_mul(3);

/// The handshake on a shared line.
#[derive(Debug)]
pub(super) struct SharedHandshake {
    hello: Vec<u8>,
    awaited: Awaited,
    /// The id of the last ping. The first is random, in the lower half of all ids.
    ping: u32,
    /// Whether a ping was sent since the last `hello`.
    is_pinged: bool,
    answer: Option<HelloOk>,
    refusal: Option<HelloErr>,
}

impl SharedHandshake {
    /// Prepares a handshake with this offer.
    pub(super) fn new(offer: &HostOffer, awaited: Awaited) -> Result<SharedHandshake, LinkError> {
        let mut hello = Vec::new();
        HostLink::new(offer.clone(), &mut hello)?;
        Ok(SharedHandshake {
            hello,
            awaited,
            ping: (RandomState::new().hash_one(std::process::id()) as u32) >> 1,
            is_pinged: false,
            answer: None,
            refusal: None,
        })
    }

    /// Performs the handshake. `send` writes to the line, and `incoming` receives the reports of
    /// the reader thread. Returns the answer and the greatest id that was used.
    pub(super) fn run(
        mut self,
        incoming: &Receiver<Incoming>,
        mut send: impl FnMut(Vec<u8>),
        timeout: Duration,
    ) -> Result<(HelloOk, u32), LinkError> {
        let until = Instant::now() + timeout;
        let mut again = Instant::now();
        loop {
            let now = Instant::now();
            // Checked here for a guest that sends without pause, so that `recv_timeout` never times
            // out.
            if now >= until {
                return Err(LinkError::Silent(timeout));
            }
            // If the answer to the ping was found already, it is in the channel and no `hello` is
            // repeated.
            if again <= now && self.awaited.withdraw() {
                if let Some(refusal) = self.refusal.take().filter(|_| self.answer.is_none()) {
                    return Err(LinkError::Refused(refusal));
                }
                self.is_pinged = false;
                again = now + HELLO_EVERY;
                send(self.hello.clone());
            }
            let wake = again.max(now).min(until);
            match incoming.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(Incoming::Found(found)) => {
                    if let Some(done) = self.take(found, &mut send) {
                        return Ok(done);
                    }
                }
                Ok(Incoming::End(reason)) => return Err(LinkError::Closed(reason)),
                Ok(Incoming::Frames(_)) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(LinkError::Closed("the reader has ended".to_owned()));
                }
            }
        }
    }

    fn take(&mut self, found: Found, send: &mut impl FnMut(Vec<u8>)) -> Option<(HelloOk, u32)> {
        match found {
            Found::Answer(answer) => {
                self.answer = Some(answer);
                if !self.is_pinged {
                    self.is_pinged = true;
                    self.ping += 1;
                    let ping = Envelope::new(self.ping, Message::Ping(Empty {}));
                    self.awaited.await_ping(self.ping);
                    // Encoding a ping cannot fail.
                    send(ping.to_frame().unwrap_or_default());
                }
                None
            }
            Found::Refusal(refusal) => {
                self.refusal = Some(refusal);
                None
            }
            Found::Pong => self.answer.take().map(|answer| (answer, self.ping)),
        }
    }
}
