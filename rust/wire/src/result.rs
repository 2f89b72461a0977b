//! `syscall` and `op_result`, the result of a file request or a system call.

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
    /// Refers to a buffer of the same request.
    pub struct BufferRef {
        /// The buffer's number, from 0.
        pub buf: u32,
    }

    /// Make a system call. Its result is [`SyscallResult`].
    pub struct Syscall where buffers_exist {
        /// The number of the call on the guest's machine.
        pub nr: u32,
        /// Its arguments, at most [`SYSCALL_ARGS_MAX`](crate::SYSCALL_ARGS_MAX).
        pub args: Vec<SyscallArg>,
        /// The buffers that arguments refer to, at most
        /// [`SYSCALL_BUFS_MAX`](crate::SYSCALL_BUFS_MAX).
        pub bufs: Vec<Vec<u8>>,
    }

    /// The result of [`Syscall`].
    pub struct SyscallResult {
        /// The value that it returned.
        pub ret: i64,
        /// The error number; 0 for none.
        pub errno: i32,
        /// The buffers after the call, as many as in the request. The key is left out if there are
        /// none.
        pub out_bufs: OutBufs,
    }

    /// Why an operation failed.
    pub struct OpError {
        /// The reason.
        pub code: OpErrorCode,
        /// The guest's error number; absent: the failure has none.
        pub errno: Option<i32>,
        /// A description for people.
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
            // At most six buffers, so the conversion cannot fail.
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

/// The buffers after a system call. The key is left out if there are none.
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
    /// Whether an operation succeeded.
    pub enum Outcome {
        /// It succeeded.
        Ok = "ok",
        /// It failed.
        Err = "err",
    }

    /// Why an operation failed.
    pub enum OpErrorCode {
        /// The file or directory does not exist.
        NotFound = "not_found",
        /// The file or directory exists and must not.
        AlreadyExists = "already_exists",
        /// The guest's system does not allow it.
        PermissionDenied = "permission_denied",
        /// The path must name a directory and does not.
        NotADirectory = "not_a_directory",
        /// The path names a directory and must not.
        IsADirectory = "is_a_directory",
        /// The directory is not empty.
        NotEmpty = "not_empty",
        /// The handle does not name an open file.
        BadHandle = "bad_handle",
        /// The handle was not opened for this operation, or the arguments are invalid together.
        InvalidInput = "invalid_input",
        /// The agent's limit of open files is reached.
        TooManyOpen = "too_many_open",
        /// The file system is full.
        NoSpace = "no_space",
        /// The file system is read-only.
        ReadOnly = "read_only",
        /// Any other error; `errno` and `message` describe it.
        Io = "io",
    }
}

/// The result of a file request or a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It succeeded.
    Ok(OpValue),
    /// It failed.
    Err {
        /// The operation.
        op: Op,
        /// Why it failed.
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
            /// The request with this operation.
            #[must_use]
            pub const fn request(self) -> MessageKind {
                match self {
                    $( Self::$op => MessageKind::$op, )*
                }
            }

            /// The operation of a request, if `op_result` answers it.
            #[must_use]
            pub fn of(request: MessageKind) -> Option<Self> {
                Self::ALL.iter().copied().find(|op| op.request() == request)
            }

            /// The fields of the value of a successful result.
            #[must_use]
            pub const fn value_fields(self) -> &'static [FieldSpec] {
                match self {
                    $( Self::$op => <$value>::FIELDS, )*
                }
            }
        }

        /// The value of a successful operation.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum OpValue {
            $( $(#[$doc])* $op($value), )*
        }

        impl OpValue {
            /// The operation that it answers.
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
    /// The result of [`FsOpen`](crate::FsOpen).
    FsOpen(Opened) = "fs_open";
    /// The result of [`FsRead`](crate::FsRead).
    FsRead(FileData) = "fs_read";
    /// The result of [`FsWrite`](crate::FsWrite).
    FsWrite(Written) = "fs_write";
    /// The result of [`FsSeek`](crate::FsSeek).
    FsSeek(Position) = "fs_seek";
    /// The result of [`FsClose`](crate::FsClose).
    FsClose(Empty) = "fs_close";
    /// The result of [`FsStat`](crate::FsStat).
    FsStat(Stat) = "fs_stat";
    /// The result of [`FsReadFile`](crate::FsReadFile).
    FsReadFile(FileData) = "fs_read_file";
    /// The result of [`FsWriteFile`](crate::FsWriteFile).
    FsWriteFile(Written) = "fs_write_file";
    /// The result of [`FsList`](crate::FsList).
    FsList(Listing) = "fs_list";
    /// The result of [`FsMkdir`](crate::FsMkdir).
    FsMkdir(Empty) = "fs_mkdir";
    /// The result of [`FsUnlink`](crate::FsUnlink).
    FsUnlink(Empty) = "fs_unlink";
    /// The result of [`FsRename`](crate::FsRename).
    FsRename(Empty) = "fs_rename";
    /// The result of [`Syscall`].
    Syscall(SyscallResult) = "syscall";
}

impl OpResult {
    /// The fields of this map, in wire order.
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

    /// The operation that it answers.
    #[must_use]
    pub const fn op(&self) -> Op {
        match self {
            Self::Ok(value) => value.op(),
            Self::Err { op, .. } => *op,
        }
    }

    /// Whether the operation succeeded.
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
