//! Media that fail: their bytes are an intact recording up to the last complete record.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};

use antiphon_machine::{ProtocolMachine, ProtocolMachineKernel, Rest, sample};
use antiphon_record::{Flush, Recorder, Store, Tail, Verdict, replay};

use crate::runs::{Host, full};

/// Has room for a number of bytes, then fails one write, whose first part may have been stored.
/// Later writes succeed again, as on a disk from which files were removed.
#[derive(Debug)]
struct Full {
    taken: Vec<u8>,
    room: usize,
    has_failed: bool,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = match self.has_failed {
            true => bytes.len(),
            false => bytes.len().min(self.room),
        };
        if len == 0 {
            self.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        self.room = self.room.saturating_sub(len);
        self.taken.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store for Full {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a recording ends: finished, abandoned, dropped.
type Ending = fn(Recorder<&mut Full>, &ProtocolMachineKernel) -> bool;

/// The bytes on a medium with this much room after a run, and whether the recorder reported an
/// error.
fn run(room: usize, end: Ending) -> (Vec<u8>, bool) {
    let header = full();
    let mut medium = Full {
        taken: Vec::new(),
        room,
        has_failed: false,
    };
    let Ok(mut recorder) = Recorder::create(&mut medium, &header, Flush::default()) else {
        return (medium.taken, true);
    };
    recorder.flush();
    let mut machine = ProtocolMachine::with_sink(header.config, Host::new(3), recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done), "the run goes on");
    let (kernel, _, recorder) = machine.into_parts();
    let has_failed = end(recorder, &kernel);
    (medium.taken, has_failed)
}

/// For every size of the medium, and for each ending of the recorder.
#[test]
fn a_full_medium_has_an_intact_recording_up_to_its_last_record() {
    let finish: Ending = |recorder, kernel| recorder.finish(kernel).is_err();
    let abandon: Ending = |recorder, _| recorder.abandon().is_err();
    let dropped: Ending = |recorder, _| recorder.error().is_some();
    for end in [finish, abandon, dropped] {
        let (whole, has_failed) = run(usize::MAX, end);
        assert!(!has_failed);
        let mut torn = 0;
        for room in 0..whole.len() {
            let (taken, has_failed) = run(room, end);
            assert!(has_failed, "room for {room} bytes");
            assert_eq!(taken.len(), room, "nothing is written after an error");
            assert!(whole.starts_with(&taken), "room for {room} bytes");
            let Ok(report) = replay(&taken[..]) else {
                assert_eq!(torn, 0, "there is a header since fewer bytes");
                continue;
            };
            let is_equal = matches!(report.verdict, Verdict::EqualUpTo { .. });
            assert!(is_equal, "room for {room} bytes: {:?}", report.verdict);
            let tail = report.tail.expect("the end was reached");
            assert!(matches!(tail, Tail::Open | Tail::Torn { .. }), "{tail}");
            torn += 1;
        }
        assert!(torn > 0);
    }
}

#[test]
fn a_medium_that_does_not_support_sync_needs_none() {
    let null = OpenOptions::new().write(true).open("/dev/null");
    null.expect("the device exists")
        .sync()
        .expect("nothing to sync");
    let (_read, write) = io::pipe().expect("a pipe");
    let mut pipe = File::from(std::os::fd::OwnedFd::from(write));
    pipe.write_all(b"x").expect("there is room");
    pipe.sync().expect("nothing to sync");
}
