#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The hand-over to PostgreSQL: idq-to-postgres with a real server, which has a
# data directory and a socket of its own and is no user of the machine's.

load helpers/common
load helpers/handover

setup() {
	common_setup
	# shellcheck disable=SC2012
	pgbin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	[ -x "$pgbin/initdb" ] || skip "PostgreSQL's server is not installed"
	scripts
	PATH=$pgbin:$PATH
	[ -e "$BATS_FILE_TMPDIR/pg" ] || make_server
	pg=$(cat "$BATS_FILE_TMPDIR/pg")
	export PGHOST=$pg PGUSER=idq PGDATABASE=postgres
	unset PGSERVICE PGPORT PGOPTIONS
	server="" relays=""
}

teardown() {
	end_relays
	[ -z "$server" ] || end_server QUIT
	common_teardown
}

teardown_file() {
	[ ! -e "$BATS_FILE_TMPDIR/pg" ] || rm -rf "$(cat "$BATS_FILE_TMPDIR/pg")"
}

# as_postgres COMMAND...: become it, in a subshell.  PostgreSQL refuses to run as
# root, and looks at the folder that it is started in.
as_postgres() {
	cd /
	[ "$(id -u)" -ne 0 ] || set -- setpriv --reuid=nobody --regid=nogroup \
	    --clear-groups -- "$@"
	exec "$@"
}

# Once for this file: a folder, short enough for the name of a socket.
make_server() {
	local dir

	dir=$(mktemp -d)
	echo "$dir" >"$BATS_FILE_TMPDIR/pg"
	[ "$(id -u)" -ne 0 ] || chown nobody: "$dir"
	(as_postgres "$pgbin/initdb" -D "$dir/data" -A trust -U idq -E UTF8 \
	    --no-sync >"$BATS_FILE_TMPDIR/initdb" 2>&1 3>&-) || {
		cat "$BATS_FILE_TMPDIR/initdb"
		return 1
	}
}

# start_server: its pid is $server.
start_server() {
	as_postgres "$pgbin/postgres" -D "$pg/data" -k "$pg" \
	    -c listen_addresses= >>server.log 2>&1 3>&- 4>&- &
	server=$!
	wait_for 'psql -XAtc "SELECT 1" | grep -qx 1' || {
		cat server.log
		return 1
	}
}

# end_server SIGNAL: and the processes that it started.
end_server() {
	local pids

	pids=$(pgrep -d " " -P "$server" || :)
	kill "-$1" "$server"
	wait "$server" || :
	wait_for "gone $pids"
	server=
}

# The table as the page has it.
make_table() {
	psql -Xqc 'DROP TABLE IF EXISTS inbox' 2>/dev/null
	page_example inbox.sql | psql -Xq -v ON_ERROR_STOP=1
}

sql() {
	psql -XqAt -v ON_ERROR_STOP=1 -c "$1"
}

# hand KEY: what the script does with the payload on standard input.
hand() {
	IDQ_KEY=$1 idq-to-postgres
}

@test "postgres: each job arrives once, whatever is killed meanwhile" {
	outbox
	fragile
	# Nobody is there yet.
	produce 1 4
	down idq-to-postgres
	start_server
	make_table
	relays ./fragile idq-to-postgres
	produce 5 10
	wait_for '[ "$(wc -l <taken)" -ge 5 ]'
	# The machine of the engine loses power; the producer does not care.
	end_server KILL
	produce 8 16
	wait_for 'grep -q "psql: error" relay.err'
	start_server
	wait "$relays"
	is "$(sql 'SELECT count(*), count(DISTINCT key) FROM inbox')" '16|16'
	is "$(sql "SELECT count(*) FROM inbox
	    WHERE convert_from(payload, 'UTF8') = replace(key, 'job/', 'payload ')")" 16
	is "$(idq ls -s all | cut -f1 | sort | uniq -c | xargs)" '16 done'
	was_hard
}

@test "postgres: without the unique key, jobs would be there more than once" {
	outbox
	fragile
	start_server
	page_example inbox.sql | sed 's/ PRIMARY KEY//; s/inbox/plain/' |
	    psql -Xq -v ON_ERROR_STOP=1
	mkdir bin
	sed 's/ON CONFLICT.*;/;/; s/inbox/plain/' \
	    "$top/man/examples/idq-to-postgres" >bin/plain
	chmod +x bin/plain
	produce 1 4
	relay ./fragile bin/plain
	[ "$(sql 'SELECT count(*) - count(DISTINCT key) FROM plain')" -gt 0 ]
}

@test "postgres: the exit status says what idq is to do" {
	# No server; then its state is as it was.
	run -75 --separate-stderr hand a <<<1
	is "$output" ''
	[[ $stderr == 'psql: error: connection to server'* ]]
	start_server
	sql 'DROP TABLE IF EXISTS inbox' 2>/dev/null
	run -1 --separate-stderr hand a <<<1
	expect 1 '' 'ERROR:  relation "inbox" does not exist at character 13'
	make_table
	for _ in 1 2; do
		run -0 --separate-stderr hand a <<<1
		expect 0 ''
	done
	is "$(sql 'SELECT count(*) FROM inbox')" 1
	run -100 --separate-stderr hand a <<<2
	expect 100 '' 'idq-to-postgres: the key is there with another payload'
	is "$(sql 'SELECT payload FROM inbox')" '\x310a'
	sql "ALTER TABLE inbox ADD CHECK (length(payload) < 5)"
	run -100 --separate-stderr hand b <<<12345
	[[ $stderr == 'ERROR:  new row for relation "inbox" violates check'* ]]
	PGOPTIONS='-c default_transaction_read_only=on' \
	    run -75 --separate-stderr hand b <<<1
	expect 75 '' 'ERROR:  cannot execute INSERT in a read-only transaction'
	sql 'CREATE ROLE adder LOGIN; GRANT INSERT ON inbox TO adder'
	PGUSER=adder run -1 --separate-stderr hand b <<<1
	[[ $stderr == 'ERROR:  permission denied for table inbox' ]]
	IDQ_KEY=c run -100 --separate-stderr idq-to-postgres 42 <<<1
	expect 100 '' \
	    "idq-to-postgres: a job's payload is handed over, it has arguments"
	# Where the row was taken away by the consumer.
	sql 'TRUNCATE inbox'
	run -0 --separate-stderr hand c </dev/null
	is "$(sql 'SELECT key, length(payload) FROM inbox')" 'c|0'
}

# add_all: jobs whose keys and payloads are hard to quote; keys in $keys.
add_all() {
	local key n=0

	keys=("'); DROP TABLE inbox; --" "\\'; SELECT 1 \\g touched" ":key :'key'"
	    '$(touch touched) `touch touched`' 'größer/日本' '\x00 \n %s' '-v x=y'
	    '\.' random empty text)
	for key in "${keys[@]}"; do
		printf '%s\0\n\\.\n\\q\n\\! touch touched\n%s' "$key" \
		    "'; DROP TABLE inbox; --" >"payload.$n"
		n=$((n + 1))
	done
	head -c 300000 /dev/urandom >"payload.$((n - 3))"
	: >"payload.$((n - 2))"
	printf '\n\\.\n"x\1\2,\n' >"payload.$((n - 1))"
	for n in "${!keys[@]}"; do
		idq add -k "${keys[n]}" --payload "payload.$n"
	done
}

# all_arrived: each once, as it was, and nothing of it was run.
all_arrived() {
	local n

	is "$(idq ls -s all | cut -f1 | sort -u)" 'done'
	[ ! -e touched ]
	is "$(sql 'SELECT count(*) FROM inbox')" ${#keys[@]}
	for n in "${!keys[@]}"; do
		is "$(psql -XqAt -v key="${keys[n]}" <<<"SELECT
		    encode(sha256(payload), 'hex') FROM inbox
		    WHERE key = :'key'")" \
		    "$(sha256sum <"payload.$n" | cut -c1-64)"
	done
}

@test "postgres: any key and any payload arrive as they are, and run nothing" {
	start_server
	make_table
	idq init
	add_all
	idq work --drain -- idq-to-postgres
	all_arrived
}

@test "postgres: a payload that is cut off on the way is not handed over" {
	start_server
	make_table
	mkdir bin
	printf '#!/bin/sh\nprintf aGFsZi\nkill -KILL $$\n' >bin/base64
	chmod +x bin/base64
	PATH=$PWD/bin:$PATH run -1 --separate-stderr hand a <<<'half of it'
	is "$(sql 'SELECT count(*) FROM inbox')" 0
}

@test "postgres: batches arrive once, whatever is killed meanwhile" {
	need jq
	outbox
	fragile_batch
	start_server
	make_table
	produce 1 40
	relays --batch 4 ./fragile_batch idq-to-postgres-batch
	wait_for '[ "$(cat taken 2>/dev/null | wc -l)" -ge 8 ]'
	end_server KILL
	produce 30 80
	wait_for 'grep -q "psql: error" relay.err'
	start_server
	wait "$relays"
	is "$(sql 'SELECT count(*), count(DISTINCT key) FROM inbox')" '80|80'
	is "$(sql "SELECT count(*) FROM inbox
	    WHERE convert_from(payload, 'UTF8') = replace(key, 'job/', 'payload ')")" 80
	is "$(idq ls -s all | cut -f1 | sort | uniq -c | xargs)" '80 done'
	was_hard
}

# batch: all that is due, in one transaction.
batch() {
	run -0 --separate-stderr idq work --drain --batch 100 -- \
	    idq-to-postgres-batch
}

@test "postgres: of a batch only what is refused fails, and says why" {
	idq init
	idq config backoff 1h
	printf 'a\t1\nlong\t12345\nother\t1\n' | idq add --batch
	idq add -k args -- x
	# No server, no table: nothing has failed.
	batch
	[[ $stderr == *'psql: error: connection to server'* ]]
	is "$(idq ls -s all | cut -f1,4 | sort -u)" $'waiting\t0'
	start_server
	sql 'DROP TABLE IF EXISTS inbox' 2>/dev/null
	idq retry --yes -s waiting
	batch
	expect 0 '' 'ERROR:  relation "inbox" does not exist at character 13'
	is "$(idq ls -s all | cut -f1,4 | sort -u)" $'waiting\t1'
	make_table
	sql "ALTER TABLE inbox ADD CHECK (length(payload) < 5)"
	sql "INSERT INTO inbox VALUES ('other', '2')"
	idq retry --yes -s waiting
	batch
	is "$(grep ^WARNING <<<"$stderr" | sort)" "$(printf '%s\n' \
	    'WARNING:  args: it has arguments, which would be lost' \
	    'WARNING:  long: new row for relation "inbox" violates check constraint "inbox_payload_check"' \
	    'WARNING:  other: is there with another payload')"
	is "$(idq ls -s all | cut -f1,8 | sort)" \
	    $'done\ta\nfailed\targs\nfailed\tlong\nfailed\tother'
	is "$(sql 'SELECT key, payload FROM inbox ORDER BY key')" \
	    $'a|\\x31\nother|\\x32'
	# The role, and a server that takes nothing now.
	sql 'CREATE ROLE batcher LOGIN; GRANT SELECT ON inbox TO batcher'
	idq add -k b
	PGUSER=batcher batch
	expect 0 '' 'ERROR:  permission denied for table inbox'
	idq retry b
	PGOPTIONS='-c default_transaction_read_only=on' batch
	[[ $stderr == 'ERROR:  cannot execute '*' in a read-only transaction'* ]]
	is "$(idq ls -s all | grep -c ^waiting)" 1
	idq retry b
	sql 'GRANT INSERT ON inbox TO batcher'
	PGUSER=batcher batch
	expect 0 ''
	is "$(state_of b)" 'done'
	idq add -k c
	sql 'REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC'
	PGUSER=batcher batch
	[[ $stderr == 'ERROR:  permission denied to create temporary tables'* ]]
	sql 'GRANT TEMPORARY ON DATABASE postgres TO PUBLIC'
	is "$(idq ls -s waiting | wc -l)" 1
}

@test "postgres: any key and any payload arrive as they are in a batch" {
	start_server
	make_table
	idq init
	add_all
	idq work --drain --batch 1000 -- idq-to-postgres-batch
	all_arrived
}

@test "postgres: a batch that is cut off on the way is not handed over" {
	start_server
	make_table
	mkdir bin
	idq init
	seq 9 | sed 's/.*/&\t&/' | idq add --batch
	cat >bin/cat <<-'END'
		#!/bin/bash
		IFS= read -r line
		case $line in
		'{'*)
			touch cut
			printf '%.30s' "$line"
			kill -KILL $$
			;;
		esac
		printf '%s\n' "$line"
		exec /bin/cat
	END
	chmod +x bin/cat
	PATH=$PWD/bin:$PATH run -0 --separate-stderr idq work --drain \
	    --batch 9 -- idq-to-postgres-batch
	[ -e cut ]
	is "$(sql 'SELECT count(*) FROM inbox')" 0
	is "$(idq ls -s all | cut -f1,4 | sort -u)" $'waiting\t1'
}

@test "postgres: the page's queue and crontab work, and wait for the server" {
	local line

	run -0 --separate-stderr sh -ec "$(page_example handover.sh)"
	expect 0 ''
	idq add -q inbox -k a
	mapfile -t lines < <(page_example handover.crontab)
	is "${#lines[@]}" 2
	line=$(cut -d' ' -f6- <<<"${lines[0]}")
	run -2 --separate-stderr sh -c "$line"
	expect 2 ''
	is "$(state_of a inbox)" new
	# A relay without that look tries it, and the log tells.
	run -0 sh -c "${line#*&& }"
	run -0 --separate-stderr sh -c "$(page_example later.sh)"
	expect 0 $'1\tlater'
	idq retry -q inbox a
	start_server
	make_table
	run -0 --separate-stderr sh -c "$line"
	expect 0 ''
	is "$(state_of a inbox)" 'done'
	run -0 --separate-stderr sh -c "${lines[1]#* }"
	expect 0 ''
	idq add -q inbox -k b
	run -0 --separate-stderr sh -c "$(page_example batch.sh)"
	expect 0 ''
	is "$(state_of b inbox)" 'done'
}

@test "postgres: the script says the same of the table as the page" {
	is "$(sed -n '/CREATE TABLE/,/);/s/^#.//p' \
	    "$top/man/examples/idq-to-postgres")" "$(page_example inbox.sql)"
}

@test "postgres: systemd accepts what the page puts into the unit" {
	need systemd-analyze
	mkdir idq-drain@inbox.service.d
	page_example handover.conf >idq-drain@inbox.service.d/handover.conf
	cp "$top/man/examples/idq-drain@.service" idq-drain@inbox.service
	run -0 env SYSTEMD_UNIT_PATH="$PWD:" systemd-analyze verify --man=no \
	    ./idq-drain@inbox.service
	is "$output" ''
	# It did look there.
	sed -i 's/=.*pg_isready/=\/no\/such/' idq-drain@inbox.service.d/handover.conf
	run env SYSTEMD_UNIT_PATH="$PWD:" systemd-analyze verify --man=no \
	    ./idq-drain@inbox.service
	[[ $output == *"/no/such is not executable"* ]]
}
