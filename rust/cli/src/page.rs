//! A recording as one page that needs nothing else: timeline, sequence diagram, effects.
//!
//! What the recording says is hostile. It stands in the page as data that no browser runs, its script puts it in as
//! text only, and the page's own policy lets nothing run or load but the script and style written here.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use antiphon_machine::VerifiedImage;
use antiphon_record::Tail;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::commands::show::names;
use crate::filter;
use crate::problem::Problem;
use crate::story::{Kind, Row};
use crate::telling::Telling;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const BODY: &str = include_str!("page/body.html");

/// The most rows of a page: some 100 MB, which is what a browser reads without a pause that annoys. The page counts
/// what is left out.
const ROWS_MAX: u64 = 500_000;

/// Characters of each value in the page.
const PREVIEW: usize = 240;

/// Writes the page. Memory is that of its table of names.
pub(crate) fn write(
    telling: &mut Telling,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), Problem> {
    let mut page = Page {
        out,
        strings: HashMap::new(),
        order: Vec::new(),
        roles: Vec::new(),
    };
    page.begin(path)?;
    let (mut written, mut left_out) = (0u64, 0u64);
    while let Some((row, image)) = telling.next()? {
        if let Some(image) = image.as_deref() {
            page.learn(image);
        }
        if written == ROWS_MAX {
            left_out += 1;
            continue;
        }
        page.row(&row, image.as_deref(), written == 0)?;
        written += 1;
    }
    page.end(telling, path, left_out)
}

struct Page<'o, W> {
    out: &'o mut W,
    /// Names that rows refer to by number.
    strings: HashMap<String, usize>,
    order: Vec<String>,
    /// The lanes: the roles of all images, in the order in which they are met.
    roles: Vec<String>,
}

impl<W: Write> Page<'_, W> {
    fn begin(&mut self, path: &Path) -> Result<(), Problem> {
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; \
             base-uri 'none'; form-action 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        let title = escape(&filter::line(&path.display().to_string()));
        self.text(&format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n{BODY}\
             <script type=\"application/json\" id=\"rows\">[\n"
        ))
    }

    fn row(
        &mut self,
        row: &Row,
        image: Option<&VerifiedImage>,
        first: bool,
    ) -> Result<(), Problem> {
        let number = |n: Option<u64>| n.map_or(json!(-1), |n| json!(n));
        let from = row.from.as_deref().map_or(-1, |name| self.string(name));
        let to = row.to.as_deref().map_or(-1, |name| self.string(name));
        let what = if row.what.is_empty() {
            -1
        } else {
            self.string(&row.what)
        };
        let note = match (row.is_inside_guest, row.note.as_str()) {
            (false, note) => note.to_owned(),
            (true, "") => "inside the guest".to_owned(),
            (true, note) => format!("{note}, inside the guest"),
        };
        let document = json!([
            row.kind as u8,
            row.step,
            row.clock,
            number(row.session.map(u64::from)),
            from,
            to,
            what,
            number(row.number),
            row.values_text(image, PREVIEW),
            note,
        ]);
        let comma = if first { "" } else { ",\n" };
        self.text(&format!("{comma}{}", data(&document)))
    }

    fn end(&mut self, telling: &Telling, path: &Path, left_out: u64) -> Result<(), Problem> {
        let header = telling.header();
        let (tail, tail_class) = match telling.tail() {
            _ if telling.has_diverged() => ("its replay goes another way".to_owned(), "bad"),
            Some(Tail::Sealed) | None => ("complete".to_owned(), "good"),
            Some(tail @ (Tail::Open | Tail::Torn { .. })) => (tail.to_string(), "odd"),
            Some(tail @ Tail::Damaged(_)) => (tail.to_string(), "bad"),
        };
        let head = json!({
            "strings": self.order,
            "head": {
                "title": filter::line(&path.display().to_string()),
                "tool": format!("recorded by {}", filter::line(&header.tool)),
                "notes": header.notes.iter()
                    .map(|(name, text)| [filter::line(name), filter::line(text)])
                    .collect::<Vec<_>>(),
                "source": header.source,
                "roles": self.roles,
                "kinds": Kind::ALL.map(Kind::name),
                "tail": filter::line(&tail),
                "tail_class": tail_class,
                "left_out": left_out,
            },
        });
        self.text(&format!(
            "\n]</script>\n<script type=\"application/json\" id=\"head\">{}</script>\n\
             <script>{SCRIPT}</script>\n</body>\n</html>\n",
            data(&head)
        ))?;
        self.out.flush().map_err(Problem::stdout)
    }

    fn learn(&mut self, image: &VerifiedImage) {
        for role in names(image) {
            if !self.roles.contains(&role) {
                self.roles.push(role);
            }
        }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index as i64;
        }
        let index = self.order.len();
        self.strings.insert(text.to_owned(), index);
        self.order.push(text.to_owned());
        index as i64
    }

    fn text(&mut self, text: &str) -> Result<(), Problem> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|error: io::Error| Problem::stdout(error))
    }
}

/// JSON that can stand in a script element: no `<`, so neither its end nor a comment.
fn data(document: &serde_json::Value) -> String {
    document.to_string().replace('<', "\\u003c")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()))
}
