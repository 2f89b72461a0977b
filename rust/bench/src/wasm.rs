//! The machine compiled to WebAssembly: a program of Node's that measures itself, where the package is built.

use std::process::{Command, Stdio};

use crate::contest::{Contest, Exchange};
use crate::one::Measured;
use crate::run::Extent;

/// What must be there, below the root of the project: the program of Node's, the package that it loads, and an image that
/// asks nobody.
const NEEDED: [&str; 3] = [
    "rust/wasm/bench/messages.mjs",
    "rust/wasm/pkg/node.mjs",
    "target/wasm/parity/bare.image",
];

/// Measures.
///
/// # Errors
/// Why there is nothing to measure.
pub fn measure(contest: &Contest, extent: &Extent) -> Result<Measured, String> {
    let name = match (contest.exchange, contest.told) {
        (Exchange::PingPong, false) => "nobody asked",
        (Exchange::PingPong, true) => "both hosts told",
        (Exchange::Ring | Exchange::Choice, _) => return Err("not asked".to_owned()),
    };
    if NEEDED.iter().any(|path| !extent.root.join(path).is_file()) {
        return Err("not built: cargo xtask wasm --test".to_owned());
    }
    let mut command = Command::new("node");
    command
        .arg(extent.root.join(NEEDED[0]))
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("node: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let speed = read(&said, name).filter(|speed| *speed > 0.0);
    let speed = speed.ok_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("node: {}", error.lines().next().unwrap_or("said nothing"))
    })?;
    let messages = 1_000_000;
    Ok(Measured {
        messages,
        nanos: (messages as f64 * 1e3 / speed) as u64,
        ..Measured::default()
    })
}

/// `nobody asked: 4.31 million messages/s, best 4.40`: the middle of its rounds, in millions.
fn read(said: &str, name: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.starts_with(name))?;
    let (_, figures) = line.split_once(": ")?;
    let (middle, _) = figures.split_once(" million messages/s")?;
    middle.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_says_is_read() {
        let said = "nobody asked: 4.31 million messages/s, best 4.40\n\
                    both hosts told, handler in JavaScript: 0.62 million messages/s, best 0.70\n";
        assert_eq!(read(said, "nobody asked"), Some(4.31));
        assert_eq!(read(said, "both hosts told"), Some(0.62));
        assert_eq!(read(said, "ring"), None);
        assert_eq!(read("nobody asked: much", "nobody asked"), None);
    }
}
