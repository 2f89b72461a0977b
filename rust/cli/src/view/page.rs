//! The page, from its parts: style, markup and scripts.

use std::io::{self, Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use base64::write::EncoderWriter;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::package::Package;

const STYLE: &str = include_str!("style.css");
const BODY: &str = include_str!("index.html");
pub(super) const WORKER: &str = include_str!("worker.js");

/// The page's modules, each after those that it imports.
const MODULES: [&str; 9] = [
    include_str!("dom.js"),
    include_str!("link.js"),
    include_str!("list.js"),
    include_str!("sequence.js"),
    include_str!("automata.js"),
    include_str!("detail.js"),
    include_str!("timeline.js"),
    include_str!("verdict.js"),
    include_str!("view.js"),
];

/// Joins the modules into one script, so that the page is one document in both forms and its policy
/// has one hash. Names are unique across the modules, and `import` and `export` are at the start of
/// a line.
fn script() -> String {
    let mut script = String::new();
    for line in MODULES.iter().flat_map(|module| module.lines()) {
        if !line.starts_with("import ") {
            script.push_str(line.strip_prefix("export ").unwrap_or(line));
            script.push('\n');
        }
    }
    script
}

/// The policy of a served page. `'self'` is the server, which serves five files.
fn served_policy(script: &str) -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}' 'self' 'wasm-unsafe-eval'; style-src \
         'sha256-{}'; worker-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(script),
        hash(STYLE)
    )
}

/// The policy of a page in a file, which fetches nothing. `blob:` URLs are made from texts in the
/// page.
fn file_policy(script: &str) -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}' blob: 'wasm-unsafe-eval'; style-src \
         'sha256-{}'; worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(STYLE)
    )
}

/// Returns the page for a server and its policy.
pub(super) fn served(name: &str) -> (String, String) {
    let script = script();
    let parts = json!({ "served": true, "name": name });
    let page = format!(
        "{}{BODY}{}{}",
        head(None),
        block("parts", "application/json", &data(&parts)),
        foot(&script)
    );
    (page, served_policy(&script))
}

/// Writes the page with all its parts.
pub(crate) fn write(
    name: &str,
    package: &Package,
    recording: &mut impl Read,
    out: &mut impl Write,
) -> io::Result<()> {
    let script = script();
    let parts = json!({
        "served": false, "name": name, "worker": WORKER, "package": package.script,
    });
    out.write_all(head(Some(&file_policy(&script))).as_bytes())?;
    out.write_all(BODY.as_bytes())?;
    out.write_all(block("parts", "application/json", &data(&parts)).as_bytes())?;
    encoded(out, "wasm", &mut &package.module[..])?;
    encoded(out, "recording", recording)?;
    out.write_all(foot(&script).as_bytes())?;
    out.flush()
}

fn encoded(out: &mut impl Write, id: &str, bytes: &mut impl Read) -> io::Result<()> {
    write!(
        out,
        "<script type=\"application/octet-stream\" id=\"{id}\">"
    )?;
    let mut encoder = EncoderWriter::new(&mut *out, &BASE64_STANDARD);
    io::copy(bytes, &mut encoder)?;
    encoder.finish()?;
    drop(encoder);
    out.write_all(b"</script>\n")
}

fn head(policy: Option<&str>) -> String {
    let policy = policy.map_or_else(String::new, |policy| {
        format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n")
    });
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{policy}\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"referrer\" \
         content=\"no-referrer\">\n\
         <link rel=\"icon\" \
         href=\"data:,\">\n<title>Antiphon</title>\n<style>{STYLE}</style>\n</head>\n"
    )
}

fn foot(script: &str) -> String {
    format!("<script type=\"module\">{script}</script>\n</body>\n</html>\n")
}

/// A script element that a browser does not run.
fn block(id: &str, kind: &str, text: &str) -> String {
    format!("<script type=\"{kind}\" id=\"{id}\">{text}</script>\n")
}

/// JSON for a script element: without `<`, it contains neither an end tag nor a comment.
fn data(document: &serde_json::Value) -> String {
    document.to_string().replace('<', "\\u003c")
}

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_form_one_valid_script() {
        let script = script();
        let begins = |word: &str| script.lines().any(|line| line.starts_with(word));
        assert!(!begins("import ") && !begins("export "));
        assert!(!script.contains("</script") && !WORKER.contains("</script"));
        assert!(!script.contains("innerHTML") && !script.contains("eval("));
    }

    #[test]
    fn names_are_unique_across_modules() {
        let script = script();
        let mut names: Vec<&str> = Vec::new();
        for line in script.lines() {
            let declared = ["const ", "let ", "class ", "function ", "async function "];
            let name = declared.iter().find_map(|word| line.strip_prefix(word));
            let name = name.and_then(|rest| rest.split([' ', '(', '=', ';']).next());
            names.extend(name.filter(|name| !name.starts_with('{')));
        }
        let all = names.len();
        assert!(all > 50, "{all} names");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_hostile_name_stays_in_its_block() {
        let (page, _) = served("</script><script>alert(1)</script>");
        assert!(!page.contains("<script>alert"));
    }

    #[test]
    fn a_page_in_a_file_contains_all_parts() {
        let package = Package {
            script: "export {}".to_owned(),
            module: vec![0, 97, 115, 109],
        };
        let mut page = Vec::new();
        write("a.rec", &package, &mut &b"recording"[..], &mut page).expect("memory can be written");
        let page = String::from_utf8(page).expect("it is text");
        assert!(page.contains("id=\"wasm\">AGFzbQ==</script>"));
        assert!(page.contains("id=\"recording\">cmVjb3JkaW5n</script>"));
        assert!(!page.contains("http://") || page.contains("http://www.w3.org/2000/svg"));
    }
}
