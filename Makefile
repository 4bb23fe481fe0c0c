# Everything starts here, on a fresh Debian or Ubuntu too: each target does its own set-up first.
SHELL := /bin/bash
PACKAGES := native dataplane controller lab svcplane
BIN := .venv/bin

.PHONY: help setup demo test explore vm lint asan ubsan valgrind tidy cppcheck fuzz bench results soak clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' Makefile | expand -t 10

setup: ## install what is missing: packages, .venv, the C extension
	@.ci/setup

demo: setup ## run a cluster on this machine and watch a Service work (root)
	@$(BIN)/svcplane lab demo

# Most of the time tests wait for packets, so there are more workers than processors.
test: setup ## run all tests; says what it skipped and why
	@$(BIN)/python -m pytest -n $$(($$(nproc) + 1)) --maxprocesses=8 --dist=worksteal

explore: setup ## run the property tests with other examples than always, ROUNDS=1 times
	@for round in $$(seq $(or $(ROUNDS),1)); do \
		$(BIN)/python -m pytest -q -n $$(($$(nproc) + 1)) --maxprocesses=8 --dist=worksteal \
			-m hypothesis --hypothesis-profile=explore || exit; done

vm: setup ## run the kernel tests on Debian 12's kernel, in an emulated VM: most of an hour (root)
	@tests/vm/prepare >/dev/null
	@SVCPLANE_VM=1 $(BIN)/python -m pytest -s tests/vm

lint: setup ## check style, types and C
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@.ci/lint-c

asan: setup ## run the C tests under the address sanitizer
	@tests/native/check asan

ubsan: setup ## run the C tests under the undefined-behaviour sanitizer
	@tests/native/check ubsan

valgrind: setup ## run the C tests under valgrind
	@tests/native/check valgrind

tidy: setup ## check the C code with clang-tidy
	@.ci/lint-c tidy

cppcheck: setup ## check the C code with cppcheck
	@.ci/lint-c cppcheck

fuzz: setup ## feed the C code random bytes, DURATION=60 seconds for each target (clang)
	@tests/native/fuzz/run $(or $(DURATION),60)

bench: setup ## measure; prints the bars beside the figures
	@$(BIN)/python -m pytest bench -s

soak: setup ## an agent under changes, restarts, kills and traffic, for MINUTES=30 (root)
	@$(BIN)/python -m pytest bench/test_soak.py -s --soak-minutes $(or $(MINUTES),30) --soak-seed $(or $(SEED),1)

results: setup ## measure everything beside KUBE_PROXY=PATH, for docs/results.md: most of an hour (root)
	@bench/report $(if $(KUBE_PROXY),--kube-proxy $(KUBE_PROXY)) --kills 8 --docs docs/results.md --readme README.md

clean: ## remove what was built; `make setup` makes it again
	@rm -rf build dist *.egg-info native/*.so native/_native.c .venv/.built .venv/.installed
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(PACKAGES) tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
