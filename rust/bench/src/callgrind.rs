//! Instructions per message: the difference between two lengths of the same run, under callgrind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::contest::Contest;
use crate::sides::Side;

/// The instructions per message; `None` when callgrind is not installed or the contest cannot be
/// counted.
///
/// # Errors
/// When callgrind is installed and fails.
pub fn instructions(program: &Path, contest: &Contest, side: Side) -> Result<Option<f64>, String> {
    let Some((short, long)) = lengths(contest, side) else {
        return Ok(None);
    };
    if !present() {
        return Ok(None);
    }
    let count = |messages: u64| collected(program, contest, side, messages);
    let (short, long) = ((short, count(short)?), (long, count(long)?));
    let more = long.1.messages.saturating_sub(short.1.messages).max(1);
    let difference = long.1.instructions.saturating_sub(short.1.instructions);
    Ok(Some(difference as f64 / more as f64))
}

/// Whether callgrind is installed.
pub fn present() -> bool {
    let mut command = Command::new("valgrind");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Two lengths of a run, in messages. Threads that wait for each other do different work under
/// callgrind, and opening 100,000 sessions takes minutes, so such contests are not counted.
fn lengths(contest: &Contest, side: Side) -> Option<(u64, u64)> {
    let threads = [
        Side::TokioMulti,
        Side::CrossbeamThreads,
        Side::Workers1,
        Side::Workers2,
    ];
    if threads.contains(&side) || contest.work > 0 || contest.sessions > 1_000 {
        return None;
    }
    let sessions = u64::from(contest.sessions);
    match side {
        // The same length as in the measurement of time: the cost grows with the length.
        Side::Telltale => Some((8, 64)),
        _ => Some((2_000.max(8 * sessions), 22_000.max(24 * sessions))),
    }
}

struct Collected {
    messages: u64,
    instructions: u64,
}

fn collected(
    program: &Path,
    contest: &Contest,
    side: Side,
    messages: u64,
) -> Result<Collected, String> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["one", &contest.to_string(), &side.name()])
        .args(["--messages", &messages.to_string()]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let measured: Option<crate::one::Measured> = serde_json::from_slice(&output.stdout).ok();
    measured
        .zip(read(&log))
        .map(|(measured, instructions)| Collected {
            messages: measured.messages,
            instructions,
        })
        .ok_or_else(|| format!("valgrind: {}: {}", output.status, log.trim()))
}

/// Reads the sum in callgrind's last line: `==1== Collected : 123`.
fn read(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.split_once("Collected : "));
    line?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_instruction_count() {
        let log = "==7== Events    : Ir\n==7== Collected : 1723045\n==7== \n";
        assert_eq!(read(log), Some(1_723_045));
        assert_eq!(read("==7== Events : Ir\n"), None);
    }
}
