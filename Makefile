# SPDX-License-Identifier: ISC
#
# The one makefile, for GNU make and bmake.  The usual targets:
#
#	make			build build/idq
#	make check		install what the tests need (as root), build, test
#	make demo		show the tool at work
#	make install		to PREFIX, under DESTDIR
#	make lint asan clang	the other gates; .ci/run runs them all
#
# CFLAGS, CPPFLAGS and LDFLAGS are the user's and come last.

PREFIX	?= /usr/local
BINDIR	?= $(PREFIX)/bin
DATADIR	?= $(PREFIX)/share
MANDIR	?= $(DATADIR)/man
BASHDIR	?= $(DATADIR)/bash-completion/completions
ZSHDIR	?= $(DATADIR)/zsh/site-functions
FISHDIR	?= $(DATADIR)/fish/vendor_completions.d
EXAMPLEDIR ?= $(DATADIR)/doc/idq/examples
DESTDIR	?=

CC	?= cc
CXX	?= c++
NM	?= nm
INSTALL	?= install

# Where objects go; each sanitizer has a folder of its own.
B	= build

# A test compares these lists with what is there.
LIB_SRCS = \
	lib/activity.c \
	lib/add.c \
	lib/at.c \
	lib/batch.c \
	lib/bygroup.c \
	lib/child.c \
	lib/claim.c \
	lib/complete.c \
	lib/config.c \
	lib/copies.c \
	lib/doctor.c \
	lib/dups.c \
	lib/ends.c \
	lib/environ.c \
	lib/error.c \
	lib/file.c \
	lib/filter.c \
	lib/find.c \
	lib/finish.c \
	lib/first.c \
	lib/follow.c \
	lib/fsck.c \
	lib/group.c \
	lib/header.c \
	lib/holder.c \
	lib/jobfile.c \
	lib/keeper.c \
	lib/kept.c \
	lib/key.c \
	lib/leftovers.c \
	lib/list.c \
	lib/log.c \
	lib/mend.c \
	lib/move.c \
	lib/name.c \
	lib/new.c \
	lib/operate.c \
	lib/order.c \
	lib/output.c \
	lib/pace.c \
	lib/parked.c \
	lib/pause.c \
	lib/peek.c \
	lib/pid.c \
	lib/plan.c \
	lib/purge.c \
	lib/queue.c \
	lib/rate.c \
	lib/reap.c \
	lib/remote.c \
	lib/run.c \
	lib/served.c \
	lib/share.c \
	lib/speed.c \
	lib/stamp.c \
	lib/starts.c \
	lib/stats.c \
	lib/syncer.c \
	lib/tally.c \
	lib/time.c \
	lib/trail.c \
	lib/wait.c \
	lib/work.c

CMD_SRCS = \
	cmd/alarm.c \
	cmd/batch.c \
	cmd/cmd_ack.c \
	cmd/cmd_add.c \
	cmd/cmd_cancel.c \
	cmd/cmd_cat.c \
	cmd/cmd_check.c \
	cmd/cmd_claim.c \
	cmd/cmd_config.c \
	cmd/cmd_doctor.c \
	cmd/cmd_fail.c \
	cmd/cmd_forget.c \
	cmd/cmd_fsck.c \
	cmd/cmd_hold.c \
	cmd/cmd_init.c \
	cmd/cmd_key.c \
	cmd/cmd_log.c \
	cmd/cmd_ls.c \
	cmd/cmd_pause.c \
	cmd/cmd_plan.c \
	cmd/cmd_purge.c \
	cmd/cmd_release.c \
	cmd/cmd_renew.c \
	cmd/cmd_resume.c \
	cmd/cmd_retry.c \
	cmd/cmd_run.c \
	cmd/cmd_show.c \
	cmd/cmd_stats.c \
	cmd/cmd_unhold.c \
	cmd/cmd_wait.c \
	cmd/cmd_work.c \
	cmd/fields.c \
	cmd/filter.c \
	cmd/idq.c \
	cmd/input.c \
	cmd/jobline.c \
	cmd/jsonline.c \
	cmd/logcount.c \
	cmd/logdups.c \
	cmd/logfilter.c \
	cmd/logfollow.c \
	cmd/logline.c \
	cmd/operate.c \
	cmd/opt.c \
	cmd/out.c \
	cmd/paused.c \
	cmd/payload.c \
	cmd/prometheus.c \
	cmd/queues.c \
	cmd/refs.c \
	cmd/util.c

EXAMPLES = \
	man/examples/calls.crontab \
	man/examples/idq-ask@.service \
	man/examples/idq-ask@.timer \
	man/examples/idq-drain@.service \
	man/examples/idq-drain@.timer \
	man/examples/idq-worker@.service

# Scripts that hand jobs over to another engine.
HANDOVERS = \
	man/examples/idq-to-http \
	man/examples/idq-to-nats \
	man/examples/idq-to-postgres \
	man/examples/idq-to-postgres-batch

# Programs of their own, each with its main(), linked with libidq.a.
UNIT_SRCS = \
	tests/unit/add.c \
	tests/unit/at.c \
	tests/unit/busy.c \
	tests/unit/config.c \
	tests/unit/faults.c \
	tests/unit/first.c \
	tests/unit/jobfile.c \
	tests/unit/key.c \
	tests/unit/left.c \
	tests/unit/log.c \
	tests/unit/name.c \
	tests/unit/time.c \
	tests/unit/trail.c

DEPS	= gcc libc6-dev make libbsd-dev libmd-dev libjansson-dev \
	bats parallel jq strace faketime libfaketime procps bsdutils binutils g++ \
	git zsh fish mandoc python3 rsync dosfstools exfatprogs exfat-fuse
LINT_DEPS = clang-format clang-tidy cppcheck shellcheck mandoc libfuse3-dev
CLANG_DEPS = clang
BMAKE_DEPS = bmake
CRON_DEPS = cron passwd
RIG_DEPS = strace mount util-linux e2fsprogs xfsprogs btrfs-progs fuse3 \
	libfuse3-dev libfaketime spin clang libclang-rt-14-dev git
VALGRIND_DEPS = valgrind libc6-dbg
NFS_DEPS = qemu-system-x86 python3 e2fsprogs dpkg
BENCH_DEPS = sqlite3 redis-server redis-tools nq task-spooler beanstalkd \
	findutils parallel gnuplot-nox python3 strace e2fsprogs xfsprogs \
	btrfs-progs postgresql-15 postgresql-client coreutils

HARDEN	= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPTIM	= -O2 -g
WARN	= -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wvla \
	-Wformat=2 -Wno-format-nonliteral -Wpointer-arith -Wundef \
	-Wnull-dereference -Wimplicit-fallthrough
WERROR	=
SANITIZE =
IDQ_CPPFLAGS = -D_GNU_SOURCE -DLIBBSD_OVERLAY -isystem /usr/include/bsd -Ilib
IDQ_CFLAGS = -std=c11 -pthread $(OPTIM) -fPIE $(HARDEN) $(WARN) $(WERROR) \
	$(SANITIZE)
IDQ_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SANITIZE)
# Static but for libc: 0.2 ms less a start, which a crontab pays each time.
LIBS	= -Wl,-Bstatic -lbsd -lmd -ljansson -Wl,-Bdynamic

COMPILE	= $(CC) $(IDQ_CPPFLAGS) $(IDQ_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK	= $(CC) $(IDQ_CFLAGS) $(CFLAGS) $(IDQ_LDFLAGS) $(LDFLAGS)

LIB_OBJS = $(LIB_SRCS:%.c=$(B)/%.o)
CMD_OBJS = $(CMD_SRCS:%.c=$(B)/%.o)
UNIT_OBJS = $(UNIT_SRCS:%.c=$(B)/%.o)
UNIT_BINS = $(UNIT_SRCS:%.c=$(B)/%)
OBJS	= $(LIB_OBJS) $(CMD_OBJS) $(UNIT_OBJS)

all: $(B)/idq

$(B)/idq: $(CMD_OBJS) $(B)/libidq.a
	$(LINK) -o $@ $(CMD_OBJS) $(B)/libidq.a $(LIBS)

$(B)/libidq.a: $(LIB_OBJS)
	rm -f $@
	$(AR) rcs $@ $(LIB_OBJS)

# An object's source and headers are in its .d file; the stamp is newer than
# the object when the command line is another one, so it also covers the first
# build.
$(OBJS): $(B)/flags
	@src=$@; src=$${src#$(B)/}; src=$${src%.o}.c; mkdir -p $(@D) && \
	echo '$(CC) -c' $$src && $(COMPILE) -MD -MP -c -o $@ $$src

$(B)/flags: always
	@mkdir -p $(B); printf '%s\n' '$(COMPILE)' '$(LINK)' >$@.$$$$ && \
	if cmp -s $@.$$$$ $@; then rm -f $@.$$$$; else mv $@.$$$$ $@; fi

unit: $(UNIT_BINS)

$(B)/unit.none $(UNIT_BINS): $(UNIT_OBJS) $(B)/libidq.a
	$(LINK) -o $@ $@.o $(B)/libidq.a $(LIBS)

-include $(OBJS:.o=.d)

always:

# Debian packages; without root or apt-get this only names what is missing.
deps:
	tests/helpers/deps $(DEPS)

# TESTS=tests/add.bats picks from the suite.
TESTS	=
RUN_TESTS = IDQ_BUILD='$(B)' UNITS='$(UNIT_BINS)' CC='$(CC)' \
	CXX='$(CXX)' NM='$(NM)' tests/run $(TESTS)

# What could not be installed is said by deps and by the tests that skip.
check:
	-tests/helpers/deps $(DEPS)
	$(MAKE) -j"$$(nproc)" all unit
	@$(RUN_TESTS)

# The suite alone.
test: all unit
	@$(RUN_TESTS)

demo: deps
	$(MAKE) all
	IDQ="$$(pwd)/$(B)/idq" tests/demo/run

lint:
	tests/helpers/deps $(DEPS) $(LINT_DEPS)
	CPPFLAGS='$(IDQ_CPPFLAGS)' tests/lint

# The whole suite under AddressSanitizer and UndefinedBehaviorSanitizer.  What
# the former reports of any process, waited for or not, is a failure.
# libfaketime is preloaded before it: hence verify_asan_link_order.
ASAN_OPTIONS = verify_asan_link_order=0:exitcode=99:log_path=
asan: deps
	rm -f build/asan/report.*
	status=0; reports=$$(pwd)/build/asan/report; \
	ASAN_OPTIONS=$(ASAN_OPTIONS)$$reports \
	UBSAN_OPTIONS=print_stacktrace=1:exitcode=99 TEST_SECONDS=1200 \
	$(MAKE) test B=build/asan HARDEN= WERROR=-Werror \
	    OPTIM='-O1 -g -fno-omit-frame-pointer' \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' \
	    || status=1; \
	if cat $$reports.* 2>/dev/null; then status=1; fi; exit $$status

# Each compiler and each make, with no warning left.
check-build: gcc clang bmake

gcc: deps
	$(MAKE) all unit B=build/gcc CC=gcc WERROR=-Werror

clang:
	tests/helpers/deps $(DEPS) $(CLANG_DEPS)
	$(MAKE) all unit B=build/clang CC=clang WERROR=-Werror

bmake:
	tests/helpers/deps $(DEPS) $(BMAKE_DEPS)
	env -u MAKEFLAGS -u MAKELEVEL IDQ_MAKE=bmake bmake B=build/bmake \
	    CC=gcc WERROR=-Werror TESTS=tests/install.bats all unit test

# One file of the suite each.
check-install check-symbols check-headers check-completions: deps
	name=$@; $(MAKE) test TESTS=tests/$${name#check-}.bats

# Real cron.
check-cron:
	tests/helpers/deps $(DEPS) $(CRON_DEPS)
	$(MAKE) all
	IDQ="$$(pwd)/$(B)/idq" tests/cron/run

# Kills, failing calls, power cuts, many at once, models, any input: what each
# rig measured, in full for hours, and in short.  RIGS=crash/pairs picks some.
RIGS	=
torture:
	tests/helpers/deps $(DEPS) $(RIG_DEPS)
	$(MAKE) all unit
	IDQ="$$(pwd)/$(B)/idq" CC='$(CC)' tests/crash/torture $(RIGS)

check-rigs:
	tests/helpers/deps $(DEPS) $(RIG_DEPS)
	$(MAKE) all unit
	IDQ="$$(pwd)/$(B)/idq" CC='$(CC)' tests/crash/torture --short $(RIGS)

# Jobs handed over to real servers, which the tests start and kill.
HANDOVER_DEPS = postgresql-15 postgresql-client curl nats-server python3
HANDOVER_TESTS = tests/postgres.bats tests/http.bats tests/nats.bats
check-handover: deps
	tests/helpers/deps $(HANDOVER_DEPS)
	$(MAKE) test TESTS='$(HANDOVER_TESTS)'

# A queue that two clients share over NFS, in a virtual machine.
# check-nfs-short is smaller in all its numbers, for CI.
NFS	=
check-nfs:
	tests/helpers/deps $(DEPS) $(NFS_DEPS)
	$(MAKE) all
	IDQ="$$(pwd)/$(B)/idq" CC='$(CC)' tests/nfs/run $(NFS)

check-nfs-short:
	$(MAKE) check-nfs NFS=--short

# What compilers find out without running it.
analyze:
	tests/helpers/deps $(DEPS) $(CLANG_DEPS)
	tests/helpers/analyze -std=c11 $(IDQ_CPPFLAGS)

# Every verb once under memcheck.
check-valgrind:
	tests/helpers/deps $(DEPS) $(VALGRIND_DEPS)
	$(MAKE) all B=build/valgrind HARDEN= OPTIM='-O1 -g'
	IDQ="$$(pwd)/build/valgrind/idq" tests/helpers/memcheck

# How much of lib/ the suite runs, with all of tests/unit/faults.  The few tests
# that see what was built are skipped in this build.
COVERAGE = B=build/coverage HARDEN= OPTIM='-O0 -g' \
	SANITIZE='--coverage -fprofile-filter-files=lib/.*' \
	IDQ_LDFLAGS='-pie --coverage -Wl,--wrap=_exit build/coverage/gcov_exit.o'
coverage: deps
	mkdir -p build/coverage
	find build/coverage -name '*.gcda' -exec rm -f {} +
	$(CC) -c -o build/coverage/gcov_exit.o tests/helpers/gcov_exit.c
	$(MAKE) all unit $(COVERAGE)
	chmod -R a+rwX build/coverage
	status=0; export GCOV_ERROR_FILE=/dev/null IDQ_COUNTED=1; \
	TEST_SECONDS=2400 $(MAKE) test $(COVERAGE) || status=1; \
	build/coverage/tests/unit/faults all || status=1; \
	tests/helpers/coverage build/coverage -v || status=1; exit $$status

# What it costs, against the least that keeps the same promise and against other
# queues; a missed target is printed, and is no failure.  BENCH='--size 100000
# drain' picks a size and rows.  The quick form only shows that all of it works.
BENCH	=
BENCH_PROGS = bean floor_add floor_batch floor_claim floor_drain \
	floor_duplicate floor_purge latency timer
bench-tools: all
	@mkdir -p $(B)/bench/tools; for p in $(BENCH_PROGS); do \
		src=tests/bench/$$p.c; \
		case $$p in floor_*) src="$$src tests/bench/floor.c" ;; esac; \
		$(LINK) $(IDQ_CPPFLAGS) $(CPPFLAGS) -o $(B)/bench/tools/$$p \
		    $$src $(LIBS) || exit 1; \
	done

bench:
	tests/helpers/deps $(BENCH_DEPS)
	$(MAKE) bench-tools
	IDQ_BUILD="$$(pwd)/$(B)" tests/bench/run --verbs $(BENCH)

bench-quick:
	tests/helpers/deps $(BENCH_DEPS)
	$(MAKE) bench-tools
	IDQ_BUILD="$$(pwd)/$(B)" tests/bench/run --quick --verbs

# What `idq stats' prints for Prometheus, judged by its promtool.
check-metrics: deps
	tests/helpers/promtool build/prometheus
	PATH="$$(pwd)/build/prometheus/usr/bin:$$PATH" \
	$(MAKE) test TESTS=tests/stats.bats

# Nothing is compiled here: root may have other flags in its environment.
install:
	@test -x $(B)/idq || { echo 'nothing to install: run make' >&2; exit 1; }
	$(INSTALL) -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' \
	    '$(DESTDIR)$(MANDIR)/man5' '$(DESTDIR)$(MANDIR)/man7' \
	    '$(DESTDIR)$(BASHDIR)' '$(DESTDIR)$(ZSHDIR)' \
	    '$(DESTDIR)$(FISHDIR)' '$(DESTDIR)$(EXAMPLEDIR)'
	$(INSTALL) -m 755 $(B)/idq '$(DESTDIR)$(BINDIR)/idq'
	$(INSTALL) -m 644 man/idq.1 '$(DESTDIR)$(MANDIR)/man1/idq.1'
	$(INSTALL) -m 644 man/idq.5 '$(DESTDIR)$(MANDIR)/man5/idq.5'
	$(INSTALL) -m 644 man/idq-handover.7 \
	    '$(DESTDIR)$(MANDIR)/man7/idq-handover.7'
	$(INSTALL) -m 644 completions/idq.bash '$(DESTDIR)$(BASHDIR)/idq'
	$(INSTALL) -m 644 completions/idq.zsh '$(DESTDIR)$(ZSHDIR)/_idq'
	$(INSTALL) -m 644 completions/idq.fish '$(DESTDIR)$(FISHDIR)/idq.fish'
	$(INSTALL) -m 644 $(EXAMPLES) '$(DESTDIR)$(EXAMPLEDIR)'
	$(INSTALL) -m 755 $(HANDOVERS) '$(DESTDIR)$(EXAMPLEDIR)'

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/idq' \
	    '$(DESTDIR)$(MANDIR)/man1/idq.1' \
	    '$(DESTDIR)$(MANDIR)/man5/idq.5' \
	    '$(DESTDIR)$(MANDIR)/man7/idq-handover.7' \
	    '$(DESTDIR)$(BASHDIR)/idq' '$(DESTDIR)$(ZSHDIR)/_idq' \
	    '$(DESTDIR)$(FISHDIR)/idq.fish'
	for f in $(EXAMPLES) $(HANDOVERS); do \
		rm -f '$(DESTDIR)$(EXAMPLEDIR)'/$${f##*/}; \
	done

clean:
	rm -rf build

.PHONY: all always analyze asan bench bench-quick bench-tools bmake check \
	check-build check-completions check-cron check-handover check-headers \
	check-install check-metrics check-nfs check-nfs-short check-rigs \
	check-symbols check-valgrind clang clean coverage demo deps gcc install \
	lint test torture uninstall unit
