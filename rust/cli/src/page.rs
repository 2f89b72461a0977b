//! A recording as one page that needs nothing else: timeline, sequence diagram, effects.
//!
//! What the recording says is hostile. It stands in the page as data that no browser runs, its script puts it in as
//! text only, and the page's own policy lets nothing run or load but the script and style written here.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use antiphon_machine::VerifiedImage;
use antiphon_record::Tail;
use antiphon_record::describe::count;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::commands::show::names;
use crate::filter;
use crate::kept::{Beyond, Totals};
use crate::problem::Problem;
use crate::story::{Kind, Row};
use crate::telling::Telling;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const BODY: &str = include_str!("page/body.html");

/// How much a page holds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The first rows of the recording.
    rows: u64,
    /// Rows of trouble beyond them, from the first and from the last each.
    trouble: usize,
    /// Ends of sessions beyond them, from the first and from the last each.
    ends: usize,
}

/// 500,000 rows are some 100 MB, which is what a browser reads without a pause that annoys; the rows beyond add 2 MB at
/// most. The page counts what is left out.
const BOUNDS: Bounds = Bounds {
    rows: 500_000,
    trouble: 1_000,
    ends: 10_000,
};

/// Characters of each value in the page.
const PREVIEW: usize = 240;

/// Writes the page. Memory is that of its table of names, and of the rows that are kept beyond its bound.
pub(crate) fn write(
    telling: &mut Telling,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), Problem> {
    write_bounded(telling, path, out, BOUNDS)
}

fn write_bounded(
    telling: &mut Telling,
    path: &Path,
    out: &mut impl Write,
    bounds: Bounds,
) -> Result<(), Problem> {
    let mut page = Page {
        out,
        strings: HashMap::new(),
        order: Vec::new(),
        roles: Vec::new(),
        totals: Totals::default(),
        written: 0,
    };
    page.begin(path)?;
    let mut beyond = Beyond::new(bounds.trouble, bounds.ends);
    let mut last = (0, 0);
    while let Some((row, image)) = telling.next()? {
        if let Some(image) = image.as_deref() {
            page.learn(image);
        }
        let place = page.totals.rows();
        page.totals.add(&row);
        last = (row.step, row.clock);
        if place < bounds.rows {
            let document = page.document(&row, image.as_deref());
            page.row(&document)?;
            continue;
        }
        beyond.push(place, &row, || {
            (last, page.document(&row, image.as_deref()))
        });
    }
    page.end(telling, path, beyond, (bounds.rows, last))
}

/// The step and the clock of a row.
type Moment = (u64, u64);

struct Page<'o, W> {
    out: &'o mut W,
    /// Names that rows refer to by number.
    strings: HashMap<String, usize>,
    order: Vec<String>,
    /// The lanes: the roles of all images, in the order in which they are met.
    roles: Vec<String>,
    /// Of the whole recording.
    totals: Totals,
    /// Rows in the page, notes of what is left out included.
    written: u64,
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

    fn document(&mut self, row: &Row, image: Option<&VerifiedImage>) -> Value {
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
        json!([
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
        ])
    }

    fn row(&mut self, document: &Value) -> Result<(), Problem> {
        let comma = if self.written == 0 { "" } else { ",\n" };
        self.written += 1;
        self.text(&format!("{comma}{}", data(document)))
    }

    /// Writes a row that reports how many rows are not in the page.
    fn gap(&mut self, rows: u64, (step, clock): Moment) -> Result<(), Problem> {
        let told = format!("{} not in this page", are(rows));
        let left_out = Kind::ALL.len();
        self.row(&json!([
            left_out, step, clock, -1, -1, -1, -1, rows, "", told
        ]))
    }

    /// The rows beyond the bound that are kept, with notes where others are left out.
    fn rest(
        &mut self,
        beyond: Beyond<(Moment, Value)>,
        (bound, last): (u64, Moment),
    ) -> Result<(), Problem> {
        let mut next = bound;
        for (place, (moment, document)) in beyond.into_items() {
            if place > next {
                self.gap(place - next, moment)?;
            }
            self.row(&document)?;
            next = place + 1;
        }
        match self.totals.rows().checked_sub(next) {
            Some(rows @ 1..) => self.gap(rows, last),
            Some(0) | None => Ok(()),
        }
    }

    /// The text about the end of the recording and the share of its rows in the page, and the class of that text.
    fn tail(
        &self,
        telling: &Telling,
        beyond: &Beyond<(Moment, Value)>,
        bound: u64,
    ) -> (String, &'static str) {
        let left_out = beyond.left_out();
        let (mut text, class) = match telling.tail() {
            _ if telling.has_diverged() => ("its replay goes another way".to_owned(), "bad"),
            Some(Tail::Sealed) if left_out > 0 => ("complete".to_owned(), "odd"),
            Some(Tail::Sealed) => ("complete".to_owned(), "good"),
            Some(tail @ (Tail::Open | Tail::Torn { .. })) => (tail.to_string(), "odd"),
            Some(tail @ Tail::Damaged(_)) => (tail.to_string(), "bad"),
            None => ("it was not read to its end".to_owned(), "odd"),
        };
        let total = self.totals.rows();
        match left_out {
            0 => text.push_str(&format!("; all {} listed", are(total))),
            _ => text.push_str(&format!("; {} of {} listed", total - left_out, are(total))),
        }
        if let Some(summary) = beyond.summary() {
            text.push_str(&format!("; beyond the first {bound}: {summary}"));
        }
        (text, class)
    }

    fn end(
        &mut self,
        telling: &Telling,
        path: &Path,
        beyond: Beyond<(Moment, Value)>,
        (bound, last): (u64, Moment),
    ) -> Result<(), Problem> {
        let header = telling.header();
        let (tail, tail_class) = self.tail(telling, &beyond, bound);
        let left_out = beyond.left_out();
        self.rest(beyond, (bound, last))?;
        let kinds = Kind::ALL.map(Kind::name).into_iter().chain(["left_out"]);
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
                "kinds": kinds.collect::<Vec<_>>(),
                "counts": Kind::ALL.map(|kind| self.totals.of(kind)),
                "ends": self.totals.ends(),
                "total": self.totals.rows(),
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

/// The number of rows with its verb: "1 row is", "2 rows are".
fn are(rows: u64) -> String {
    let verb = if rows == 1 { "is" } else { "are" };
    format!("{} {verb}", count(rows, "row"))
}

/// JSON that can stand in a script element: no `<`, so neither its end nor a comment.
fn data(document: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use antiphon_machine::{
        EffectRequest, FromFn, Ingress, ProtocolMachine, Reply, SessionId, sample,
    };
    use antiphon_record::{Entry, Flush, Header, Reader, Recorder, Writer};

    use super::*;

    const FEW: Bounds = Bounds {
        rows: 10,
        trouble: 3,
        ends: 2,
    };

    /// The tail's text and class, and the kinds and notes of the rows.
    fn page(path: &Path, bounds: Bounds) -> (Value, Vec<(String, String)>) {
        let mut telling = Telling::open(path).expect("it is a recording");
        let mut out = Vec::new();
        write_bounded(&mut telling, path, &mut out, bounds).expect("memory");
        let text = String::from_utf8(out).expect("text");
        let part = |id: &str| -> Value {
            let rest = text.split(&format!("id=\"{id}\">")).nth(1).expect("there");
            serde_json::from_str(rest.split("</script>").next().expect("an end")).expect("JSON")
        };
        let head = part("head")["head"].clone();
        let rows = part("rows");
        let rows = rows.as_array().expect("rows").iter().map(|row| {
            let kind = &head["kinds"][row[0].as_u64().expect("a kind") as usize];
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            (text(kind), text(&row[9]))
        });
        let rows = rows.collect();
        (head, rows)
    }

    /// A recording of rows of the clock, of inputs that are refused, and of sessions that are cancelled.
    fn recorded(path: &Path, clocks: u64, refusals: u64, sessions: u32) {
        let file = File::create(path).expect("the folder is there");
        let header = Header::default();
        let recorder = Recorder::create(file, &header, Flush::default()).expect("a file");
        let later = FromFn(|_: &EffectRequest<'_>| Reply::Later);
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), later, recorder);
        let cancel = |session| Ingress::Cancel {
            session: SessionId(session),
            owner: "me".into(),
        };
        for _ in 0..clocks {
            let _ = machine.ingress(Ingress::AdvanceClock { ticks: 1 });
        }
        for _ in 0..refusals {
            machine.ingress(cancel(7)).expect_err("no such session");
            let _ = machine.ingress(Ingress::AdvanceClock { ticks: 1 });
        }
        for session in 0..sessions {
            let opened = machine.load_choreography(&sample::ping_pong(1), "me");
            opened.expect("there is room");
            let _ = machine.ingress(cancel(session));
        }
        let (kernel, _, recorder) = machine.into_parts();
        recorder.finish(&kernel).expect("a file");
    }

    #[test]
    fn a_page_of_a_part_says_so_and_keeps_the_trouble_of_the_rest() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("long.rec");
        recorded(&path, 12, 9, 0);
        let (head, rows) = page(&path, FEW);
        // 12 + 9 rows of the clock, 9 refusals, and the end.
        assert_eq!(
            (&head["total"], &head["left_out"]),
            (&31.into(), &15.into())
        );
        assert_eq!(
            head["tail"],
            "complete; 16 of 31 rows are listed; beyond the first 10: 9 refused; no session ended"
        );
        assert_eq!(head["tail_class"], "odd");
        let refused = Kind::ALL.iter().position(|kind| *kind == Kind::Refused);
        assert_eq!(head["counts"][refused.expect("a kind")], 9);
        let kinds: Vec<_> = rows[10..].iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "left_out", "refused", "left_out", "refused", "left_out", "refused", "left_out",
                "refused", "left_out", "refused", "left_out", "refused", "left_out"
            ]
        );
        assert_eq!(rows[10].1, "2 rows are not in this page");
        assert_eq!(rows[16].1, "7 rows are not in this page");
    }

    #[test]
    fn the_ends_of_sessions_are_kept_and_counted() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("many.rec");
        recorded(&path, 10, 0, 9);
        let (head, rows) = page(&path, FEW);
        assert_eq!(head["ends"], "9 cancelled");
        let tail = head["tail"].as_str().expect("text");
        assert!(
            tail.ends_with("18 cancelled; sessions 9 cancelled"),
            "{tail}"
        );
        let ends = rows.iter().filter(|(kind, _)| kind == "ended").count();
        assert_eq!(ends, 4, "{rows:?}");
        let trouble = rows.iter().filter(|(kind, _)| kind == "cancelled").count();
        assert_eq!(trouble, 6, "{rows:?}");
    }

    #[test]
    fn a_page_of_all_rows_says_that_it_has_them_all() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("short.rec");
        recorded(&path, 2, 1, 0);
        let (head, rows) = page(&path, BOUNDS);
        assert_eq!(rows.len(), 5);
        assert_eq!(head["tail"], "complete; all 5 rows are listed");
        assert_eq!(head["tail_class"], "good");
        assert_eq!(head["left_out"], 0);
    }

    #[test]
    fn a_damaged_recording_is_never_complete() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("bad.rec");
        recorded(&path, 700, 9, 0);
        let mut bytes = std::fs::read(&path).expect("it is there");
        bytes.push(0);
        std::fs::write(&path, bytes).expect("it is ours");
        let (head, _) = page(&path, FEW);
        let tail = head["tail"].as_str().expect("text");
        assert!(
            !tail.contains("complete") && tail.contains("damaged"),
            "{tail}"
        );
        assert_eq!(head["tail_class"], "bad");
    }

    #[test]
    fn a_divergence_is_kept_however_long_the_recording_is() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("bent.rec");
        recorded(&path, 20, 1, 0);
        let mut reader = Reader::open(File::open(&path).expect("there")).expect("a header");
        let header = reader.header().clone();
        let mut entries = Vec::new();
        while let Some(entry) = reader.entry().expect("a file") {
            entries.push(entry);
        }
        let bent = File::create(&path).expect("the folder is there");
        let mut writer = Writer::create(bent, &header).expect("a file");
        for entry in entries
            .iter()
            .filter(|entry| !matches!(entry, Entry::Refused(_)))
        {
            writer.entry(entry).expect("a file");
        }
        writer.finish().expect("a file");
        let (head, rows) = page(&path, FEW);
        assert!(rows.iter().any(|(kind, _)| kind == "diverged"), "{rows:?}");
        let tail = head["tail"].as_str().expect("text");
        assert!(tail.contains("1 diverged"), "{tail}");
    }
}
