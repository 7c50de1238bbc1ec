#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The hand-over to an HTTP service: idq-to-http with tests/helpers/service.py.

load helpers/common
load helpers/handover

setup() {
	common_setup
	scripts
	need curl python3
	mkdir service
	export CURL_HOME=$PWD no_proxy='*'
	server="" relays=""
}

teardown() {
	rm -f service/hold
	end_relays
	common_teardown
}

# start_service: on the port that it had before, if it had one.
start_service() {
	local port

	port=$(cat service/port 2>/dev/null || echo 0)
	rm -f service/port
	spawn python3 "$top/tests/helpers/service.py" service "$port"
	server=$spawned_pid
	wait_for '[ -e service/port ]'
	url=http://127.0.0.1:$(cat service/port)
}

# kill_service: in the middle of whatever it does.
kill_service() {
	kill -KILL "$server"
	wait "$server" || :
}

hex() {
	od -An -v -tx1 | tr -d ' \n'
}

# hand KEY [PATH]: what the script does with the payload on standard input.
hand() {
	IDQ_HASH=$(hash_of "$1") idq-to-http "$url${2-/inbox}"
}

@test "http: each job arrives once, whatever is killed meanwhile" {
	local n

	outbox
	fragile
	start_service
	kill_service
	produce 1 4
	down idq-to-http "$url/inbox"
	start_service
	relays ./fragile idq-to-http "$url/inbox"
	produce 5 10
	wait_for '[ "$(wc -l <taken)" -ge 5 ]'
	kill_service
	produce 8 16
	wait_for 'grep -q "^curl:" relay.err'
	start_service
	wait "$relays"
	for n in $(seq 16); do
		printf '%s\t%s\n' "$(hash_of "job/$n")" \
		    "$(printf 'payload %d' "$n" | hex)"
	done | sort >expected
	sort service/stored | diff expected -
	is "$(idq ls -s all | cut -f1 | sort | uniq -c | xargs)" '16 done'
	was_hard
}

@test "http: without the key, jobs would be there more than once" {
	outbox
	fragile
	start_service
	produce 1 4
	relay ./fragile idq-to-http "$url/plain"
	sort service/stored | uniq -d | grep -q .
}

@test "http: the exit status says what idq is to do" {
	local answer

	start_service
	for answer in 200:0 201:0 202:0 204:0 400:100 422:100 413:100 415:100 \
	    408:75 409:75 425:75 429:75 502:75 503:75 504:75 \
	    301:1 401:1 403:1 404:1 405:1 500:1; do
		run --separate-stderr hand a "/status/${answer%:*}" <<<1
		case $answer in
		*:0) expect 0 '' ;;
		*) expect "${answer#*:}" '' \
		    "idq-to-http: ${answer%:*}: as asked" ;;
		esac
	done
	run -1 --separate-stderr idq-to-http nonsense://127.0.0.1 <<<1
	run -100 --separate-stderr idq-to-http "$url/inbox" 42 <<<1
	[ ! -e service/stored ]
	kill_service
	run -75 --separate-stderr hand a <<<1
	[[ $stderr == 'curl: (7) '* ]]
}

@test "http: sent again it is done; with another payload it has failed" {
	start_service
	for _ in 1 2; do
		run -0 --separate-stderr hand a <<<1
		expect 0 ''
	done
	is "$(wc -l <service/stored)" 1
	run -100 --separate-stderr hand a <<<2
	expect 100 '' 'idq-to-http: 422: the key had another payload'
	is "$(wc -l <service/stored)" 1
}

@test "http: what is still in progress is asked for again later" {
	local first

	start_service
	touch service/hold
	hand a <<<1 3>&- 4>&- &
	first=$!
	wait_for '[ -s service/starts ]'
	run -75 --separate-stderr hand a <<<1
	expect 75 '' 'idq-to-http: 409: in progress'
	rm service/hold
	wait "$first"
	run -0 --separate-stderr hand a <<<1
	expect 0 ''
	is "$(wc -l <service/stored)" 1
}

@test "http: a service that is busy uses no attempt; what it refuses has failed" {
	start_service
	outbox
	touch service/busy
	idq add -k a
	run -0 --separate-stderr idq work --drain -- idq-to-http "$url/inbox"
	expect 0 '' 'idq-to-http: 503: too busy'
	is "$(idq ls -s all | cut -f4)" 0
	[[ $(last a) == *' later 1 '*'exit=75'* ]]
	rm service/busy
	relay idq-to-http "$url/inbox"
	is "$(state_of a)" 'done'
	idq add -k b
	idq work --drain -- idq-to-http "$url/status/422" 2>err
	is "$(state_of b)" failed
	is "$(idq show --field attempts b)" 1
}

@test "http: any key and any payload arrive as they are" {
	start_service
	idq init
	head -c 300000 /dev/urandom >random
	printf '@random\0\n\n' >odd
	idq add -k random --payload random
	idq add -k '" größer; \n' --payload odd
	idq add -k empty
	run -0 --separate-stderr idq work --drain -- idq-to-http "$url/inbox"
	expect 0 ''
	is "$(sort service/stored)" "$(
		{
			printf '%s\t%s\n' "$(hash_of random)" "$(hex <random)"
			printf '%s\t%s\n' "$(hash_of '" größer; \n')" "$(hex <odd)"
			printf '%s\t\n' "$(hash_of empty)"
		} | sort)"
}
