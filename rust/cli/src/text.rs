//! Reads protocol files and finds the modules that they import.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use antiphon_language::diagnostic::Diagnostic;
use antiphon_language::source::{SOURCE_LEN_MAX, Source};
use antiphon_language::{LoadError, Loader, decode};

use crate::problem::{InputError, Problem};
use crate::standard::StandardInput;

/// The path that means standard input.
const STDIN: &str = "-";

/// The extensions of protocol files, in the order in which a module is searched.
const ENDINGS: [&str; 2] = ["anti", "scr"];

/// Finds modules in the directory of the file that imports them: `import a.b;` is `a/b.anti` or
/// `a/b.scr` there.
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

/// Reads a file. Of a file that is too long, only one byte beyond the limit is read: that is enough
/// to refuse it.
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

/// Returns the name of a file in diagnostics.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Whether a path means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Reads the bytes of a protocol file.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    read(path).map_err(Problem::file("read", path))
}

/// Reads a protocol file. Text that is not valid UTF-8 gives a diagnostic and as much of the text
/// as can be shown.
pub(crate) fn source(path: &Path) -> Result<Result<Source, (Diagnostic, Source)>, Problem> {
    Ok(decode(&name(path), &bytes(path)?))
}

/// Reads a text file of at most `len_max` bytes.
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
