# Shortcuts. Each one is a `cargo` command, so just is optional.

_list:
    @just --list --unsorted

# Everything CI runs: set-up, then every lane
[group('check')]
test *LANES:
    cargo xtask test {{ LANES }}

# The fast lanes: formatting, lints, structure
[group('check')]
check:
    cargo xtask test fmt clippy tidy

# Build the Lean model and its proofs; arguments name modules
[group('check')]
lean *ARGS:
    cargo xtask lean {{ ARGS }}

# Compare the model and the kernel: --types, --suite, --all; --long for 20,000 random cases
[group('check')]
check-parity *ARGS:
    cargo xtask parity {{ ARGS }}

# Apply deliberate errors to a copy of the crates; a case of the suite must detect each
[group('check')]
mutants *ARGS:
    cargo xtask mutants {{ ARGS }}

# Check everything a release depends on, from scratch: proofs, axioms, theorems, parity, replays
[group('check')]
check-release-conformance *PARTS:
    cargo xtask conformance {{ PARTS }}

# Run the tests against a real virtual machine
[group('check')]
vm:
    cargo xtask vm

# Build the package for browsers and Node, rust/wasm/pkg; --test also runs its tests
[group('build')]
wasm *ARGS:
    cargo xtask wasm {{ ARGS }}

# Rewrite snapshots, goldens and corpus digests from the code's present output; review the diff
[group('change')]
bless *ARGS:
    cargo xtask bless {{ ARGS }}

# Rewrite the list of theorems; review the diff
[group('change')]
theorems:
    cargo xtask lean --inventory

# Format the workspace
[group('change')]
fmt:
    cargo fmt --all

# Run the benches; arguments go to `cargo bench`
[group('measure')]
bench *ARGS:
    cargo xtask bench {{ ARGS }}

# Measure against other runtimes, print the tables and write them into docs/performance.md
[group('measure')]
bench-peers *ARGS:
    cargo xtask bench-peers {{ ARGS }}

# Fail if a measured ratio is below its floor; `--without wasm` skips ratios
[group('measure')]
bench-check *ARGS:
    cargo xtask bench-check {{ ARGS }}

# Run one fuzz target: `just fuzz frames 1000000`
[group('measure')]
fuzz TARGET RUNS="1000000":
    cargo xtask fuzz {{ TARGET }} --runs {{ RUNS }}

# Build the API documentation and open it
[group('read')]
docs:
    cargo doc --workspace --no-deps --open

# Build a release: static programs with the page of `view`, and their digests
[group('build')]
release:
    cargo xtask release

# List the cache of built and downloaded files; --clear empties it
[group('read')]
cache *ARGS:
    cargo xtask cache {{ ARGS }}

# Install the missing tools that the tests need
[group('read')]
setup:
    cargo xtask setup
