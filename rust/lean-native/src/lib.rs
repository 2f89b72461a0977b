//! Runs the compiled Lean model in this process, through the bindings of `lean-sys`.
//!
//! The bridge's oracle starts a Lean process for each corpus file. With a native Lean, a program
//! can instead link the compiled model and call [`Model::run_case`], which runs one case:
//! `Antiphon.runCase` in `lean/Runtime/Native.lean`. The README explains how to build and link it.
//!
//! This is the only package of the project with `unsafe` code, and it is outside the workspace.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use lean_sys::{
    LEAN_INIT_MUTEX, lean_box, lean_byte_array_mk, lean_dec, lean_initialize_runtime_module,
    lean_io_mark_end_initialization, lean_io_result_is_ok, lean_io_result_show_error,
    lean_mk_array, lean_obj_arg, lean_obj_res, lean_sarray_cptr, lean_sarray_size,
};

// The calling convention is that of Lean 4.28, which `lean/lean-toolchain` names.
unsafe extern "C" {
    /// Initializes the module `Runtime.Native` of the package `antiphon`, and the modules that it
    /// imports. Returns an owned result of `IO Unit`.
    fn initialize_antiphon_Runtime_Native(builtin: u8) -> lean_obj_res;

    /// `Antiphon.runCase : ByteArray → ByteArray`. It has the attribute `export`, so it takes its
    /// argument as owned. Returns an owned object.
    fn antiphon_run_case(case: lean_obj_arg) -> lean_obj_res;
}

/// The value that a program's own `main`, as Lean compiles it, passes to the initialization.
const BUILTIN: u8 = 1;

/// Whether the model was started in this process.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The compiled model. It stays on the thread that started it, because Lean's runtime must be
/// initialized on each thread that uses it.
#[derive(Debug)]
pub struct Model {
    /// A pointer is neither `Send` nor `Sync`, so the model is neither.
    this_thread: PhantomData<*const ()>,
}

/// Why the model cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// There is one model in a process.
    #[error("the model can be started once in a process, and it was started before")]
    StartedBefore,
    /// A module of the model failed. Lean has printed its error.
    #[error("the compiled model cannot be initialized; Lean's error is on standard error")]
    Initialization,
}

impl Model {
    /// Initializes Lean's runtime and the model. No other code of the process may use Lean.
    ///
    /// # Errors
    /// When the model was started before, or its initialization fails.
    pub fn start() -> Result<Model, StartError> {
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(StartError::StartedBefore);
        }
        let _lock = LEAN_INIT_MUTEX.lock();
        // SAFETY: `STARTED` and the lock ensure that this runs once, and on one thread.
        unsafe { lean_initialize_runtime_module() };
        // SAFETY: The runtime is initialized. The model's modules use core Lean only, so they do
        // not need `lean_initialize`.
        let result = unsafe { initialize_antiphon_Runtime_Native(BUILTIN) };
        // SAFETY: `result` is the result of an `IO` action, which is an object with a tag.
        let is_ok = unsafe { lean_io_result_is_ok(result) };
        if !is_ok {
            // SAFETY: `result` is an error, which is only borrowed here.
            unsafe { lean_io_result_show_error(result) };
        }
        // SAFETY: `result` is owned by this function, which does not use it again.
        unsafe { lean_dec(result) };
        if !is_ok {
            return Err(StartError::Initialization);
        }
        // SAFETY: All modules are initialized, and this thread still has the lock.
        unsafe { lean_io_mark_end_initialization() };
        Ok(Model {
            this_thread: PhantomData,
        })
    }

    /// Runs one case. `case` is the content of its byte string in a corpus file, and the result is
    /// its item in an output file, both as `docs/parity.md` describes them. Bytes that are not a
    /// case have a result, too.
    pub fn run_case(&self, case: &[u8]) -> Vec<u8> {
        let argument = self.byte_array(case);
        // SAFETY: The model is initialized on this thread, because a `Model` exists and does not
        // leave its thread. `argument` is an owned byte array, which is not used again.
        let output = unsafe { antiphon_run_case(argument) };
        // SAFETY: `output` is a byte array.
        let len = unsafe { lean_sarray_size(output) };
        // SAFETY: As above.
        let data = unsafe { lean_sarray_cptr(output) };
        // SAFETY: A byte array has `len` initialized bytes from `data` on. They are neither changed
        // nor freed before `output` is released below.
        let bytes = unsafe { std::slice::from_raw_parts(data, len) }.to_vec();
        // SAFETY: `output` is owned by this function, which does not use it again.
        unsafe { lean_dec(output) };
        bytes
    }

    /// An owned byte array with this content. Lean's runtime allocates it, as an array of zeros and
    /// then as bytes: so this crate need not know which allocator and which object header this
    /// build of Lean has.
    fn byte_array(&self, bytes: &[u8]) -> lean_obj_res {
        // SAFETY: The runtime is initialized on this thread. Both arguments are small numbers: a
        // slice is at most `isize::MAX` bytes long, and every such length can be boxed.
        let zeros = unsafe { lean_mk_array(lean_box(bytes.len()), lean_box(0)) };
        // SAFETY: `zeros` is an owned array of boxed `UInt8` values and is not used again.
        let array = unsafe { lean_byte_array_mk(zeros) };
        // SAFETY: `array` is a byte array.
        let data = unsafe { lean_sarray_cptr(array) };
        // SAFETY: `array` is new, so it is not shared, does not overlap `bytes`, and has exactly
        // `bytes.len()` bytes from `data` on.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len()) };
        array
    }
}
