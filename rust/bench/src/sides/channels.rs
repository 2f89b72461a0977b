//! Bounded channels of crossbeam: on one thread that never waits, and with a thread per role.

use std::hint::black_box;
use std::thread;

use antiphon_machine::Parcel;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::bare::{BOUND, parcel, roles};
use super::host::{RoleHost, host_of, next_label, take};
use super::prepared::{Absent, Prepared, Ready};
use crate::contest::{Contest, Exchange};

type Channel = (Sender<Parcel>, Receiver<Parcel>);

/// A channel, the number of messages sent through it, and the host of the sending role.
type End = (Channel, u64, RoleHost);

struct Single {
    exchange: Exchange,
    sessions: Vec<Vec<End>>,
    next: usize,
    received: u64,
}

pub(super) fn single(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("has neither work nor steps".to_owned()));
    }
    let session = || {
        let channels = (0..roles(contest.exchange)).map(|_| (bounded(BOUND), 0, host_of(contest)));
        channels.collect()
    };
    Prepared::of(Single {
        exchange: contest.exchange,
        sessions: (0..contest.sessions).map(|_| session()).collect(),
        next: 0,
        received: 0,
    })
}

impl Ready for Single {
    fn exchange(&mut self, messages: u64) {
        let until = self.received + messages;
        while self.received < until {
            let channels = &mut self.sessions[self.next];
            for at in 0..channels.len() {
                let next = (at + 1) % channels.len();
                let ((sender, receiver), sent, host) = &mut channels[at];
                let label = match at {
                    0 => next_label(host, self.exchange, *sent),
                    _ => 0,
                };
                if sender.try_send(black_box(parcel(*sent, label))).is_ok() {
                    *sent += 1;
                }
                if let Ok(parcel) = receiver.try_recv() {
                    self.received += 1;
                    take(&mut channels[next].2, parcel);
                }
            }
            self.next += 1;
            if self.next == self.sessions.len() {
                self.next = 0;
            }
        }
    }

    fn received(&self) -> u64 {
        self.received
    }
}

/// The first role sends and then waits; the others wait and pass the message on.
struct Threads {
    contest: Contest,
    received: u64,
}

pub(super) fn threads(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.sessions > 1 || contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("one session without work only".to_owned()));
    }
    let mut prepared = Prepared::of(Threads {
        contest: *contest,
        received: 0,
    })?;
    prepared.threads = true;
    Ok(prepared)
}

impl Ready for Threads {
    fn exchange(&mut self, messages: u64) {
        let exchange = self.contest.exchange;
        let count = roles(exchange);
        let rounds = messages.div_ceil(count as u64);
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (sender, receiver) = bounded::<Parcel>(BOUND);
            senders.push(sender);
            receivers.push(receiver);
        }
        // Edge n leads from role n to the next one.
        receivers.rotate_right(1);
        let mut ends = senders.into_iter().zip(receivers);
        let first = ends.next();
        thread::scope(|scope| {
            for (sender, receiver) in ends {
                let mut host = host_of(&self.contest);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let Ok(got) = receiver.recv() else { return };
                        take(&mut host, got);
                        if sender.send(parcel(round, 0)).is_err() {
                            return;
                        }
                    }
                });
            }
            let Some((sender, receiver)) = first else {
                return;
            };
            let mut host = host_of(&self.contest);
            for round in 0..rounds {
                let label = next_label(&mut host, exchange, round);
                if sender.send(parcel(round, label)).is_err() {
                    return;
                }
                if let Ok(got) = receiver.recv() {
                    take(&mut host, got);
                }
            }
        });
        self.received += rounds * count as u64;
    }

    fn received(&self) -> u64 {
        self.received
    }
}
