# Shortcuts; each one is a `cargo xtask` command, so nothing here is needed.

_list:
    @just --list --unsorted

# What CI runs: set up, then every lane
[group('check')]
test *LANES:
    cargo xtask test {{ LANES }}

# The lanes that take seconds: formatting, lints, structure
[group('check')]
check:
    cargo xtask test fmt clippy tidy

# The Lean model and its proofs; arguments name modules
[group('check')]
lean *ARGS:
    cargo xtask lean {{ ARGS }}

# The model and the kernel run the same cases: --types, --suite, --all; --long for 20,000 random ones
[group('check')]
check-parity *ARGS:
    cargo xtask parity {{ ARGS }}

# What a release stands on, from nothing: proofs, axioms, theorems, corpus, parity, replays
[group('check')]
check-release-conformance *PARTS:
    cargo xtask conformance {{ PARTS }}

# The real virtual machine alone
[group('check')]
vm:
    cargo xtask vm

# The package for browsers and Node, rust/wasm/pkg; --test runs its tests too
[group('build')]
wasm *ARGS:
    cargo xtask wasm {{ ARGS }}

# Rewrite snapshots, goldens, digests of the corpus from what the code does now; review the diff
[group('change')]
bless *ARGS:
    cargo xtask bless {{ ARGS }}

# Rewrite the list of theorems from the proofs; review the diff
[group('change')]
theorems:
    cargo xtask lean --inventory

# Format the workspace
[group('change')]
fmt:
    cargo fmt --all

# Benches; arguments go to criterion
[group('measure')]
bench *ARGS:
    cargo xtask bench {{ ARGS }}

# Fuzz one target: `just fuzz frames 1000000`
[group('measure')]
fuzz TARGET RUNS="1000000":
    cargo xtask fuzz {{ TARGET }} --runs {{ RUNS }}

# The API documentation, opened
[group('read')]
docs:
    cargo doc --workspace --no-deps --open

# Get what the tests need; prefers what is there
[group('read')]
setup:
    cargo xtask setup
