//! Cases that once diverged, kept as files. The suite runs them all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use antiphon_codec::{Item, decode_strict};

use crate::case::{CASE_LIMITS, Case, CaseError};

/// Why a fixture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// A file cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    Io {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file cannot be read as a case.
    #[error("`{}`: {error}", path.display())]
    Case {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        error: CaseError,
    },
    /// The `.diag` file does not match the case beside it.
    #[error("`{}` does not match the case beside it", path.display())]
    Text {
        /// The file's path.
        path: PathBuf,
    },
    /// The name is not a plain file name.
    #[error(
        "{} is not a fixture name: use letters, digits and `-` only",
        quoted(name)
    )]
    Name {
        /// The name.
        name: String,
    },
}

fn quoted(name: &str) -> String {
    if name.is_empty() {
        "\"\"".to_owned()
    } else {
        format!("`{name}`")
    }
}

/// Writes a case as `NAME.cbor`, and in readable form as `NAME.diag`. Returns the path of the
/// former.
///
/// # Errors
/// When a file cannot be written, or the name is not a plain file name.
pub fn write_fixture(folder: &Path, name: &str, case: &Case) -> Result<PathBuf, FixtureError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        let name = name.to_owned();
        return Err(FixtureError::Name { name });
    }
    let bytes = case.to_bytes();
    let path = folder.join(format!("{name}.cbor"));
    let write = |path: &Path, content: &[u8]| {
        replace(path, content).map_err(|error| FixtureError::Io {
            path: path.to_owned(),
            error,
        })
    };
    write(&path, &bytes)?;
    write(&path.with_extension("diag"), diag(&bytes).as_bytes())?;
    Ok(path)
}

/// Replaces a file atomically: after a failure the old file is unchanged.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    // The library's errors name the temporary file, so the system's error is kept.
    let mut code = None;
    let created = tempfile::Builder::new().make_in(folder.unwrap_or(Path::new(".")), |path| {
        let opened = fs::File::create_new(path);
        opened.inspect_err(|error| code = error.raw_os_error())
    });
    let mut file = created.map_err(|error| code.map_or(error, io::Error::from_raw_os_error))?;
    file.as_file_mut().write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads every case of a folder, in the order of the file names.
///
/// # Errors
/// When a file cannot be read as a case, or its `.diag` file does not match it.
pub fn read_fixtures(folder: &Path) -> Result<Vec<Case>, FixtureError> {
    let io = |error| FixtureError::Io {
        path: folder.to_owned(),
        error,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cbor")
        {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(read_fixture).collect()
}

fn read_fixture(path: PathBuf) -> Result<Case, FixtureError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| FixtureError::Io {
            path: path.to_owned(),
            error,
        })
    };
    let bytes = read(&path)?;
    let case = Case::from_bytes(&bytes);
    let case = case.map_err(|error| FixtureError::Case {
        path: path.clone(),
        error,
    })?;
    let path = path.with_extension("diag");
    if read(&path)? != diag(&bytes).as_bytes() {
        return Err(FixtureError::Text { path });
    }
    Ok(case)
}

/// The diagnostic notation of a case. Arrays that are too long for a line are broken up.
pub fn diag(bytes: &[u8]) -> String {
    match decode_strict(bytes, &CASE_LIMITS) {
        Ok(item) => {
            let mut text = String::new();
            lines(&item, 0, &mut text);
            text.push('\n');
            text
        }
        Err(error) => format!("/ not deterministic: {error} /\n"),
    }
}

/// The most characters of a line that is not broken up.
const LINE_MAX: usize = 96;

fn lines(item: &Item, depth: usize, text: &mut String) {
    let whole = item.to_string();
    let indent = "  ".repeat(depth);
    let Item::Array(items) = item else {
        text.push_str(&whole);
        return;
    };
    if indent.len() + whole.chars().count() <= LINE_MAX {
        text.push_str(&whole);
        return;
    }
    text.push_str("[\n");
    for (n, item) in items.iter().enumerate() {
        text.push_str(&indent);
        text.push_str("  ");
        lines(item, depth + 1, text);
        text.push_str(if n + 1 == items.len() { "\n" } else { ",\n" });
    }
    text.push_str(&indent);
    text.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand;

    #[test]
    fn a_fixture_is_replaced_atomically() {
        let folder = tempfile::tempdir().expect("a folder");
        let cases = hand::cases();
        let path =
            write_fixture(folder.path(), "same", &cases[0]).expect("the file can be written");
        let mut old = fs::File::open(&path).expect("the file exists");
        write_fixture(folder.path(), "same", &cases[1]).expect("the file can be written");
        let mut kept = Vec::new();
        io::Read::read_to_end(&mut old, &mut kept).expect("the file can be read");
        assert!(kept == cases[0].to_bytes(), "the old file was changed");
        assert!(fs::read(&path).expect("the file exists") == cases[1].to_bytes());
        let files = fs::read_dir(folder.path()).expect("the folder can be listed");
        assert_eq!(files.count(), 2);
    }

    #[test]
    fn an_error_names_the_fixture_and_no_temporary_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("none");
        let case = &hand::cases()[0];
        let error = write_fixture(&missing, "same", case).expect_err("no such folder");
        let path = missing.join("same.cbor");
        let reason = "No such file or directory (os error 2)";
        assert_eq!(error.to_string(), format!("`{}`: {reason}", path.display()));
        let error = write_fixture(&missing, "", case).expect_err("an empty name");
        assert!(error.to_string().starts_with("\"\" is not"), "{error}");
    }

    #[test]
    fn a_fixture_is_read_back_with_its_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let case = &hand::cases()[0];
        let path =
            write_fixture(folder.path(), "the-first", case).expect("the file can be written");
        let read = read_fixtures(folder.path()).expect("the fixtures can be read");
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].to_bytes(), case.to_bytes());
        let text = fs::read_to_string(path.with_extension("diag")).expect("the file exists");
        assert!(
            text.starts_with("[\n  \"message from A to B (cooperative)\",\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() < 120));

        fs::write(path.with_extension("diag"), "[]\n").expect("the file can be written");
        let error = read_fixtures(folder.path()).expect_err("the text does not match");
        assert!(
            error
                .to_string()
                .ends_with("does not match the case beside it")
        );
        for name in ["", "../up", "a b"] {
            assert!(write_fixture(folder.path(), name, case).is_err(), "{name}");
        }
    }
}
