//! The protocols of the project, compiled.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_language::compile::Compiled;
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{LoadError, Loader, compile_source};

/// The directory of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Loads modules from the folder of a file, or from the fixtures.
struct SiblingLoader(PathBuf);

impl Loader for SiblingLoader {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        let name = module.replace('.', "/");
        for folder in [&self.0, &root().join("fixtures/language/modules")] {
            for extension in ["anti", "scr"] {
                let path = folder.join(&name).with_extension(extension);
                if let Ok(text) = fs::read_to_string(path) {
                    return Ok(Source::new(module, &text));
                }
            }
        }
        Err(LoadError::NotFound { looked: vec![name] })
    }
}

/// Every protocol of the project, with the name of its file.
pub(crate) fn protocols() -> Vec<(String, CheckedProtocol, Compiled)> {
    let mut made = Vec::new();
    for folder in [
        "fixtures/language/ok",
        "docs/examples",
        "rust/guest/protocols",
        "rust/cli/tests/data",
    ] {
        let folder = root().join(folder);
        let entries = fs::read_dir(&folder).expect("the folder exists");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("the file can be read").path())
            .collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "anti" || e == "scr"));
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path).expect("the file can be read");
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let loader = SiblingLoader(folder.clone());
            let built = compile_source(Source::new(&file, &text), &loader, &Limits::default());
            let built = built.unwrap_or_else(|report| panic!("{file}: {report}"));
            for (protocol, compiled) in built.protocols {
                made.push((file.clone().into_owned(), protocol, compiled));
            }
        }
    }
    made
}
