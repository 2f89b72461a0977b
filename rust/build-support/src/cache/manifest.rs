//! The manifest of an entry, a text file:
//!
//! ```text
//! antiphon-cache<TAB>BYTES
//! file<TAB>MODE<TAB>BYTES<TAB>DIGEST<TAB>PATH
//! link<TAB>TARGET<TAB>PATH
//! end<TAB>DIGEST of all lines before
//! ```
//!
//! Files are sorted by path. MODE is `x` for an executable file and `-` for any other.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use super::{Check, entry};
use crate::Problem;

const NAME: &str = "manifest";
const HEADER: &str = "antiphon-cache";

/// Writes the manifest of an entry whose files are complete.
pub(super) fn write(entry: &Path) -> Result<(), Problem> {
    let path = entry.join(NAME);
    let text = scan(&entry.join(entry::CONTENT))?;
    fs::write(&path, text).map_err(Problem::file(&path))
}

/// Records that an entry is used now.
pub(super) fn touch(entry: &Path) -> Result<(), Problem> {
    let path = entry.join(NAME);
    let file = File::options().append(true).open(&path);
    file.and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(Problem::file(&path))
}

/// The size of an entry's files in bytes, and when it was last used; `None` if the manifest is not
/// readable.
pub(super) fn summary(entry: &Path) -> Option<(u64, SystemTime)> {
    let file = File::open(entry.join(NAME)).ok()?;
    let last_use = file.metadata().ok()?.modified().ok()?;
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).ok()?;
    let bytes = line.trim_end().strip_prefix(HEADER)?.strip_prefix('\t')?;
    Some((bytes.parse().ok()?, last_use))
}

/// Compares an entry's files with its manifest. The error describes the damage.
pub(super) fn verify(entry: &Path, check: Check) -> Result<(), String> {
    let text = fs::read_to_string(entry.join(NAME)).map_err(|error| error.to_string())?;
    let (lines, end) = text
        .rsplit_once("end\t")
        .ok_or("the manifest has no end".to_owned())?;
    if end.trim_end() != digest(lines) {
        return Err("the manifest has changed".to_owned());
    }
    let content = entry.join(entry::CONTENT);
    match check {
        Check::Digests => {
            let found = scan(&content).map_err(|problem| problem.to_string())?;
            if found == text {
                return Ok(());
            }
            let found: Vec<&str> = found.lines().collect();
            let changed = text.lines().skip(1).find(|line| !found.contains(line));
            let path = changed.and_then(|line| line.rsplit('\t').next());
            Err(match path {
                Some(path) if changed.is_some_and(|line| !line.starts_with("end")) => {
                    format!("`{path}` has changed")
                }
                _ => "it has a file that is not in its manifest".to_owned(),
            })
        }
        Check::Sizes => lines
            .lines()
            .filter_map(|line| line.strip_prefix("file\t"))
            .try_for_each(|line| check_size(&content, line)),
    }
}

fn check_size(content: &Path, line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [_, bytes, _, path] = fields[..] else {
        return Err("the manifest cannot be read".to_owned());
    };
    let found = fs::metadata(content.join(path)).map(|data| data.len().to_string());
    if found.is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    Err(format!("`{path}` has changed"))
}

/// The manifest of the files in a directory.
fn scan(content: &Path) -> Result<String, Problem> {
    let mut bytes = 0;
    let mut files = String::new();
    scan_below(content, "", &mut files, &mut bytes)?;
    let lines = format!("{HEADER}\t{bytes}\n{files}");
    let end = digest(&lines);
    Ok(format!("{lines}end\t{end}\n"))
}

fn scan_below(
    place: &Path,
    prefix: &str,
    files: &mut String,
    bytes: &mut u64,
) -> Result<(), Problem> {
    for path in super::children(place)? {
        let name = path.file_name().unwrap_or_default();
        let name = name
            .to_str()
            .filter(|name| !name.contains(['\t', '\n']))
            .ok_or_else(|| Problem::CachePath { path: path.clone() })?;
        let below = format!("{prefix}{name}");
        let data = fs::symlink_metadata(&path).map_err(Problem::file(&path))?;
        if data.is_symlink() {
            let target = fs::read_link(&path).map_err(Problem::file(&path))?;
            *files += &format!("link\t{}\t{below}\n", target.display());
        } else if data.is_dir() {
            scan_below(&path, &format!("{below}/"), files, bytes)?;
        } else {
            let mut hasher = blake3::Hasher::new();
            let file = File::open(&path).map_err(Problem::file(&path))?;
            hasher.update_reader(file).map_err(Problem::file(&path))?;
            let mode = if data.permissions().mode() & 0o100 == 0 {
                '-'
            } else {
                'x'
            };
            let length = data.len();
            *bytes += length;
            let digest = hasher.finalize().to_hex();
            *files += &format!("file\t{mode}\t{length}\t{digest}\t{below}\n");
        }
    }
    Ok(())
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
