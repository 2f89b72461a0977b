//! Measures `exec` as a user sees it: whole processes, agent included.
//!
//! `true` compared with `--version` is the cost of a session beyond starting a program. `cat` is
//! the throughput of one stream, from the guest and through it.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::NamedTempFile;

/// Bytes of a stream: enough that starting up does not matter.
const STREAM_LEN: usize = 256 << 20;

fn antiphon(args: &[&str], stdin: Stdio) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    let status = command
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("it starts").success(), "{args:?}");
}

fn starting(c: &mut Criterion) {
    let mut group = c.benchmark_group("start");
    group.bench_function("version", |b| {
        b.iter(|| antiphon(&["--version"], Stdio::null()))
    });
    group.bench_function("exec true", |b| {
        b.iter(|| antiphon(&["exec", "--", "true"], Stdio::null()));
    });
    group.finish();
}

fn streaming(c: &mut Criterion) {
    let mut file = NamedTempFile::new().expect("there is room for temporary files");
    file.write_all(&vec![7; STREAM_LEN])
        .expect("there is room for a stream");
    let path = file
        .path()
        .to_str()
        .expect("temporary files have plain names")
        .to_owned();
    let open = |path: &Path| Stdio::from(File::open(path).expect("it was just written"));

    let mut group = c.benchmark_group("stream");
    group
        .throughput(Throughput::Bytes(STREAM_LEN as u64))
        .sample_size(10);
    group.bench_function("from the guest", |b| {
        b.iter(|| antiphon(&["exec", "--", "cat", &path], Stdio::null()));
    });
    group.bench_function("through the guest", |b| {
        b.iter(|| antiphon(&["exec", "--", "cat"], open(file.path())));
    });
    group.finish();
}

criterion_group!(benches, starting, streaming);
criterion_main!(benches);
