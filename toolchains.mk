# Compilers and run times of the languages that benchmarks of code use, and the browser in which the report's page is
# tested; quick when all of them are there.
# `make toolchains` is for Debian and its kin; elsewhere, `harness list toolchains` names what is missing.

TOOLCHAIN_PACKAGES := bubblewrap g++ default-jdk-headless php-cli mono-mcs mono-runtime nodejs bc procps \
	libboost-dev libssl-dev libjavatuples-java \
	chromium fonts-dejavu-core
# The last release whose compiler is JavaScript and whose defaults are those of the published results.
TYPESCRIPT := typescript@5.6.3
TYPESCRIPT_FOLDER := .toolchains/node_modules/typescript
# What judges whether the page is accessible.
AXE := axe-core@4.14.1
AXE_FOLDER := .toolchains/node_modules/axe-core
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON ?= python3

.PHONY: toolchains toolchains-debian verify

toolchains: toolchains-debian $(TYPESCRIPT_FOLDER)/package.json $(AXE_FOLDER)/package.json

toolchains-debian:
	@missing=""; for package in $(TOOLCHAIN_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if echo "$$missing" | grep -q nodejs && command -v node >/dev/null; then \
		missing=$$(echo "$$missing" | sed 's/ nodejs//'); \
	fi; \
	if [ -n "$$missing" ]; then \
		$(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi
	@command -v npm >/dev/null || $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y npm

$(TYPESCRIPT_FOLDER)/package.json:
	npm install --prefix .toolchains --no-audit --no-fund $(TYPESCRIPT)

# after the other: two installations at once would disturb each other
$(AXE_FOLDER)/package.json: $(TYPESCRIPT_FOLDER)/package.json
	npm install --prefix .toolchains --no-audit --no-fund $(AXE)

# Every published output, imported and scored here, beside its published verdict. Takes about a quarter of an hour.
verify: toolchains
	$(PYTHON) -m tests.replay.verify $(ARGS)
