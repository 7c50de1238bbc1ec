/* SPDX-License-Identifier: ISC */
/*
 * Pacing: the jobs of one group, claims and workers, turns, each killed
 * anywhere.
 *
 * Steps		idq.5 PACING		lib/
 * Worker reap		reap; each end		reap.c, move.c go(),
 *						pace.c idq_pace_ended()
 * Worker turn		each turn		pace.c take_turn()
 * Worker claim		may start, is parked	claim.c claim_paced(),
 *						pace.c idq_pace_enter(),
 *						may_start(), not_now()
 * Worker run, end	each start, each end	pace.c idq_pace_started(),
 *						idq_pace_ended()
 * ADVANCE		is renamed back to new	pace.c advance(), let_out()
 * SET_TURN		a file in turn		pace.c set_turn()
 *
 * The jobs are numbered in the order of their due times.  A claim scans new/
 * once, and then takes those names in order; a locked one keeps back the rest.
 * The group's state on disk is changed by one write, idq_group_save().
 *
 * Assumed: rename(2), unlink(2) and that write are atomic; a killed process lets
 * go of its locks at once, except that a running command keeps the one of its
 * job; time is free: any turn may have come whenever somebody looks, and so may
 * the end of the gap.  Jobs do not expire, and all stand in new/ from the
 * beginning, so that a younger one may start only after an older; unless
 * somebody was killed who had let that out and had not yet said so.
 */
#ifndef NJ
#define NJ	3		/* jobs */
#endif
#ifndef NW
#define NW	2		/* workers */
#endif
#ifndef GMAX
#define GMAX	1		/* group-max */
#endif
#ifndef KILLS
#define KILLS	1
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif
#define NT	(2 * NW + 3)	/* names in turn/ at once */

#define NEW	1
#define PACED	2
#define CUR	3
#define DONE	4

byte	at[NJ + 1] = NEW;
bit	claimed[NJ + 1];	/* the last line */
byte	lock[NJ + 1];
byte	group;			/* lock of groups/GH */
/* groups/GH */
byte	runs;			/* jobs, as bits */
byte	next;
byte	turn;
bit	files[NT + 1];		/* turn/ */
byte	hands[NT + 1];		/* who are at it: its name is not another's */
byte	kills = KILLS;
/* What was promised. */
byte	running;
bit	started[NJ + 1];

#define BIT(j)		(1 << (j))
#define MAY_DIE \
	if \
	:: kills > 0 -> kills--; goto killed \
	:: true \
	fi

/* A parked job always has a turn ahead. */
inline check_turn()
{
	d_step {
		i = 1;
		parked = 0;
		do
		:: i <= NJ -> parked = parked || at[i] == PACED; i++
		:: else -> i = 1; break
		od;
		do
		:: i <= NT && !files[i] -> i++
		:: else -> break
		od;
		assert(!parked || i <= NT);
		i = 0;
		parked = 0
	}
}

/* The oldest parked job in o, or 0. */
inline oldest()
{
	d_step {
		o = 1;
		do
		:: o <= NJ && at[o] != PACED -> o++
		:: else -> break
		od;
		if
		:: o > NJ -> o = 0
		:: else
		fi
	}
}

/* idq_group_open(): what is read; a job that is not in cur/ does not run. */
inline load_group()
{
	d_step {
		gnext = next;
		gturn = turn;
		gruns = runs;
		n = 0;
		i = 1;
		do
		:: i <= NJ ->
			if
			:: (gruns & BIT(i)) != 0 && at[i] == CUR -> n++
			:: (gruns & BIT(i)) != 0 && at[i] != CUR ->
				gruns = gruns & ~BIT(i)
			:: else
			fi;
			i++
		:: else -> i = 0; break
		od
	}
}

#define SAVE_GROUP \
	atomic { MAY_DIE; next = gnext; turn = gturn; runs = gruns }

/* A turn that is still ahead stays; it may have come meanwhile, too. */
#define SET_TURN(stays) \
	atomic { \
		MAY_DIE; \
		old = gturn; \
		if \
		:: old != 0 && files[old] -> old = 0; goto stays \
		:: true -> \
			i = 1; \
			do \
			:: i <= NT && (files[i] || hands[i] > 0 || i == old) -> \
				i++ \
			:: else -> break \
			od; \
			assert(i <= NT); \
			gturn = i; \
			files[i] = 1; \
			i = 0 \
		fi \
	} \
	atomic { \
		MAY_DIE; \
		if \
		:: old != 0 -> files[old] = 0 \
		:: else \
		fi; \
		old = 0; \
		check_turn() \
	}

#ifdef NO_NEXT
#define NEXT_OUT	false
#else
#define NEXT_OUT	(gnext != 0 && at[gnext] == NEW)
#endif

/* The group is locked: let out what may start, or set a turn. */
#define ADVANCE(again, set, stays) \
again: \
	atomic { \
		MAY_DIE; \
		oldest(); \
		if \
		:: o == 0 -> goto stays \
		:: o != 0 && (n >= GMAX || NEXT_OUT) -> goto set \
		/* The gap. */ \
		:: !all && o != 0 && !(n >= GMAX || NEXT_OUT) -> goto set \
		:: o != 0 && !(n >= GMAX || NEXT_OUT) \
		fi; \
		LET_OUT_LOCK(set) \
	} \
	atomic { \
		MAY_DIE; \
		if \
		:: at[o] == PACED -> \
			at[o] = NEW; \
			gnext = o; \
			lock[o] = 0 \
		:: else -> lock[o] = 0 \
		fi; \
		goto again \
	} \
set: \
	SET_TURN(stays) \
stays:

#ifdef LET_OUT_WAITS
#define LET_OUT_LOCK(set) \
	lock[o] == 0 -> lock[o] = _pid
#else
#define LET_OUT_LOCK(set) \
	if \
	:: lock[o] != 0 -> goto set \
	:: else -> lock[o] = _pid \
	fi
#endif

proctype Worker(bit all)
{
	byte i, j, f, o, n, rounds, old, gnext, gturn, gruns, scan;
	bit parked;

next_round:
	atomic {
		MAY_DIE;
		j = 0;
		o = 0;
		n = 0;
		gnext = 0;
		gturn = 0;
		gruns = 0;
		f = 0;
		scan = 0;
		if
		:: !all && rounds == ROUNDS -> goto killed
		:: else -> rounds++
		fi;
		/* With nobody else there is an end of it. */
		assert(!all || rounds < 100);
		/* Reap, a turn that has come, or a claim. */
		i = 1;
		do
		:: i <= NJ ->
			if
			:: at[i] == CUR && lock[i] == 0 -> j = i
			:: at[i] == NEW -> scan = scan | BIT(i)
			:: else
			fi;
			i++
		:: else -> i = 1; break
		od;
		do
		:: i <= NT ->
			if
			:: files[i] -> f = i
			:: files[i] && f != 0
			:: !files[i]
			fi;
			i++
		:: else -> i = 0; break
		od;
		if
		:: j != 0 -> f = 0; goto reap
		:: f != 0 && !(all && (scan != 0 || j != 0)) ->
			j = 0;
			hands[f]++;
			goto turn_come
		:: scan != 0 && !(all && j != 0) -> j = 0; f = 0; goto take
		:: j == 0 && f == 0 && scan == 0 -> goto killed
		fi
	}

reap:
	atomic {
		MAY_DIE;
		scan = 0;
		f = 0;
		if
		:: lock[j] != 0 -> goto next_round
		:: at[j] != CUR -> goto next_round
		:: else -> lock[j] = _pid
		fi
	}
	atomic { MAY_DIE; claimed[j] = 0; goto ended }

turn_come:
	atomic {
		MAY_DIE;
		scan = 0;
		if
		:: group != 0 -> hands[f]--; goto next_round
		:: group == 0 -> group = _pid
		fi;
		load_group();
		if
		:: gturn == f -> gturn = 0
		:: gturn != f && gturn != 0 -> gturn = 0
		:: gturn != f
		fi
	}
#ifdef TURN_GONE_FIRST
	atomic { MAY_DIE; files[f] = 0; check_turn() }
#endif
	ADVANCE(t_again, t_set, t_stays)
	SAVE_GROUP;
	atomic {
		MAY_DIE;
		group = 0;
		if
		:: gturn == f -> hands[f]--; goto next_round
		:: else
		fi
	}
	atomic {
		MAY_DIE;
		files[f] = 0;
		check_turn();
		hands[f]--;
		goto next_round
	}

take:	/* The next of the names that were scanned. */
	atomic {
		MAY_DIE;
		f = 0;
		if
		:: scan == 0 -> goto next_round
		:: else
		fi;
		j = 1;
		do
		:: (scan & BIT(j)) == 0 -> j++
		:: else -> break
		od;
		scan = scan & ~BIT(j);
		if
		:: lock[j] != 0 -> goto next_round	/* those behind wait */
		:: else -> lock[j] = _pid
		fi
	}
	atomic {
		MAY_DIE;
		if
		:: at[j] != NEW -> lock[j] = 0; goto take
		:: else
		fi
	}
#ifdef COUNT_BEFORE_LOCK
	atomic { MAY_DIE; load_group() }
#endif
	atomic {
		/* Locked: wait a little, or leave it. */
		if
		:: group == 0 -> group = _pid
#ifndef PATIENT
		:: group != 0 -> lock[j] = 0; goto next_round
#endif
		fi;
		MAY_DIE;
#ifndef COUNT_BEFORE_LOCK
		load_group()
#endif
	}
	atomic {
		MAY_DIE;
		oldest();
		if
		:: NEXT_OUT && gnext != j -> goto not_now
		:: n >= GMAX && !(NEXT_OUT && gnext != j) -> goto not_now
#ifndef NO_OLDER
		:: o != 0 && o < j && !(NEXT_OUT && gnext != j) &&
		    n < GMAX -> goto not_now
#endif
		:: else
		fi;
		if
		:: true
		:: !all -> goto not_now
		fi;
		gruns = gruns | BIT(j);
		n++;
		gnext = 0
	}
	SAVE_GROUP;
	atomic {
		MAY_DIE;
		at[j] = CUR;
		i = 1;
		do
		:: i < j -> assert(started[i] || kills < KILLS); i++
		:: else -> i = 0; break
		od;
		started[j] = 1
	}
	atomic { MAY_DIE; claimed[j] = 1 }
	ADVANCE(s_again, s_set, s_stays)
	SAVE_GROUP;
	atomic {
		MAY_DIE;
		group = 0;
		/* The command inherits the lock. */
		running++;
		assert(running <= GMAX)
	}
	atomic {
		if
		:: kills > 0 -> kills--; goto orphan
		:: running--
		fi
	}
	/* It has ended well, or is to be tried again. */
	atomic {
		MAY_DIE;
		if
		:: !all -> claimed[j] = 0
		:: claimed[j] = 1
		fi
	}
ended:
	atomic {
		o = 0;
		n = 0;
		if
		:: group == 0 -> group = _pid
#ifndef PATIENT
		:: group != 0 -> goto look
#endif
		fi;
		MAY_DIE;
		load_group();
		if
		:: (gruns & BIT(j)) != 0 ->
			gruns = gruns & ~BIT(j);
			n--
		:: else
		fi;
		if
		:: !claimed[j] && !NEXT_OUT -> gnext = j; goto e_stays
		:: claimed[j] || NEXT_OUT
		fi
	}
	ADVANCE(e_again, e_set, e_stays)
	SAVE_GROUP;
	atomic { MAY_DIE; group = 0; goto leave }

look:	/* The group is locked: somebody is to look at it now. */
	atomic {
		MAY_DIE;
		oldest();
		if
		:: o == 0 -> goto leave
		:: else
		fi;
		i = 1;
		do
		:: i <= NT && (files[i] || hands[i] > 0) -> i++
		:: else -> break
		od;
		if
		:: i <= NT -> files[i] = 1
		:: else				/* there are enough */
		fi;
		i = 0
	}
leave:
	atomic {
		MAY_DIE;
		if
		:: claimed[j] -> at[j] = DONE
		:: else -> at[j] = NEW
		fi;
		claimed[j] = 0
	}
	atomic { MAY_DIE; lock[j] = 0; goto next_round }

not_now:
#ifndef TURN_AFTER_PARK
	SET_TURN(park)
park:
#endif
	atomic { MAY_DIE; at[j] = PACED; check_turn() }
	ADVANCE(p_again, p_set, p_stays)
	SAVE_GROUP;
	atomic { MAY_DIE; group = 0; lock[j] = 0; goto take }

orphan:	/* The worker is dead, its command is not. */
	atomic { running--; goto killed }
killed:
	skip;
	d_step {
		i = 1;
		do
		:: i <= NJ ->
			if
			:: lock[i] == _pid -> lock[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: group == _pid -> group = 0
		:: else
		fi;
		if
		:: f != 0 && hands[f] > 0 -> hands[f]--
		:: else
		fi
	}
}

#define ALONE	(_nr_pr == 1)

init {
	byte i;

	atomic {
		do
		:: i < NW -> run Worker(0); i++
		:: else -> i = 0; break
		od
	}
	atomic { ALONE; kills = 0 }
	run Worker(1);
	ALONE;
	d_step {
		assert(group == 0);
		i = 1;
		do
		:: i <= NJ ->
			assert(at[i] == DONE && lock[i] == 0);
			i++
		:: else -> break
		od
	}
}
