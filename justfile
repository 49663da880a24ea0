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

# What the generator costs on this machine
bench:
    cargo run --release --package fluxfleet-bench -- throughput
    cargo run --release --package fluxfleet-bench -- in-flight
