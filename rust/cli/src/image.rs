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

/// The content of a file that is an image or a protocol file.
pub(crate) enum Content {
    Image(CodeImage),
    /// The bytes of a file that is not an image, and of standard input.
    Source(Vec<u8>),
}

/// Reads an image or a protocol file. It is read once, so that it may be a pipe.
pub(crate) fn read(path: &Path) -> Result<Content, Problem> {
    if text::is_stdin(path) {
        return Ok(Content::Source(text::bytes(path)?));
    }
    let mut bytes = Vec::new();
    let limit = IMAGE_LEN_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(Problem::file("read", path))?;
    if !bytes.first().is_some_and(|byte| ARRAY.contains(byte)) {
        return Ok(Content::Source(bytes));
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
    Ok(Content::Image(image.map_err(not_an_image)?))
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
