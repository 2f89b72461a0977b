//! What is proved about the model, as it was when this program was built.
//!
//! `lean/theorems.json` lists every theorem with the hash of its statement, made from the proofs and compared with them by
//! `cargo xtask lean`. It is part of every program that names this module, so whoever has to decide whether a run may
//! rely on a theorem needs no proofs at hand: the names that matter are the [`headlines`], their statements' hashes stand
//! in the [`Inventory`], and an inventory that somebody else shows is compared statement by statement.

use std::collections::BTreeMap;

use serde_json::Value;

/// The list of theorems as a file.
pub const INVENTORY: &str = include_str!("../../../lean/theorems.json");

/// The file that names the theorems that are the point of the others; Lean has seen that there are such theorems.
const PACK: &str = include_str!("../../../lean/Runtime/TheoremPack/API.lean");

/// How the pack names one.
const NAMED: &str = "example := @";

/// Every theorem stands below this name.
const NAMESPACE: &str = "Antiphon.";

/// A list of theorems, by name and file: two files may have a theorem of one name each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory(BTreeMap<(String, String), Theorem>);

/// A theorem as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theorem {
    /// The first sentence of its doc-string; empty when it has none.
    pub says: String,
    /// Hash of its statement, without comments and with single spaces.
    pub statement: String,
}

/// A text is no list of theorems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of theorems: expected rows of `name`, `file`, `says`, `statement`")]
pub struct InventoryError;

/// How a list of theorems differs from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It has not got this one.
    Missing {
        /// The theorem's full name.
        name: String,
    },
    /// Of this one it has another statement.
    Statement {
        /// The theorem's full name.
        name: String,
        /// The hash that it should have.
        expected: String,
        /// The hash that it has.
        got: String,
    },
}

impl Inventory {
    /// The list that this program was built with.
    ///
    /// # Errors
    /// Never, in a program whose tests passed.
    pub fn built_in() -> Result<Inventory, InventoryError> {
        Inventory::read(INVENTORY)
    }

    /// Reads a list as the file has it.
    ///
    /// # Errors
    /// When it is none, or lists a theorem twice.
    pub fn read(text: &str) -> Result<Inventory, InventoryError> {
        let json: Value = serde_json::from_str(text).map_err(|_| InventoryError)?;
        let rows = json.as_array().ok_or(InventoryError)?;
        let theorems: Option<BTreeMap<_, _>> = rows.iter().map(theorem).collect();
        let theorems = theorems.ok_or(InventoryError)?;
        if theorems.len() == rows.len() {
            Ok(Inventory(theorems))
        } else {
            Err(InventoryError)
        }
    }

    /// How many theorems there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The theorem of this name, with or without `Antiphon.`; `None` also when there are several.
    pub fn theorem(&self, name: &str) -> Option<&Theorem> {
        let name = name.strip_prefix(NAMESPACE).unwrap_or(name);
        let is_it = |((full, _), _): &(&(String, String), &Theorem)| {
            full.strip_prefix(NAMESPACE) == Some(name)
        };
        let mut found = self.0.iter().filter(is_it);
        let (_, theorem) = found.next()?;
        found.next().is_none().then_some(theorem)
    }

    /// What `other` lacks of this list. That it has more theorems is no difference.
    pub fn differences(&self, other: &Inventory) -> Vec<Difference> {
        let difference = |(key, theorem): (&(String, String), &Theorem)| {
            let (name, _) = key;
            match other.0.get(key) {
                None => Some(Difference::Missing { name: name.clone() }),
                Some(got) if got.statement != theorem.statement => Some(Difference::Statement {
                    name: name.clone(),
                    expected: theorem.statement.clone(),
                    got: got.statement.clone(),
                }),
                Some(_) => None,
            }
        };
        self.0.iter().filter_map(difference).collect()
    }
}

/// The theorems that are the point of the others, by their names without `Antiphon.`: those of the theorem pack, in its
/// order. `lean/README.md` says what they say.
pub fn headlines() -> impl Iterator<Item = &'static str> {
    PACK.lines().filter_map(|line| line.strip_prefix(NAMED))
}

/// Digest of the list that this program was built with: two programs with the same one have the same theorems, word for
/// word. What the words mean stands in the model's definitions, which are not part of it.
pub fn digest() -> [u8; 32] {
    *blake3::hash(INVENTORY.as_bytes()).as_bytes()
}

fn theorem(row: &Value) -> Option<((String, String), Theorem)> {
    let field = |name: &str| Some(row[name].as_str()?.to_owned());
    let theorem = Theorem {
        says: field("says")?,
        statement: field("statement")?,
    };
    Some(((field("name")?, field("file")?), theorem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Inventory {
        Inventory::built_in().expect("the list is in order")
    }

    #[test]
    fn every_headline_is_listed_once_with_what_it_says() {
        let inventory = built_in();
        for name in headlines() {
            let theorem = inventory.theorem(name);
            let theorem = theorem.unwrap_or_else(|| panic!("`{name}` is not listed"));
            assert!(!theorem.says.is_empty(), "`{name}` says nothing");
            assert_eq!(theorem.statement.len(), 64, "`{name}`");
        }
        let mut names: Vec<&str> = headlines().collect();
        assert!(names.len() >= 30, "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), headlines().count(), "none is named twice");
        assert_eq!(inventory.theorem("step_frames"), None);
    }

    #[test]
    fn a_changed_statement_and_a_theorem_that_is_gone_are_found() {
        let inventory = built_in();
        assert_eq!(inventory.differences(&inventory), []);
        let expected = inventory
            .theorem("step_frame")
            .expect("listed")
            .statement
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
        let fewer = Inventory::read(&lines.join("\n")).expect("it is not the last");
        assert_eq!(
            inventory.differences(&fewer),
            [Difference::Missing { name }]
        );
        assert_eq!(fewer.differences(&inventory), []);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let row = r#"{"name": "a", "file": "b", "says": "", "statement": "c"}"#;
        assert_eq!(Inventory::read(&format!("[{row}]")).map(|i| i.len()), Ok(1));
        for text in [
            "",
            "{}",
            "[1]",
            r#"[{"name": "a", "file": "b", "statement": "c"}]"#,
            &format!("[{row}, {row}]"),
        ] {
            assert_eq!(Inventory::read(text), Err(InventoryError), "{text}");
        }
    }
}
