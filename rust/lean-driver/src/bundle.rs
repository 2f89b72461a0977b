//! Combines a file and the project's modules that it imports into one file.
//!
//! npm's Lean can run only the code of the file that it is given. For an imported module it has the
//! theorems and definitions, but no compiled code. So a program is bundled before it runs.

use crate::modules::Modules;
use crate::source::Source;

/// The lines with which every module starts; the parts of a bundle leave them out.
const HEADER: [&str; 2] = ["module", "@[expose] public section"];

/// Returns `text` after the modules in `order`, which are all of the project's modules that it
/// imports, each after its own imports. Imports of Lean's own modules are moved to the top.
#[must_use]
pub fn bundle(modules: &Modules, order: &[&str], text: &str) -> String {
    let mut imports = Vec::new();
    let mut body = String::new();
    let texts = order.iter().filter_map(|name| modules.get(name));
    for text in texts.map(|module| module.text.as_str()).chain([text]) {
        body.push_str("section\n");
        part(modules, text, &mut imports, &mut body);
        body.push_str("end\n");
    }
    let mut bundle = String::from("module\n");
    for import in imports {
        bundle.push_str(import);
        bundle.push('\n');
    }
    bundle.push_str("@[expose] public section\n");
    bundle.push_str(&body);
    bundle
}

fn part<'a>(modules: &Modules, text: &'a str, imports: &mut Vec<&'a str>, body: &mut String) {
    let code = Source::read(text).code();
    for (line, code) in text.lines().zip(code.lines()) {
        let code = code.trim();
        let Some((before, name)) = code.rsplit_once(' ').filter(|(b, _)| b.ends_with("import"))
        else {
            if !HEADER.contains(&code) {
                body.push_str(line);
            }
            body.push('\n');
            continue;
        };
        // An empty line replaces the import, so that line numbers within the part stay right.
        body.push('\n');
        if before
            .split(' ')
            .all(|word| ["public", "meta", "import", "all"].contains(&word))
            && modules.get(name).is_none()
            && !imports.contains(&line.trim())
        {
            imports.push(line.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_has_modules_in_import_order_under_a_single_header() {
        let place = std::env::temp_dir().join(format!("antiphon-bundle-{}", std::process::id()));
        let a = "module\n\npublic meta import Lean\n\n@[expose] public section\n\ndef a := 1\n";
        let b = "module\npublic import Runtime.A\n@[expose] public section\n\
                 /-\nmodule\n-/\ndef b := a\n";
        fs::create_dir_all(place.join("Runtime")).unwrap();
        fs::write(place.join("Runtime/A.lean"), a).unwrap();
        fs::write(place.join("Runtime/B.lean"), b).unwrap();
        let modules = Modules::read(&place);
        fs::remove_dir_all(&place).unwrap();
        let modules = modules.unwrap();
        let main = "module\npublic import Runtime.B\npublic def main : IO Unit := pure ()\n";
        let wanted = modules.imports_of("main", main).unwrap();
        let order = modules.order(&wanted).unwrap();
        let expected = "module\npublic meta import Lean\n@[expose] public section\n\
            section\n\n\n\n\n\n\ndef a := 1\nend\n\
            section\n\n\n\n/-\nmodule\n-/\ndef b := a\nend\n\
            section\n\n\npublic def main : IO Unit := pure ()\nend\n";
        assert_eq!(bundle(&modules, &order, main), expected);
    }
}
