//! Text that is cut to a length.

/// The longest prefix of `text` that has at most `len_max` bytes and ends between two characters.
///
/// ```
/// use antiphon_wire::truncated;
///
/// assert_eq!(truncated("naïve", 3), "na");
/// assert_eq!(truncated("naïve", 4), "naï");
/// ```
#[must_use]
pub fn truncated(text: &str, len_max: usize) -> &str {
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
