# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Completion of idq(1) for bash.

# The options of a verb on one line; one that takes a value ends in "=".
_idq_options() {
	local job='-k= --per=' own='' match filter

	match='-s= -g= --older= --key-glob='
	filter="$job $match --yes -n --dry-run -v"

	case $1 in
	init) own='--shared= -v' ;;
	add)
		own="$job --key-from-payload --at= --in= --ttl= --not-after="
		own+=' --keep= --attempts= --on-crash= -g= --reuse='
		own+=' --payload= -E= -v --json --batch --json-lines --strict'
		;;
	claim) own='--lease= --json' ;;
	ack) ;;
	fail) own='--exit=' ;;
	release) own='--in=' ;;
	renew) own='--lease=' ;;
	work)
		own='-j= --batch= --drain --once --timeout= --single --rate= --catch-up -v'
		;;
	run) own="$job --keep= --on-crash=" ;;
	ls) own="$match -n= --json --all" ;;
	show) own="$job --field= -0 --json --output --attempt= --all" ;;
	cat) own="$job --all" ;;
	stats) own='--by= --json --prometheus -o= --all' ;;
	check)
		own='--max-age= --max-idle= --max-pending= --max-failed='
		own+=' --max-running-age= --all'
		;;
	plan) own='--rate= -n= --json --all' ;;
	log)
		own="$job -f --since= --until= --event= -g= --group= --key="
		own+=' --count-by= --min= --json --all'
		;;
	wait) own="$job --empty --timeout= -v --all" ;;
	key) own=$job ;;
	pause) own='-m= -v' ;;
	resume) own='-v' ;;
	cancel) own="$filter --kill" ;;
	hold | unhold | forget | retry | purge) own=$filter ;;
	fsck) own='-n --dry-run -v --json' ;;
	doctor) own='--json' ;;
	config) ;;
	'') own='--version' ;;
	esac
	echo "$own -q= -h --help"
}

_idq_queues() {
	local spool=${IDQ_SPOOL-} file

	if [ -z "$spool" ]; then
		if [ "$EUID" -eq 0 ]; then
			spool=/var/spool/idq
		else
			spool=~/.local/state/idq
		fi
	fi
	for file in "$spool"/*/format; do
		file=${file%/format}
		[ ! -e "$file/format" ] || printf '%s\n' "${file##*/}"
	done
}

# _idq_jobs COLUMN STATES: that column of `idq ls`: 7 the groups, 8 the keys.
_idq_jobs() {
	"${COMP_WORDS[0]}" ls ${queue:+-q "$queue"} -s "$2" -n 1000 \
	    2>/dev/null | cut -f "$1"
}

# _idq_reply: of the lines on standard input those that begin with $cur, as the
# shell wants them typed: as they are within quotes, else with backslashes and,
# where $cur has a word break, only what follows a `:' or `=', or begins with an
# `@', since that is all that readline replaces.
_idq_reply() {
	local word quoted breaks=${COMP_WORDBREAKS//[^@:=]/} before=''

	if [[ -n $breaks && $cur == *["$breaks"]* ]]; then
		before=${cur%"${cur##*["$breaks"]}"}
		before=${before%@}
	fi
	while IFS= read -r word; do
		if [[ $cur == [\"\']* ]]; then
			[[ $word != "${cur:1}"* ]] || COMPREPLY+=("$word")
		elif [[ $word == "${cur//\\/}"* ]]; then
			printf -v quoted %q "$word"
			COMPREPLY+=("${quoted#"$before"}")
		fi
	done
}

# _idq_files [-d]: files, or folders.
_idq_files() {
	mapfile -t COMPREPLY < <(compgen "${1:--f}" -- "$cur")
	compopt -o filenames 2>/dev/null
}

_idq_choice() {
	local word

	for word; do
		[[ $word != "$cur"* ]] || COMPREPLY+=("$word")
	done
}

# What the option $1 of the verb $2 takes.
_idq_value() {
	local before=''

	case $1 in
	-q)
		if [[ $cur == */* ]]; then
			_idq_files -d
		else
			_idq_reply < <(_idq_queues)
		fi
		;;
	-k)
		case $2 in
		add | run | key) ;;
		*) _idq_keys "$2" ;;
		esac
		;;
	-g | --group)
		_idq_reply < <(_idq_jobs 7 all | grep -vx -- - | sort -u)
		;;
	--per) _idq_choice hour day week month year ;;
	--event)
		[[ $cur != *,* ]] || before=${cur%,*},
		_idq_choice "$before"{added,mismatch,claimed,renewed,'done'} \
		    "$before"{failed,later,released,interrupted,held} \
		    "$before"{retried,cancelled,expired,forgotten,lost} \
		    "$before"{paused,resumed,purged,duplicate}
		compopt -o nospace 2>/dev/null
		;;
	--count-by) _idq_choice key group event hour ;;
	--on-crash) _idq_choice retry hold ;;
	--reuse) _idq_choice failed final ;;
	--keep) _idq_choice forever ;;
	--by) _idq_choice group ;;
	--payload | -o) _idq_files ;;
	-s)
		[[ $cur != *,* ]] || before=${cur%,*},
		_idq_choice "$before"{waiting,pending,running,held,'done'} \
		    "$before"{failed,cancelled,expired,all,unfinished}
		compopt -o nospace 2>/dev/null
		;;
	--field)
		_idq_choice key hash id state added by due expires group arg \
		    length fingerprint attempts claims dups lastdup since \
		    lease release token pid path keep run on-crash last
		;;
	esac
}

# The keys on which the verb can act.
_idq_keys() {
	case $1 in
	show | cat | log | key) _idq_reply < <(_idq_jobs 8 all) ;;
	cancel | wait) _idq_reply < <(_idq_jobs 8 unfinished) ;;
	hold) _idq_reply < <(_idq_jobs 8 waiting,pending) ;;
	unhold) _idq_reply < <(_idq_jobs 8 held) ;;
	forget | purge)
		_idq_reply < <(_idq_jobs 8 'done,failed,cancelled,expired')
		;;
	retry) _idq_reply < <(_idq_jobs 8 failed,held,waiting) ;;
	esac
}

# The name, then the value, of `idq config`.
_idq_config() {
	case $1 in
	0)
		_idq_choice keep keep-failed keep-log attempts backoff timeout \
		    grace lease ttl warn-age gate-age group-max group-gap \
		    rate on-crash output sync shared 'exec'
		;;
	1)
		case $2 in
		on-crash) _idq_choice retry hold ;;
		output) _idq_choice inherit keep ;;
		sync) _idq_choice full file off ;;
		shared | exec) _idq_choice yes no ;;
		keep | keep-failed | keep-log) _idq_choice forever ;;
		timeout | ttl | warn-age | rate) _idq_choice none ;;
		gate-age) _idq_choice off ;;
		esac
		;;
	esac
}

# The words of the line up to the cursor, put together again where bash breaks
# them at the characters of COMP_WORDBREAKS.
_idq_words() {
	local i line=${COMP_LINE:0:COMP_POINT} word

	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
			line=${line#"${line%%[![:space:]]*}"}
			words+=('')
		fi
		word=${COMP_WORDS[i]}
		((i < COMP_CWORD)) || word=$line
		words[${#words[@]} - 1]+=$word
		line=${line#"$word"}
	done
}

# After a `--': the command of work and run, else operands.
_idq_command() {
	local i=1

	case $verb in
	work | run)
		while [ "${COMP_WORDS[i]}" != -- ]; do
			i=$((i + 1))
		done
		i=$((i + 1))
		if declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		elif ((COMP_CWORD == i)); then
			_idq_reply < <(compgen -c -- "$cur")
		else
			_idq_files
		fi
		;;
	*) _idq_keys "$verb" ;;
	esac
}

_idq() {
	local words=() cur option='' verb='' queue='' operands=() i word options

	COMPREPLY=()
	_idq_words
	cur=${words[${#words[@]} - 1]}

	# What stands before the word: an option that lacks its value, the
	# verb, and operands, after which there are no more options.
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		word=${words[i]}
		if [ -n "$option" ]; then
			[ "$option" != -q ] || queue=$word
			option=
			continue
		fi
		if [ "${#operands[@]}" -gt 0 ]; then
			operands+=("$word")
			continue
		fi
		case $word in
		--)
			_idq_command
			return
			;;
		-q?*) queue=${word#-q} ;;
		-*)
			options=" $(_idq_options "$verb") "
			[[ $options != *" $word= "* ]] || option=$word
			;;
		*)
			if [ -z "$verb" ]; then
				verb=$word
			else
				operands+=("$word")
			fi
			;;
		esac
	done

	if [ -n "$option" ]; then
		_idq_value "$option" "$verb"
	elif [ "${#operands[@]}" -eq 0 ] && [[ $cur == --*=* ]]; then
		option=${cur%%=*}
		cur=${cur#*=}
		_idq_value "$option" "$verb"
	elif [ "${#operands[@]}" -eq 0 ] && [[ $cur == -* ]]; then
		options=$(_idq_options "$verb")
		read -ra operands <<<"${options//=/}"
		_idq_choice "${operands[@]}"
	elif [ -z "$verb" ]; then
		_idq_choice init add claim ack fail release renew work run ls \
		    show cat log stats check plan 'wait' key pause resume hold \
		    unhold cancel forget retry purge fsck doctor config
	elif [ "$verb" = config ]; then
		_idq_config "${#operands[@]}" "${operands[0]-}"
	else
		_idq_keys "$verb"
	fi
}

complete -F _idq idq
