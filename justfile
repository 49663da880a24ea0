# The steps of .ci/run, for people. `just` lists them.

default:
    @just --list

# Everything that must hold before a change lands
ci:
    .ci/run

# Format, then lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# All tests
test:
    cargo test --workspace

# The demo, with its results checked
demo:
    cargo run --release -- demo --out target/demo
    cargo run --quiet --package fluxfleet-tests --bin check-demo -- target/demo

# Install the servers of the real-server test
real-servers:
    tests/real/setup

# Every figure of the generator beside its peers; writes docs/benchmarks.md
bench *ARGS:
    bench/run {{ARGS}}

# What the generator costs over time: the worker's memory over half an hour, the coordinator's over a million items
soak:
    cargo build --release --workspace
    target/release/fluxfleet-bench soak
    target/release/fluxfleet-bench coordinator
