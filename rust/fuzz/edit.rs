//! Structure-preserving mutation: edits of a CBOR tree, each described by two bytes of input.

use antiphon_codec::Item;

/// Changes one part of the tree. Does nothing when the tree has fewer parts.
pub fn edit(tree: &mut Item, place: u8, how: u8) {
    let mut index = usize::from(place) * 3 + usize::from(how >> 5);
    edit_nth(tree, &mut index, how & 0x1f);
}

/// Changes the part with this number, counted in pre-order. Returns whether it exists.
fn edit_nth(item: &mut Item, index: &mut usize, how: u8) -> bool {
    if *index == 0 {
        change(item, how);
        return true;
    }
    *index -= 1;
    match item {
        Item::Array(items) => items.iter_mut().any(|item| edit_nth(item, index, how)),
        _ => false,
    }
}

fn change(item: &mut Item, how: u8) {
    match (item, how) {
        (Item::Uint(number), 0..=15) => *number = u64::from(how),
        (Item::Uint(number), 16) => *number = number.wrapping_add(1),
        (Item::Uint(number), 17) => *number = number.wrapping_sub(1),
        (Item::Uint(number), 18) => *number = u64::from(u16::MAX),
        (Item::Uint(number), 19) => *number = u64::from(u32::MAX),
        (Item::Array(items), 0..=7) => drop(items.pop()),
        (Item::Array(items), 8..=15) => items.extend(items.last().cloned()),
        (Item::Array(items), 16..=23) => items.reverse(),
        (Item::Array(items), 24..=27) => {
            let turn = items.len().min(1);
            items.rotate_left(turn);
        }
        (item, 28) => *item = Item::Null,
        (item, 29) => *item = Item::Uint(0),
        (item, 30) => *item = Item::Array(vec![]),
        (item, _) => *item = Item::Text("x".to_owned()),
    }
}
