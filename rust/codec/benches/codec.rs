//! The time that the cursors and the tree take, with a record of the size that a step writes.

use std::hint::black_box;

use antiphon_codec::{DecodeError, Decoder, Encoder, Limits, decode_strict};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Items in one [`record`]: the map, six keys, six values, and the three items of the array.
const ITEMS: u64 = 1 + 6 + 6 + 3;

fn record(out: &mut Vec<u8>, step: u64) {
    Encoder::new(out)
        .map(6)
        .text("at")
        .uint(step)
        .text("to")
        .uint(1)
        .text("data")
        .bytes(&[0x5a; 64])
        .text("kind")
        .uint(3)
        .text("label")
        .text("ping")
        .text("value")
        .array(3)
        .int(-7)
        .bool(true)
        .uint(step / 2);
}

fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
    let mut decoder = Decoder::new(bytes, Limits::default());
    let mut sum = decoder.map()? as u64;
    for _ in 0..2 {
        black_box(decoder.text()?);
        sum = sum.wrapping_add(decoder.uint()?);
    }
    black_box((decoder.text()?, decoder.bytes()?));
    black_box((decoder.text()?, decoder.uint()?));
    black_box((decoder.text()?, decoder.text()?));
    black_box((decoder.text()?, decoder.array()?));
    black_box((decoder.int()?, decoder.bool()?));
    sum = sum.wrapping_add(decoder.uint()?);
    decoder.finish()?;
    Ok(sum)
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(ITEMS));
    let mut buffer = Vec::with_capacity(1024);
    let mut step = 0;
    group.bench_function("encode_cursor", |bencher| {
        bencher.iter(|| {
            step += 1;
            buffer.clear();
            record(&mut buffer, step);
            black_box(&buffer);
        });
    });
    let mut bytes = Vec::new();
    record(&mut bytes, 1 << 20);
    group.bench_function("decode_cursor", |bencher| {
        bencher.iter(|| read(black_box(&bytes)))
    });
    let item = decode_strict(&bytes, &Limits::default()).expect("the record is deterministic");
    read(&bytes).expect("the record is what it is read as");
    group.bench_function("encode_tree", |bencher| {
        bencher.iter(|| black_box(&item).encode())
    });
    group.bench_function("decode_tree", |bencher| {
        bencher.iter(|| decode_strict(black_box(&bytes), &Limits::default()));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
