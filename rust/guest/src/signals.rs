//! The signals that this process was started to ignore.

/// The signals from 1 to 31 that this process ignores now. Read from `/proc` on Linux; elsewhere
/// the list is empty.
///
/// Call this before handlers are installed: signals that were ignored when the program started, as
/// under `nohup` and shells without job control, should stay ignored.
pub fn ignored() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

/// The ignored signals in the text of a `/proc/PID/status`.
fn ignored_in(status: &str) -> Vec<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.unwrap_or(0);
    // Numbers from 32 on are real-time signals, which have no predefined meaning.
    (1..32)
        .filter(|signo| mask >> (signo - 1) & 1 == 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_mask_bit_by_bit() {
        let status = "Name:\tx\nSigBlk:\t0000000000000007\nSigIgn:\t0000000000001003\n";
        assert_eq!(ignored_in(status), [1, 2, 13]);
        assert_eq!(ignored_in("SigIgn:\tffffffff80000000"), Vec::<i32>::new());
        assert_eq!(ignored_in("SigIgn:\tzz"), Vec::<i32>::new());
        assert_eq!(ignored_in(""), Vec::<i32>::new());
    }
}
