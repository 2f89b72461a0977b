//! Compares the two schemas: the kernel's, derived from its types, and the model's, derived from
//! its compiled environment.
//!
//! Names are translated by rule: `snake_case` and `UpperCamel` become `lowerCamel`, all numbers and
//! ids become `Nat`, text and digests become `Bytes`. Every remaining difference must be listed in
//! the registry, `docs/deviations.md`, and every entry of the registry must be a difference.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::schema::{Row, schema};

/// The registry of deviations: types with different names, and rows with different forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// The model's names of the kernel's types.
    types: BTreeMap<String, String>,
    /// Pairs of a kernel's row and the model's row in its place; either may be absent.
    rows: Vec<(Option<String>, Option<String>)>,
}

/// Why a registry or a schema cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    /// A line of the registry's tables does not have three cells.
    #[error("line {line} of the registry: expected `| kernel | model | why |`, got `{text}`")]
    Cells {
        /// The line, from 1.
        line: usize,
        /// The line's text.
        text: String,
    },
    /// An entry has no reason.
    #[error("line {line} of the registry: the third cell, the reason, is empty")]
    NoReason {
        /// The line, from 1.
        line: usize,
    },
    /// The model's schema is cut off.
    #[error("the model's schema is cut off: its last line is not `complete`")]
    CutOff,
}

/// The result of comparing the schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypesReport {
    /// Rows that are the same on both sides.
    pub same: usize,
    /// Rows and type names that differ as the registry lists them.
    pub deviating: usize,
    /// Rows that differ and are not in the registry: `kernel: …` or `model: …`.
    pub undeclared: Vec<String>,
    /// Entries of the registry that match no difference.
    pub unused: Vec<String>,
}

impl TypesReport {
    /// Whether the sides differ exactly as the registry lists them.
    pub fn is_clean(&self) -> bool {
        self.undeclared.is_empty() && self.unused.is_empty() && self.same > 0
    }
}

impl Registry {
    /// Reads the tables of `docs/deviations.md`. Rows have three cells; code is in backquotes, and
    /// a dash means that the side has no such row. The table under the heading `## Names of types`
    /// lists types, every other lists rows.
    ///
    /// # Errors
    /// When a table line does not have three cells, or the reason is empty.
    pub fn read(text: &str) -> Result<Registry, TypesError> {
        let mut registry = Registry::default();
        let mut types = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.starts_with('#') {
                types = line == "## Names of types";
            }
            let Some(cells) = line.strip_prefix('|') else {
                continue;
            };
            let cells = cells.strip_suffix('|').unwrap_or(cells);
            let cells = cells.split('|').map(str::trim).collect::<Vec<_>>();
            let [kernel, model, why] = cells[..] else {
                let text = line.to_owned();
                return Err(TypesError::Cells { line: number, text });
            };
            if kernel == "Kernel" || kernel.starts_with("---") {
                continue;
            }
            if why.is_empty() {
                return Err(TypesError::NoReason { line: number });
            }
            let code = |cell: &str| (cell != "-").then(|| cell.trim_matches('`').to_owned());
            match (code(kernel), code(model)) {
                (Some(kernel), Some(model)) if types => {
                    registry.types.insert(kernel, model);
                }
                (kernel, model) => registry.rows.push((kernel, model)),
            }
        }
        Ok(registry)
    }
}

/// Compares the kernel's schema with `model`, the text of the model's schema.
///
/// # Errors
/// When the model's schema is cut off.
pub fn compare(model: &str, registry: &Registry) -> Result<TypesReport, TypesError> {
    let model = model.strip_suffix("complete\n").ok_or(TypesError::CutOff)?;
    let model = numbered(model);
    let kernel = schema();
    let names = kernel.iter().map(|row| row.type_name.as_str());
    let names = names.collect::<BTreeSet<_>>();
    let mut report = TypesReport::default();
    for name in registry.types.keys() {
        if names.contains(name.as_str()) {
            report.deviating += 1
        } else {
            report.unused.push(format!("type `{name}`"))
        }
    }
    let kernel = kernel.iter().map(|row| translated(row, &registry.types));
    let kernel = kernel.collect::<BTreeSet<_>>();
    report.same = kernel.intersection(&model).count();
    let mut alone = kernel
        .difference(&model)
        .map(|row| format!("kernel: {row}"))
        .chain(model.difference(&kernel).map(|row| format!("model: {row}")))
        .collect::<BTreeSet<_>>();
    for (kernel, model) in &registry.rows {
        let sides = [("kernel", kernel), ("model", model)];
        for (side, row) in sides {
            let Some(row) = row else { continue };
            let row = format!("{side}: {row}");
            if alone.remove(&row) {
                report.deviating += 1
            } else {
                report.unused.push(row)
            }
        }
    }
    report.undeclared = alone.into_iter().collect();
    Ok(report)
}

/// The model's rows, with each alternative's number: its position in its type.
fn numbered(text: &str) -> BTreeSet<String> {
    let mut places = BTreeMap::<&str, u64>::new();
    let rows = text.lines().map(|line| {
        let (name, fields) = line.split_once(' ').unwrap_or((line, ""));
        let (of, name) = name.split_once('.').unwrap_or((name, ""));
        let place = places.entry(of).or_default();
        let row = format!("{of} {place} {name} {fields}");
        *place += 1;
        row.trim_end().to_owned()
    });
    rows.collect()
}

/// A row of the kernel with the model's names.
fn translated(row: &Row, types: &BTreeMap<String, String>) -> String {
    let of = types.get(&row.type_name).unwrap_or(&row.type_name);
    let mut text = format!("{of} {} {}", row.number, lower_camel(&row.name));
    for (name, of) in &row.fields {
        text.push_str(&format!(" {}:{}", lower_camel(name), type_text(of, types)));
    }
    text
}

/// `snake_case` or `UpperCamel` as `lowerCamel`.
fn lower_camel(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c if out.is_empty() => out.extend(c.to_lowercase()),
            c => out.push(c),
        }
    }
    out
}

/// A type of the kernel as the model names it.
fn type_text(of: &str, types: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in of.chars().chain(['\0']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(match word.as_str() {
            "u8" | "u16" | "u32" | "u64" | "RoleId" | "LabelId" | "SortId" | "EdgeId"
            | "OperationId" | "ProgramId" | "StateId" | "Pc" | "Reg" | "SessionId"
            | "CoroutineId" => "Nat",
            "i64" => "Int",
            "bool" => "Bool",
            "Text" | "Digest" => "Bytes",
            "Pair" => "Prod",
            other => types.get(other).map_or(other, String::as_str),
        });
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_by_rule() {
        let types = BTreeMap::from([("Sort".to_owned(), "PayloadSort".to_owned())]);
        assert_eq!(lower_camel("buffer_len_max"), "bufferLenMax");
        assert_eq!(lower_camel("NoSuchRow"), "noSuchRow");
        let got = type_text("List(Pair(Text)(SortId))", &types);
        assert_eq!(got, "List(Prod(Bytes)(Nat))");
        assert_eq!(type_text("Option(Sort)", &types), "Option(PayloadSort)");
    }

    #[test]
    fn a_registry_needs_three_cells_and_a_reason_in_each_row() {
        let error = Registry::read("## Rows\n| `a` | `b` | |\n");
        assert_eq!(error, Err(TypesError::NoReason { line: 2 }));
        let error = Registry::read("| `a` | `b` |\n");
        assert!(
            matches!(error, Err(TypesError::Cells { line: 1, .. })),
            "{error:?}"
        );
    }

    #[test]
    fn unused_entries_and_undeclared_rows_are_reported() {
        let registry = Registry::read(
            "## Names of types\n| `Nothing` | `Thing` | why |\n## Rows\n| `X 0 mk` | - | why |\n",
        );
        let report = compare("X.mk\ncomplete\n", &registry.unwrap()).unwrap();
        assert_eq!(report.unused, ["type `Nothing`", "kernel: X 0 mk"]);
        assert!(report.undeclared.contains(&"model: X 0 mk".to_owned()));
        assert!(
            report
                .undeclared
                .contains(&"kernel: Interface 0 mk name:Bytes version:Nat".to_owned())
        );
        assert!(!report.is_clean());
        assert_eq!(
            compare("X.mk\n", &Registry::default()),
            Err(TypesError::CutOff)
        );
    }

    /// The kernel compared with itself needs no registry.
    #[test]
    fn a_schema_is_equal_to_itself() {
        let none = BTreeMap::new();
        let rows = schema()
            .iter()
            .map(|row| translated(row, &none))
            .collect::<Vec<_>>();
        let text = rows.iter().map(|row| {
            let mut words = row.split(' ');
            let (of, _, name) = (words.next(), words.next(), words.next());
            let fields = words.map(|word| format!(" {word}")).collect::<String>();
            format!(
                "{}.{}{fields}\n",
                of.unwrap_or_default(),
                name.unwrap_or_default()
            )
        });
        let text = text.collect::<String>() + "complete\n";
        let report = compare(&text, &Registry::default()).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.same, rows.len());
    }
}
