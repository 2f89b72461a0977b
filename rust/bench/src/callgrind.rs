//! Instructions a message takes: the difference between two lengths of the same run, under callgrind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::contest::Contest;
use crate::sides::Side;

/// Instructions a message takes; `None` where callgrind is not there, or has nothing to say.
///
/// # Errors
/// When callgrind is there and fails.
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

/// Whether there is a callgrind.
pub fn present() -> bool {
    let mut command = Command::new("valgrind");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Two lengths of a run, in messages. Threads that wait for each other do other work under callgrind than without, and
/// 100,000 sessions take it minutes to open.
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
        // As far as it is timed: its cost grows from there.
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
    let said = String::from_utf8_lossy(&output.stderr);
    let measured: Option<crate::one::Measured> = serde_json::from_slice(&output.stdout).ok();
    measured
        .zip(read(&said))
        .map(|(measured, instructions)| Collected {
            messages: measured.messages,
            instructions,
        })
        .ok_or_else(|| format!("valgrind: {}: {}", output.status, said.trim()))
}

/// The sum that callgrind ends with: `==1== Collected : 123`.
fn read(said: &str) -> Option<u64> {
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    line?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 1723045\n==7== \n";
        assert_eq!(read(said), Some(1_723_045));
        assert_eq!(read("==7== Events : Ir\n"), None);
    }
}
