//! The theorems about the model that this program was built with.
//!
//! `lean/theorems.json` lists every theorem with its statement as Lean has elaborated it, and a
//! hash of the statement and of the definitions that it uses. `cargo xtask lean` makes the list
//! from the proofs and compares it with them. The list is compiled into every program that uses
//! this module, so a program can check which theorems hold without the proofs: [`headlines`] names
//! the important ones, the [`Inventory`] has their statements, and two inventories can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of `lean/theorems.json`.
pub const INVENTORY: &str = include_str!("../../../lean/theorems.json");

/// The Lean file that names the headline theorems. Lean checks that each exists.
const PACK: &str = include_str!("../../../lean/Runtime/TheoremPack/API.lean");

/// What precedes a theorem's name in the pack.
const NAMED: &str = "example := @";

/// The namespace of every theorem.
const NAMESPACE: &str = "Antiphon.";

/// A list of theorems by name and file, because two files may have a theorem of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory(BTreeMap<(String, String), Theorem>);

/// A listed theorem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theorem {
    /// The first sentence of its doc-string; empty when it has none.
    pub says: String,
    /// The statement as Lean prints it, in one line.
    pub statement: String,
    /// Hash of the elaborated statement and of all definitions of the model that it uses.
    pub hash: String,
}

/// The text is not a list of theorems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a list of theorems: \
     expected `theorems`, rows of `name`, `file`, `says`, `statement`, `hash`"
)]
pub struct InventoryError;

/// A difference between two lists of theorems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The other list lacks this theorem.
    Missing {
        /// The theorem's full name.
        name: String,
    },
    /// The other list has another statement for this theorem, or the statement uses another
    /// definition.
    Statement {
        /// The theorem's full name.
        name: String,
        /// The statement's hash in this list.
        expected: String,
        /// The statement's hash in the other list.
        got: String,
    },
}

impl Inventory {
    /// The list that this program was built with.
    ///
    /// # Errors
    /// When the compiled-in list cannot be read, which the tests exclude.
    pub fn built_in() -> Result<Inventory, InventoryError> {
        Inventory::read(INVENTORY)
    }

    /// Reads a list in the format of `lean/theorems.json`.
    ///
    /// # Errors
    /// When the text is not such a list, or lists a theorem twice.
    pub fn read(text: &str) -> Result<Inventory, InventoryError> {
        let json: Value = serde_json::from_str(text).map_err(|_| InventoryError)?;
        let rows = json["theorems"].as_array().ok_or(InventoryError)?;
        let theorems: Option<BTreeMap<_, _>> = rows.iter().map(theorem).collect();
        let theorems = theorems.ok_or(InventoryError)?;
        if theorems.len() == rows.len() {
            Ok(Inventory(theorems))
        } else {
            Err(InventoryError)
        }
    }

    /// The number of theorems.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The theorem of this name, with or without `Antiphon.`. `None` if no theorem has the name, or
    /// several have.
    pub fn theorem(&self, name: &str) -> Option<&Theorem> {
        let name = name.strip_prefix(NAMESPACE).unwrap_or(name);
        let has_name = |((full, _), _): &(&(String, String), &Theorem)| {
            full.strip_prefix(NAMESPACE) == Some(name)
        };
        let mut found = self.0.iter().filter(has_name);
        let (_, theorem) = found.next()?;
        found.next().is_none().then_some(theorem)
    }

    /// The theorems of this list that `other` lacks or states differently. Additional theorems in
    /// `other` are not differences.
    pub fn differences(&self, other: &Inventory) -> Vec<Difference> {
        let difference = |(key, theorem): (&(String, String), &Theorem)| {
            let (name, _) = key;
            match other.0.get(key) {
                None => Some(Difference::Missing { name: name.clone() }),
                Some(got) if got.hash != theorem.hash => Some(Difference::Statement {
                    name: name.clone(),
                    expected: theorem.hash.clone(),
                    got: got.hash.clone(),
                }),
                Some(_) => None,
            }
        };
        self.0.iter().filter_map(difference).collect()
    }
}

/// The names of the headline theorems without `Antiphon.`, in the order of the theorem pack.
/// `lean/README.md` explains what they state.
pub fn headlines() -> impl Iterator<Item = &'static str> {
    PACK.lines().filter_map(|line| line.strip_prefix(NAMED))
}

/// Digest of the list that this program was built with. Two programs with the same digest have the
/// same statements, about the same definitions.
pub fn digest() -> [u8; 32] {
    *blake3::hash(INVENTORY.as_bytes()).as_bytes()
}

fn theorem(row: &Value) -> Option<((String, String), Theorem)> {
    let field = |name: &str| Some(row[name].as_str()?.to_owned());
    let theorem = Theorem {
        says: field("says")?,
        statement: field("statement")?,
        hash: field("hash")?,
    };
    Some(((field("name")?, field("file")?), theorem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Inventory {
        Inventory::built_in().expect("the compiled-in list is valid")
    }

    #[test]
    fn every_headline_is_listed_once_with_its_summary() {
        let inventory = built_in();
        for name in headlines() {
            let theorem = inventory.theorem(name);
            let theorem = theorem.unwrap_or_else(|| panic!("`{name}` is not listed"));
            assert!(!theorem.says.is_empty(), "`{name}` has no summary");
            assert!(!theorem.statement.is_empty(), "`{name}` has no statement");
            assert_eq!(theorem.hash.len(), 64, "`{name}`");
        }
        let mut names: Vec<&str> = headlines().collect();
        assert!(names.len() >= 30, "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), headlines().count(), "none is named twice");
        assert_eq!(inventory.theorem("step_frames"), None);
    }

    #[test]
    fn a_changed_statement_and_a_missing_theorem_are_differences() {
        let inventory = built_in();
        assert_eq!(inventory.differences(&inventory), []);
        let expected = inventory
            .theorem("step_frame")
            .expect("listed")
            .hash
            .clone();
        let got = blake3::hash(b"theorem step_frame : True")
            .to_hex()
            .to_string();
        let weaker = Inventory::read(&INVENTORY.replace(&expected, &got)).expect("a list");
        let name = "Antiphon.step_frame".to_owned();
        let changed = Difference::Statement {
            name: name.clone(),
            expected,
            got,
        };
        assert_eq!(inventory.differences(&weaker), [changed]);

        let row = |line: &&str| !line.contains("\"Antiphon.step_frame\"");
        let lines: Vec<&str> = INVENTORY.lines().filter(row).collect();
        let fewer = Inventory::read(&lines.join("\n")).expect("other rows precede and follow it");
        assert_eq!(
            inventory.differences(&fewer),
            [Difference::Missing { name }]
        );
        assert_eq!(fewer.differences(&inventory), []);
    }

    #[test]
    fn input_that_is_not_a_list_of_theorems_is_refused() {
        let row = r#"{"name": "a", "file": "b", "says": "", "statement": "c", "hash": "d"}"#;
        let list = |rows: &str| format!(r#"{{"lean": "e", "theorems": [{rows}]}}"#);
        assert_eq!(Inventory::read(&list(row)).map(|i| i.len()), Ok(1));
        for text in [
            "",
            "{}",
            &format!("[{row}]"),
            &list("1"),
            &list(r#"{"name": "a", "file": "b", "says": "", "statement": "c"}"#),
            &list(&format!("{row}, {row}")),
        ] {
            assert_eq!(Inventory::read(text), Err(InventoryError), "{text}");
        }
    }
}
