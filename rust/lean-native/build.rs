//! Links the shared library of the compiled model, whose path a variable names. Without the
//! variable, the package can be type-checked but not linked.

use std::path::Path;

/// The variable that names the shared library.
const LIBRARY: &str = "ANTIPHON_LEAN_LIBRARY";

fn main() {
    println!("cargo::rerun-if-env-changed={LIBRARY}");
    let Some(library) = std::env::var_os(LIBRARY) else {
        return;
    };
    let library = Path::new(&library);
    let name = library.file_stem().and_then(|name| name.to_str());
    let name = name.and_then(|name| name.strip_prefix("lib"));
    let (Some(directory), Some(name)) = (library.parent(), name) else {
        println!(
            "cargo::error={LIBRARY} must be the path of a file `libNAME.so` or `libNAME.dylib`"
        );
        return;
    };
    println!("cargo::rustc-link-search=native={}", directory.display());
    println!("cargo::rustc-link-lib=dylib={name}");
}
