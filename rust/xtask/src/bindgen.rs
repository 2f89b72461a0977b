//! Generates the JavaScript and the types for a WASM module: `bindgen MODULE DIRECTORY`.
//! The generator is a dependency of this crate, so `Cargo.lock` keeps it at the same version as the
//! library in the module, and it need not be installed.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(module), Some(directory), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return fail("usage: bindgen MODULE DIRECTORY");
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("antiphon");
    // By default a page loads the module from the directory of the script.
    bindgen.omit_default_module_path(false);
    let generated = bindgen
        .web(true)
        .and_then(|bindgen| bindgen.typescript(true).generate(directory));
    match generated {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

#[expect(clippy::print_stderr, reason = "a build tool reports its errors")]
fn fail(why: &str) -> ExitCode {
    eprintln!("bindgen: {why}");
    ExitCode::FAILURE
}
