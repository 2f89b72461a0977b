//! The same program with a counting allocator, which would slow down measurements of time.

use std::alloc::System;
use std::process::ExitCode;

use antiphon_bench::one::Heap;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    antiphon_bench::main(Some(|| {
        let stats = COUNTED.stats();
        Heap {
            allocations: (stats.allocations + stats.reallocations) as u64,
            held: stats
                .bytes_allocated
                .saturating_sub(stats.bytes_deallocated) as u64,
        }
    }))
}
