//! The bytes of the sample images: recordings, the corpus and measurements refer to their digests.

use std::fmt::Write as _;

use antiphon_machine::*;

#[test]
fn the_sample_images_keep_their_digests() {
    let samples = [
        ("ping_pong, version 1", sample::ping_pong(1)),
        ("ping_pong, version 2", sample::ping_pong(2)),
        ("ping_pong_bytes", sample::ping_pong_bytes()),
        ("bare_ping_pong", sample::bare_ping_pong()),
        ("told_ping_pong", sample::told_ping_pong()),
    ];
    let mut table = String::new();
    for (name, image) in samples {
        let digest = blake3::Hash::from_bytes(*image.digest());
        writeln!(table, "{name}: {digest}").expect("writing to a string cannot fail");
    }
    let units = blake3::hash(&sample::ping_pong_image(1, SortId(0)).to_bytes());
    writeln!(table, "ping_pong_image, units: {units}").expect("writing to a string cannot fail");
    insta::assert_snapshot!(table);
}
