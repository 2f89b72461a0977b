//! The contests: the exchange, the number of sessions, and the work of the hosts.

use std::fmt;
use std::str::FromStr;

/// The messages that the roles exchange, forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A message each way, in turn.
    PingPong,
    /// A token that eight roles pass around.
    Ring,
    /// One of four labels one way, an acknowledgement back.
    Choice,
}

/// The number of roles in the ring.
pub const RING: usize = 8;

/// The number of labels in the choice.
pub const ARMS: usize = 4;

/// One contest between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contest {
    /// The exchange.
    pub exchange: Exchange,
    /// The number of sessions, which take turns.
    pub sessions: u32,
    /// Whether each message is delivered to its receiver's host.
    pub delivered: bool,
    /// How long a host works per delivery, in nanoseconds.
    pub work: u64,
    /// The fixed number of steps from the start of a new machine; `None` for a run of any length.
    pub steps: Option<u64>,
}

const PLAIN: Contest = Contest {
    exchange: Exchange::PingPong,
    sessions: 1,
    delivered: false,
    work: 0,
    steps: None,
};

/// The contests with a name of their own.
const NAMED: [(&str, Contest); 6] = [
    ("ping-pong", PLAIN),
    (
        "told",
        Contest {
            delivered: true,
            ..PLAIN
        },
    ),
    (
        "ring",
        Contest {
            exchange: Exchange::Ring,
            ..PLAIN
        },
    ),
    (
        "choice",
        Contest {
            exchange: Exchange::Choice,
            delivered: true,
            ..PLAIN
        },
    ),
    (
        "chosen",
        Contest {
            exchange: Exchange::Choice,
            ..PLAIN
        },
    ),
    (
        "working",
        Contest {
            sessions: 1_000,
            delivered: true,
            work: 1_000,
            ..PLAIN
        },
    ),
];

impl Contest {
    /// Ping-pong in a number of sessions.
    pub const fn sessions(sessions: u32) -> Contest {
        Contest { sessions, ..PLAIN }
    }

    /// Ping-pong in one session, for a number of steps.
    pub const fn steps(steps: u64) -> Contest {
        Contest {
            steps: Some(steps),
            ..PLAIN
        }
    }

    /// The contest's title in the tables.
    pub fn title(&self) -> String {
        let what = match (self.exchange, self.delivered, self.work) {
            (Exchange::PingPong, false, _) => "ping-pong",
            (Exchange::PingPong, true, 0) => "ping-pong, each message delivered to a host",
            (Exchange::PingPong, true, _) => "ping-pong, hosts that work for 1 µs per message",
            (Exchange::Ring, ..) => "ring of 8 roles",
            (Exchange::Choice, true, _) => {
                "choice among 4 labels by a host, acknowledged, delivered to both hosts"
            }
            (Exchange::Choice, false, _) => "choice among 4 labels in turn, acknowledged",
        };
        match (self.steps, self.sessions) {
            (Some(steps), _) => format!("{what}, {} steps", thousands(steps)),
            (None, 1) => what.to_owned(),
            (None, sessions) => format!("{what}, {} sessions", thousands(sessions.into())),
        }
    }
}

/// Formats `100000` as `100,000`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMED.iter().find(|(_, contest)| contest == self) {
            Some((name, _)) => f.write_str(name),
            None => match self.steps {
                Some(steps) => write!(f, "steps-{steps}"),
                None => write!(f, "sessions-{}", self.sessions),
            },
        }
    }
}

impl FromStr for Contest {
    type Err = String;

    fn from_str(text: &str) -> Result<Contest, String> {
        if let Some((_, contest)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*contest);
        }
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
        match text.split_once('-') {
            Some(("sessions", n)) => number(n).map(Contest::sessions),
            Some(("steps", n)) => number(n).map(|n| Contest::steps(n.into())),
            _ => None,
        }
        .ok_or_else(|| {
            let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            format!(
                "unknown contest `{text}`: expected {}, sessions-N or steps-N",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contests_parse_from_their_names() {
        let mut all: Vec<Contest> = NAMED.iter().map(|(_, contest)| *contest).collect();
        all.extend([
            Contest::sessions(10),
            Contest::sessions(100_000),
            Contest::steps(1_000),
        ]);
        for contest in all {
            assert_eq!(contest.to_string().parse(), Ok(contest), "{contest}");
        }
        for wrong in ["", "ping", "sessions-", "sessions-0", "steps-x", "rings-3"] {
            assert!(wrong.parse::<Contest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn thousands_are_separated_by_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
