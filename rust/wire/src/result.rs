//! `syscall`, and `op_result`: what came of a file request or a system call.

use antiphon_codec::{Encoder, Item};

use crate::bounds::{SYSCALL_ARGS_MAX, SYSCALL_BUFS_MAX};
use crate::field::{Entries, Field, FieldFault, FieldFaultKind, FieldSpec, Shape, names, payloads};
use crate::file::{FileData, Listing, Opened, Position, Stat, Written};
use crate::message::{Empty, MessageKind};

/// One argument of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyscallArg {
    /// A number.
    Number(i64),
    /// The address of the buffer with this number in `bufs`.
    Buffer(BufferRef),
}

payloads! {
    /// Points at a buffer of the same request.
    pub struct BufferRef {
        /// Its number, from 0.
        pub buf: u32,
    }

    /// Make a system call. Its result is [`SyscallResult`].
    pub struct Syscall where buffers_exist {
        /// Its number on the guest's machine.
        pub nr: u32,
        /// Its arguments, at most [`SYSCALL_ARGS_MAX`](crate::SYSCALL_ARGS_MAX).
        pub args: Vec<SyscallArg>,
        /// The buffers that arguments point at, at most
        /// [`SYSCALL_BUFS_MAX`](crate::SYSCALL_BUFS_MAX).
        pub bufs: Vec<Vec<u8>>,
    }

    /// The result of [`Syscall`].
    pub struct SyscallResult {
        /// What it returned.
        pub ret: i64,
        /// The error number; 0 for none.
        pub errno: i32,
        /// The buffers afterwards, as many as there were before. Left out when there were none.
        pub out_bufs: OutBufs,
    }

    /// Why an operation failed.
    pub struct OpError {
        /// The reason.
        pub code: OpErrorCode,
        /// The guest's own error number; absent: the failure has none.
        pub errno: Option<i32>,
        /// The reason, for people.
        pub message: String,
    }
}

fn buffers_exist(call: &Syscall) -> Result<(), FieldFault> {
    let too_many = |path, max, got| {
        if got > max {
            return Err(FieldFault::at(path, FieldFaultKind::TooMany { max, got }));
        }
        Ok(())
    };
    too_many("args", SYSCALL_ARGS_MAX, call.args.len())?;
    too_many("bufs", SYSCALL_BUFS_MAX, call.bufs.len())?;
    for (index, arg) in call.args.iter().enumerate() {
        if let &SyscallArg::Buffer(BufferRef { buf }) = arg {
            // At most six buffers: the conversion cannot change the number.
            let len = i128::try_from(call.bufs.len()).unwrap_or(i128::MAX);
            if i128::from(buf) >= len {
                let kind = FieldFaultKind::Range {
                    min: 0,
                    max: len - 1,
                    got: i128::from(buf),
                };
                return Err(FieldFault::at("buf", kind).under(index).under("args"));
            }
        }
    }
    Ok(())
}

impl Field for SyscallArg {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        match self {
            Self::Number(number) => number.write(out),
            Self::Buffer(buffer) => buffer.write(out),
        }
    }

    fn into_item(self) -> Item {
        match self {
            Self::Number(number) => number.into_item(),
            Self::Buffer(buffer) => buffer.into_item(),
        }
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Map(_) => BufferRef::read(item).map(Self::Buffer),
            other => i64::read(other).map(Self::Number),
        }
    }
}

/// The buffers of a system call afterwards; the key is left out when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutBufs(pub Vec<Vec<u8>>);

impl Field for OutBufs {
    const SHAPE: Shape = Shape::Array;
    const OPTIONAL: bool = true;

    fn present(&self) -> bool {
        !self.0.is_empty()
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn write(&self, out: &mut Encoder<'_>) {
        self.0.write(out);
    }

    fn into_item(self) -> Item {
        self.0.into_item()
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let bufs = <Vec<Vec<u8>> as Field>::read(item)?;
        let (max, got) = (SYSCALL_BUFS_MAX, bufs.len());
        if got > max {
            return Err(FieldFault::here(FieldFaultKind::TooMany { max, got }));
        }
        Ok(Self(bufs))
    }

    fn check(&self) -> Result<(), FieldFault> {
        let (max, got) = (SYSCALL_BUFS_MAX, self.0.len());
        if got > max {
            return Err(FieldFault::here(FieldFaultKind::TooMany { max, got }));
        }
        Ok(())
    }
}

names! {
    /// Whether an operation did what was asked.
    pub enum Outcome {
        /// It did.
        Ok = "ok",
        /// It did not.
        Err = "err",
    }

    /// Why an operation failed.
    pub enum OpErrorCode {
        /// There is no such file or directory.
        NotFound = "not_found",
        /// It is there and must not be.
        AlreadyExists = "already_exists",
        /// The guest's system does not allow it.
        PermissionDenied = "permission_denied",
        /// A directory was needed.
        NotADirectory = "not_a_directory",
        /// A directory was not allowed.
        IsADirectory = "is_a_directory",
        /// The directory is not empty.
        NotEmpty = "not_empty",
        /// No file is open under this handle.
        BadHandle = "bad_handle",
        /// The handle was not opened for this, or the arguments make no sense together.
        InvalidInput = "invalid_input",
        /// As many files are open as the agent allows.
        TooManyOpen = "too_many_open",
        /// No room is left.
        NoSpace = "no_space",
        /// The file system cannot be written.
        ReadOnly = "read_only",
        /// Anything else; `errno` and `message` say what.
        Io = "io",
    }
}

/// What came of a file request or a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It did what was asked.
    Ok(OpValue),
    /// It failed.
    Err {
        /// Which request it was.
        op: Op,
        /// Why.
        error: OpError,
    },
}

macro_rules! operations {
    ($( $(#[$doc:meta])* $op:ident($value:ty) = $name:literal; )*) => {
        names! {
            /// A request that `op_result` answers, by the name of its message.
            pub enum Op {
                $( $(#[$doc])* $op = $name, )*
            }
        }

        impl Op {
            /// The request that this operation is.
            #[must_use]
            pub const fn request(self) -> MessageKind {
                match self {
                    $( Self::$op => MessageKind::$op, )*
                }
            }

            /// The operation that a request is, if `op_result` answers it.
            #[must_use]
            pub fn of(request: MessageKind) -> Option<Self> {
                Self::ALL.iter().copied().find(|op| op.request() == request)
            }

            /// The fields of the value of a success.
            #[must_use]
            pub const fn value_fields(self) -> &'static [FieldSpec] {
                match self {
                    $( Self::$op => <$value>::FIELDS, )*
                }
            }
        }

        /// What an operation gave.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum OpValue {
            $( $(#[$doc])* $op($value), )*
        }

        impl OpValue {
            /// Which request it answers.
            #[must_use]
            pub const fn op(&self) -> Op {
                match self {
                    $( Self::$op(_) => Op::$op, )*
                }
            }

            fn write(&self, out: &mut Encoder<'_>) {
                match self {
                    $( Self::$op(value) => value.write(out), )*
                }
            }

            /// The value as a tree. Its data is moved, not copied.
            #[must_use]
            pub fn into_item(self) -> Item {
                match self {
                    $( Self::$op(value) => value.into_item(), )*
                }
            }

            fn read(op: Op, item: Item) -> Result<Self, FieldFault> {
                Ok(match op {
                    $( Op::$op => Self::$op(<$value as Field>::read(item)?), )*
                })
            }

            fn check(&self) -> Result<(), FieldFault> {
                match self {
                    $( Self::$op(value) => value.check(), )*
                }
            }
        }
    };
}

operations! {
    /// Of [`FsOpen`](crate::FsOpen).
    FsOpen(Opened) = "fs_open";
    /// Of [`FsRead`](crate::FsRead).
    FsRead(FileData) = "fs_read";
    /// Of [`FsWrite`](crate::FsWrite).
    FsWrite(Written) = "fs_write";
    /// Of [`FsSeek`](crate::FsSeek).
    FsSeek(Position) = "fs_seek";
    /// Of [`FsClose`](crate::FsClose).
    FsClose(Empty) = "fs_close";
    /// Of [`FsStat`](crate::FsStat).
    FsStat(Stat) = "fs_stat";
    /// Of [`FsReadFile`](crate::FsReadFile).
    FsReadFile(FileData) = "fs_read_file";
    /// Of [`FsWriteFile`](crate::FsWriteFile).
    FsWriteFile(Written) = "fs_write_file";
    /// Of [`FsList`](crate::FsList).
    FsList(Listing) = "fs_list";
    /// Of [`FsMkdir`](crate::FsMkdir).
    FsMkdir(Empty) = "fs_mkdir";
    /// Of [`FsUnlink`](crate::FsUnlink).
    FsUnlink(Empty) = "fs_unlink";
    /// Of [`FsRename`](crate::FsRename).
    FsRename(Empty) = "fs_rename";
    /// Of [`Syscall`].
    Syscall(SyscallResult) = "syscall";
}

impl OpResult {
    /// The fields of this map, in the order in which they stand on the wire.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec {
            key: "op",
            optional: false,
            shape: Shape::Text,
        },
        FieldSpec {
            key: "value",
            optional: false,
            shape: Shape::Map,
        },
        FieldSpec {
            key: "outcome",
            optional: false,
            shape: Shape::Text,
        },
    ];

    /// Which request it answers.
    #[must_use]
    pub const fn op(&self) -> Op {
        match self {
            Self::Ok(value) => value.op(),
            Self::Err { op, .. } => *op,
        }
    }

    /// Whether the operation did what was asked.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Ok(_) => Outcome::Ok,
            Self::Err { .. } => Outcome::Err,
        }
    }
}

impl Field for OpResult {
    const SHAPE: Shape = Shape::Map;

    fn write(&self, out: &mut Encoder<'_>) {
        out.map(Self::FIELDS.len()).text("op");
        self.op().write(out);
        out.text("value");
        match self {
            Self::Ok(value) => value.write(out),
            Self::Err { error, .. } => error.write(out),
        }
        out.text("outcome");
        self.outcome().write(out);
    }

    fn into_item(self) -> Item {
        let (op, outcome) = (self.op().into_item(), self.outcome().into_item());
        let value = match self {
            Self::Ok(value) => value.into_item(),
            Self::Err { error, .. } => error.into_item(),
        };
        Item::Map(vec![
            (Item::Text("op".to_owned()), op),
            (Item::Text("value".to_owned()), value),
            (Item::Text("outcome".to_owned()), outcome),
        ])
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let mut entries = Entries::of(item)?;
        let op: Op = entries.take("op")?;
        let outcome: Outcome = entries.take("outcome")?;
        let value = entries
            .take_item("value")
            .ok_or_else(|| FieldFault::at("value", FieldFaultKind::Missing))?;
        let under = |fault: FieldFault| fault.under("value");
        Ok(match outcome {
            Outcome::Ok => Self::Ok(OpValue::read(op, value).map_err(under)?),
            Outcome::Err => Self::Err {
                op,
                error: OpError::read(value).map_err(under)?,
            },
        })
    }

    fn check(&self) -> Result<(), FieldFault> {
        match self {
            Self::Ok(value) => value.check().map_err(|fault| fault.under("value")),
            Self::Err { .. } => Ok(()),
        }
    }
}
