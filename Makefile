# What a person types. CI calls `setup`, `check`, `test` and `mutants`, and nothing else.

.DEFAULT_GOAL := help
.PHONY: help run test soak simulate check mutants screenshots bench bench-quick build-bench setup \
	deb test-deb image test-image

cargo_deb_version = 3.8.0
cargo_deb_tools = target/tools/cargo-deb-$(cargo_deb_version)
cargo_deb = $(cargo_deb_tools)/bin/cargo-deb

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and serve on http://127.0.0.1:3000 (options: make run ARGS="--keep-alive 5s")
	cargo run --locked --release -- $(ARGS)

# `cargo test` builds the binary too, for the tests over a socket run it.
test: setup ## Run every test; installs what it lacks (curl, browsers, npm and PyPI packages)
	cargo test --locked --workspace
	cargo build --locked --release
	node --disable-warning=UNDICI-ES --test --test-concurrency=3 tests/clients/*.test.mjs tests/browser/*.test.mjs
	target/venv/bin/python tests/faults/all.py

soak: setup ## Soak the server in mixed clients for ten minutes (make test does so for one)
	cargo build --locked
	target/venv/bin/python tests/faults/soak.py

simulate: ## Simulate the cluster with more seeds: make simulate SEEDS=20000, or SEED=17 for one
	$(if $(SEED),SEED=$(SEED),SEEDS=$(or $(SEEDS),20000)) cargo test --locked --package headcount-cluster -- --nocapture

check: ## Check the format, the lints and the docs; a warning is an error
	cargo fmt --all --check
	cargo clippy --locked --package headcount --all-targets -- --deny warnings
	cargo clippy --locked --package headcount --no-default-features --lib --example nested -- --deny warnings
	cargo clippy --locked --package headcount-bench --package headcount-packaging --all-targets -- --deny warnings
	cargo clippy --locked --package headcount-cluster --lib --test seeds --test twins -- --deny warnings
	cargo clippy --locked --package headcount-model --lib --test checks -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --package headcount --no-default-features --no-deps
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps

mutants: ## Make mistakes in copies of the code and see that the tests catch each
	python3 tests/model/mutants.py

bench: build-bench ## Measure Headcount beside other servers, in forty minutes: bench/results
	@if [ -x bench/setup.sh ]; then bench/setup.sh; fi
	target/release/bench

bench-quick: build-bench ## The same in three minutes, with small crowds: bench/results/quick
	@if [ -x bench/setup.sh ]; then bench/setup.sh; fi
	target/release/bench --quick

# One after the other: built together, each would have the features that the other asks for.
build-bench:
	cargo build --locked --release --package headcount
	cargo build --locked --release --package headcount-bench

deb: $(cargo_deb) ## Make a Debian package: target/debian
	cargo build --locked --release
	rm -rf target/packaging/manual target/debian
	cargo run --locked --package headcount-packaging -- target/packaging/manual
	$(cargo_deb) --locked --no-build

$(cargo_deb):
	cargo install --locked --root $(cargo_deb_tools) --version $(cargo_deb_version) cargo-deb

test-deb: deb ## Install, upgrade and purge that package in a Debian of its own; as root
	packaging/test-deb.sh

image: ## Build a container image: target/image/headcount.tar
	packaging/container/build.sh

test-image: image ## Start that image with podman and try it; as root
	packaging/test-image.sh

screenshots: setup ## Take the README's pictures of the page anew
	cargo build --locked
	SCREENSHOTS=docs node --test tests/browser/screenshots.test.mjs

setup:
	@bash tests/setup.sh
