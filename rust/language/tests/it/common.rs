//! Helpers shared by the tests: the fixtures, and a loader for the modules among them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_language::ast::Ast;
use antiphon_language::source::Source;
use antiphon_language::{LoadError, Loader};

/// The folder of the language's fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/language")
}

/// Reads a file as a source named after the file, without its folders.
pub(crate) fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("the fixture is readable");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Source {
        name: Arc::from(name.as_ref()),
        text: Arc::from(text),
    }
}

/// Loads the modules of `fixtures/language/modules`.
pub(crate) struct Files;

impl Loader for Files {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        let path = fixtures().join("modules").join(module.replace('.', "/"));
        for extension in ["anti", "scr"] {
            let path = path.with_extension(extension);
            if path.exists() {
                return Ok(read(&path));
            }
        }
        Err(LoadError::NotFound {
            looked: vec![format!("{}.anti", module.replace('.', "/"))],
        })
    }
}

/// The comments of a tree, without trailing blanks and carriage returns.
pub(crate) fn comments(ast: &Ast) -> Vec<String> {
    let text = &ast.trivia.text;
    let comments = ast.trivia.comments.iter();
    comments
        .map(|span| text[span.range()].trim_end().replace("\r\n", "\n"))
        .collect()
}
