//! The bounds that are part of the format. Verification refuses an image that exceeds one, whatever
//! the configuration.

/// Registers of a coroutine. Sixteen fit in six cache lines; the programs of two-party protocols
/// need fewer than ten.
pub const REGISTERS_MAX: u8 = 16;

/// Roles of an image. The safety exploration, the ready queue and readers of a protocol reach their
/// limits well before it.
pub const ROLES_MAX: usize = 64;

/// Labels, operations, interfaces and programs of an image, for each table: room for generated
/// protocols, and below the 16-bit ids.
pub const TABLE_LEN_MAX: usize = 4096;

/// Sorts of an image.
pub const SORTS_MAX: usize = 4096;

/// Depth to which sorts may nest, and so the depth of a value. It bounds the stack of every
/// recursive walk.
pub const SORT_DEPTH_MAX: u32 = 16;

/// States of one role's automaton.
pub const STATES_MAX: usize = 65_536;

/// Instructions of one program.
pub const CODE_LEN_MAX: usize = 65_536;

/// Branches of a state, arms of an instruction, fields of a record, arguments of an operation.
pub const BRANCHES_MAX: usize = 1024;

/// Bytes of a name.
pub const NAME_LEN_MAX: usize = 256;

/// Bytes of an encoded constant: as many as a payload may have, so that a program can write any
/// value that it can send. It keeps comparing constants where paths meet cheap.
pub const CONSTANT_LEN_MAX: usize = 64 << 10;

/// Bytes of an encoded image: the most that a loader reads.
pub const IMAGE_LEN_MAX: usize = 8 << 20;

/// Bytes of a failure's detail: enough for a path and a reason, too few to carry a payload.
pub const DETAIL_LEN_MAX: usize = 1024;

/// Steps of a wave: picks times quantum. A wave keeps its events until it is committed, so this
/// bounds their memory to a few hundred megabytes at worst. Waves have a quarter of it by default.
pub const WAVE_STEPS_MAX: u64 = 1 << 20;
