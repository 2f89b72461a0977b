//! Tasks of tokio with bounded channels: a task for each role of each session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_machine::Parcel;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};

use super::bare::{BOUND, parcel, roles};
use super::host::{RoleHost, host_of, next_label, take};
use super::prepared::{Absent, Prepared, Ready};
use crate::contest::Contest;

struct Tasks {
    runtime: Runtime,
    /// Sends each session's first role the number of rounds to run.
    starts: Vec<mpsc::Sender<u64>>,
    roles: u64,
    /// The number of sessions that still have rounds to run.
    busy: Arc<AtomicU64>,
    done: Arc<Notify>,
    received: u64,
}

pub(super) fn prepare(multi: bool, contest: &Contest) -> Result<Prepared, Absent> {
    if contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("has neither work nor steps".to_owned()));
    }
    let mut builder = match multi {
        true => Builder::new_multi_thread(),
        false => Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(2).build();
    let runtime = runtime.map_err(|error| Absent(error.to_string()))?;
    let busy = Arc::new(AtomicU64::new(0));
    let done = Arc::new(Notify::new());
    let starts = (0..contest.sessions)
        .map(|_| session(&runtime, contest, &busy, &done))
        .collect();
    let mut prepared = Prepared::of(Tasks {
        runtime,
        starts,
        roles: roles(contest.exchange) as u64,
        busy,
        done,
        received: 0,
    })?;
    prepared.threads = multi;
    Ok(prepared)
}

fn session(
    runtime: &Runtime,
    contest: &Contest,
    busy: &Arc<AtomicU64>,
    done: &Arc<Notify>,
) -> mpsc::Sender<u64> {
    let exchange = contest.exchange;
    let (start, mut started) = mpsc::channel::<u64>(1);
    let (first, mut inbound) = mpsc::channel::<Parcel>(BOUND);
    for _ in 1..roles(exchange) {
        let (sender, receiver) = mpsc::channel(BOUND);
        let inbound = std::mem::replace(&mut inbound, receiver);
        runtime.spawn(pass_on(inbound, sender, host_of(contest)));
    }
    let (busy, done) = (Arc::clone(busy), Arc::clone(done));
    let mut host = host_of(contest);
    runtime.spawn(async move {
        let mut sent = 0;
        while let Some(rounds) = started.recv().await {
            for _ in 0..rounds {
                let parcel = parcel(sent, next_label(&mut host, exchange, sent));
                if first.send(parcel).await.is_err() {
                    return;
                }
                sent += 1;
                if let Some(got) = inbound.recv().await {
                    take(&mut host, got);
                }
            }
            if busy.fetch_sub(1, Ordering::AcqRel) == 1 {
                done.notify_one();
            }
        }
    });
    start
}

async fn pass_on(
    mut inbound: mpsc::Receiver<Parcel>,
    outbound: mpsc::Sender<Parcel>,
    mut host: RoleHost,
) {
    let mut sent = 0;
    while let Some(got) = inbound.recv().await {
        take(&mut host, got);
        if outbound.send(parcel(sent, 0)).await.is_err() {
            return;
        }
        sent += 1;
    }
}

impl Ready for Tasks {
    fn exchange(&mut self, messages: u64) {
        let sessions = self.starts.len() as u64;
        let rounds = messages.div_ceil(self.roles * sessions);
        self.busy.store(sessions, Ordering::Release);
        self.runtime.block_on(async {
            for start in &self.starts {
                if start.send(rounds).await.is_err() {
                    return;
                }
            }
            self.done.notified().await;
        });
        self.received += rounds * self.roles * sessions;
    }

    fn received(&self) -> u64 {
        self.received
    }
}
