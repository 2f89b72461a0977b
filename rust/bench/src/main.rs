//! The program that measures time.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon_bench::main(None)
}
