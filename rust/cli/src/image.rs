//! Files with a compiled image, and the names in an image.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use antiphon_codec::Limits;
use antiphon_machine::bounds::IMAGE_LEN_MAX;
use antiphon_machine::{Canonical, CodeImage, VerifiedImage};

use crate::filter;
use crate::problem::{InputError, Problem};
use crate::text;

/// The first byte of an image: the head of a CBOR array. No UTF-8 text begins with one of these.
const ARRAY: std::ops::RangeInclusive<u8> = 0x80..=0x9f;

/// Reads an image from a file. Returns nothing when the file is text or standard input.
pub(crate) fn read(path: &Path) -> Result<Option<CodeImage>, Problem> {
    if text::is_stdin(path) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let limit = IMAGE_LEN_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(Problem::file("read", path))?;
    if !bytes.first().is_some_and(|byte| ARRAY.contains(byte)) {
        return Ok(None);
    }
    let limits = Limits {
        bytes_len: IMAGE_LEN_MAX,
        items: IMAGE_LEN_MAX,
        ..Limits::default()
    };
    let image = CodeImage::from_bytes(&bytes, limits);
    let not_an_image = |error| InputError::NotAnImage {
        path: path.to_owned(),
        error,
    };
    Ok(Some(image.map_err(not_an_image)?))
}

/// Returns the names of the image's roles, as the rows of a recording show them.
pub(crate) fn role_names(image: &VerifiedImage) -> Vec<String> {
    image
        .image()
        .roles
        .iter()
        .map(|role| filter::line(&role.name))
        .collect()
}
