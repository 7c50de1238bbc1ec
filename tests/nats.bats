#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The hand-over to a stream of NATS JetStream: idq-to-nats with a real server.

load helpers/common
load helpers/handover

setup() {
	common_setup
	scripts
	PATH+=:/usr/sbin
	need nats-server python3
	server="" relays=""
	export IDQ_ID=00000000000000a1 IDQ_HASH=00
}

teardown() {
	end_relays
	common_teardown
}

# start_server [CONFIG]: on the port that it had before, if it had one.
start_server() {
	cat >nats.conf <<-END
		listen: "127.0.0.1:${port:--1}"
		ports_file_dir: "$PWD"
		jetstream { store_dir: "$PWD/js" }
		${1-}
	END
	rm -f nats-server_*.ports
	spawn nats-server -c nats.conf -l nats.log
	server=$spawned_pid
	wait_for '[ -s "nats-server_$server.ports" ]'
	port=$(sed -E 's/.*nats:..[0-9.]*:([0-9]+).*/\1/' \
	    "nats-server_$server.ports")
	export NATS_URL=nats://127.0.0.1:$port
	wait_for 'grep -q "Server is ready" nats.log'
}

# kill_server: in the middle of whatever it does.
kill_server() {
	kill -KILL "$server"
	wait "$server" || :
	rm nats.log
}

js() {
	python3 "$top/tests/helpers/jetstream.py" "$port" "$@"
}

# count STREAM: its messages.
count() {
	js list "$1" | wc -l
}

# payloads LAST: those of the jobs up to this one, in hexadecimal.
payloads() {
	local n

	for n in $(seq "$1"); do
		printf 'payload %d' "$n" | od -An -v -tx1 | tr -d ' \n'
		echo
	done | sort
}

# hand ID [SUBJECT]: what the script does with the payload on standard input.
hand() {
	IDQ_ID=$1 idq-to-nats "${2-jobs.a}"
}

@test "nats: each job arrives once, whatever is killed meanwhile" {
	outbox
	fragile
	start_server
	js make JOBS 'jobs.>' 600
	kill_server
	produce 1 4
	down idq-to-nats jobs.a
	start_server
	relays ./fragile idq-to-nats jobs.a
	produce 5 10
	wait_for '[ "$(wc -l <taken)" -ge 5 ]'
	kill_server
	produce 8 16
	wait_for 'grep -q "idq-to-nats: .*refused" relay.err'
	start_server
	wait "$relays"
	js list JOBS >stored
	is "$(cut -f2 stored | sort)" "$(payloads 16)"
	is "$(cut -f1 stored | sort)" \
	    "$(for n in $(seq 16); do id_of "job/$n"; done | sort)"
	is "$(idq ls -s all | cut -f1 | sort | uniq -c | xargs)" '16 done'
	was_hard
}

@test "nats: what is sent again is stored once, as the server says" {
	start_server
	js make JOBS 'jobs.>' 600
	for _ in 1 2; do
		run -0 --separate-stderr hand 00000000000000a1 <<<1
		expect 0 ''
	done
	is "$(js list JOBS)" $'00000000000000a1\t310a'
	run -0 js send jobs.a 00000000000000a1 1
	is "$(jq -c '[.stream,.seq,.duplicate]' <<<"$output")" '["JOBS",1,true]'
	# The server has it on disk, not only in mind.
	kill_server
	start_server
	run -0 --separate-stderr hand 00000000000000a1 <<<1
	is "$(count JOBS)" 1
}

@test "nats: a stream that has forgotten the id takes it again" {
	start_server
	js make SHORT 'jobs.>' 0.1
	wait_for 'hand 00000000000000a1 <<<1 && [ "$(count SHORT)" -gt 1 ]'
}

@test "nats: a subject for each key keeps jobs apart however late they are" {
	outbox
	fragile
	start_server
	js make EACH 'jobs.*' 0.1 'discard="new"' max_msgs_per_subject=1 \
	    discard_new_per_subject=true
	produce 1 8
	is "$(page_example nats.sh)" \
	    'idq work -q inbox -- idq-to-nats jobs.inbox.{}'
	relay ./fragile idq-to-nats jobs.{}
	# Later than the stream knows ids: another message is not taken either.
	export IDQ_HASH
	IDQ_HASH=$(hash_of job/1)
	run -0 --separate-stderr hand 00000000000000a1 jobs.{} <<<1
	expect 0 ''
	is "$(js list EACH | cut -f2 | sort)" "$(payloads 8)"
	# Where nobody asked for that, a stream that is full is one.
	run -75 --separate-stderr hand 00000000000000a1 "jobs.$IDQ_HASH" <<<1
	expect 75 '' 'idq-to-nats: maximum messages per subject exceeded'
	[ "$(wc -l <taken)" -gt 8 ]
}

@test "nats: the exit status says what idq is to do" {
	start_server
	run -75 --separate-stderr hand a <<<1
	expect 75 '' 'idq-to-nats: no stream takes this subject'
	js make JOBS 'jobs.>' 600 max_msg_size=100
	js make FULL 'full.>' 600 'discard="new"' max_msgs=1
	run -0 --separate-stderr hand a <<<1
	expect 0 ''
	head -c 200 /dev/zero >large
	run -100 --separate-stderr hand b <large
	expect 100 '' 'idq-to-nats: message size exceeds maximum allowed'
	head -c 1100000 /dev/zero >huge
	run -100 --separate-stderr hand b <huge
	expect 100 '' 'idq-to-nats: the payload is larger than the server takes'
	run -0 --separate-stderr hand a full.a <<<1
	run -75 --separate-stderr hand b full.a <<<1
	expect 75 '' 'idq-to-nats: maximum messages exceeded'
	run -100 --separate-stderr idq-to-nats jobs.a 42 <<<1
	run -100 --separate-stderr idq-to-nats 'jobs.a b' <<<1
	is "$(count JOBS) $(count FULL)" '1 1'
	kill_server
	run -75 --separate-stderr hand a <<<1
	expect 75 '' 'idq-to-nats: [Errno 111] Connection refused'
}

@test "nats: only the answer of a stream counts" {
	local text

	start_server
	for text in '+OK' '{}' '[]' '7' '{"stream":"JOBS"}'; do
		rm -f spawn.out
		spawn python3 "$top/tests/helpers/jetstream.py" "$port" talk \
		    talk "$text"
		wait_for 'grep -q PONG spawn.out'
		run -1 --separate-stderr hand a talk <<<1
		expect 1 '' 'idq-to-nats: the answer is none of a stream'
	done
}

@test "nats: a server that wants a name and a password gets them" {
	start_server 'authorization { user: jo, password: "s e%c/ret" }'
	run -1 --separate-stderr hand a <<<1
	expect 1 '' "idq-to-nats: 'Authorization Violation'"
	NATS_URL=nats://jo:s%20e%25c%2Fret@127.0.0.1:$port \
	    run -75 --separate-stderr hand a <<<1
	expect 75 '' 'idq-to-nats: no stream takes this subject'
}

@test "nats: any payload arrives as it is" {
	start_server
	js make JOBS 'jobs.>' 600
	idq init
	head -c 300000 /dev/urandom >random
	printf '\0\r\n+OK\r\nPUB jobs.a 1\r\nx\r\n' >odd
	idq add -k random --payload random
	idq add -k odd --payload odd
	idq add -k empty
	run -0 --separate-stderr idq work --drain -- idq-to-nats jobs.a
	expect 0 ''
	js list JOBS | cut -f2 >stored
	sed -n 1p stored | tr -d '\n' | cmp - <(od -An -v -tx1 random | tr -d ' \n')
	sed -n 2p stored | tr -d '\n' | cmp - <(od -An -v -tx1 odd | tr -d ' \n')
	is "$(sed -n 3p stored)" ''
	is "$(wc -l <stored)" 3
}
