use core::cmp::Ordering;

use half::f16;

use crate::encode::{FloatWidth, float_width};
use crate::item::Item;

/// The order of the deterministic encodings of two items, without encoding them.
///
/// Requires sorted maps, as decoders return them. The heads are compared first: a shorter head has
/// a smaller first byte, so (major type, argument) has the order of the head's bytes. Strings and
/// containers of the same length are then compared by content.
pub(crate) fn encoded_order(a: &Item, b: &Item) -> Ordering {
    head(a).cmp(&head(b)).then_with(|| match (a, b) {
        (Item::Bytes(a), Item::Bytes(b)) => a.cmp(b),
        (Item::Text(a), Item::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Item::Array(a), Item::Array(b)) => {
            first_difference(a.iter().zip(b).map(|(a, b)| encoded_order(a, b)))
        }
        (Item::Map(a), Item::Map(b)) => first_difference(
            a.iter()
                .zip(b)
                .map(|(a, b)| encoded_order(&a.0, &b.0).then_with(|| encoded_order(&a.1, &b.1))),
        ),
        (Item::Tag(_, a), Item::Tag(_, b)) => encoded_order(a, b),
        // These items consist of their heads only.
        _ => Ordering::Equal,
    })
}

/// Whether [`encoded_order`] is also right for an item that was built by hand: it contains neither
/// a map, which could be unsorted, nor a bignum, which could have leading zeros.
pub(crate) fn is_flat(item: &Item) -> bool {
    !matches!(item, Item::Array(_) | Item::Map(_) | Item::Tag(..))
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A key with the order of the head's bytes: the major type, with floats of 16, 32 and 64 bits
/// after the simple values, and the argument.
fn head(item: &Item) -> (u8, u64) {
    match item {
        Item::Uint(value) => (0, *value),
        Item::Nint(value) => (1, *value),
        Item::Bytes(bytes) => (2, bytes.len() as u64),
        Item::Text(text) => (3, text.len() as u64),
        Item::Array(items) => (4, items.len() as u64),
        Item::Map(pairs) => (5, pairs.len() as u64),
        Item::Tag(tag, _) => (6, *tag),
        Item::Bool(value) => (7, 20 + u64::from(*value)),
        Item::Null => (7, 22),
        Item::Undefined => (7, 23),
        Item::Simple(value) => (7, u64::from(*value)),
        Item::Float(value) => match float_width(*value) {
            FloatWidth::Half if value.is_nan() => (8, u64::from(f16::NAN.to_bits())),
            FloatWidth::Half => (8, u64::from(f16::from_f64(*value).to_bits())),
            FloatWidth::Single => (9, u64::from((*value as f32).to_bits())),
            FloatWidth::Double => (10, value.to_bits()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares all pairs of items around the limits of each form of head and float.
    #[test]
    fn order_is_that_of_the_encodings() {
        let numbers = [
            0,
            1,
            23,
            24,
            255,
            256,
            65535,
            65536,
            u64::from(u32::MAX),
            u64::MAX,
        ];
        let mut items: Vec<Item> = Vec::new();
        for number in numbers {
            items.extend([Item::Uint(number), Item::Nint(number)]);
            items.push(Item::tagged(number, Item::Null));
        }
        // Bit patterns with the same number in 16, 32 and 64 bits, which are different values.
        for bits in [0u16, 1, 0x3c00, 0x7c00, 0x8000, 0xfc00] {
            items.push(Item::Float(f16::from_bits(bits).to_f64()));
            items.push(Item::Float(f32::from_bits(bits.into()).into()));
            items.push(Item::Float(f64::from_bits(bits.into())));
        }
        items.push(Item::Float(f64::NAN));
        items.extend([0, 16, 19, 32, 255].map(Item::Simple));
        items.extend([
            Item::Bool(false),
            Item::Bool(true),
            Item::Null,
            Item::Undefined,
        ]);
        items.extend(["", "a", "b", "aa", "ü"].map(Item::from));
        items.extend([&b""[..], b"a", b"b", b"aa", b"\xff"].map(Item::from));
        let short = items.clone();
        items.extend(short.iter().cloned().map(|item| Item::array([item])));
        items.extend(short.iter().cloned().map(|item| Item::map([(item, 0u64)])));
        items.extend(short.iter().cloned().map(|item| Item::map([(0u64, item)])));
        for a in &items {
            for b in &items {
                let bytes = a.encode().cmp(&b.encode());
                assert_eq!(encoded_order(a, b), bytes, "{a} and {b}");
            }
        }
    }
}
