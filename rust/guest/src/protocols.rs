//! The source texts of the protocols over a guest that come with the crate.

/// A command: `Exec` with the roles `Host` and `Feeder` for the application, `Agent` and `Sink` for
/// the guest.
pub const GUEST_EXEC: &str = include_str!("../protocols/guest_exec.anti");

/// Files: `CopyIn`, `CopyOut` and `Look`, with the role `Local` for the application and the
/// interface `Files` for the guest.
pub const GUEST_FILES: &str = include_str!("../protocols/guest_files.anti");

/// The other protocols of a copy to the guest: `LookAt`, which does not follow a link,
/// `PutInPlace`, which renames, and `Remove`. They have the role and interface of [`GUEST_FILES`].
pub const GUEST_COPY: &str = include_str!("../protocols/guest_copy.anti");
