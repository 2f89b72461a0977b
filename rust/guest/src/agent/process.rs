//! Starts, kills and reaps the processes of commands.
//!
//! Each process leads its own group, so that a signal also reaches the processes that it started.
//! Its exit is *noticed* first and it is *reaped* last. While it is a zombie, its number cannot be
//! reused, so a signal to the group never reaches an unrelated process.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use nix::sys::wait::{Id, WaitPidFlag};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};
use signal_hook::consts::{FORBIDDEN, SIGPIPE, SIGTTIN, SIGTTOU};

use super::descendants::{self, Root};
use crate::signals;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub(crate) cmd: String,
    /// The arguments, starting with the program's own name; if empty, `cmd` alone.
    pub(crate) argv: Vec<String>,
    /// Entries `KEY=VALUE`, added to the agent's environment.
    pub(crate) env: Vec<String>,
    /// The working directory; `None`: the agent's own.
    pub(crate) cwd: Option<String>,
    /// Whether the host will send standard input; otherwise it is `/dev/null`.
    pub(crate) stdin: bool,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the name of the program is empty or holds a zero byte")]
    Name,
    #[error("environment entry `{entry}` is not of the form `KEY=VALUE`")]
    Env { entry: String },
    #[error("working directory `{cwd}`: {error}")]
    Cwd { cwd: String, error: io::Error },
    #[error("`{cmd}`: {error}")]
    Spawn { cmd: String, error: io::Error },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its exit code, or 128 plus the number of the signal.
    pub(crate) code: i32,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
}

/// A started process. It is killed if this is dropped before it was reaped.
#[derive(Debug)]
pub(crate) struct Process {
    /// `None` once it has been reaped.
    child: Option<Child>,
    pid: Pid,
    /// Whether no other command has run at the same time so far.
    alone: Arc<AtomicBool>,
    processes: ProcessTable,
}

/// The children of this process that are commands. All other children are orphans and are reaped.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessTable {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
    /// Whether the kernel hands orphans to this process.
    adopts: AtomicBool,
    /// Killed children for which no thread could be started to wait for their exit. They are reaped
    /// by the thread for orphans, or before the next command starts.
    unreaped: Mutex<Vec<Child>>,
}

/// The commands of an agent.
#[derive(Debug, Default)]
struct Known {
    /// The running commands, each with its flag [`Process::alone`].
    commands: HashMap<Pid, Arc<AtomicBool>>,
    /// The number of commands that are being started.
    starting: usize,
}

/// A command that is being started, until this is dropped.
struct Starting<'n> {
    processes: &'n ProcessTable,
    is_alone: bool,
}

impl Starting<'_> {
    /// Enters the process into the table.
    fn finish(self, child: &Child) -> (Pid, Arc<AtomicBool>) {
        let pid = Pid::from_child(child);
        let mut known = self.processes.known();
        let is_alone = self.is_alone && known.starting == 1 && known.commands.is_empty();
        let alone = Arc::new(AtomicBool::new(is_alone));
        known.commands.insert(pid, alone.clone());
        (pid, alone)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.processes.known().starting -= 1;
        self.processes.shared.changed.notify_all();
    }
}

/// Whether this process has any child. Before a command starts, a child is an orphan of an earlier
/// command, and later orphans may belong to that command, too.
fn has_children() -> bool {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(
        rustix::process::waitid(WaitId::All, peek),
        Err(Errno::CHILD)
    )
}

impl ProcessTable {
    /// Starts a process with pipes for its output, and for its input if requested.
    ///
    /// This may take long on a file system that does not answer. No lock is held meanwhile, so
    /// other commands can be started and ended.
    pub(crate) fn spawn(&self, launch: &Launch) -> Result<Process, LaunchError> {
        let mut command = command_of(launch)?;
        give_back_ignored_signals();
        // Before the start, because zombies count against the limit of processes.
        self.reap_killed();
        let starting = self.begin();
        let spawned = command.spawn();
        let child = spawned.map_err(|error| LaunchError::Spawn {
            cmd: launch.cmd.clone(),
            error,
        })?;
        let (pid, alone) = starting.finish(&child);
        Ok(Process {
            child: Some(child),
            pid,
            alone,
            processes: self.clone(),
        })
    }

    /// Records that a command is about to start. Until it is in the table, its process looks like
    /// an orphan.
    fn begin(&self) -> Starting<'_> {
        let mut known = self.known();
        known.starting += 1;
        for other in known.commands.values() {
            other.store(false, Ordering::Relaxed);
        }
        let is_alone = known.starting == 1 && known.commands.is_empty() && !has_children();
        Starting {
            processes: self,
            is_alone,
        }
    }

    /// Starts a thread that reaps the orphans that the kernel hands to this process. For process 1
    /// and subreapers.
    pub(crate) fn reap_orphans(&self) -> io::Result<()> {
        // Process 1 gets the orphans of the whole system, not only those of commands.
        let adopts = std::process::id() != 1;
        self.shared.adopts.store(adopts, Ordering::Relaxed);
        let processes = self.clone();
        thread::Builder::new()
            .name("orphans".into())
            .spawn(move || processes.orphan_loop())?;
        Ok(())
    }

    fn orphan_loop(&self) {
        loop {
            let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            let pid = match nix::sys::wait::waitid(Id::All, peek) {
                Ok(status) => status.pid().and_then(|pid| Pid::from_raw(pid.as_raw())),
                Err(nix::errno::Errno::EINTR) => continue,
                // The process has no child, so no orphan. Only a spawn can change that.
                Err(_) => None,
            };
            let known = self.known();
            match pid {
                Some(pid) if known.starting == 0 && !known.commands.contains_key(&pid) => {
                    let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
                }
                // It may be a command that is being started, that will be reaped by its owner
                // within the linger time of `exec`, or that has no owner.
                Some(_) if self.has_killed() => {
                    drop(known);
                    self.reap_killed();
                }
                Some(_) => drop(self.wait(known)),
                None if known.commands.is_empty() => drop(self.wait(known)),
                None => drop(known),
            }
        }
    }

    fn forget(&self, pid: Pid) {
        self.known().commands.remove(&pid);
        self.shared.changed.notify_all();
    }

    /// Whether [`reap_killed`](Self::reap_killed) would reap a process.
    fn has_killed(&self) -> bool {
        let unreaped = self.unreaped();
        unreaped
            .iter()
            .any(|child| has_exited(Pid::from_child(child)))
    }

    fn unreaped(&self) -> MutexGuard<'_, Vec<Child>> {
        let unreaped = self.shared.unreaped.lock();
        unreaped.unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps the exited children in `unreaped`.
    fn reap_killed(&self) {
        let mut reaped = Vec::new();
        self.unreaped().retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(_)) | Err(_) => {
                reaped.push(Pid::from_child(child));
                false
            }
        });
        // After that lock is released: elsewhere it is taken while the table is locked.
        reaped.into_iter().for_each(|pid| self.forget(pid));
    }

    fn wait<'a>(&self, known: MutexGuard<'a, Known>) -> MutexGuard<'a, Known> {
        self.shared
            .changed
            .wait(known)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Takes the pipes: standard input if requested, standard output, standard error.
    pub(crate) fn take_pipes(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>, Option<OwnedFd>) {
        let Some(child) = &mut self.child else {
            return (None, None, None);
        };
        let input = child.stdin.take().map(OwnedFd::from);
        let output = child.stdout.take().map(OwnedFd::from);
        (input, output, child.stderr.take().map(OwnedFd::from))
    }

    /// Calls `notice` from another thread once the process has exited. Does not reap it.
    pub(crate) fn on_exit(&self, notice: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let pid = self.pid;
        thread::Builder::new().name("exit".into()).spawn(move || {
            let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), peek) {}
            notice();
        })?;
        Ok(())
    }

    /// Sends a signal to the process's group, if it exists. After the process was reaped, nothing
    /// is sent, because its number may have been reused.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.child.is_some() {
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// Kills the process's group.
    pub(crate) fn kill_group(&self) {
        self.signal(Signal::KILL);
    }

    /// Kills the process's group and its descendants outside the group. Descendants whose parents
    /// have exited are found only if this process adopts orphans and no other command has run at
    /// the same time. With several commands it is not known which one an orphan belongs to, and it
    /// is not killed.
    pub(crate) fn kill_all(&self) {
        if self.child.is_some() {
            // Locked during the search, so that no other command starts: until it is in the table,
            // its process would be taken for an orphan.
            let known = self.processes.known();
            let adopts = self.processes.shared.adopts.load(Ordering::Relaxed);
            let is_alone = known.starting == 0 && self.alone.load(Ordering::Relaxed);
            descendants::kill(Root {
                pid: self.pid,
                adopts: adopts && is_alone,
            });
            drop(known);
        }
        self.kill_group();
    }

    /// Whether the process has exited, according to the kernel.
    pub(crate) fn has_exited(&self) -> bool {
        has_exited(self.pid)
    }

    /// Waits for the exit and reaps the process. Returns at once after the exit was noticed. Fails
    /// if the process was reaped already.
    pub(crate) fn reap(&mut self) -> io::Result<Exit> {
        let Some(mut child) = self.child.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let status = child.wait();
        self.processes.forget(self.pid);
        self.processes.reap_killed();
        status.map(exit_of)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.kill_all();
        let Some(child) = self.child.take() else {
            return;
        };
        // The process may be stuck in the kernel, so another thread waits for it. The child is
        // passed in a cell, so that it can be taken back if the thread cannot be started.
        let (pid, processes) = (self.pid, self.processes.clone());
        let cell = Arc::new(Mutex::new(Some(child)));
        let (taken, known) = (cell.clone(), processes.clone());
        let take = |cell: &Mutex<Option<Child>>| {
            cell.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let waiting = move || {
            if let Some(mut child) = take(&taken) {
                let _ = child.wait();
                known.forget(pid);
            }
        };
        let started = thread::Builder::new().name("reaper".into()).spawn(waiting);
        if started.is_err()
            && let Some(child) = take(&cell)
        {
            processes.unreaped().push(child);
            // Notified while the table is locked. Otherwise the thread for orphans could miss it
            // between its check and its wait.
            let known = processes.known();
            processes.shared.changed.notify_all();
            drop(known);
        }
    }
}

/// Whether a child has exited and was not reaped yet.
fn has_exited(pid: Pid) -> bool {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    matches!(rustix::process::waitid(WaitId::Pid(pid), peek), Ok(Some(_)))
}

/// The signal with this number; `None` if the kernel does not name one.
pub(crate) fn signal_of(signo: i32) -> Option<Signal> {
    Signal::from_named_raw(signo)
}

fn command_of(launch: &Launch) -> Result<Command, LaunchError> {
    if launch.cmd.is_empty() || launch.cmd.contains('\0') {
        return Err(LaunchError::Name);
    }
    if let Some(cwd) = &launch.cwd {
        // The error of `spawn` does not show whether the directory or the program was not found.
        check_cwd(cwd).map_err(|error| LaunchError::Cwd {
            cwd: cwd.clone(),
            error,
        })?;
    }
    let mut command = Command::new(&launch.cmd);
    if let Some((name, args)) = launch.argv.split_first() {
        command.arg0(name).args(args);
    }
    command.process_group(0);
    command.stdin(if launch.stdin {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for entry in &launch.env {
        match entry.split_once('=') {
            Some((key, value)) if !key.is_empty() => command.env(key, value),
            _ => {
                return Err(LaunchError::Env {
                    entry: entry.clone(),
                });
            }
        };
    }
    if let Some(cwd) = &launch.cwd {
        command.current_dir(cwd);
    }
    Ok(command)
}

/// Keeps commands from inheriting ignored signals, which a shell could not even trap. In the
/// background of a script, for instance, interrupts are ignored. A signal with a handler has its
/// default action in a started program, so each ignored signal gets a handler that does nothing.
/// Does nothing where the ignored signals are not known, see [`signals::ignored`].
fn give_back_ignored_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signo in signals::ignored() {
            // Rust itself ignores SIGPIPE, and restores it in a child. A process that ignores
            // SIGTTOU may write to the terminal; with a handler every write would fail with EINTR.
            if ![SIGPIPE, SIGTTIN, SIGTTOU].contains(&signo) && !FORBIDDEN.contains(&signo) {
                // A signal that cannot have a handler stays ignored.
                let _ = signal_hook::flag::register(signo, Arc::default());
            }
        }
    });
}

fn check_cwd(cwd: &str) -> io::Result<()> {
    if !std::fs::metadata(cwd)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // Checked for the effective user, as which the command will run.
    let (here, flags) = (rustix::fs::CWD, rustix::fs::AtFlags::EACCESS);
    Ok(rustix::fs::accessat(
        here,
        cwd,
        rustix::fs::Access::EXEC_OK,
        flags,
    )?)
}

fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal();
    Exit {
        code: status.code().or(signal.map(|s| 128 + s)).unwrap_or(-1),
        signal,
    }
}
