//! Makes the JavaScript and the types around a WASM module: `bindgen MODULE FOLDER`. The library that does it stands in
//! `Cargo.lock` beside the one that the module was built with, so they are of one version without anything to install.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(module), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return fail("usage: bindgen MODULE FOLDER");
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("antiphon");
    // A page that says nothing gets the module from beside the script.
    bindgen.omit_default_module_path(false);
    let made = bindgen
        .web(true)
        .and_then(|bindgen| bindgen.typescript(true).generate(folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

#[expect(clippy::print_stderr, reason = "a build tool says what is wrong")]
fn fail(why: &str) -> ExitCode {
    eprintln!("bindgen: {why}");
    ExitCode::FAILURE
}
