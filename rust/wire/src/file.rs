//! The payloads of the file requests and of their results.
//!
//! Paths are text. Version 1 cannot address a name that is not UTF-8; a listing reports how many
//! such names it left out.

use antiphon_codec::{Encoder, Item};

use crate::bounds::LIST_LEN_MAX;
use crate::field::{Field, FieldFault, FieldFaultKind, Shape, names, payloads, read_between};

/// How a file is opened: a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenMode(u32);

impl OpenMode {
    /// The file can be read.
    pub const READ: Self = Self(1 << 0);
    /// The file can be written.
    pub const WRITE: Self = Self(1 << 1);
    /// The file is created if it does not exist.
    pub const CREATE: Self = Self(1 << 2);
    /// The file is truncated.
    pub const TRUNCATE: Self = Self(1 << 3);
    /// Every write goes to the end of the file.
    pub const APPEND: Self = Self(1 << 4);
    /// With `CREATE`: the file must not exist yet.
    pub const EXCLUSIVE: Self = Self(1 << 5);
    /// Every bit that has a meaning.
    pub const KNOWN: Self = Self((1 << 6) - 1);

    /// The mode with these bits, if each bit has a meaning.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::KNOWN.0 == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for OpenMode {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Field for OpenMode {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        self.0.write(out);
    }

    fn into_item(self) -> Item {
        self.0.into_item()
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let got = <u32 as Field>::read(item)?;
        Self::from_bits(got).ok_or_else(|| {
            FieldFault::here(FieldFaultKind::Bits {
                known: Self::KNOWN.bits(),
                got,
            })
        })
    }
}

/// The POSIX permission bits of a file: at most `0o7777`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permissions(u32);

impl Permissions {
    /// The greatest value.
    pub const MAX: u32 = 0o7777;

    /// The permissions with these bits, if all are permission bits.
    #[must_use]
    pub const fn new(bits: u32) -> Option<Self> {
        if bits <= Self::MAX {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Field for Permissions {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        self.0.write(out);
    }

    fn into_item(self) -> Item {
        self.0.into_item()
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let got = read_between(&item, 0, i128::from(Self::MAX))?;
        u32::try_from(got).ok().and_then(Self::new).ok_or_else(|| {
            FieldFault::here(FieldFaultKind::Range {
                min: 0,
                max: i128::from(Self::MAX),
                got,
            })
        })
    }
}

names! {
    /// The origin of a seek.
    pub enum Whence {
        /// The start of the file.
        Start = "start",
        /// The cursor.
        Current = "current",
        /// The end of the file.
        End = "end",
    }

    /// The kind of file that a path names.
    pub enum FileKind {
        /// A regular file.
        File = "file",
        /// A directory.
        Directory = "directory",
        /// A symbolic link.
        Symlink = "symlink",
        /// A device, a socket, a pipe.
        Other = "other",
    }
}

payloads! {
    /// Open a file. Its result is [`Opened`].
    pub struct FsOpen {
        /// How it is opened.
        pub mode: OpenMode,
        /// Its path.
        pub path: String,
        /// The permissions of a file that is created; absent: `0o644`. The guest's umask applies.
        pub perm: Option<Permissions>,
    }

    /// Read from an open file. Its result is [`FileData`].
    pub struct FsRead {
        /// The most bytes to read. The result has fewer at the end of the file and when the frame
        /// is full.
        pub len: u32,
        /// The file.
        pub handle: u32,
        /// The offset to read from, which leaves the cursor unchanged. Absent: the cursor, which
        /// moves.
        pub offset: Option<u64>,
    }

    /// Write to an open file. Its result is [`Written`].
    pub struct FsWrite {
        /// The bytes.
        pub data: Vec<u8>,
        /// The file.
        pub handle: u32,
        /// The offset to write at, which leaves the cursor unchanged. Absent: the cursor, which
        /// moves.
        pub offset: Option<u64>,
    }

    /// Move the cursor of an open file. Its result is [`Position`].
    pub struct FsSeek {
        /// The file.
        pub handle: u32,
        /// The distance in bytes; negative: backwards.
        pub offset: i64,
        /// The origin of the distance.
        pub whence: Whence,
    }

    /// Close an open file. Its result is empty.
    pub struct FsClose {
        /// The file. The handle is invalid afterwards, whatever the result.
        pub handle: u32,
    }

    /// Describe what a path names. Its result is [`Stat`].
    pub struct FsStat {
        /// The path.
        pub path: String,
        /// Whether a symbolic link is followed; absent: yes.
        pub follow: Option<bool>,
    }

    /// Read a part of a file by its path. Its result is [`FileData`].
    pub struct FsReadFile {
        /// The most bytes to read; absent: as many as a frame holds.
        pub len: Option<u32>,
        /// The path of the file.
        pub path: String,
        /// The offset to read from; absent: 0.
        pub offset: Option<u64>,
    }

    /// Write a part of a file by its path. Its result is [`Written`] with the full length, or an
    /// error.
    pub struct FsWriteFile {
        /// The bytes.
        pub data: Vec<u8>,
        /// The path of the file. The file is created if it does not exist.
        pub path: String,
        /// The permissions of a file that is created; absent: `0o644`. The guest's umask applies.
        pub perm: Option<Permissions>,
        /// The offset to write at, which keeps the rest of the file. Absent: `data` replaces the
        /// whole content.
        pub offset: Option<u64>,
    }

    /// List a directory, without `.` and `..`. Its result is [`Listing`].
    pub struct FsList {
        /// The path of the directory.
        pub path: String,
        /// Only names after this one are listed, in bytewise order; absent: all names.
        pub after: Option<String>,
        /// The most entries; absent: [`LIST_LEN`](crate::LIST_LEN). The guest may send fewer.
        pub limit: Option<std::num::NonZeroU32>,
    }

    /// Make a directory. Its result is empty.
    pub struct FsMkdir {
        /// The path.
        pub path: String,
        /// The directory's permissions; absent: `0o755`. The guest's umask applies.
        pub perm: Option<Permissions>,
        /// Whether missing parents are created and an existing directory is accepted; absent: no.
        pub parents: Option<bool>,
    }

    /// Remove a file or an empty directory. Its result is empty.
    pub struct FsUnlink {
        /// Whether `path` names a directory; absent: no.
        pub dir: Option<bool>,
        /// The path.
        pub path: String,
    }

    /// Rename a file or a directory. An existing file at the new path is replaced. Its result is
    /// empty.
    pub struct FsRename {
        /// The new path.
        pub to: String,
        /// The old path.
        pub from: String,
    }

    /// The result of [`FsOpen`].
    pub struct Opened {
        /// The handle of the open file on this link, valid until it is closed or the link ends.
        pub handle: u32,
    }

    /// The result of [`FsRead`] and [`FsReadFile`].
    pub struct FileData {
        /// Whether the end of the file was reached.
        pub eof: bool,
        /// The bytes.
        pub data: Vec<u8>,
    }

    /// The result of [`FsWrite`] and [`FsWriteFile`].
    pub struct Written {
        /// How many bytes were written.
        pub written: u32,
    }

    /// The result of [`FsSeek`].
    pub struct Position {
        /// The new position of the cursor, from the start.
        pub position: u64,
    }

    /// The result of [`FsStat`].
    pub struct Stat {
        /// Its kind.
        pub kind: FileKind,
        /// Its permissions.
        pub perm: Permissions,
        /// Its length in bytes.
        pub size: u64,
        /// The time of the last change of its content, in milliseconds since 1970-01-01 UTC;
        /// absent: not known.
        pub mtime_ms: Option<i64>,
    }

    /// One entry of a directory.
    pub struct Entry {
        /// Its kind; a symbolic link is not followed.
        pub kind: FileKind,
        /// Its name, without the path.
        pub name: String,
        /// Its length in bytes; absent: not a regular file, or not known.
        pub size: Option<u64>,
    }

    /// The result of [`FsList`].
    pub struct Listing where not_too_long {
        /// Whether the directory has names after the last entry.
        pub more: bool,
        /// The entries in the bytewise order of their names, at most
        /// [`LIST_LEN_MAX`](crate::LIST_LEN_MAX).
        pub entries: Vec<Entry>,
        /// How many names in the whole directory are not UTF-8 and therefore not listed; absent:
        /// none.
        pub unlisted: Option<u32>,
    }
}

fn not_too_long(listing: &Listing) -> Result<(), FieldFault> {
    let got = listing.entries.len();
    if got > LIST_LEN_MAX {
        return Err(FieldFault::at(
            "entries",
            FieldFaultKind::TooMany {
                max: LIST_LEN_MAX,
                got,
            },
        ));
    }
    Ok(())
}
