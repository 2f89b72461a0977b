//! Bounded channels of crossbeam: by one thread that never waits, and by a thread for each role.

use std::hint::black_box;
use std::thread;

use antiphon_machine::Parcel;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::bare::{BOUND, label, parcel, roles};
use super::{Absent, Prepared, Ready};
use crate::contest::{Contest, Exchange};

type Channel = (Sender<Parcel>, Receiver<Parcel>);

struct Single {
    exchange: Exchange,
    sessions: Vec<Vec<(Channel, u64)>>,
    next: usize,
    received: u64,
}

pub(super) fn single(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("has neither hosts nor steps".to_owned()));
    }
    let session = || {
        let channels = (0..roles(contest.exchange)).map(|_| (bounded(BOUND), 0));
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
            for (at, ((sender, receiver), sent)) in channels.iter_mut().enumerate() {
                let label = match at {
                    0 => label(self.exchange, *sent),
                    _ => 0,
                };
                if sender.try_send(black_box(parcel(*sent, label))).is_ok() {
                    *sent += 1;
                }
                if let Ok(parcel) = receiver.try_recv() {
                    self.received += 1;
                    black_box(parcel);
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

/// The first role sends and waits, the others wait and pass on.
struct Threads {
    exchange: Exchange,
    received: u64,
}

pub(super) fn threads(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.sessions > 1 || contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("one session without hosts only".to_owned()));
    }
    let mut prepared = Prepared::of(Threads {
        exchange: contest.exchange,
        received: 0,
    })?;
    prepared.threads = true;
    Ok(prepared)
}

impl Ready for Threads {
    fn exchange(&mut self, messages: u64) {
        let count = roles(self.exchange);
        let rounds = messages.div_ceil(count as u64);
        let exchange = self.exchange;
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (sender, receiver) = bounded::<Parcel>(BOUND);
            senders.push(sender);
            receivers.push(receiver);
        }
        // The edge n goes from role n to the next one.
        receivers.rotate_right(1);
        let mut ends = senders.into_iter().zip(receivers);
        let first = ends.next();
        thread::scope(|scope| {
            for (sender, receiver) in ends {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let Ok(got) = receiver.recv() else { return };
                        black_box(got);
                        if sender.send(parcel(round, 0)).is_err() {
                            return;
                        }
                    }
                });
            }
            let Some((sender, receiver)) = first else {
                return;
            };
            for round in 0..rounds {
                if sender.send(parcel(round, label(exchange, round))).is_err() {
                    return;
                }
                black_box(receiver.recv().ok());
            }
        });
        self.received += rounds * count as u64;
    }

    fn received(&self) -> u64 {
        self.received
    }
}
