//! The machine compiled to WebAssembly, measured by a Node program when the package is built.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::contest::{Contest, Exchange};
use crate::one::Measured;

/// The files that must exist, relative to the root: the Node program, the package that it loads,
/// and an image without host calls.
const NEEDED: [&str; 3] = [
    "rust/wasm/bench/messages.mjs",
    "rust/wasm/pkg/node.mjs",
    "target/wasm/parity/bare.image",
];

/// Measures the machine in Node. `root` is the root folder of the repository.
///
/// # Errors
/// Why there is nothing to measure.
pub fn measure(contest: &Contest, root: &Path) -> Result<Measured, String> {
    let name = match (contest.exchange, contest.delivered) {
        (Exchange::PingPong, false) => "no host calls",
        (Exchange::PingPong, true) => "deliveries to both hosts",
        (Exchange::Ring | Exchange::Choice, _) => return Err("not supported".to_owned()),
    };
    if NEEDED.iter().any(|path| !root.join(path).is_file()) {
        return Err("not built: cargo xtask wasm --test".to_owned());
    }
    let mut command = Command::new("node");
    command.arg(root.join(NEEDED[0])).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("node: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let speed = read(&text, name).filter(|speed| *speed > 0.0);
    let speed = speed.ok_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("node: {}", error.lines().next().unwrap_or("no output"))
    })?;
    let messages = 1_000_000;
    Ok(Measured {
        messages,
        nanos: (messages as f64 * 1e3 / speed) as u64,
        ..Measured::default()
    })
}

/// Reads `no host calls: 4.31 million messages/s, best 4.40`: the median of its rounds, in
/// millions.
fn read(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, figures) = line.split_once(": ")?;
    let (middle, _) = figures.split_once(" million messages/s")?;
    middle.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_output_of_node() {
        let text = "no host calls: 4.31 million messages/s, best 4.40\n\
                    deliveries to both hosts, handler in JavaScript: \
                    0.62 million messages/s, best 0.70\n";
        assert_eq!(read(text, "no host calls"), Some(4.31));
        assert_eq!(read(text, "deliveries to both hosts"), Some(0.62));
        assert_eq!(read(text, "ring"), None);
        assert_eq!(read("no host calls: many", "no host calls"), None);
    }
}
