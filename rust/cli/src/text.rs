//! Protocol files: reading them, and finding the modules they import.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use antiphon_language::diagnostic::Diagnostic;
use antiphon_language::source::{SOURCE_LEN_MAX, Source};
use antiphon_language::{LoadError, Loader, decode};

use crate::problem::{InputError, Problem};
use crate::standard::StandardInput;

/// What stands for standard input on a command line.
const STDIN: &str = "-";

/// The endings of protocol files, in the order in which a module is looked for.
const ENDINGS: [&str; 2] = ["anti", "scr"];

/// Finds modules beside the file that imports them: `import a.b;` is `a/b.anti` or `a/b.scr` in its directory.
#[derive(Clone, Debug)]
pub(crate) struct SiblingLoader {
    directory: PathBuf,
}

impl SiblingLoader {
    pub(crate) fn of(file: &Path) -> SiblingLoader {
        SiblingLoader {
            directory: file.parent().map(Path::to_owned).unwrap_or_default(),
        }
    }
}

impl Loader for SiblingLoader {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        let base: PathBuf = module.split('.').collect();
        let mut looked = Vec::new();
        for ending in ENDINGS {
            let path = self.directory.join(&base).with_extension(ending);
            let name = path.display().to_string();
            match read(&path) {
                Ok(bytes) => {
                    return decode(&name, &bytes).map_err(|(found, _)| LoadError::Unreadable {
                        reason: found.message,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => looked.push(name),
                Err(error) => {
                    return Err(LoadError::Unreadable {
                        reason: error.to_string(),
                    });
                }
            }
        }
        Err(LoadError::NotFound { looked })
    }
}

/// The bytes of a file, as far as they can be a protocol: one byte more than the limit is enough to be refused.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = SOURCE_LEN_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new(STDIN) {
        StandardInput.take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The name of a file in diagnostics.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// A file's text, or what is wrong with its bytes and as much of it as can be shown.
pub(crate) fn source(path: &Path) -> Result<Result<Source, (Diagnostic, Source)>, Problem> {
    let bytes = read(path).map_err(Problem::file("read", path))?;
    Ok(decode(&name(path), &bytes))
}

/// A whole text file that is not a protocol.
pub(crate) fn plain(path: &Path, len_max: u64) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let reading = |bytes: &mut Vec<u8>| {
        if is_stdin(path) {
            StandardInput.take(len_max + 1).read_to_end(bytes)
        } else {
            File::open(path)?.take(len_max + 1).read_to_end(bytes)
        }
    };
    reading(&mut bytes).map_err(Problem::file("read", path))?;
    if bytes.len() as u64 > len_max {
        let path = path.to_owned();
        return Err(InputError::TooLong { path, max: len_max }.into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let (path, at) = (path.to_owned(), error.utf8_error().valid_up_to());
        InputError::NotText { path, at }.into()
    })
}
