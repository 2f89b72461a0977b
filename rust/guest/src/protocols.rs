//! The protocols over a guest that come with the crate, as texts like any other.

/// A command: `Exec` with the roles `Host` and `Feeder` for the application, `Agent` and `Sink` for
/// the guest.
pub const GUEST_EXEC: &str = include_str!("../protocols/guest_exec.anti");

/// Files: `CopyIn`, `CopyOut` and `Look`, with the role `Local` for the application and the
/// interface `Files` for the guest.
pub const GUEST_FILES: &str = include_str!("../protocols/guest_files.anti");

/// What a copy to the guest needs beside [`GUEST_FILES`]: `LookAt`, which does not follow a link,
/// `PutInPlace`, which renames, and `Remove`, with the same role and interface.
pub const GUEST_COPY: &str = include_str!("../protocols/guest_copy.anti");
