use super::*;
use crate::console::Status;

/// A cache in a new directory, which is removed afterwards.
struct Place {
    cache: Cache,
    console: Console,
}

impl Place {
    fn new(name: &str) -> Self {
        Self::with_bounds(name, BYTES_MAX, ENTRIES_MAX)
    }

    fn with_bounds(name: &str, bytes_max: u64, entries_max: usize) -> Self {
        let root = std::env::temp_dir().join(format!("antiphon-{name}-{}", std::process::id()));
        remove(&root).expect("it can be removed");
        Self {
            cache: Cache::at(root, bytes_max, entries_max),
            console: Console::buffered(Status::default()),
        }
    }

    fn get(&mut self, key: &Key) -> Option<Entry> {
        let entry = self
            .cache
            .get("kind", key, Check::Digests, &mut self.console);
        entry.expect("it can be read")
    }

    /// Writes an entry with one file.
    fn put(&self, key: &Key, text: &str) -> Entry {
        let written = self.cache.put::<Problem>("kind", key, |content| {
            write(&content.join("file"), text);
            Ok(())
        });
        written.expect("it can be written")
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.cache.path("kind", key)
    }

    /// Sets the last use of an entry to some seconds after 1970.
    fn set_last_use(&self, key: &Key, seconds: u64) {
        let path = self.path(key).join("manifest");
        let file = fs::File::options().append(true).open(path);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.and_then(|file| file.set_modified(time))
            .expect("the manifest exists");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A directory that stays behind does no harm.
        let _ = fs::remove_dir_all(self.cache.root());
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("it can be written");
}

fn read(entry: &Entry) -> String {
    fs::read_to_string(entry.path().join("file")).expect("it can be read")
}

fn key(name: &str) -> Key {
    KeyBuilder::new("test 1").input("name", name).finish()
}

#[test]
fn the_directory_is_named_by_the_environment() {
    let root_of = |variables: &[(&str, &str)]| {
        root(|name| {
            let variable = variables.iter().find(|(other, _)| *other == name);
            variable.map(|(_, value)| OsString::from(value))
        })
        .map_err(|problem| problem.to_string())
    };
    let home = ("HOME", "/home/a");
    let xdg = ("XDG_CACHE_HOME", "/xdg");
    let expected = |path: &str| Ok(Some(PathBuf::from(path)));
    assert_eq!(root_of(&[home]), expected("/home/a/.cache/antiphon"));
    assert_eq!(root_of(&[home, xdg]), expected("/xdg/antiphon"));
    assert_eq!(root_of(&[home, xdg, (VARIABLE, "/c")]), expected("/c"));
    assert_eq!(root_of(&[xdg, (VARIABLE, "")]), expected("/xdg/antiphon"));
    let relative = ("XDG_CACHE_HOME", "x");
    assert_eq!(
        root_of(&[home, relative]),
        expected("/home/a/.cache/antiphon")
    );
    assert_eq!(root_of(&[]), Ok(None));
    for path in ["c", "./c", "~/c"] {
        let expected = format!(
            "expected an absolute path in `ANTIPHON_CACHE`, got `{path}`: \
             set it to the full path of the cache directory, or unset it"
        );
        assert_eq!(root_of(&[home, xdg, (VARIABLE, path)]), Err(expected));
    }
}

#[test]
fn a_key_depends_on_every_input_and_its_name() {
    let base = KeyBuilder::new("test 1").input("a", "bc").finish();
    assert_eq!(base, KeyBuilder::new("test 1").input("a", "bc").finish());
    for other in [
        KeyBuilder::new("test 2").input("a", "bc"),
        KeyBuilder::new("test 1").input("a", "bd"),
        KeyBuilder::new("test 1").input("ab", "c"),
        KeyBuilder::new("test 1").input("a", "bc").input("", ""),
    ] {
        assert_ne!(base, other.finish());
    }
}

#[test]
fn the_key_of_a_directory_depends_on_its_files() {
    let place = std::env::temp_dir().join(format!("antiphon-key-{}", std::process::id()));
    fs::create_dir_all(place.join("below")).expect("it can be created");
    let key = || {
        let builder = KeyBuilder::new("test 1").directory("d", &place);
        builder.expect("it can be read").finish()
    };
    let empty = key();
    write(&place.join("below/a"), "one");
    let one = key();
    write(&place.join("below/a"), "two");
    let two = key();
    fs::rename(place.join("below/a"), place.join("below/b")).expect("it can be renamed");
    let renamed = key();
    remove(&place).expect("it can be removed");
    let keys = std::collections::BTreeSet::from([empty, one, two, renamed]);
    assert_eq!(keys.len(), 4);
}

#[test]
fn an_entry_is_found_again() {
    let mut place = Place::new("found");
    assert!(place.get(&key("a")).is_none());
    assert_eq!(read(&place.put(&key("a"), "text")), "text");
    let entry = place.get(&key("a")).expect("it is there");
    assert_eq!(read(&entry), "text");
    assert!(place.get(&key("b")).is_none());
    let usage = place.cache.usage().expect("it can be read");
    assert_eq!((usage["kind"].entries, usage["kind"].bytes), (1, 4));
    let left = children(&place.cache.layout().join(TEMPORARY)).expect("it can be read");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_damaged_entry_is_reported_and_replaced() {
    let mut place = Place::new("damaged");
    drop(place.put(&key("a"), "text"));
    let file = place.path(&key("a")).join("content/file");
    write(&file, "texx");
    assert!(place.get(&key("a")).is_none());
    let report = place.console.take_lines().join("\n");
    assert!(report.contains("`file` has changed"), "{report}");
    drop(place.put(&key("a"), "text"));
    assert_eq!(read(&place.get(&key("a")).expect("it is whole")), "text");
}

#[test]
fn every_kind_of_damage_is_found() {
    type Damage = fn(&Path);
    let change: [(&str, Damage); 5] = [
        ("file", |path| write(&path.join("content/file"), "texx")),
        ("added", |path| write(&path.join("content/other"), "")),
        ("removed", |path| {
            fs::remove_file(path.join("content/file")).expect("it exists");
        }),
        ("manifest", |path| write(&path.join("manifest"), "x")),
        ("digest", |path| {
            let path = path.join("manifest");
            let text = fs::read_to_string(&path).expect("it exists");
            write(&path, &text.replace("file\t-\t4", "file\t-\t5"));
        }),
    ];
    let mut place = Place::new("damage");
    for (name, damage) in change {
        let key = key(name);
        drop(place.put(&key, "text"));
        damage(&place.path(&key));
        assert!(place.get(&key).is_none(), "{name}");
        assert_eq!(place.console.take_lines().len(), 1, "{name}");
    }
}

#[test]
fn the_quick_check_compares_sizes_only() {
    let mut place = Place::new("sizes");
    drop(place.put(&key("a"), "text"));
    let file = place.path(&key("a")).join("content/file");
    let quick = |place: &mut Place| {
        let Place { cache, console } = place;
        let entry = cache.get("kind", &key("a"), Check::Sizes, console);
        entry.expect("it can be read").is_some()
    };
    assert!(quick(&mut place));
    write(&file, "texx");
    assert!(quick(&mut place));
    write(&file, "longer");
    assert!(!quick(&mut place));
}

/// A manifest that was changed together with its file does not pass the quick check either.
#[test]
fn the_quick_check_finds_a_changed_manifest() {
    let mut place = Place::new("quick-manifest");
    drop(place.put(&key("a"), "text"));
    let entry = place.path(&key("a"));
    write(&entry.join("content/file"), "texts");
    let manifest = entry.join("manifest");
    let text = fs::read_to_string(&manifest).expect("it exists");
    write(&manifest, &text.replace("file\t-\t4", "file\t-\t5"));
    let Place { cache, console } = &mut place;
    let found = cache.get("kind", &key("a"), Check::Sizes, console);
    assert!(found.expect("it can be read").is_none());
    let report = console.take_lines().join("\n");
    assert!(report.contains("the manifest has changed"), "{report}");
}

#[test]
fn an_entry_that_cannot_be_filled_is_not_stored() {
    let mut place = Place::new("unfilled");
    let failed = place.cache.put::<Problem>("kind", &key("a"), |content| {
        write(&content.join("file"), "half");
        Err(Problem::absent(content, "a test"))
    });
    assert!(failed.is_err());
    assert!(place.get(&key("a")).is_none());
    let left = children(&place.cache.layout().join(TEMPORARY)).expect("it can be read");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_entries_not_used_for_the_longest_time_are_removed_first() {
    let mut place = Place::with_bounds("bound", 10, 100);
    for (seconds, name) in [(1, "a"), (2, "b")] {
        drop(place.put(&key(name), "12345"));
        place.set_last_use(&key(name), seconds);
    }
    // A use makes the entry the latest one.
    drop(place.get(&key("a")));
    drop(place.put(&key("c"), "12345"));
    let present = |place: &mut Place, name| place.get(&key(name)).is_some();
    assert!(present(&mut place, "a"));
    assert!(!present(&mut place, "b"));
    assert!(present(&mut place, "c"));
    let usage = place.cache.usage().expect("it can be read");
    assert!(usage["kind"].bytes <= 10);
}

#[test]
fn the_number_of_entries_is_bounded() {
    let place = Place::with_bounds("count", BYTES_MAX, 3);
    for number in 0..8 {
        drop(place.put(&key(&number.to_string()), ""));
    }
    let usage = place.cache.usage().expect("it can be read");
    assert_eq!(usage["kind"].entries, 3);
}

#[test]
fn a_kind_with_its_own_bound_displaces_no_other_kind() {
    let mut place = Place::with_bounds("separate", 10, 100);
    place.cache = place.cache.clone().with_separate_bound("large", 100);
    drop(place.put(&key("small"), "12345"));
    place.set_last_use(&key("small"), 1);
    let put = |place: &Place, name: &str| {
        let written = place.cache.put::<Problem>("large", &key(name), |content| {
            write(&content.join("file"), &"x".repeat(60));
            Ok(())
        });
        drop(written.expect("it can be written"));
    };
    put(&place, "a");
    put(&place, "b");
    assert!(place.get(&key("small")).is_some());
    let usage = place.cache.usage().expect("it can be read");
    assert_eq!((usage["large"].entries, usage["large"].bytes), (1, 60));
    // Nor do the others displace an entry of this kind.
    for name in ["c", "d", "e"] {
        drop(place.put(&key(name), "12345"));
    }
    let usage = place.cache.usage().expect("it can be read");
    assert_eq!((usage["large"].entries, usage["kind"].bytes), (1, 10));
}

#[test]
fn an_entry_in_use_is_not_removed() {
    let mut place = Place::with_bounds("use", 5, 100);
    let used = place.put(&key("a"), "12345");
    let other = place.put(&key("b"), "12345");
    assert_eq!(read(&used), "12345");
    assert_eq!(place.cache.clear().expect("it can be cleared"), (0, 2));
    drop((used, other));
    assert_eq!(place.cache.clear().expect("it can be cleared"), (2, 0));
    assert!(place.get(&key("a")).is_none());
}

#[test]
fn threads_that_write_and_remove_see_whole_entries_only() {
    let place = Place::with_bounds("threads", 40, 4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = place.cache.clone();
            scope.spawn(move || {
                let mut console = Console::buffered(Status::default());
                for round in 0..40 {
                    let name = ((thread + round) % 6).to_string();
                    let (entry, _) = cache
                        .get_or_put::<Problem>("kind", &key(&name), &mut console, |content, _| {
                            write(&content.join("file"), &name.repeat(10));
                            Ok(())
                        })
                        .expect("it is there");
                    assert_eq!(read(&entry), name.repeat(10));
                }
                assert!(console.take_lines().is_empty(), "no entry is damaged");
            });
        }
    });
}

#[test]
fn links_and_modes_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = Place::new("links");
    let written = place.cache.put::<Problem>("kind", &key("a"), |content| {
        write(&content.join("program"), "#!/bin/sh\n");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(content.join("program"), mode).expect("it exists");
        std::os::unix::fs::symlink("program", content.join("link")).expect("it is new");
        Ok(())
    });
    drop(written.expect("it can be written"));
    let entry = place.get(&key("a")).expect("it is whole");
    let target = place.cache.root().join("copy");
    entry.copy_to(&target).expect("it can be copied");
    let link = fs::read_link(target.join("link")).expect("it is a link");
    assert_eq!(link, Path::new("program"));
    let mode = fs::metadata(target.join("program")).expect("it exists");
    assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    fs::remove_file(entry.path().join("link")).expect("it exists");
    drop(entry);
    assert!(place.get(&key("a")).is_none());
}

#[test]
fn a_table_keeps_the_rows_of_all_writers() {
    let mut place = Place::new("table");
    let Place { cache, console } = &mut place;
    let model = key("model");
    let load = |console: &mut Console| {
        Table::load(cache, "answers", &model, console).expect("it can be read")
    };
    assert!(load(console).is_empty());
    let (mut one, mut two) = (load(console), load(console));
    one.insert([1; 32], [11; 32]).expect("there is room");
    two.insert([2; 32], [12; 32]).expect("there is room");
    one.save(cache, "answers", &model, console)
        .expect("it can be written");
    two.save(cache, "answers", &model, console)
        .expect("it can be written");
    let both = load(console);
    assert_eq!(both.len(), 2);
    assert_eq!(both.get(&[1; 32]), Some(&[11; 32]));
    assert_eq!(both.get(&[2; 32]), Some(&[12; 32]));
    assert_eq!(both.get(&[3; 32]), None);

    let mut contradiction = Table::default();
    contradiction
        .insert([1; 32], [9; 32])
        .expect("there is room");
    let saved = contradiction.save(cache, "answers", &model, console);
    assert!(matches!(saved, Err(Problem::TableConflict { .. })));
    assert_eq!(load(console), both);
    let other = Table::load(cache, "answers", &key("another"), console);
    assert!(other.expect("it can be read").is_empty());
}

#[test]
fn a_table_is_bounded() {
    let row = |number: usize| {
        let mut row = [0; 32];
        row[..8].copy_from_slice(&(number as u64).to_le_bytes());
        row
    };
    let mut table = Table::default();
    for number in 0..ROWS_MAX {
        table.insert(row(number), [0; 32]).expect("there is room");
    }
    let full = table.insert(row(ROWS_MAX), [0; 32]);
    assert!(matches!(full, Err(Problem::TableFull { .. })));
    table.insert(row(0), [0; 32]).expect("it is there already");
}
