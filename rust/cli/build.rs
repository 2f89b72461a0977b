//! Includes the package for the browser in the program if `ANTIPHON_VIEWER_PACKAGE` names its
//! folder, as `cargo xtask release` does. Without it, the program finds the package when it runs.

use std::path::Path;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(viewer_included)");
    println!("cargo:rerun-if-env-changed=ANTIPHON_VIEWER_PACKAGE");
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(folder) = std::env::var("ANTIPHON_VIEWER_PACKAGE") else {
        return;
    };
    for (file, variable) in [
        ("antiphon.js", "ANTIPHON_VIEWER_SCRIPT"),
        ("antiphon_bg.wasm", "ANTIPHON_VIEWER_MODULE"),
    ] {
        let path = Path::new(&folder).join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        println!("cargo:rustc-env={variable}={}", path.display());
    }
    println!("cargo:rustc-cfg=viewer_included");
}
