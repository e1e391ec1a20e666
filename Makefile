# The few commands a person types. Needs Rust (rust-toolchain.toml), a C compiler, GNU make and
# Python 3; everything else is fetched.
SEEDS ?= 200
JOBS ?= $(shell nproc)
TARGET := $(or $(CARGO_TARGET_DIR),target)
VENV := .venv/installed
SIM := $(TARGET)/release/vivarium-sim
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help run test verify fix build guided sim replay quorum clients kazoo-suite failover interop bench mutants fuzz nightly slurm determinism report report-check first-bug

help:
	@echo 'make run             from a fresh machine to a seeded sweep and a quorum that survives kills'
	@echo 'make test            everything that CI runs'
	@echo 'make verify          formatting, lints, docs; never writes'
	@echo 'make fix             formats, and applies what clippy can mend'
	@echo 'make sim SEEDS=200   simulate that many seeds'
	@echo 'make guided          a simulator that is a fifth faster, for long sweeps; takes twice as long to build'
	@echo 'make replay SEED=..  one seed again, with its trace hash and verdict'
	@echo 'make report SEED=..  the same as a picture: a page for a browser'
	@echo 'make first-bug       runs the chapter "Your first bug" of docs/debugging.md, word by word'
	@echo 'make report-check    opens such pages in headless Chromium, and uses them'
	@echo 'make mutants         plants known bugs and counts the seeds to the catch of each [DIR=.. SEEDS=..]'
	@echo 'make fuzz SECONDS=60 arbitrary bytes against core, for that long each (needs a nightly compiler)'
	@echo 'make nightly         a long sweep that goes on where it was ended, and a canary that it must catch'
	@echo 'make slurm           a sweep as a Slurm array, and the same result as from one process'
	@echo 'make determinism     one seed, one trace: across processes and build profiles'
	@echo 'make quorum          three real servers, kazoo sessions, leaders killed and paused; the history is judged'
	@echo 'make interop         beside Apache ZooKeeper 3.9.5: data folders both ways, mixed ensembles,'
	@echo '                     a rolling replacement and back, the same requests to both'
	@echo 'make clients         kazoo with its recipes and zkCli against three real servers (needs Java)'
	@echo 'make kazoo-suite     kazoo'"'"'s own test suite: what passes against Apache passes here (needs Java)'
	@echo 'make failover        how long writes wait for a leader that is killed, or stopped'
	@echo 'make bench           steps of core, the tree alone, throughput, CPU per operation, memory, time to serve'

run: build $(VENV)
	$(SIM) run --seeds 5000
	.venv/bin/python scripts/quorum_run.py --binary $(TARGET)/release/vivarium --sim $(SIM)

build:
	cargo build --release --locked --bins

# For a sweep of hours: make nightly SIM=target/guided/release/vivarium-sim
guided:
	python3 scripts/guided.py

# The runner of the tests comes last, so that its verdict is what the eye meets.
test: verify $(VENV)
	cargo build --locked -p vivarium -p vivarium-sim
	.venv/bin/python -m unittest discover --quiet --start-directory scripts --pattern '*_test.py'
	.venv/bin/python scripts/quorum_run.py --binary $(TARGET)/debug/vivarium --sim $(TARGET)/debug/vivarium-sim --rounds 1 --kills 1
	.venv/bin/python scripts/clients.py --binary $(TARGET)/debug/vivarium --no-zkcli
	python3 scripts/report_check.py --sim $(TARGET)/debug/vivarium-sim
	cargo test --workspace --locked --doc --quiet
ifneq ($(NEXTEST),)
	cargo nextest run --workspace --locked --no-fail-fast
else
	cargo test --workspace --locked --no-fail-fast --all-targets
endif

verify:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='--cfg madsim -D warnings' cargo doc --workspace --no-deps --locked --quiet
	python3 scripts/mutants.py --check

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

sim: build
	$(SIM) run --seeds $(SEEDS) --jobs $(JOBS)

replay: build
	@test -n '$(SEED)' || { echo 'make replay SEED=..: which seed?' >&2; exit 2; }
	$(SIM) replay $(SEED)

report: build
	@test -n '$(SEED)' || { echo 'make report SEED=..: which seed?' >&2; exit 2; }
	$(SIM) report $(SEED)

first-bug:
	python3 scripts/first_bug.py

report-check: build
	python3 scripts/report_check.py --sim $(SIM)

DIR ?= scenarios/mutants
LIMIT := $(if $(filter command% environment%,$(origin SEEDS)),$(SEEDS),2000)

mutants:
	python3 scripts/mutants.py --dir $(DIR) --seeds $(LIMIT) --jobs $(JOBS)

SECONDS_EACH := $(if $(filter command% environment%,$(origin SECONDS)),$(SECONDS),60)

fuzz:
	python3 scripts/fuzz.py --seconds $(SECONDS_EACH)

# The ledger of the day lies in target/nightly; make nightly again goes on with it.
nightly: build
	python3 scripts/nightly.py --binary $(SIM) --jobs $(JOBS) $(if $(filter command% environment%,$(origin SEEDS)),--seeds $(SEEDS))

# Needs Debian's packages slurm-wlm and munge, and root.
slurm: build
	python3 scripts/slurm_check.py --binary $(SIM)

determinism: build
	cargo build --locked -p vivarium-sim
	python3 scripts/determinism.py $(SIM) $(TARGET)/debug/vivarium-sim

quorum: build $(VENV)
	.venv/bin/python scripts/quorum_run.py --binary $(TARGET)/release/vivarium --sim $(SIM)

# Fetches Apache ZooKeeper once (VIVARIUM_PEERS names another folder than target/peers); needs Java 17.
interop: build $(VENV)
	.venv/bin/python -m unittest discover --quiet --start-directory scripts/interop --pattern '*_test.py'
	.venv/bin/python scripts/interop/run.py --binary $(TARGET)/release/vivarium --sim $(SIM)

clients: build $(VENV)
	.venv/bin/python scripts/clients.py --binary $(TARGET)/release/vivarium

# Apache's results are kept: they change with kazoo alone.
kazoo-suite: build $(VENV)
	.venv/bin/python -m pip install --quiet --requirement scripts/kazoo_suite.txt
	.venv/bin/python scripts/kazoo_suite.py --binary $(TARGET)/release/vivarium --apache $(TARGET)/kazoo-suite/apache.json

failover: build $(VENV)
	.venv/bin/python scripts/failover.py --binary $(TARGET)/release/vivarium

bench: build
	cargo bench --quiet --locked -p vivarium-core --bench steps --bench tree
	python3 scripts/bench.py --binary $(TARGET)/release/vivarium

$(VENV): scripts/requirements.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement $<
	@touch $@
