//! How a run ended, for people and for programs.

use std::collections::BTreeMap;

use antiphon_machine::threaded::{PerLane, WaveReport};
use antiphon_machine::{End, On, Phase, ProtocolMachineKernel, SessionId, Status, Wait};
use serde_json::json;

use crate::explain;
use crate::filter;
use crate::output::{Output, SUCCESS};
use crate::problem::Problem;
use crate::recorded::Recorded;
use crate::state::status;

use super::hosts::Hosts;
use super::steps::Stop;

/// The most remarks that are printed; JSON has all of them.
const REMARKS_MAX: usize = 20;

/// How a run ended.
pub(super) struct Summary {
    steps: u64,
    clock: u64,
    sessions: usize,
    remarks: Vec<String>,
    /// The number of sessions by their end.
    ends: BTreeMap<&'static str, usize>,
    /// The first end that is not `closed`, or `closed`.
    end: &'static str,
    pub(super) is_good: bool,
}

impl Summary {
    pub(super) fn of(
        kernel: &ProtocolMachineKernel,
        stop: &Stop,
        hosts: &PerLane<Hosts>,
    ) -> Summary {
        let (mut ends, mut end) = (BTreeMap::new(), End::Closed.name());
        for session in kernel.sessions() {
            let name = match session.phase() {
                Phase::Terminal(end) => end.name(),
                Phase::Active => "active",
            };
            *ends.entry(name).or_default() += 1;
            if end == End::Closed.name() {
                end = name;
            }
        }
        let remarks = remarks(stop, kernel, hosts);
        Summary {
            steps: kernel.step_index(),
            clock: kernel.clock(),
            sessions: kernel.sessions().len(),
            is_good: remarks.is_empty() && end == End::Closed.name(),
            remarks,
            ends,
            end,
        }
    }

    pub(super) fn print(
        &self,
        recorded: Recorded,
        explained: Option<&WaveReport>,
        output: &Output,
    ) -> Result<(), Problem> {
        if let Some(report) = explained.filter(|_| !output.json) {
            output.print(&explain::table(report))?;
        }
        for remark in self.remarks.iter().take(REMARKS_MAX) {
            output.error(remark);
        }
        if let Some(more @ 1..) = self.remarks.len().checked_sub(REMARKS_MAX) {
            let ends = self.ends.iter();
            let ends = ends.map(|(end, count)| format!("{count} {end}"));
            let ends = ends.collect::<Vec<_>>().join(", ");
            output.error(&format!("and {more} more; sessions {ends}"));
        }
        let steps = self.steps;
        if output.json {
            let mut document = json!({
                "event": "summary", "ok": self.is_good, "end": self.end, "ends": self.ends,
                "steps": steps, "clock": self.clock, "remarks": self.remarks,
            });
            recorded.mark(&mut document);
            if let Some(report) = explained {
                document["explain"] = explain::document(report);
            }
            output.document(&document)?;
        } else if self.is_good {
            let text = match self.sessions {
                1 => format!("{steps} steps"),
                sessions => format!("{sessions} sessions, {steps} steps"),
            };
            output.note(SUCCESS, "ok", &text);
        }
        Ok(())
    }
}

/// Returns the remarks on how the run ended: first on sessions, numbered if there are several, then
/// on the run.
fn remarks(stop: &Stop, kernel: &ProtocolMachineKernel, hosts: &PerLane<Hosts>) -> Vec<String> {
    let several = kernel.sessions().len() > 1;
    let of_session = |session: SessionId, remark: &str| {
        if several {
            format!("session {}: {remark}", session.0)
        } else {
            remark.to_owned()
        }
    };
    // An interrupted run may have used the remaining lines, so they are not reported.
    let is_whole = !matches!(
        stop,
        Stop::StepsMax(_) | Stop::OutputFailed | Stop::RecordingFailed | Stop::Signal(_)
    );
    let mut remarks = Vec::new();
    for (session, hosts) in kernel.sessions().iter().zip(hosts.iter()) {
        let is_closed = session.phase() == Phase::Terminal(End::Closed);
        let found = hosts.remarks(is_closed && is_whole);
        remarks.extend(found.iter().map(|remark| of_session(session.id(), remark)));
    }
    match stop {
        Stop::Waiting(sessions) => {
            let remark = "waits for an answer that never comes, and no budget ends the wait";
            remarks.extend(sessions.iter().map(|session| of_session(*session, remark)));
        }
        Stop::Deadlock(waits) => {
            let found = waits.iter().map(|wait| {
                let session = wait.pick.session;
                of_session(session, &deadlock(kernel, wait))
            });
            remarks.extend(found);
        }
        Stop::StepsMax(max) => remarks.push(format!("the run was stopped after {max} steps")),
        Stop::Signal(_) => remarks.push("the run was interrupted".to_owned()),
        Stop::RecordingFailed => {
            remarks.push("the run was stopped: its recording failed".to_owned());
        }
        Stop::Ended | Stop::HostsEnded | Stop::OutputFailed => {}
    }
    remarks
}

/// Describes what a session in a deadlock waits for.
fn deadlock(kernel: &ProtocolMachineKernel, wait: &Wait) -> String {
    let session = kernel.session(wait.pick.session);
    let Some(image) = session.map(|session| kernel.image(session)) else {
        return "deadlock".to_owned();
    };
    let role = wait.role.map_or("", |role| image.role_name(role));
    let status = status(Status::Blocked(wait.on), image);
    let text = match wait.on {
        On::Empty(_) => format!("deadlock: {role} {status}, and no role can send that message"),
        On::Full(_) => format!("deadlock: {role} {status}, and no role can receive a message"),
        On::Effect(_) => format!("deadlock: {role} {status}"),
    };
    filter::line(&text)
}
