//! Kills the processes that a command has started outside its process group.
//!
//! A signal to the group does not reach a process that has called `setsid` or `setpgid`. Linux
//! lists the parent of each process in `/proc`, and hands a process whose parent has exited to the
//! nearest *subreaper*. If that is the agent, such an orphan is a child of the agent that the agent
//! did not start.
//!
//! The processes are stopped before they are killed. A stopped process cannot start others, so the
//! search ends, and each parent still exists when its children are searched for.

use rustix::process::Pid;

/// The start of the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    /// The command, which has not been reaped.
    pub(super) pid: Pid,
    /// Whether orphans that this process has adopted since the command started are its descendants.
    pub(super) adopts: bool,
}

/// Kills the descendants of a command that are outside its process group. The caller kills the
/// group. Does nothing on a system without `/proc`.
pub(super) fn kill(root: Root) {
    #[cfg(target_os = "linux")]
    linux::kill(root);
    #[cfg(not(target_os = "linux"))]
    let _ = root;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;

    use rustix::process::{
        Pid, PidfdFlags, Signal, getpid, kill_process, kill_process_group, pidfd_open,
        pidfd_send_signal,
    };

    use super::Root;

    /// The most searches before the processes found are killed. Each search finds the children
    /// started during the previous one. If a command starts processes faster than they are found,
    /// only its group and the processes found are killed.
    const SEARCHES_MAX: usize = 16;

    /// The fields of `/proc/PID/stat` that are needed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Stat {
        pub(super) pid: i32,
        pub(super) parent: i32,
        pub(super) group: i32,
        /// When the process started, in ticks since the system was started.
        pub(super) began: u64,
        pub(super) is_zombie: bool,
    }

    pub(super) fn kill(root: Root) {
        // Identified by number and start time, so that a reused number is another process.
        let mut found = BTreeSet::new();
        for _ in 0..SEARCHES_MAX {
            let before = found.len();
            for stat in outside(&processes(), root, getpid()) {
                if found.is_empty() {
                    // The group may be starting more processes.
                    let _ = kill_process_group(root.pid, Signal::STOP);
                }
                if found.insert((stat.pid, stat.began)) {
                    signal(stat.pid, stat.began, Signal::STOP);
                }
            }
            if found.len() == before {
                break;
            }
        }
        for (pid, began) in found {
            signal(pid, began, Signal::KILL);
        }
    }

    /// Sends a signal to the process with this number and start time. A process descriptor keeps
    /// the number from being reused while the start time is compared. Without one the number could
    /// be reused in between.
    fn signal(pid: i32, began: u64, signal: Signal) {
        let Some(number) = Pid::from_raw(pid) else {
            return;
        };
        let process = pidfd_open(number, PidfdFlags::empty());
        if stat_of(pid).is_none_or(|now| now.began != began) {
            return;
        }
        let _ = match process {
            Ok(process) => pidfd_send_signal(process, signal),
            Err(_) => kill_process(number, signal),
        };
    }

    /// The descendants of the root that are outside its group, according to the list.
    pub(super) fn outside(all: &[Stat], root: Root, this: Pid) -> Vec<Stat> {
        let (root_pid, this) = (root.pid.as_raw_nonzero().get(), this.as_raw_nonzero().get());
        let Some(began) = all.iter().find(|stat| stat.pid == root_pid) else {
            return Vec::new();
        };
        // Orphans that started after the command. Within one tick the numbers give the order.
        let is_later = |stat: &Stat| {
            (stat.began, stat.pid) > (began.began, root_pid) && stat.group != root_pid
        };
        let adopted = |stat: &&Stat| root.adopts && stat.parent == this && is_later(stat);
        let mut descendants: Vec<Stat> = all.iter().filter(adopted).copied().collect();
        let mut parents: Vec<i32> = descendants.iter().map(|stat| stat.pid).collect();
        // The whole group: a member may be an orphan and have children outside the group.
        let group = all.iter().filter(|stat| stat.group == root_pid);
        parents.extend(group.map(|stat| stat.pid));
        parents.push(root_pid);
        while let Some(parent) = parents.pop() {
            for stat in all.iter().filter(|stat| stat.parent == parent) {
                if !descendants.contains(stat) && stat.pid != root_pid {
                    descendants.push(*stat);
                    parents.push(stat.pid);
                }
            }
        }
        descendants.retain(|stat| stat.group != root_pid && !stat.is_zombie);
        descendants
    }

    fn processes() -> Vec<Stat> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(stat_of).collect()
    }

    fn stat_of(pid: i32) -> Option<Stat> {
        parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses a line of `/proc/PID/stat`. The name in it may have any characters, also closing
    /// brackets.
    pub(super) fn parse(line: &str) -> Option<Stat> {
        let (pid, rest) = line.split_once(" (")?;
        let mut fields = rest.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // The 22nd field of the line is the start time; the group is the 5th.
        let began = fields.nth(16)?.parse().ok()?;
        Some(Stat {
            pid: pid.parse().ok()?,
            parent,
            group,
            began,
            is_zombie: state == "Z" || state == "X",
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::Root;
    use super::linux::{Stat, outside, parse};
    use rustix::process::{Pid, getpid};

    fn stat(pid: i32, parent: i32, group: i32, began: u64) -> Stat {
        Stat {
            pid,
            parent,
            group,
            began,
            is_zombie: false,
        }
    }

    fn pid(pid: i32) -> Pid {
        Pid::from_raw(pid).expect("not zero")
    }

    fn found(all: &[Stat], adopts: bool) -> Vec<i32> {
        let root = Root {
            pid: pid(50),
            adopts,
        };
        let mut found: Vec<i32> = outside(all, root, pid(10)).iter().map(|s| s.pid).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn finds_descendants_outside_the_group_through_those_inside() {
        let all = [
            stat(50, 10, 50, 7),
            stat(51, 50, 50, 7),
            stat(52, 51, 52, 8),
            stat(53, 52, 53, 9),
            stat(60, 1, 60, 9),
            Stat {
                is_zombie: true,
                ..stat(54, 51, 54, 9)
            },
        ];
        assert_eq!(found(&all, false), [52, 53]);
    }

    #[test]
    fn finds_children_of_an_orphan_in_the_group_without_adopting() {
        let all = [
            stat(50, 10, 50, 7),
            stat(51, 10, 50, 8),
            stat(52, 51, 52, 9),
            stat(53, 1, 50, 8),
            stat(54, 53, 54, 9),
        ];
        assert_eq!(found(&all, false), [52, 54]);
    }

    #[test]
    fn orphans_older_than_the_command_are_not_its_own() {
        let all = [
            stat(40, 10, 40, 6),
            stat(49, 10, 49, 7),
            stat(50, 10, 50, 7),
            stat(51, 10, 51, 7),
            stat(52, 51, 52, 9),
        ];
        assert_eq!(found(&all, true), [51, 52]);
        assert_eq!(found(&all, false), Vec::<i32>::new());
    }

    #[test]
    fn an_exited_command_has_no_descendants() {
        assert_eq!(found(&[stat(51, 50, 51, 7)], true), Vec::<i32>::new());
    }

    #[test]
    fn parses_any_name_of_a_process() {
        let line = "7 (a) R 1) S 3 5 5 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4321 1 2";
        let expected = stat(7, 3, 5, 4321);
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse("7 (a) S 3 5"), None);
        assert_eq!(parse(""), None);
        let own = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
        let own = parse(&own).expect("a good line");
        assert_eq!(own.pid, getpid().as_raw_nonzero().get());
    }
}
