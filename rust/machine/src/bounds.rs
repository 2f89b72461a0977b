//! The bounds that are part of the format: an image outside them is refused at load, whatever the configuration.

/// Registers of a coroutine. Sixteen fit in six cache lines, and programs of two-party pieces need fewer than ten.
pub const REGISTERS_MAX: u8 = 16;

/// Roles of an image. The safety exploration, the ready queue and people stop coping long before.
pub const ROLES_MAX: usize = 64;

/// Labels, operations, interfaces and programs of an image, each: room for generated protocols, below the 16-bit ids.
pub const TABLE_LEN_MAX: usize = 4096;

/// Sorts of an image.
pub const SORTS_MAX: usize = 4096;

/// How deep sorts may nest, and so how deep a value can be: bounds the stack of everything that walks one.
pub const SORT_DEPTH_MAX: u32 = 16;

/// States of one role's automaton.
pub const STATES_MAX: usize = 65_536;

/// Instructions of one program.
pub const CODE_LEN_MAX: usize = 65_536;

/// Branches of a state, arms of an instruction, fields of a record, arguments of an operation.
pub const BRANCHES_MAX: usize = 1024;

/// Bytes of a name.
pub const NAME_LEN_MAX: usize = 256;

/// Bytes of an encoded constant: as much as a payload, so that whatever can be sent can be written down, and comparing
/// constants where paths meet stays cheap.
pub const CONSTANT_LEN_MAX: usize = 64 << 10;

/// Bytes of an encoded image: what a loader reads before it gives up.
pub const IMAGE_LEN_MAX: usize = 8 << 20;

/// Bytes of the sentence in a failure: enough for a path and a reason, too little to smuggle a payload.
pub const DETAIL_LEN_MAX: usize = 1024;

/// Steps of a wave: picks times quantum. The events of a wave are kept until it is done, so this bounds memory to some hundred
/// megabytes at worst; it is four times what waves have by default.
pub const WAVE_STEPS_MAX: u64 = 1 << 20;
