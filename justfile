# Shortcuts. Each one is a cargo command, so `just` is optional.

_list:
    @just --list --unsorted

# Everything that CI runs: set-up, then every lane
[group('check')]
test *LANES:
    cargo xtask test {{ LANES }}

# Run the fast lanes: formatting, lints, structure
[group('check')]
check:
    cargo xtask test fmt clippy tidy

# Build the Lean model and its proofs; arguments name modules
[group('check')]
lean *ARGS:
    cargo xtask lean {{ ARGS }}

# Compare model and kernel on the same cases: --types, --suite, --all; --long for 20,000 random ones
[group('check')]
check-parity *ARGS:
    cargo xtask parity {{ ARGS }}

# Everything a release requires, from scratch: proofs, axioms, theorems, corpus, parity, replays
[group('check')]
check-release-conformance *PARTS:
    cargo xtask conformance {{ PARTS }}

# Run only the tests against a real virtual machine
[group('check')]
vm:
    cargo xtask vm

# Build the package for browsers and Node, rust/wasm/pkg; --test also runs its tests
[group('build')]
wasm *ARGS:
    cargo xtask wasm {{ ARGS }}

# Rewrite snapshots, goldens and the corpus's digests to match the code; review the diff
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

# Run the benches; arguments go to criterion
[group('measure')]
bench *ARGS:
    cargo xtask bench {{ ARGS }}

# Compare with other implementations; prints the tables and writes them into docs/performance.md
[group('measure')]
bench-peers *ARGS:
    cargo xtask bench-peers {{ ARGS }}

# Fail for each ratio that is below its floor; `--without wasm` leaves ratios out
[group('measure')]
bench-check *ARGS:
    cargo xtask bench-check {{ ARGS }}

# Fuzz one target: `just fuzz frames 1000000`
[group('measure')]
fuzz TARGET RUNS="1000000":
    cargo xtask fuzz {{ TARGET }} --runs {{ RUNS }}

# Build and open the API documentation
[group('read')]
docs:
    cargo doc --workspace --no-deps --open

# Install what the tests need; uses what is already installed
[group('read')]
setup:
    cargo xtask setup
