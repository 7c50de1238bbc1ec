#compdef idq
# SPDX-License-Identifier: ISC
#
# Completion of idq(1) for zsh: installed as _idq in a folder of $fpath.

_idq_queues() {
	local spool=${IDQ_SPOOL-}

	if [[ -z $spool ]]; then
		if (( EUID == 0 )); then
			spool=/var/spool/idq
		else
			spool=~/.local/state/idq
		fi
	fi
	local -a queues=($spool/*/format(N:h:t))
	_alternative 'queues:queue:compadd -a queues' \
	    'paths:path:_files -/'
}

# _idq_jobs COLUMN STATES: that column of `idq ls': 7 the groups, 8 the keys.
_idq_jobs() {
	local -a jobs

	jobs=(${(fu)"$(_call_program jobs $idq_command ls \
	    ${idq_queue:+-q ${(q)idq_queue}} -s $2 -n 1000 2>/dev/null |
	    cut -f $1)"})
	compadd -a jobs
}

_idq_groups() {
	_idq_jobs 7 all
}

# The keys on which the verb can act.
_idq_keys() {
	case $idq_verb in
	show|cat|log|key) _idq_jobs 8 all ;;
	cancel|wait) _idq_jobs 8 unfinished ;;
	hold) _idq_jobs 8 waiting,pending ;;
	unhold) _idq_jobs 8 held ;;
	forget|purge) _idq_jobs 8 done,failed,cancelled,expired ;;
	retry) _idq_jobs 8 failed,held,waiting ;;
	*) _message key ;;
	esac
}

_idq_states() {
	_values -s , state waiting pending running held done failed cancelled \
	    expired all unfinished
}

_idq_events() {
	_values -s , event added mismatch claimed renewed done failed later \
	    released interrupted held unheld retried cancelled expired forgotten \
	    lost paused resumed purged duplicate
}

_idq_config_values() {
	case $words[CURRENT-1] in
	on-crash) compadd retry hold ;;
	output) compadd inherit keep ;;
	sync) compadd full file off ;;
	shared|exec) compadd yes no ;;
	keep|keep-failed|keep-log) compadd forever ;;
	timeout|ttl|warn-age|rate) compadd none ;;
	gate-age) compadd off ;;
	esac
}

_idq_verbs() {
	local -a verbs=(
		'init:make a queue'
		'add:add a job'
		'claim:claim the oldest due job'
		'ack:a claimed job is done'
		'fail:a claimed attempt failed'
		'release:give a claimed job back'
		'renew:renew a lease'
		'work:run a command for each job'
		'run:run a command once per key'
		'ls:list jobs'
		'show:print all about a job'
		'cat:print the payload'
		'log:print what happened'
		'stats:print counts and ages'
		'check:check for monitoring'
		'plan:say what a worker would do'
		'wait:wait until jobs have ended'
		'key:print hash and key'
		'pause:start no job'
		'resume:start jobs again'
		'hold:set a job aside'
		'unhold:let a held job go on'
		'cancel:cancel an unfinished job'
		'forget:free the key of a finished job'
		'retry:make a failed or held job due'
		'purge:remove what is past its time'
		'fsck:compare and mend a queue'
		'doctor:say what a queue stands on'
		'config:list, print or set config'
	)

	_describe verb verbs
}

# The options and operands of a verb.
_idq_verb() {
	local idq_verb=$1
	local -a common several key match filter json verbose
	local fields='(key hash id state added by due expires group arg length
	    fingerprint attempts claims dups lastdup since lease release token
	    pid path keep run on-crash last)'
	local names='(keep keep-failed keep-log attempts backoff timeout grace
	    lease ttl warn-age gate-age group-max group-gap rate on-crash
	    output sync shared exec)'

	common=(
		'-q[queue]:queue:_idq_queues'
		'(- *)'{-h,--help}'[print how the verb is used]'
	)
	several=(
		'(--all)*-q[queue]:queue:_idq_queues'
		'(-q)--all[all queues of the spool]'
		'(- *)'{-h,--help}'[print how the verb is used]'
	)
	key=(
		'*-k[part of the key]:key:_idq_keys'
		'--per=[append the period]:period:(hour day week month year)'
	)
	match=(
		'-s[only these states]:states:_idq_states'
		'-g[only this group]:group:_idq_groups'
		'--older=[in its state for so long]:duration: '
		'--key-glob=[keys like this]:pattern: '
	)
	filter=(
		$key $match
		'--yes[although these are several]'
		{-n,--dry-run}'[change nothing]'
	)
	json='--json[print JSON]'
	verbose='-v[say what was done]'

	case $idq_verb in
	init)
		_arguments -A '-*' $common $verbose \
		    '--shared[one that a group may use]:group:_groups'
		;;
	add)
		_arguments -A '-*' $common $key $verbose $json \
		    '--key-from-payload[use the fingerprint as the key]' \
		    '(--in)--at=[do not start before]:time: ' \
		    '(--at)--in=[do not start before so long]:duration: ' \
		    '(--not-after)--ttl=[deadline from due]:duration: ' \
		    '(--ttl)--not-after=[deadline]:time: ' \
		    '--keep=[remember the key]:duration:(forever)' \
		    '--attempts=[how often to try]:number: ' \
		    '--on-crash=[outcome unknown]:what:(retry hold)' \
		    '-g[group]:group:_idq_groups' \
		    '--reuse=[take the key of]:state:(failed final)' \
		    '--payload=[payload]:file:_files' \
		    '-E[exit status of a duplicate]:status: ' \
		    '--batch[read jobs from standard input]' \
		    '--json-lines[read JSON]' \
		    '--strict[exit 75 with a warning]' \
		    '*:argument: '
		;;
	claim)
		_arguments -A '-*' $common $json \
		    '--lease=[how long]:duration: '
		;;
	ack)
		_arguments -A '-*' $common '*:token: '
		;;
	fail)
		_arguments -A '-*' $common '--exit=[judge as]:status: ' \
		    '*:token: '
		;;
	release)
		_arguments -A '-*' $common '--in=[due in]:duration: ' \
		    '*:token: '
		;;
	renew)
		_arguments -A '-*' $common '--lease=[how long]:duration: ' \
		    '*:token: '
		;;
	work)
		_arguments -A '-*' $common $verbose \
		    '-j[commands at once]:number: ' \
		    '(--once)--drain[end when nothing is due]' \
		    '(--drain)--once[run at most one job]' \
		    '--timeout=[end a command]:duration: ' \
		    '--batch=[jobs for one command]:number: ' \
		    '--single[only one such worker]' \
		    '--rate=[starts in a time]:rate: ' \
		    '--catch-up[run old jobs too]' \
		    '*::command:_normal'
		;;
	run)
		_arguments -A '-*' $common $key \
		    '--keep=[remember the key]:duration:(forever)' \
		    '--on-crash=[outcome unknown]:what:(retry hold)' \
		    '*::command:_normal'
		;;
	ls)
		_arguments -A '-*' $several $match $json \
		    '-n[at most]:number: '
		;;
	show)
		_arguments -A '-*' $several $key $json \
		    "--field=[only this field]:field:$fields" \
		    '-0[end values with NUL]' \
		    '--output[what its command printed]' \
		    '--attempt=[in this attempt]:number: ' \
		    '*:key:_idq_keys'
		;;
	cat)
		_arguments -A '-*' $several $key '*:key:_idq_keys'
		;;
	log)
		_arguments -A '-*' $several $key $json \
		    '(--until --count-by --min)-f[follow]' \
		    '--since=[from]:time or duration: ' \
		    '(-f)--until=[before]:time or duration: ' \
		    '--event=[only these events]:events:_idq_events' \
		    {-g,--group=}'[only this group]:group:_idq_groups' \
		    '--key=[only keys like]:pattern: ' \
		    '(-f)--count-by=[count by]:what:(key group event hour)' \
		    '(-f)--min=[counted so often]:number: ' \
		    '*:key:_idq_keys'
		;;
	stats)
		_arguments -A '-*' $several $json \
		    '--by=[a line for each]:what:(group)' \
		    '--prometheus[for the textfile collector]' \
		    '-o[write to]:file:_files'
		;;
	check)
		_arguments -A '-*' $several \
		    '--max-age=[of the oldest pending job]:duration: ' \
		    '--max-idle=[without a worker]:duration: ' \
		    '--max-pending=[pending jobs]:number: ' \
		    '--max-failed=[failed or held jobs]:number: ' \
		    '--max-running-age=[of a running job]:duration: '
		;;
	plan)
		_arguments -A '-*' $several $json \
		    '--rate=[as if at this rate]:rate: ' \
		    '-n[at most]:number: '
		;;
	wait)
		_arguments -A '-*' $several $key $verbose \
		    '--empty[until nothing is due]' \
		    '--timeout=[for so long at most]:duration: ' \
		    '*:key:_idq_keys'
		;;
	key)
		_arguments -A '-*' $common $key '*:key:_idq_keys'
		;;
	pause)
		_arguments -A '-*' $common $verbose '-m[why]:reason: '
		;;
	resume)
		_arguments -A '-*' $common $verbose
		;;
	hold|unhold|forget|retry|purge)
		_arguments -A '-*' $common $filter $verbose '*:key:_idq_keys'
		;;
	cancel)
		_arguments -A '-*' $common $filter $verbose \
		    '--kill[end a running command]' \
		    '*:key:_idq_keys'
		;;
	fsck)
		_arguments -A '-*' $common $verbose $json \
		    {-n,--dry-run}'[mend nothing]'
		;;
	doctor)
		_arguments -A '-*' $common $json
		;;
	config)
		_arguments -A '-*' $common "1:name:$names" \
		    '2:value:_idq_config_values'
		;;
	esac
}

_idq() {
	local curcontext=$curcontext state idq_command=$words[1] idq_queue
	local -a line
	local -A opt_args
	local i

	# The last -q, before or after the verb.
	for (( i = 2; i < CURRENT; i++ )); do
		[[ $words[i] == -- ]] && break
		[[ $words[i] == -q ]] && idq_queue=${(Q)words[i+1]}
	done
	_arguments -C -A '-*' \
	    '-q[queue]:queue:_idq_queues' \
	    '(- *)'{-h,--help}'[print the verbs]' \
	    '(- *)--version[print the version]' \
	    '1:verb:_idq_verbs' \
	    '*::operand:->verb'
	[[ $state != verb ]] || _idq_verb $line[1]
}

if [[ $funcstack[1] == _idq ]]; then
	_idq "$@"
else
	compdef _idq idq
fi
