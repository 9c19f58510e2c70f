# What is promised, and the target that proves it:
#~ prove-fresh        the README's two commands, read from it, in a fresh clone as a user without rights; TESTS= names some of the tests
#~ prove-conformance  beyond what make test holds, every contract on memory, SQLite, Redis 7.0 and Valkey, on every pair, across processes; no Redis key left for ever; what is true of all calls, of many that were made up
#~ prove-kill         kill -9 and worse on SQLite, on Redis and on both: none lost, none committed twice; eight mutants fail in it
#~ prove-network      500 cuts of the way to Redis, 100 of them in a reply: none lost, none doubled, back within 2 s
#~ prove-topologies   kill -9 of a master under load, with sentinels and in a cluster: none lost, none committed twice, running again within 10 s; the same as a slot moves
#~ prove-recovery     30 workers killed together on Redis: every task started again within 22 s; within 7 s with a lease of 5 s
#~ prove-stall        a task that blocks the loop for three leases is executed once; the log names it and its line
#~ prove-poison       os._exit in a task: 200 neighbours are done, the culprit is a dead letter after 4 starts, its waiter told
#~ prove-awaits       10,000 awaits at once: at most 2 connections more, all done though the subscription is cut
#~ prove-memory       Redis at its maxmemory: what runs still commits, sends raise a clear error, nothing is half sent
#~ prove-workflows    200 random workflows end as an interpreter of 80 lines has it, 1,000 steps and 50 deep too; a crash at every call of worker and sender, 500 chords under kill -9: none lost, none doubled; four mutants of each store fail in it
#~ prove-time         10,000 tasks due at once on Redis, and what waits 48 h on every store, over restarts; 1,000 cancels that race the end on each: never both; an idle worker asks Redis 3 times a second at most
#~ prove-periodic     cron lines at every transition of every zone against a brute-force reference; three schedulers under kill -9, a crash at every call of one: each slot once
#~ prove-stop         SIGTERM under load: none lost, no attempt counted, run elsewhere at once, gone in time, code 0
#~ prove-services     FastAPI, aiohttp and a script over real HTTP; 200 requests at once for 20 s, and as a worker is killed: none lost, nothing left
#~ prove-control      a paused queue starts nothing; 10,000 low ones hold up no high one and keep 5 to 12 % of the slots; weights; purge ends all CANCELLED; dead letters are sent anew once
#~ prove-limits       a rate of 100 a second on 4 processes: 500 starts in 5 s, give or take 5; four at once under kill -9: never five, never stuck; a crash at every call of limited, unique, early acknowledged and streaming tasks: nobody is left waiting, no key is kept, no stream is torn
#~ prove-arguments    what does not fit is refused at the call; by name it fails with the same text, untried again
#~ prove-results      unknown and expired ids at once; bad messages are dead letters, their neighbours are done
#~ prove-cli          every verb as a process: its JSON and each exit code; reload and Ctrl-C lose nothing; the page's shell blocks run; a password is in nothing that is printed, logged, raised or kept
#~ prove-imports      help loads click and nothing heavy, in twice the time of importing click; importing the package loads no adapter
#~ prove-bench        figures of SQLite and Redis on this machine
#~ prove-rivals       the same figures beside ardiq, taskiq and saq in one run, as ratios

PYTHON ?= python3
TESTS ?= tests
PYTEST = .venv/bin/pytest -q
# many tests wait for the clocks of services, and may wait together; those of whole processes, a few at a time
TOGETHER = $(PYTEST) --numprocesses 4 --dist worksteal
A_FEW = $(PYTEST) --numprocesses 2 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# hundreds of processes import the same files, which are compiled once; make clean removes what that leaves
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test prove lint format bench bench-full bench-page bench-setup costs docs lock clean prove-list \
	prove-fresh prove-conformance prove-kill prove-network prove-topologies prove-recovery prove-stall prove-poison \
	prove-awaits prove-memory prove-workflows prove-time prove-periodic prove-stop prove-services prove-control prove-limits \
	prove-arguments prove-results prove-cli prove-imports \
	prove-bench prove-rivals

help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: .venv-core/.stamp ## send tasks to a worker in another process; BROKER=url chooses the store
	@$(if $(BROKER),BROKER='$(BROKER)') .venv-core/bin/python examples/quickstart/demo.py

test: .venv/.stamp ## run the tests, without the slow ones; TESTS= names some of them
	$(TOGETHER) $(TESTS) -rfEs -m "not slow and not wide"

prove: prove-fresh prove-conformance prove-kill prove-network prove-topologies prove-recovery prove-stall prove-poison \
	prove-awaits prove-memory prove-workflows prove-time prove-periodic prove-stop prove-services prove-control prove-limits \
	prove-arguments prove-results prove-cli prove-imports \
	prove-bench prove-rivals ## prove what is promised; prove-list says which target proves what

prove-list:
	@sed -n 's/^#~ //p' Makefile

prove-fresh:
	.ci/fresh

prove-conformance: .venv/.stamp
	$(TOGETHER) tests/conformance tests/integration tests/unit tests/chaos -m wide
	$(A_FEW) tests/unit -m hypothesis --hypothesis-profile thorough

prove-kill: .venv/.stamp
	$(A_FEW) tests/chaos/test_kill_redis.py tests/chaos/test_kill.py tests/chaos/test_supervised.py
	$(TOGETHER) tests/chaos/test_crash_points.py

prove-network: .venv/.stamp
	$(PYTEST) -s tests/integration/redis/test_cuts.py

prove-topologies: .venv/.stamp
	$(A_FEW) -rP tests/chaos/test_topologies.py

prove-recovery: .venv/.stamp
	$(PYTEST) -s tests/chaos/test_recovery.py

prove-stall: .venv/.stamp
	$(PYTEST) tests/chaos/test_stall.py

prove-poison: .venv/.stamp
	$(PYTEST) -s tests/chaos/test_poison.py

prove-awaits: .venv/.stamp
	$(PYTEST) -s tests/integration/redis/test_awaits.py

prove-memory: .venv/.stamp
	$(PYTEST) tests/integration/redis/test_maxmemory.py

prove-workflows: .venv/.stamp
	$(TOGETHER) tests/chaos/test_crash_workflows.py tests/chaos/test_workflow_mutants.py \
		tests/integration/test_workflows.py tests/integration/test_random_workflows.py \
		tests/integration/test_random_cancels.py tests/integration/test_large_workflows.py \
		tests/integration/test_chord_ends.py
	$(A_FEW) -rP tests/chaos/test_kill_workflows.py

prove-time: .venv/.stamp
	$(TOGETHER) tests/chaos/test_cancel_race.py tests/chaos/test_long_delays.py \
		tests/integration/redis/test_time.py -k "not ten_thousand"
	$(PYTEST) -s tests/integration/redis/test_time.py -k ten_thousand

prove-periodic: .venv/.stamp
	$(TOGETHER) -s tests/integration/test_every_transition.py tests/chaos/test_crash_ticks.py \
		tests/chaos/test_schedulers.py tests/integration/test_ticker.py

prove-stop: .venv/.stamp
	$(PYTEST) tests/chaos/test_stop.py

prove-services: .venv/.stamp
	$(TOGETHER) tests/integration/test_services.py
	$(PYTEST) -s tests/chaos/test_services_load.py

prove-control: .venv/.stamp
	$(TOGETHER) -m "not wide" tests/conformance/test_pause.py tests/conformance/test_turns.py \
		tests/conformance/test_purge.py tests/integration/test_queues.py tests/chaos/test_crash_purge.py

prove-limits: .venv/.stamp
	$(PYTEST) -s tests/chaos/test_limits.py
	$(TOGETHER) tests/chaos/test_crash_limits.py tests/chaos/test_crash_once.py tests/chaos/test_crash_unique.py \
		tests/chaos/test_crash_streams.py

prove-arguments: .venv/.stamp
	$(PYTEST) tests/integration/test_arguments.py

prove-results: .venv/.stamp
	$(PYTEST) tests/integration/test_dead_letters.py tests/integration/test_results.py

prove-cli: .venv/.stamp
	$(TOGETHER) tests/integration/cli -m slow

prove-imports: .venv/.stamp
	$(PYTEST) -s tests/integration/test_imports.py

prove-bench: .venv/.stamp
	$(PYTEST) tests/integration/test_benchmarks.py -m slow
	.venv/bin/python -m benchmarks --alone --quick --rounds 1

prove-rivals: .venv/.stamp
	.venv/bin/python -m benchmarks --quick --rounds 1

lint: .venv/.stamp ## check style, types and layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pyright
	PYTHONPATH=. .venv/bin/pyright --verifytypes aioqueue --ignoreexternal
	.venv/bin/lint-imports --no-logo

format: .venv/.stamp ## format the code and mend what can be mended
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench-setup: .venv/.stamp ## build the environments of all rivals, once
	@.venv/bin/python -m benchmarks.environments $(ARGS)

bench: .venv/.stamp ## measure beside ardiq, taskiq, saq and the limit, in less than 6 minutes; ARGS= is handed on
	@.venv/bin/python -m benchmarks $(ARGS)

bench-full: .venv/.stamp ## measure all there is beside all rivals, in five rounds
	@.venv/bin/python -m benchmarks --full --rounds 5 $(ARGS)

bench-page: .venv/.stamp ## make docs/benchmarks.md of what was measured last
	@.venv/bin/python -m benchmarks.page

costs: .venv/.stamp ## renew the baseline of what a task costs in counts; its commit says why
	.venv/bin/python -m benchmarks.costs

docs: .venv/.stamp ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

# The dev lock is held to the core lock, so that tests run on the versions a user gets.
COMPILE = UV_PYTHON_DOWNLOADS=never uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url $(ARGS)
lock: ## pin the dependencies anew (needs uv; ARGS=--upgrade takes newer versions)
	$(COMPILE) --output-file requirements/core.txt
	$(COMPILE) --group dev --extra uvloop --constraints requirements/core.txt --output-file requirements/dev.txt

clean: ## remove all that was built
	rm -rf .venv .venv-bench .venv-core .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist site
	find aioqueue tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# .locked: the pinned packages are in; .stamp: the project is in as well, from this checkout.
define build_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "aioqueue needs Python 3.11 or newer, and '$(PYTHON)' is not. On Debian: apt-get install python3-venv;" \
	"where another one is installed: make PYTHON=python3.12" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "'$(PYTHON)' cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
@echo "building $(@D) from $< (once, until the lock changes)"
@rm -rf $(@D)
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/pip install --quiet --no-deps --require-hashes -r $<
@touch $@
endef

.venv-core/.locked: requirements/core.txt
	$(build_venv)

.venv/.locked: requirements/dev.txt
	$(build_venv)

.venv-core/.stamp .venv/.stamp: %/.stamp: %/.locked pyproject.toml
	@$(@D)/bin/pip install --quiet --no-deps -e .
	@touch $@
