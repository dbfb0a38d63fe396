# central-auth: `make help` tells what there is. Everything built goes into .build/, nothing else is written.
LUA        ?= lua5.4
LUA_PC     ?= lua5.4
PKG_CONFIG ?= pkg-config
CC         ?= cc
BUILD      ?= .build
PREFIX     ?= /usr/local
LUADIR     ?= $(PREFIX)/share/lua/5.4
LIBDIR     ?= $(PREFIX)/lib/lua/5.4
BINDIR     ?= $(PREFIX)/bin
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
BASHDIR    ?= $(DATADIR)/bash-completion/completions
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
CFLAGS     ?= -O2 -g

# --- how to compile -------------------------------------------------------------------------------------------------

LUA_INCDIR ?= $(patsubst -I%,%,$(firstword $(shell $(PKG_CONFIG) --cflags-only-I $(LUA_PC) 2>/dev/null) /usr/include))
CURL_MIN   := 7.87
WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
              -Wformat=2
HARDENED   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fvisibility=hidden -fPIC -ffunction-sections -fdata-sections
LINK       := -shared -Wl,-z,relro,-z,now,-z,nodelete,-z,noexecstack,--gc-sections
COMPILE     = $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) $(HARDENED) $(CPPFLAGS) -isystem $(LUA_INCDIR) \
              $(shell $(PKG_CONFIG) --cflags libcurl libsodium) $(CFLAGS) $(SANITIZE)

# Objects by folder of csrc/. Of csrc/lua/ each shared object has its own binding, and core.so the rest.
in_folders = $(foreach folder,$(1),$(patsubst csrc/%.c,%,$(wildcard csrc/$(folder)/*.c)))
CORE    := $(filter-out $(addprefix lua/,ltransfer lconsole lredis),$(call in_folders,lua cache base)) fetch/secret_source fetch/secret_command
HTTP    := lua/ltransfer lua/lauth $(call in_folders,fetch http worker cache base)
CONSOLE := lua/lconsole lua/lauth $(call in_folders,base)
REDIS   := lua/lredis lua/lauth $(call in_folders,redis http worker cache base)
LUAS := $(sort $(shell cd lua && find central -name '*.lua'))
HELP := $(BUILD)/lua/central/auth/help_texts.lua
# What core.so holds precompiled: all but the sandbox, the command, but for what prints a token, and the file by which
# `require` begins.
PRINTS  := $(addprefix central/auth/cli/,main.lua commands/token.lua session.lua result.lua try.lua)
MODULES := $(filter-out central/auth.lua central/auth/cli/% central/auth/sandbox.lua central/auth/sandbox/%,$(LUAS)) $(PRINTS)

.PHONY: build help demo reference tables test run spec spec-c bench bench-tables bench-deps soak model fleet fuzz lint check-asan check-tsan check-torture check-gc \
        check-valgrind check-deb check-debian install uninstall dist deb clean versions deps-%
.DEFAULT_GOAL := build

# Redis is for who has hiredis.
REDIS_PC  := hiredis
HAS_REDIS := $(shell $(PKG_CONFIG) --exists $(REDIS_PC) 2>/dev/null && echo yes)
OBJECTS   := core http console $(if $(HAS_REDIS),redis)
COMPLETIONS := $(addprefix $(BUILD)/completions/,bash zsh fish)

build: versions $(OBJECTS:%=$(BUILD)/central/auth/%.so) $(BUILD)/central-auth.1 $(COMPLETIONS) ## compile into .build/

versions:
	@$(PKG_CONFIG) --version >/dev/null 2>&1 || { \
	  echo "central-auth: pkg-config is missing; make deps-build installs all that a build needs" >&2; exit 1; }
	@test -f "$(LUA_INCDIR)/lua.h" && grep -Eq 'LUA_VERSION_(NUM[[:space:]]+50|MINOR_N[[:space:]]+)[4-9]' "$(LUA_INCDIR)/lua.h" || { \
	  echo "central-auth needs Lua 5.4 or newer and its headers; none found in '$(LUA_INCDIR)'; make deps-build installs what a build needs" >&2; exit 1; }
	@$(PKG_CONFIG) --atleast-version=$(CURL_MIN) libcurl || { \
	  echo "central-auth needs libcurl $(CURL_MIN) or newer; found: $$($(PKG_CONFIG) --modversion libcurl 2>/dev/null || echo none)" >&2; exit 1; }
	@$(PKG_CONFIG) --exists libsodium || { echo "central-auth needs libsodium and its headers; make deps-build installs what a build needs" >&2; exit 1; }
	@$(LUA) -e 'require "cjson" require "argparse"' 2>/dev/null || { \
	  echo "central-auth needs cjson and argparse for $(LUA), to build its manual page; make deps-build installs what a build needs" >&2; exit 1; }

$(BUILD)/obj/%.o: csrc/%.c | versions
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(COMPILE) -Icsrc -MMD -MP -c $< -o $@

$(HELP): .ci/help_texts.lua .ci/sources.lua .ci/annotations.lua $(LUAS:%=lua/%) | versions
	@mkdir -p $(@D)
	@$(LUA) $< lua $(LUAS) >$@.new && mv $@.new $@

$(BUILD)/obj/modules.h: .ci/precompile.lua $(MODULES:%=lua/%) $(HELP) | versions
	@mkdir -p $(@D)
	@$(LUA) $^ >$@.new && mv $@.new $@

$(BUILD)/obj/lua/lmodules.o: $(BUILD)/obj/modules.h
$(BUILD)/obj/lua/lmodules.o: CPPFLAGS += -I$(BUILD)/obj

$(BUILD)/central/auth/core.so: $(CORE:%=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "ld $@"
	@$(CC) $(LINK) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs libsodium)

$(BUILD)/central/auth/http.so: $(HTTP:%=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "ld $@"
	@$(CC) $(LINK) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs libcurl libsodium)

$(BUILD)/central/auth/console.so: $(CONSOLE:%=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "ld $@"
	@$(CC) $(LINK) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs libsodium)

BUILT = env PATH="$(abspath $(BUILD))/bin:$$PATH" LUA_PATH="$(CURDIR)/lua/?.lua;;" LUA_CPATH="$(abspath $(BUILD))/?.so;;" $(LUA)
$(BUILD)/central-auth.1 $(COMPLETIONS): $(BUILD)/central/auth/core.so $(BUILD)/central/auth/console.so $(LUAS:%=lua/%) lua/central-auth

$(BUILD)/central-auth.1:
	@mkdir -p $(@D)
	@echo "man $@"
	@$(BUILT) -e 'io.write(require("central.auth.cli.man").page())' >$@.new && mv $@.new $@

$(COMPLETIONS):
	@mkdir -p $(@D)
	@echo "completion $@"
	@$(BUILT) lua/central-auth completion $(@F) >$@.new && mv $@.new $@

$(BUILD)/central/auth/redis.so: $(REDIS:%=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "ld $@"
	@$(CC) $(LINK) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs libcurl $(REDIS_PC) libsodium)

$(BUILD)/obj/redis/%.o: CPPFLAGS += $(patsubst -I%,-isystem%,$(shell $(PKG_CONFIG) --cflags $(REDIS_PC)))

-include $(wildcard $(BUILD)/obj/*/*.d)

# --- for people -----------------------------------------------------------------------------------------------------

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | awk -F'\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo
	@echo "  PREFIX=/usr/local DESTDIR= LUADIR= LIBDIR= BINDIR= DATADIR= say where to install; CC, CFLAGS, LDFLAGS how to build."

# Lua finds this tree first, then Debian's modules; pure-Lua packages made for 5.3 and 5.1 work on 5.4.
SHARE     := /usr/share/lua
SPEC_PATH := $(CURDIR)/lua/?.lua;$(CURDIR)/?.lua;$(SHARE)/5.4/?.lua;$(SHARE)/5.4/?/init.lua;$(SHARE)/5.3/?.lua;$(SHARE)/5.3/?/init.lua;$(SHARE)/5.1/?.lua
RUN_PATHS  = LUA_PATH="$(SPEC_PATH);;" LUA_CPATH="$(abspath $(BUILD))/?.so;;"

demo: deps-demo ## get a token from a mock server over TLS and watch its life
	@$(MAKE) --no-print-directory -s build
	@env $(RUN_PATHS) $(LUA) lua/examples/demo.lua

reference: deps-reference ## every function, in Lua and in C, by LDoc: .build/reference/index.html
	@rm -rf $(BUILD)/reference && mkdir -p $(BUILD)/reference/source
	@$(LUA) .ci/reference/write.lua $(BUILD)/reference/source
	@build="$(abspath $(BUILD))/reference" && cd .ci/reference && \
	  TMPDIR="$$build/source" ldoc --testing --fatalwarnings -c ldoc.ld -d "$$build" "$$build/source"
	@rm -r $(BUILD)/reference/source

test: deps-test ## everything: C units, specs, real authorization servers
	@$(MAKE) --no-print-directory run EXCLUDE=torture,deb # see check-torture, check-deb

deps-build: ## install what a build needs, by apt-get
	@sh .ci/packages build

deps-%:
	@sh .ci/packages $*

TESTS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(filter-out $(if $(HAS_REDIS),,spec/c/redis_store_test.c),$(wildcard spec/c/*_test.c)))

# Seconds after which a C unit, or a run of specs, is ended.
UNIT_SECONDS := 300
SPEC_SECONDS := 3600

# The specs run in an environment of their own: no credentials, proxies or trust of the person who runs them.
CLEAN_ENV  = env -i PATH="$(abspath $(BUILD))/bin:$$PATH:/usr/sbin:/sbin" HOME="$(abspath $(BUILD))/home" LANG=C.UTF-8 $(RUN_PATHS) BUILD="$(abspath $(BUILD))"
SPECS     ?= spec
BUSTED_FLAGS ?= --exclude-tags=deb
FOR_SPECS := $(BUILD)/oidc/.ready $(patsubst %,$(BUILD)/spec_%.so,clocks fork getenv thread_end torture) $(BUILD)/threads $(BUILD)/contain

spec: build $(FOR_SPECS) ## the Lua specs only (SPECS=spec/renewal_spec.lua for one)
	@mkdir -p $(BUILD)/home
	@$(CLEAN_ENV) $(BUILD)/contain $(SPEC_SECONDS) $(RUNNER) $(LUA) /usr/bin/busted $(BUSTED_FLAGS) $(SPECS)

# Units and spec files side by side, for most of them wait most of the time. TAGS and EXCLUDE choose among the specs, INIT
# is Lua to run first in each, RUNNER a command to run each by.
JOBS       ?= $(shell echo $$((3 * $$(nproc))))
SPEC_FILES ?= $(filter-out %/debian_package_spec.lua,$(wildcard spec/*_spec.lua))
run: build $(FOR_SPECS) $(TESTS)
	@$(CLEAN_ENV) JOBS=$(JOBS) TAGS=$(TAGS) EXCLUDE=$(EXCLUDE) INIT=$(INIT) RUNNER="$(RUNNER)" LUA=$(LUA) \
	  $(LUA) spec/runner.lua $(TESTS) $(SPEC_FILES)

# The mark is a copy of the list that is installed. Without it the specs that need oidc-provider are pending.
NPM := npm ci --no-audit --no-fund --loglevel=error --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=4000
$(BUILD)/oidc/.ready: spec/support/oidc/package-lock.json spec/support/oidc/package.json spec/support/oidc/server.mjs
	@mkdir -p $(@D)
	@cp $^ $(@D)/
	@if cmp -s $< $@; then touch $@; else rm -f $@; echo "npm oidc-provider"; \
	  if (cd $(@D) && $(NPM)) >$(@D)/log 2>&1; then cp $< $@; else \
	  echo "central-auth: npm can't install oidc-provider ($(@D)/log has the reason), so what needs it is skipped" >&2; fi; fi

$(BUILD)/spec_%.so: spec/support/%.c
	@mkdir -p $(@D)
	@$(CC) -O2 -D_GNU_SOURCE -shared -fPIC -Wl,-z,nodelete -isystem $(LUA_INCDIR) $< -o $@ $(LIBS)
$(BUILD)/spec_torture.so: LIBS = $(shell $(PKG_CONFIG) --libs libcurl libsodium)

$(BUILD)/contain: spec/support/contain.c
	@mkdir -p $(@D)
	@$(CC) -O2 -D_GNU_SOURCE $< -o $@

$(BUILD)/threads: spec/hosts/threads.c
	@mkdir -p $(@D)
	@$(CC) -O1 -g $(SANITIZE) -isystem $(LUA_INCDIR) $< $(shell $(PKG_CONFIG) --libs $(LUA_PC)) -lpthread -o $@

spec-c: $(TESTS) $(BUILD)/contain ## the C unit tests only
	@for test in $(TESTS); do echo "== $$test"; $(BUILD)/contain $(UNIT_SECONDS) $(RUNNER) $$test || exit 1; done

UNITS := $(call in_folders,base cache worker http $(if $(HAS_REDIS),redis) fetch)
$(BUILD)/spec/%: spec/c/%.c $(wildcard spec/c/*.h) $(UNITS:%=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(COMPILE) -Icsrc -Wno-missing-prototypes $< $(UNITS:%=$(BUILD)/obj/%.o) -o $@ \
	  $(shell $(PKG_CONFIG) --libs libcurl libsodium cmocka $(if $(HAS_REDIS),$(REDIS_PC))) -lm

BENCH := $(BUILD)/spec_measure.so $(BUILD)/spec_libcurl.so $(BUILD)/bench/floor $(BUILD)/bench/oauth2
bench: build $(BENCH) ## central-auth compared with other libraries (ROWS="page many": some rows); make bench-deps installs those
	@$(CLEAN_ENV) ROUNDS=$(ROUNDS) ROWS="$(ROWS)" unshare $$([ "$$(id -u)" = 0 ] || echo -r) -m $(LUA) spec/bench/bench.lua

bench-tables: $(BUILD)/bench.json ## write the figures of the last make bench into spec/README.md, as table and picture
	@$(CLEAN_ENV) $(LUA) spec/bench/publish.lua $<

$(BUILD)/bench.json:
	@$(MAKE) --no-print-directory bench

soak: deps-bench build ## ten thousand renewals in one process: nothing may grow
	@$(CLEAN_ENV) $(LUA) spec/bench/soak.lua

model: build ## random operations, with random failures around them, for SECONDS=60, each run with a new seed; SEED=7 runs one
	@$(CLEAN_ENV) SECONDS=$(SECONDS) SEED=$(SEED) $(LUA) spec/model.lua

fleet: ## a model of 100,000 clients on 10,000 machines over a day: what the token server sees (eight minutes)
	@$(LUA) spec/bench/fleet.lua

bench-deps: deps-bench ## curl, nginx, Go and Python libraries to compare with

$(BUILD)/spec_measure.so: spec/bench/measure.c
	@mkdir -p $(@D)
	@$(CC) -O2 -D_GNU_SOURCE -shared -fPIC -isystem $(LUA_INCDIR) $< -o $@

$(BUILD)/spec_libcurl.so: spec/bench/peers/libcurl.c
	@mkdir -p $(@D)
	@$(CC) -O2 -shared -fPIC -isystem $(LUA_INCDIR) $< $(shell $(PKG_CONFIG) --cflags --libs libcurl) -o $@

$(BUILD)/bench/floor: spec/bench/peers/floor.c
	@mkdir -p $(@D)
	@$(CC) -O2 $< $(shell $(PKG_CONFIG) --cflags --libs libcurl) -o $@

$(BUILD)/bench/oauth2: spec/bench/peers/oauth2.go # Debian's Go packages are found by GOPATH
	@mkdir -p $(@D)
	@GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$(abspath $(BUILD))/go go build -o $@ $< || \
	  echo "central-auth: no Go, or not its package oauth2: the benchmark goes without it" >&2

MANUALS := $(wildcard README.md */README.md)
tables: build ## fill in the tables of the README files, from the code
	@for file in $(MANUALS); do env $(RUN_PATHS) $(LUA) .ci/tables.lua $$file >$(BUILD)/README.new && \
	  { cmp -s $(BUILD)/README.new $$file || cp $(BUILD)/README.new $$file; } || exit 1; done

lint: deps-lint ## warnings as errors with gcc and clang, format, analysers, symbols, include rules
	@$(MAKE) --no-print-directory build
	@sh .ci/lint

# Not of specs that fork: the sanitizer's allocator may be locked by a thread at that moment, and stays so in the child.
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN       := BUILD=.build/asan SANITIZE="$(SANITIZERS)" CFLAGS="-O1 -g -U_FORTIFY_SOURCE"
check-asan: deps-test .build/asan/bin/lua5.4 ## all tests but those of foreign programs under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory run $(ASAN) EXCLUDE=hosts,clocks,torture,deb,herd,forks

# The sanitizer must be loaded before Lua's own libraries: by the loader, not LD_PRELOAD, which every child would inherit.
# Leaks are looked for in the specs' own process: in its children that trips over threads which end with them, and tracers;
# and not through memory of threads (use_tls), where it crashes if a thread is just ending.
.build/asan/bin/lua5.4 .build/torture/bin/lua5.4: Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\ncase "$$*" in *busted*) leaks=1 ;; *) leaks=0 ;; esac\nASAN_OPTIONS=detect_leaks=$$leaks LSAN_OPTIONS="use_tls=0:print_suppressions=0:suppressions=\047%s\047" exec %s --preload %s %s "$$@"\n' \
	  '$(CURDIR)/.ci/leaks' \
	  $(wildcard /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1) \
	  $(shell $(CC) -print-file-name=libasan.so) $(shell command -v $(LUA)) >$@
	@chmod 755 $@

VALGRIND := env UNDER_VALGRIND=1 valgrind -q --suppressions=.ci/overlaps --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes
check-valgrind: deps-check ## C units and the specs without timing under valgrind
	@$(MAKE) --no-print-directory run RUNNER="$(VALGRIND)" TAGS=valgrind EXCLUDE=timing JOBS=$$(nproc)

# No address randomisation: the sanitizer of Debian 12 does not find its place beside that of newer kernels.
TSAN := BUILD=.build/tsan SANITIZE=-fsanitize=thread CFLAGS="-O1 -g -U_FORTIFY_SOURCE" RUNNER="setarch -R"
check-tsan: deps-test .build/tsan/bin/lua5.4 ## workers, and many states in many threads, under ThreadSanitizer
	@$(MAKE) --no-print-directory run $(TSAN) EXCLUDE=foreign,forks,ends TESTS="$(addprefix .build/tsan/spec/,notifier_test \
	  deadline_test worker_test gate_test transfer_test secret_source_test session_test fetch_test fetch_processes_test \
	  $(if $(HAS_REDIS),redis_store_test))" SPEC_FILES="spec/lua_states_spec.lua spec/transfer_spec.lua spec/event_loops_spec.lua"

.build/tsan/bin/lua5.4: Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nTSAN_OPTIONS="suppressions=\047%s\047" exec setarch -R %s --preload %s %s "$$@"\n' '$(CURDIR)/.ci/races' \
	  $(wildcard /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1) \
	  $(shell $(CC) -print-file-name=libtsan.so) $(shell command -v $(LUA)) >$@
	@chmod 755 $@

# The core's own allocations, and what takes memory on its behalf, go through spec_torture.so, which lets them fail.
TORTURED := malloc calloc free strdup sodium_malloc sodium_free fdopendir eventfd timerfd_create pipe2 \
            pthread_create posix_spawn curl_global_init
check-torture: deps-test .build/torture/bin/lua5.4 ## every allocation fails once, in each public function, under AddressSanitizer
	@$(MAKE) --no-print-directory .build/torture/spec_torture.so BUILD=.build/torture
	@$(MAKE) --no-print-directory spec SPECS=spec/torture_spec.lua BUILD=.build/torture SANITIZE="$(SANITIZERS)" \
	  CFLAGS="-O1 -g -U_FORTIFY_SOURCE" LDFLAGS="-L.build/torture -Wl,--no-as-needed -l:spec_torture.so \
	  -Wl,-rpath,$(abspath .build/torture) $(TORTURED:%=-Wl,--wrap=%)"

# Each spec by itself, for collecting what the others left behind would take most of the time. First under
# AddressSanitizer, which sees what is used after it was collected; then, without it, what it can't run: forks, moved clocks
# and foreign programs. Not the torture, which needs the collector for itself, nor the package's Debian, which has its own.
NOT_SANITIZED := hosts,clocks,herd,foreign,forks
BY_GC = $(MAKE) --no-print-directory run TESTS= INIT=@$(CURDIR)/spec/support/collect.lua JOBS=$$(nproc)
check-gc: deps-test .build/asan/bin/lua5.4 ## the specs with the collector at every step, under AddressSanitizer where it can be
	@$(BY_GC) $(ASAN) EXCLUDE=torture,deb,$(NOT_SANITIZED)
	@$(BY_GC) TAGS=$(NOT_SANITIZED) EXCLUDE=torture,deb

check-deb: deps-fresh ## the Debian package, by lintian and in a fresh Debian of its own, its systemd and a container (root)
	@$(MAKE) --no-print-directory spec SPECS=spec/debian_package_spec.lua BUSTED_FLAGS=

SUITE  ?= trixie
ARCH   ?= $(shell dpkg --print-architecture 2>/dev/null)
MIRROR ?= http://deb.debian.org/debian
check-debian: ## the README's commands in a bare Debian: SUITE=trixie ARCH=amd64 MIRROR=http://… (root)
	@sh .ci/debian $(SUITE) $(ARCH) $(MIRROR) "$(abspath $(BUILD))/debian"

SECONDS ?= 60
FUZZED  := $(CORE)
fuzz: deps-fuzz $(BUILD)/obj/modules.h ## the readers of cache files and of replies under libFuzzer, SECONDS=60 each
	@mkdir -p $(BUILD)/fuzz/seal $(BUILD)/fuzz/reply
	@for target in seal reply; do clang -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -Icsrc -I$(BUILD)/obj -isystem $(LUA_INCDIR) spec/c/fuzz_$$target.c $(FUZZED:%=csrc/%.c) \
	  $(shell $(PKG_CONFIG) --libs libsodium $(LUA_PC)) -Wl,-E -lm -o $(BUILD)/fuzz/fuzz_$$target || exit 1; done
	@for target in seal reply; do env $(RUN_PATHS) $(BUILD)/fuzz/fuzz_$$target -max_total_time=$(SECONDS) -timeout=10 \
	  -max_len=4096 -print_final_stats=1 -dict=spec/c/corpus/words $(BUILD)/fuzz/$$target spec/c/corpus/$$target & pids="$$pids $$!"; done; \
	  for pid in $$pids; do wait $$pid || exit 1; done

# --- installing: PREFIX and DESTDIR for packagers, LUADIR and the like for LuaRocks ----------------------------------

# The command names its interpreter and its shared object, which saves searches, and finds its modules wherever they are
# installed.
install: build ## into PREFIX (default /usr/local)
	@for file in $(LUAS); do install -D -m 644 lua/$$file "$(DESTDIR)$(LUADIR)/$$file" || exit 1; done
	@install -D -m 644 $(HELP) "$(DESTDIR)$(LUADIR)/central/auth/help_texts.lua"
	@for name in $(OBJECTS:%=central/auth/%.so); do install -D -m 755 $(BUILD)/$$name "$(DESTDIR)$(LIBDIR)/$$name" || exit 1; done
	install -D -m 644 $(BUILD)/central-auth.1 "$(DESTDIR)$(MANDIR)/man1/central-auth.1"
	install -D -m 644 $(BUILD)/completions/bash "$(DESTDIR)$(BASHDIR)/central-auth"
	install -D -m 644 $(BUILD)/completions/zsh "$(DESTDIR)$(ZSHDIR)/_central-auth"
	install -D -m 644 $(BUILD)/completions/fish "$(DESTDIR)$(FISHDIR)/central-auth.fish"
	@install -d "$(DESTDIR)$(BINDIR)"
	@{ echo "#!$$(command -v $(LUA) || echo /usr/bin/env $(LUA))"; \
	  echo 'package.path, package.cpath = "$(LUADIR)/?.lua;" .. package.path, "$(LIBDIR)/?.so;" .. package.cpath'; \
	  echo 'package.preload["central.auth.core"] = package.loadlib("$(LIBDIR)/central/auth/core.so", "luaopen_central_auth_core")'; \
	  sed 1d lua/central-auth; } >$(BUILD)/central-auth
	install -m 755 $(BUILD)/central-auth "$(DESTDIR)$(BINDIR)/central-auth"

uninstall: ## remove what install put there
	rm -rf "$(DESTDIR)$(LUADIR)/central/auth" "$(DESTDIR)$(LUADIR)/central/auth.lua" "$(DESTDIR)$(LIBDIR)/central/auth"
	rm -f "$(DESTDIR)$(BINDIR)/central-auth" "$(DESTDIR)$(MANDIR)/man1/central-auth.1" "$(DESTDIR)$(BASHDIR)/central-auth" \
	  "$(DESTDIR)$(ZSHDIR)/_central-auth" "$(DESTDIR)$(FISHDIR)/central-auth.fish"
	@for folder in "$(DESTDIR)$(LUADIR)/central" "$(DESTDIR)$(LIBDIR)/central"; do \
	  [ ! -d "$$folder" ] || rmdir --ignore-fail-on-non-empty "$$folder"; done

# --- releases ---------------------------------------------------------------------------------------------------------

VERSION = $(shell sed -n 's/^config.VERSION = "\(.*\)"$$/\1/p' lua/central/auth/config/resolve.lua)
RELEASE = central-auth-$(VERSION)
# A placeholder, for nothing is published yet. Who publishes sets it here and in both rockspecs (a spec compares), and
# names in .ci/deb/control who maintains the package.
HOMEPAGE := https://central-auth.example/central-auth
# What git knows; in an unpacked release, or without git, all there is. The time of both is that of the last change.
FILES   = $(sort $(shell { [ -e .git ] && git ls-files 2>/dev/null; } || \
          find . -type f ! -path './.build/*' ! -path './.git/*' -printf '%P\n'))
TIME    = $(shell { [ -e .git ] && git log -1 --format=%ct 2>/dev/null; } || stat -c %Y Makefile)

dist: ## a release to build without git: .build/central-auth-VERSION.tar.gz
	@mkdir -p $(BUILD)
	@tar --create --use-compress-program='gzip -9n' --file=$(BUILD)/$(RELEASE).tar.gz --owner=0 --group=0 \
	  --numeric-owner --mode=u+rw,go=rX --mtime=@$(TIME) --transform 's,^,$(RELEASE)/,' $(FILES)
	@echo $(BUILD)/$(RELEASE).tar.gz

deb: deps-deb ## a Debian package of it: .build/deb/lua-central-auth_….deb
	@$(MAKE) --no-print-directory dist
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	@tar --extract --gzip --file=$(BUILD)/$(RELEASE).tar.gz --directory=$(BUILD)/deb
	@cp -r .ci/deb $(BUILD)/deb/$(RELEASE)/debian
	@printf 'lua-central-auth (%s) unstable; urgency=medium\n\n  * What is new: lua/README.md.\n\n -- %s  %s\n' $(VERSION) \
	  "$$(sed -n 's/^Maintainer: //p' .ci/deb/control)" "$$(date -uR -d @$(TIME))" >$(BUILD)/deb/$(RELEASE)/debian/changelog
	@cd $(BUILD)/deb/$(RELEASE) && env -u MAKEFLAGS -u BUILD dpkg-buildpackage --build=binary --no-sign >../build.log 2>&1 || { \
	  tail -n 20 ../build.log >&2; exit 1; }
	@ls $(BUILD)/deb/*.deb

clean: ## remove .build/
	rm -rf $(BUILD)
