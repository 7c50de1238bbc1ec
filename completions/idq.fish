# SPDX-License-Identifier: ISC
#
# Completion of idq(1) for fish.

# What stands before the cursor: the verb, empty if there is none yet, and then
# the number of operands after it (-1 after a `--').
function __idq_parse
    set -l valued -q -k -g -E -s -n -j -m --per --at --in --ttl --not-after \
        --keep --attempts --on-crash --reuse --payload --lease --exit \
        --timeout --field --since --older --by -o --rate --attempt \
        --until --event --group --key --count-by --min \
        --key-glob --max-age --max-idle \
        --max-pending --max-failed --max-running-age
    set -l verb ''
    set -l operands 0
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test $operands -gt 0
            set operands (math $operands + 1)
        else if test "$word" = --
            set operands -1
            break
        else if string match -q -- '-*' $word
            # -n takes a value of ls alone.
            if contains -- $word $valued
                and not begin
                    test $word = -n; and test "$verb" != ls
                end
                set skip 1
            end
        else if test -z "$verb"
            set verb $word
        else
            set operands 1
        end
    end
    echo $verb
    echo $operands
end

function __idq_no_verb
    test -z (__idq_parse)[1]
end

# Options are offered up to the first operand.
function __idq_verb
    set -l parsed (__idq_parse)
    contains -- "$parsed[1]" $argv; and test $parsed[2] = 0
end

function __idq_operands
    set -l parsed (__idq_parse)
    contains -- "$parsed[1]" $argv
end

function __idq_after
    set -l parsed (__idq_parse)
    contains -- "$parsed[1]" $argv; and test $parsed[2] = -1
end

function __idq_queues
    set -l spool $IDQ_SPOOL
    if test -z "$spool"
        if test (id -u) = 0
            set spool /var/spool/idq
        else
            set spool ~/.local/state/idq
        end
    end
    for file in $spool/*/format
        path basename (path dirname $file)
    end
    __fish_complete_directories
end

# __idq_jobs COLUMN STATES: that column of `idq ls': 7 the groups, 8 the keys.
function __idq_jobs
    set -l words (commandline -opc)
    set -l queue
    for i in (seq 2 (math (count $words) - 1))
        if test "$words[$i]" = -q
            set queue -q $words[(math $i + 1)]
        end
    end
    idq ls $queue -s $argv[2] -n 1000 2>/dev/null | cut -f $argv[1]
end

function __idq_groups
    __idq_jobs 7 all | string match -v -- - | sort -u
end

function __idq_states
    set -l before (string replace -rf '[^,]*$' '' -- (commandline -ct))
    printf "$before%s\n" waiting pending running held done failed cancelled \
        expired all unfinished
end

function __idq_events
    set -l before (string replace -rf '[^,]*$' '' -- (commandline -ct))
    printf "$before%s\n" added mismatch claimed renewed done failed later \
        released interrupted held unheld retried cancelled expired forgotten lost \
        paused resumed purged duplicate
end

# The keys on which the verb can act.
function __idq_keys
    switch (__idq_parse)[1]
        case show cat log key
            __idq_jobs 8 all
        case cancel wait
            __idq_jobs 8 unfinished
        case hold
            __idq_jobs 8 waiting,pending
        case unhold
            __idq_jobs 8 held
        case forget purge
            __idq_jobs 8 done,failed,cancelled,expired
        case retry
            __idq_jobs 8 failed,held,waiting
    end
end

function __idq_config
    if __idq_verb config
        printf '%s\n' keep keep-failed keep-log attempts backoff timeout \
            grace lease ttl warn-age gate-age group-max group-gap rate \
            on-crash output sync shared exec
        return
    end
    switch (commandline -opc)[-1]
        case on-crash
            printf '%s\n' retry hold
        case output
            printf '%s\n' inherit keep
        case sync
            printf '%s\n' full file off
        case shared exec
            printf '%s\n' yes no
        case keep keep-failed keep-log
            echo forever
        case timeout ttl warn-age rate
            echo none
        case gate-age
            echo off
    end
end

# The command after a `--', completed as on a line of its own.
function __idq_command
    set -l words (commandline -opc)
    set -l after (contains -i -- -- $words)
    set -l line (string escape -- $words[(math $after + 1)..-1])
    complete -C "$line "(commandline -ct)
end

complete -c idq -f

complete -c idq -n __idq_no_verb -s q -x -a '(__idq_queues)' -d queue
complete -c idq -n __idq_no_verb -s h -l help -d 'print the verbs'
complete -c idq -n __idq_no_verb -l version -d 'print the version'

complete -c idq -n __idq_no_verb -a init -d 'make a queue'
complete -c idq -n __idq_no_verb -a add -d 'add a job'
complete -c idq -n __idq_no_verb -a claim -d 'claim the oldest due job'
complete -c idq -n __idq_no_verb -a ack -d 'a claimed job is done'
complete -c idq -n __idq_no_verb -a fail -d 'a claimed attempt failed'
complete -c idq -n __idq_no_verb -a release -d 'give a claimed job back'
complete -c idq -n __idq_no_verb -a renew -d 'renew a lease'
complete -c idq -n __idq_no_verb -a work -d 'run a command for each job'
complete -c idq -n __idq_no_verb -a run -d 'run a command once per key'
complete -c idq -n __idq_no_verb -a ls -d 'list jobs'
complete -c idq -n __idq_no_verb -a show -d 'print all about a job'
complete -c idq -n __idq_no_verb -a cat -d 'print the payload'
complete -c idq -n __idq_no_verb -a log -d 'print what happened'
complete -c idq -n __idq_no_verb -a stats -d 'print counts and ages'
complete -c idq -n __idq_no_verb -a check -d 'check for monitoring'
complete -c idq -n __idq_no_verb -a plan -d 'say what a worker would do'
complete -c idq -n __idq_no_verb -a wait -d 'wait until jobs have ended'
complete -c idq -n __idq_no_verb -a key -d 'print hash and key'
complete -c idq -n __idq_no_verb -a pause -d 'start no job'
complete -c idq -n __idq_no_verb -a resume -d 'start jobs again'
complete -c idq -n __idq_no_verb -a hold -d 'set a job aside'
complete -c idq -n __idq_no_verb -a unhold -d 'let a held job go on'
complete -c idq -n __idq_no_verb -a cancel -d 'cancel an unfinished job'
complete -c idq -n __idq_no_verb -a forget -d 'free the key of a finished job'
complete -c idq -n __idq_no_verb -a retry -d 'make a failed or held job due'
complete -c idq -n __idq_no_verb -a purge -d 'remove what is past its time'
complete -c idq -n __idq_no_verb -a fsck -d 'compare and mend a queue'
complete -c idq -n __idq_no_verb -a doctor -d 'say what a queue stands on'
complete -c idq -n __idq_no_verb -a config -d 'list, print or set config'

# Options, each with the verbs that have it.
set -l all init add claim ack fail release renew work run ls show cat log \
    stats check plan wait key pause resume hold unhold cancel forget retry \
    purge fsck doctor config
set -l acting hold unhold cancel forget retry purge
set -l keyed add run show cat log wait key $acting

complete -c idq -n "__idq_verb $all" -s q -x -a '(__idq_queues)' -d queue
complete -c idq -n "__idq_verb $all" -s h -l help -d 'print how it is used'
complete -c idq -n "__idq_verb $keyed" -s k -x -a '(__idq_keys)' \
    -d 'part of the key'
complete -c idq -n "__idq_verb $keyed" -l per -x \
    -a 'hour day week month year' -d 'append the period'
complete -c idq -n "__idq_verb init add work wait pause resume fsck $acting" \
    -s v -d 'say what was done'
complete -c idq -n '__idq_verb init' -l shared -x \
    -a '(__fish_complete_groups)' -d 'one that a group may use'
complete -c idq -n '__idq_verb add claim ls show log stats plan fsck doctor' \
    -l json -d 'print JSON'
complete -c idq -n '__idq_verb add run' -l keep -x -a forever \
    -d 'remember the key'
complete -c idq -n '__idq_verb add run' -l on-crash -x -a 'retry hold' \
    -d 'outcome unknown'
complete -c idq -n '__idq_verb add release' -l in -x -d 'due in so long'
complete -c idq -n '__idq_verb claim renew' -l lease -x -d 'how long'
complete -c idq -n "__idq_verb add ls $acting" -s g -x -a '(__idq_groups)' \
    -d group
complete -c idq -n "__idq_verb fsck $acting" -s n -l dry-run \
    -d 'change nothing'
complete -c idq -n "__idq_verb ls $acting" -s s -x -a '(__idq_states)' \
    -d 'only these states'
complete -c idq -n "__idq_verb ls $acting" -l older -x -d 'for so long'
complete -c idq -n "__idq_verb ls $acting" -l key-glob -x -d 'keys like this'
complete -c idq -n "__idq_verb $acting" -l yes -d 'although these are several'

complete -c idq -n '__idq_verb add' -l key-from-payload \
    -d 'use the fingerprint as the key'
complete -c idq -n '__idq_verb add' -l at -x -d 'do not start before'
complete -c idq -n '__idq_verb add' -l ttl -x -d 'deadline from due'
complete -c idq -n '__idq_verb add' -l not-after -x -d deadline
complete -c idq -n '__idq_verb add' -l attempts -x -d 'how often to try'
complete -c idq -n '__idq_verb add' -l reuse -x -a 'failed final' \
    -d 'take the key of'
complete -c idq -n '__idq_verb add' -l payload -r -F -d payload
complete -c idq -n '__idq_verb add' -s E -x -d 'exit status of a duplicate'
complete -c idq -n '__idq_verb add' -l batch \
    -d 'read jobs from standard input'
complete -c idq -n '__idq_verb add' -l json-lines -d 'read JSON'
complete -c idq -n '__idq_verb add' -l strict -d 'exit 75 with a warning'
complete -c idq -n '__idq_verb fail' -l exit -x -d 'judge as'
complete -c idq -n '__idq_verb work' -s j -x -d 'commands at once'
complete -c idq -n '__idq_verb work' -l batch -x -d 'jobs for one command'
complete -c idq -n '__idq_verb work' -l drain -d 'end when nothing is due'
complete -c idq -n '__idq_verb work' -l once -d 'run at most one job'
complete -c idq -n '__idq_verb work' -l timeout -x -d 'end a command'
complete -c idq -n '__idq_verb wait' -l timeout -x -d 'for so long at most'
complete -c idq -n '__idq_verb wait' -l empty -d 'until nothing is due'
complete -c idq -n '__idq_verb pause' -s m -x -d why
complete -c idq -n '__idq_verb work' -l single -d 'only one such worker'
complete -c idq -n '__idq_verb work' -l catch-up -d 'run old jobs too'
complete -c idq -n '__idq_verb ls plan' -s n -x -d 'at most'
complete -c idq -n '__idq_verb show' -l field -x -d 'only this field' \
    -a 'key hash id state added by due expires group arg length fingerprint
    attempts claims dups lastdup since lease release token pid path keep run
    on-crash last'
complete -c idq -n '__idq_verb show' -s 0 -d 'end values with NUL'
complete -c idq -n '__idq_verb show' -l output -d 'what its command printed'
complete -c idq -n '__idq_verb show' -l attempt -x -d 'in this attempt'
complete -c idq -n '__idq_verb log' -l since -x -d from
complete -c idq -n '__idq_verb plan work' -l rate -x -d 'starts in a time'
complete -c idq -n '__idq_verb log' -s f -d follow
complete -c idq -n '__idq_verb log' -l until -x -d before
complete -c idq -n '__idq_verb log' -l event -x -a '(__idq_events)' \
    -d 'only these events'
complete -c idq -n '__idq_verb log' -s g -l group -x -a '(__idq_groups)' \
    -d group
complete -c idq -n '__idq_verb log' -l key -x -d 'only keys like'
complete -c idq -n '__idq_verb log' -l count-by -x \
    -a 'key group event hour' -d 'count by'
complete -c idq -n '__idq_verb log' -l min -x -d 'counted so often'
complete -c idq -n '__idq_verb cancel' -l kill -d 'end a running command'
complete -c idq -n '__idq_verb ls show cat log stats check plan wait' -l all \
    -d 'all queues of the spool'
complete -c idq -n '__idq_verb stats' -l by -x -a group -d 'a line for each'
complete -c idq -n '__idq_verb stats' -l prometheus \
    -d 'for the textfile collector'
complete -c idq -n '__idq_verb stats' -s o -r -F -d 'write to'
complete -c idq -n '__idq_verb check' -l max-age -x \
    -d 'of the oldest pending job'
complete -c idq -n '__idq_verb check' -l max-idle -x -d 'without a worker'
complete -c idq -n '__idq_verb check' -l max-pending -x -d 'pending jobs'
complete -c idq -n '__idq_verb check' -l max-failed -x \
    -d 'failed or held jobs'
complete -c idq -n '__idq_verb check' -l max-running-age -x \
    -d 'of a running job'

# Operands.
complete -c idq -n "__idq_operands show cat log wait key $acting" \
    -a '(__idq_keys)'
complete -c idq -n '__idq_operands config' -a '(__idq_config)'
complete -c idq -n '__idq_after work run' -a '(__idq_command)'
