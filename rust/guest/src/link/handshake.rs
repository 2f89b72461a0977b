//! The handshake.
//!
//! On a line that other hosts have used before, and whose agent may have been replaced, an answer
//! to a `hello` need not be the answer to this host's: what earlier hosts asked is answered first,
//! perhaps by another agent with another offer. Version 1 has no field by which an answer names its
//! question, but a line keeps its order, and ids need not begin at 1. So the host follows its
//! `hello` with a `ping` whose id it draws at random. When the answer to that ping comes, every
//! answer to an earlier question has come before it, and the last answer to a `hello` is the one to
//! its own.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use antiphon_wire::{Empty, Envelope, HelloErr, HelloOk, HostLink, HostOffer, Message};
use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::seek::{Awaited, Found};
use super::{Incoming, LinkError};
use crate::port::STALL_MAX;

/// How often `hello` is sent on a shared line until it is answered. The rest of what a host before
/// sent may swallow the first. Well above the agent's timeout with a message that does not grow,
/// for each `hello` makes such a message grow.
const HELLO_EVERY: Duration = STALL_MAX.saturating_mul(3);

/// The handshake on a shared line.
#[derive(Debug)]
pub(super) struct SharedHandshake {
    hello: Vec<u8>,
    awaited: Awaited,
    /// The id of the last ping. The first is drawn at random, from the lower half of all ids.
    ping: u32,
    /// Whether a ping was sent since the last `hello`.
    is_pinged: bool,
    answer: Option<HelloOk>,
    refusal: Option<HelloErr>,
}

impl SharedHandshake {
    /// Prepares a handshake that offers this.
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

    /// Shakes hands; `send` writes to the line, and what the reader thread finds comes by
    /// `incoming`. Returns the answer, and the highest id that was used.
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
            // Looked at here, for a guest that never pauses.
            if now >= until {
                return Err(LinkError::Silent(timeout));
            }
            // Once the answer to the ping was found, it only has to come through the channel.
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
                    // A ping always makes a frame.
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
