#!/usr/bin/env bash
# Runs all tests: unit tests and documentation examples of every package, gradient, parity and end-to-end tests.
#
#   tests/run.sh                         everything, a few minutes on two cores
#   RUNG_TEST_CASES=20 tests/run.sh      the long variant: that many times as many random cases
#   RUNG_TEST_SEED=7 tests/run.sh        with a given seed instead of fresh ones, which are printed
#   RUNG_REAL_DATA=DIR tests/run.sh      also the tests on real data sets in DIR (mnist, omniglot-rebuilt, …)
#
# Needs Rust and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

# The end-to-end tests start the program itself.
cargo build --package rung
cargo test --workspace --no-fail-fast "$@"
