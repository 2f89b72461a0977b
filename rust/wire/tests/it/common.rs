//! Samples of every message and event, with and without optional fields, and the paths of their
//! goldens.
#![allow(dead_code, reason = "both test programs use a part of it")]

use std::num::NonZeroU32;
use std::path::PathBuf;

use antiphon_wire::*;

/// The directory of the goldens of version 1.
pub(crate) fn fixtures() -> PathBuf {
    root().join("fixtures/wire/v1")
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether goldens are written instead of compared.
pub(crate) fn bless() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// Compares `got` with the file at `path`, or writes it there.
#[track_caller]
pub(crate) fn golden(path: &std::path::Path, got: &[u8]) {
    if bless() {
        std::fs::create_dir_all(path.parent().expect("a golden has a folder")).expect("folder");
        std::fs::write(path, got).expect("write a golden");
        return;
    }
    let expected = std::fs::read(path)
        .unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 writes it", path.display()));
    if expected != got {
        let at = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
        panic!(
            "{} differs from byte {at} on; if that is intended, BLESS=1 rewrites it\n\
             expected: {}\n     got: {}",
            path.display(),
            shown(&expected),
            shown(got)
        );
    }
}

/// Text, or other bytes in hexadecimal, truncated.
fn shown(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n') => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    text.chars().take(600).collect()
}

fn some(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

fn non_zero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn signo(n: i32) -> Signo {
    Signo::new(n).expect("a signal")
}

fn perm(bits: u32) -> Permissions {
    Permissions::new(bits).expect("permissions")
}

/// Every message as `(name, envelope)`; the name is the file name of its golden.
pub(crate) fn samples() -> Vec<(String, Envelope)> {
    let mut samples = Vec::new();
    let mut add = |name: &str, id: u32, message: Message| {
        samples.push((name.to_owned(), Envelope::new(id, message)));
    };
    hello(&mut add);
    hello_answers(&mut add);
    exec(&mut add);
    streams(&mut add);
    open_files(&mut add);
    files(&mut add);
    directories(&mut add);
    syscalls(&mut add);
    results(&mut add);
    rest(&mut add);
    samples
}

type Add<'a> = &'a mut dyn FnMut(&str, u32, Message);

fn hello(add: Add<'_>) {
    add(
        "hello.full",
        0,
        Message::Hello(Hello {
            minor: Some(0),
            ids_max: some(64),
            features: Features::all(),
            min_version: 1,
            frame_len_max: FrameLen::new(1 << 20),
            protocol_version: 1,
        }),
    );
    add(
        "hello.min",
        0,
        Message::Hello(Hello {
            minor: None,
            ids_max: None,
            features: Features::of([]),
            min_version: 1,
            frame_len_max: None,
            protocol_version: 1,
        }),
    );
}

fn hello_answers(add: Add<'_>) {
    add(
        "hello_ok.full",
        0,
        Message::HelloOk(HelloOk {
            minor: Some(0),
            ids_max: some(16),
            guest_os: text("linux 6.1"),
            stdin_window: Some(262_144),
            agent_version: text("0.1.0"),
            frame_len_max: FrameLen::new(4096),
            agent_features: Features::of([Feature::Exec, Feature::Files]),
            protocol_version: 1,
        }),
    );
    add(
        "hello_ok.min",
        0,
        Message::HelloOk(HelloOk {
            minor: None,
            ids_max: None,
            guest_os: text(""),
            stdin_window: None,
            agent_version: text("0.1.0"),
            frame_len_max: None,
            agent_features: Features::of([Feature::Exec]),
            protocol_version: 1,
        }),
    );
    for code in HelloErrCode::ALL {
        let (offered, supported) = match code {
            HelloErrCode::TooOld => ((1, 2), (3, 5)),
            HelloErrCode::TooNew => ((6, 8), (3, 5)),
        };
        add(
            &format!("hello_err.{}", code.name()),
            0,
            Message::HelloErr(HelloErr {
                code: *code,
                message: text("no common version"),
                offered: VersionRange {
                    min: offered.0,
                    max: offered.1,
                },
                supported: VersionRange {
                    min: supported.0,
                    max: supported.1,
                },
            }),
        );
    }
}

fn exec(add: Add<'_>) {
    add(
        "exec_request.full",
        1,
        Message::ExecRequest(ExecRequest {
            cmd: text("/bin/sh"),
            cwd: Some(text("/tmp/π")),
            env: Some(vec![text("A=1"), text("B=")]),
            argv: Some(vec![text("sh"), text("-c"), text("cat; exit 3")]),
            stdin: Some(true),
            deadline_ms: some(30_000),
            stderr_window: Some(0),
            stdout_window: Some(u32::MAX),
        }),
    );
    add(
        "exec_request.min",
        24,
        Message::ExecRequest(ExecRequest::new(text("true"))),
    );
    add(
        "exec_response.full",
        1,
        Message::ExecResponse(ExecResponse {
            signal: Some(signo(9)),
            exit_code: 137,
            timed_out: Some(true),
        }),
    );
    add(
        "exec_response.min",
        u32::MAX,
        Message::ExecResponse(ExecResponse {
            signal: None,
            exit_code: -1,
            timed_out: None,
        }),
    );
}

fn streams(add: Add<'_>) {
    for stream in Stream::ALL {
        add(
            &format!("exec_output.{stream}"),
            256,
            Message::ExecOutput(ExecOutput {
                data: b"\x00\xffdata\n".to_vec(),
                stream: *stream,
            }),
        );
        add(
            &format!("exec_window.{stream}"),
            1,
            Message::ExecWindow(ExecWindow {
                credit: non_zero(65_536),
                stream: *stream,
            }),
        );
    }
    add(
        "stdin_data.full",
        65_536,
        Message::StdinData(StdinData {
            eof: Some(true),
            data: vec![0x5a; 24],
        }),
    );
    add(
        "stdin_data.min",
        1,
        Message::StdinData(StdinData {
            eof: None,
            data: Vec::new(),
        }),
    );
    add(
        "stdin_window",
        1,
        Message::StdinWindow(StdinWindow {
            credit: non_zero(1),
        }),
    );
    add("signal", 1, Message::Signal(Signal { signo: signo(15) }));
}

fn open_files(add: Add<'_>) {
    let path = || text("/etc/hosts");
    let modes = [
        ("read", OpenMode::READ),
        ("write", OpenMode::WRITE),
        ("create", OpenMode::CREATE),
        ("truncate", OpenMode::TRUNCATE),
        ("append", OpenMode::APPEND),
        ("exclusive", OpenMode::EXCLUSIVE),
    ];
    for (name, mode) in modes {
        let open = FsOpen {
            mode,
            path: path(),
            perm: None,
        };
        add(&format!("fs_open.{name}"), 2, Message::FsOpen(open));
    }
    let all = modes
        .iter()
        .fold(OpenMode::default(), |all, (_, mode)| all | *mode);
    let open = |mode, perm| {
        Message::FsOpen(FsOpen {
            mode,
            path: path(),
            perm,
        })
    };
    add("fs_open.full", 2, open(all, Some(perm(0o7777))));
    add("fs_open.min", 2, open(OpenMode::default(), None));
    let read = |len, offset| {
        Message::FsRead(FsRead {
            len,
            handle: 7,
            offset,
        })
    };
    add("fs_read.full", 3, read(u32::MAX, Some(u64::MAX)));
    add("fs_read.min", 3, read(0, None));
    let write = |offset| {
        Message::FsWrite(FsWrite {
            data: b"abc".to_vec(),
            handle: 7,
            offset,
        })
    };
    add("fs_write.full", 4, write(Some(1 << 40)));
    add("fs_write.min", 4, write(None));
    for (whence, offset) in [
        (Whence::Start, 0),
        (Whence::Current, i64::MIN),
        (Whence::End, i64::MAX),
    ] {
        let seek = FsSeek {
            handle: 7,
            offset,
            whence,
        };
        add(&format!("fs_seek.{whence}"), 5, Message::FsSeek(seek));
    }
    add(
        "fs_close",
        6,
        Message::FsClose(FsClose { handle: u32::MAX }),
    );
}

fn files(add: Add<'_>) {
    let path = || text("/etc/hosts");
    let stat = |follow| {
        Message::FsStat(FsStat {
            path: path(),
            follow,
        })
    };
    add("fs_stat.full", 7, stat(Some(false)));
    add("fs_stat.min", 7, stat(None));
    let read = |len, offset| {
        Message::FsReadFile(FsReadFile {
            len,
            path: path(),
            offset,
        })
    };
    add("fs_read_file.full", 8, read(Some(65_536), Some(4096)));
    add("fs_read_file.min", 8, read(None, None));
    let write = |perm, offset| {
        let data = b"127.0.0.1 localhost\n".to_vec();
        Message::FsWriteFile(FsWriteFile {
            data,
            path: path(),
            perm,
            offset,
        })
    };
    add("fs_write_file.full", 9, write(Some(perm(0o600)), Some(0)));
    add("fs_write_file.min", 9, write(None, None));
}

fn directories(add: Add<'_>) {
    let list = |after, limit| {
        Message::FsList(FsList {
            path: text("/"),
            after,
            limit,
        })
    };
    add("fs_list.full", 10, list(Some(text("etc")), some(2)));
    add("fs_list.min", 10, list(None, None));
    let mkdir = |perm, parents| {
        Message::FsMkdir(FsMkdir {
            path: text("/a/b"),
            perm,
            parents,
        })
    };
    add("fs_mkdir.full", 11, mkdir(Some(perm(0o755)), Some(true)));
    add("fs_mkdir.min", 11, mkdir(None, None));
    let unlink = |dir| {
        Message::FsUnlink(FsUnlink {
            dir,
            path: text("/a"),
        })
    };
    add("fs_unlink.full", 12, unlink(Some(true)));
    add("fs_unlink.min", 12, unlink(None));
    add(
        "fs_rename",
        13,
        Message::FsRename(FsRename {
            to: text("/b"),
            from: text("/a"),
        }),
    );
}

fn syscalls(add: Add<'_>) {
    let (args, bufs) = (
        vec![
            SyscallArg::Number(-100),
            SyscallArg::Buffer(BufferRef { buf: 0 }),
            SyscallArg::Number(i64::MAX),
        ],
        vec![b"/etc\0".to_vec()],
    );
    add(
        "syscall.full",
        14,
        Message::Syscall(Syscall {
            nr: 257,
            args,
            bufs,
        }),
    );
    let none = Syscall {
        nr: 39,
        args: Vec::new(),
        bufs: Vec::new(),
    };
    add("syscall.min", 14, Message::Syscall(none));
}

fn results(add: Add<'_>) {
    for op in Op::ALL {
        for (variant, value) in values(*op) {
            add(
                &format!("op_result.{op}.{variant}"),
                30,
                Message::OpResult(OpResult::Ok(value)),
            );
        }
    }
    for (number, code) in OpErrorCode::ALL.iter().enumerate() {
        // The first has no error number.
        let errno = i32::try_from(number).ok().filter(|number| *number > 0);
        let error = OpError {
            code: *code,
            errno,
            message: format!("it is {code}"),
        };
        let op = Op::ALL[number % Op::ALL.len()];
        let result = OpResult::Err { op, error };
        add(
            &format!("op_result.err.{code}"),
            99,
            Message::OpResult(result),
        );
    }
}

/// The values of a successful `op`: with and without optional fields.
fn values(op: Op) -> Vec<(&'static str, OpValue)> {
    let data = || FileData {
        eof: true,
        data: b"data".to_vec(),
    };
    let written = || Written { written: 3 };
    match op {
        Op::FsOpen => vec![("ok", OpValue::FsOpen(Opened { handle: 7 }))],
        Op::FsRead => vec![("ok", OpValue::FsRead(data()))],
        Op::FsWrite => vec![("ok", OpValue::FsWrite(written()))],
        Op::FsSeek => vec![("ok", OpValue::FsSeek(Position { position: u64::MAX }))],
        Op::FsClose => vec![("ok", OpValue::FsClose(Empty {}))],
        Op::FsStat => {
            let stat = |kind, mtime_ms| {
                OpValue::FsStat(Stat {
                    kind,
                    perm: perm(0o644),
                    size: 20,
                    mtime_ms,
                })
            };
            vec![
                ("full", stat(FileKind::File, Some(-1))),
                ("min", stat(FileKind::Other, None)),
            ]
        }
        Op::FsReadFile => vec![("ok", OpValue::FsReadFile(data()))],
        Op::FsWriteFile => vec![("ok", OpValue::FsWriteFile(written()))],
        Op::FsList => listings(),
        Op::FsMkdir => vec![("ok", OpValue::FsMkdir(Empty {}))],
        Op::FsUnlink => vec![("ok", OpValue::FsUnlink(Empty {}))],
        Op::FsRename => vec![("ok", OpValue::FsRename(Empty {}))],
        Op::Syscall => {
            let result = |ret, errno, bufs| {
                OpValue::Syscall(SyscallResult {
                    ret,
                    errno,
                    out_bufs: OutBufs(bufs),
                })
            };
            vec![
                ("full", result(3, 0, vec![b"/etc\0".to_vec(), Vec::new()])),
                ("min", result(-1, 38, Vec::new())),
            ]
        }
    }
}

fn listings() -> Vec<(&'static str, OpValue)> {
    let entry = |kind, name, size| Entry {
        kind,
        name: text(name),
        size,
    };
    let entries = vec![
        entry(FileKind::Directory, "etc", None),
        entry(FileKind::File, "init", Some(0)),
        entry(FileKind::Symlink, "lib", None),
        entry(FileKind::Other, "null", None),
    ];
    vec![
        (
            "full",
            OpValue::FsList(Listing {
                more: true,
                entries,
                unlisted: Some(1),
            }),
        ),
        (
            "min",
            OpValue::FsList(Listing {
                more: false,
                entries: Vec::new(),
                unlisted: None,
            }),
        ),
    ]
}

fn rest(add: Add<'_>) {
    add("ping", 20, Message::Ping(Empty {}));
    add("pong", 20, Message::Pong(Empty {}));
    add("cancel", 1, Message::Cancel(Empty {}));
    for code in ErrorCode::ALL {
        let (name, supported) = match code {
            ErrorCode::UnsupportedVersion => ("full", Some(VersionRange { min: 1, max: 1 })),
            ErrorCode::InvalidRequest
            | ErrorCode::Unsupported
            | ErrorCode::UnknownId
            | ErrorCode::Busy
            | ErrorCode::TooLarge
            | ErrorCode::Denied
            | ErrorCode::NotFound
            | ErrorCode::SpawnFailed
            | ErrorCode::Cancelled
            | ErrorCode::TimedOut
            | ErrorCode::ShuttingDown
            | ErrorCode::Internal => ("min", None),
        };
        let reply = ErrorReply {
            code: *code,
            message: text("the reason"),
            supported,
        };
        add(&format!("error.{name}.{code}"), 1, Message::Error(reply));
    }
}

/// Every event as `(name, frame)`.
pub(crate) fn events() -> Vec<(String, EventFrame)> {
    let mut events = vec![(
        text("session_opened"),
        Event::SessionOpened(SessionOpened {
            image: ImageDigest([0xab; 32]),
            session: 1,
            protocol: text("guest_exec"),
        }),
    )];
    for outcome in SessionOutcome::ALL {
        let closed = SessionClosed {
            outcome: *outcome,
            session: 1,
        };
        events.push((
            format!("session_closed.{outcome}"),
            Event::SessionClosed(closed),
        ));
    }
    events.push((
        text("effect_issued"),
        Event::EffectIssued(EffectIssued {
            role: text("Host"),
            effect: u64::MAX,
            session: u32::MAX,
            interface: text("guest"),
            operation: text("exec"),
        }),
    ));
    let resolved = |failure| {
        Event::EffectResolved(EffectResolved {
            effect: 3,
            failure,
            session: 1,
        })
    };
    events.push((text("effect_resolved.min"), resolved(None)));
    for failure in FailureName::ALL {
        events.push((
            format!("effect_resolved.full.{failure}"),
            resolved(Some(*failure)),
        ));
    }
    for stream in ChunkStream::ALL {
        let chunks = Chunks {
            bytes: 1 << 30,
            count: 16_384,
            effect: 3,
            stream: *stream,
            session: 1,
        };
        events.push((format!("chunks.{stream}"), Event::Chunks(chunks)));
    }
    for (number, code) in FaultCode::ALL.iter().enumerate() {
        let effect = u64::try_from(number).ok().filter(|number| *number > 0);
        let name = if effect.is_some() { "full" } else { "min" };
        let message = format!("it is {code}");
        let fault = FaultSeen {
            code: *code,
            effect,
            message,
            session: 1,
        };
        events.push((format!("fault.{name}.{code}"), Event::Fault(fault)));
    }
    (0u64..)
        .zip(events)
        .map(|(seq, (name, event))| (name, EventFrame::new(seq, 1_700_000_000_000 + seq, event)))
        .collect()
}
