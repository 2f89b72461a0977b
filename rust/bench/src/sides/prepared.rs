//! A side that is ready to be measured, or the reason why it is not.

use std::fmt;

/// A prepared side.
pub trait Ready {
    /// Exchanges about this number of messages. This is the part that is measured.
    fn exchange(&mut self, messages: u64);

    /// The total number of messages received.
    fn received(&self) -> u64;
}

/// A prepared side, and how it is measured.
pub struct Prepared {
    pub(crate) ready: Box<dyn Ready>,
    /// The fixed number of messages of each measurement, on a new machine each time. `None` for
    /// the number that fills the time of a measurement.
    pub(crate) fixed: Option<u64>,
    /// Whether several threads share the work. Such a side is timed by the clock, others by their
    /// processor time, which is less sensitive to other load.
    pub(crate) threads: bool,
    /// The number of sessions, when it differs from the contest's.
    pub(crate) sessions: Option<u32>,
    /// A remark for readers.
    pub(crate) note: Option<String>,
}

impl Prepared {
    pub(super) fn of(ready: impl Ready + 'static) -> Result<Prepared, Absent> {
        Ok(Prepared {
            ready: Box::new(ready),
            fixed: None,
            threads: false,
            sessions: None,
            note: None,
        })
    }
}

/// Why a side does not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent(pub String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
