//! Writes the generated part of a page; the rest of the page is written by hand.

use std::collections::BTreeMap;

const BEGIN: &str = "<!-- bench-peers: begin -->";
const END: &str = "<!-- bench-peers: end -->";

/// The page with the text between the two marks replaced.
///
/// # Errors
/// When the page does not have exactly one such part.
pub fn replace(page: &str, section: &str) -> Result<String, String> {
    let (before, rest) = page.split_once(BEGIN).ok_or(format!("no line `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or(format!("no line `{END}` after it"))?;
    if after.contains(BEGIN) {
        return Err(format!("more than one line `{BEGIN}`"));
    }
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        section.trim()
    ))
}

/// The introduction of the tables: when, where and against which versions the run was made.
pub fn method(about: &BTreeMap<String, String>) -> String {
    let get = |name: &str| about.get(name).map_or("?", String::as_str);
    format!(
        "Written by `cargo xtask bench-peers` on {}: {}, {}, {} rounds, load {} before the run.\n\
         Against telltale-machine {}, tokio {}, crossbeam-channel {}.\n\n",
        get("date"),
        get("machine"),
        get("compiler"),
        get("rounds"),
        get("load"),
        get("telltale-machine"),
        get("tokio"),
        get("crossbeam-channel"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_changes() {
        let page = format!("# One\n\n{BEGIN}\nold\n{END}\n\n## Two\n");
        let new = replace(&page, "new\n").expect("it has the marks");
        assert_eq!(new, format!("# One\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Two\n"));
        assert_eq!(replace(&new, "new"), Ok(new.clone()));
    }

    #[test]
    fn a_page_without_the_marks_is_rejected() {
        for page in [
            "nothing".to_owned(),
            BEGIN.to_owned(),
            format!("{END}\n{BEGIN}"),
            format!("{BEGIN}{END}{BEGIN}{END}"),
        ] {
            assert!(replace(&page, "x").is_err(), "{page}");
        }
    }
}
