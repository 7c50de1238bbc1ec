/* SPDX-License-Identifier: ISC */
/*
 * One accepted job until it is final: workers whose commands outlive them,
 * claims with a lease and the calls by their tokens, reaping, and what people
 * say meanwhile; each killed anywhere.  With CUT a power cut at any moment and
 * the boot after it.
 *
 * Steps		idq.5			lib/
 * Worker reap		reap			reap.c reap_entry(),
 *						finish.c idq_interrupt()
 * Worker claim		claim			claim.c claim_locked(),
 *						idq_claimed()
 * Worker run, end	work, finish		child.c idq_child_ended(),
 *						cancel_late()
 * Lease		claim with a lease, ack,	claim.c idq_claim(),
 *			fail, release		by_token(), token_open()
 * Person		cancel, hold, retry and	operate.c
 *			unhold
 * SETTLE, STEP		finish			move.c idq_settle(), idq_step()
 *
 * Assumed: rename(2) and an append under the lock are atomic; a killed process
 * lets go of its lock at once, except that a running command keeps it; the
 * lease may be over whenever a reaper looks; there is no deadline, no delay and
 * no group.  A failed command may be tried ATTEMPTS times.  What is stable under
 * the lock is read in one step.
 *
 * The cut: unsynced lines may be lost from the end of the trail, and the job
 * stands in any of the state directories that it was in, in all or in none.  A
 * wish may be lost if the cut comes while it is answered and the end of the job
 * is being written.
 */
#ifndef NW
#define NW	2		/* workers */
#endif
#ifndef NC
#define NC	1		/* claims with a lease */
#endif
#ifndef NO
#define NO	1		/* people */
#endif
#ifndef KILLS
#define KILLS	1
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif
#define ATTEMPTS 2
#define MAX	20		/* lines */

/* Directories, as bits. */
#define NEW	1
#define CUR	2
#define DONE	4
#define FAILED	8
#define HOLD	16
#define CANCELLED 32
#define FINAL	(DONE | FAILED | CANCELLED)
/* Lines: where they lead, and two bits of a kind. */
#define L_CLAIM	CUR
#define L_LEASE	(64 | CUR)
#define L_DONE	DONE
#define L_AGAIN	NEW		/* failed, interrupted, unheld */
#define L_GIVEN	(64 | NEW)	/* released */
#define L_RETRY	(128 | NEW)
#define L_FAIL	FAILED
#define L_HOLD	HOLD
#define L_CANCEL CANCELLED

byte	trail[MAX];
byte	lines;
byte	at = NEW;
byte	lock;
bit	asked;
bit	lapsed;			/* every lease is over */
byte	kills = KILLS;
bit	epoch;
bit	booted = 1;
/* What was promised. */
byte	running;		/* commands of workers */
bit	given[MAX];		/* claims in somebody's hands */
byte	holder[MAX];		/* of a claim */
#ifdef CUT
bit	leased[MAX];		/* those of a token */
#endif
bit	finished;		/* somebody was told that it is done */
bit	stopped;		/* or cancelled */
byte	wanted = 255;		/* claims when a retry was answered */

#ifdef CUT
byte	synced;
byte	ever = NEW;
#define SYNC	synced = lines
#define NOTE	ever = ever | at
#else
#define SYNC	skip
#define NOTE	skip
#endif

#define MAY_DIE \
	if \
	:: e != epoch -> goto gone \
	:: else \
	fi; \
	if \
	:: kills > 0 -> kills--; goto killed \
	:: true \
	fi

/* n claims, tries since the last retry, and where the last line leads. */
inline read_trail()
{
	d_step {
	i = 0;
	n = 0;
	tries = 0;
	to = NEW;
	do
	:: i < lines ->
		if
		:: trail[i] == L_CLAIM || trail[i] == L_LEASE -> n++; tries++
		:: trail[i] == L_GIVEN && tries > 0 -> tries--
		:: trail[i] == L_RETRY -> tries = 0
		:: else
		fi;
		to = trail[i] & 63;
		i++
	:: else -> i = 0; break
	od
	}
}

inline append(l)
{
	assert(lines < MAX);
	trail[lines] = l;
	lines++;
	to = l & 63
}

inline move(from, where)
{
	at = (at & ~(from)) | (where);
	NOTE
}

/* Whether this may be started, as claim N. */
inline check_start()
{
	assert(!finished);
	assert(!given[n]);
	given[n] = 1;
	holder[n] = _pid
}

#ifdef WISH_LOST
#define LATE	false
#else
#define LATE	true
#endif

/*
 * Locked, and with a name where the last line does not lead.  Before it leaves
 * cur/ a wish is looked for that came while the line was written.
 */
#define SETTLE(from) \
	atomic { \
		MAY_DIE; \
		if \
		:: to > CUR -> SYNC \
		:: else \
		fi \
	} \
	atomic { \
		MAY_DIE; \
		if \
		:: LATE && (at & CUR) != 0 && asked && to != DONE && \
		    to != CANCELLED && to != CUR -> append(L_CANCEL) \
		:: else \
		fi \
	} \
	atomic { \
		MAY_DIE; \
		if \
		:: to > CUR -> SYNC \
		:: else \
		fi \
	} \
	atomic { \
		MAY_DIE; \
		if \
		:: to == DONE || to == CANCELLED -> asked = 0 \
		:: else \
		fi \
	} \
	atomic { MAY_DIE; move(from, to) }

#define STEP(l, from, told) \
	atomic { MAY_DIE; append(l) } \
	atomic { \
		MAY_DIE; \
		if \
		:: told || to > CUR -> SYNC \
		:: else \
		fi \
	} \
	SETTLE(from)

#ifdef CANCEL_NO_SYNC
#define CANCEL_STEP(from) \
	atomic { MAY_DIE; append(L_CANCEL) } \
	atomic { MAY_DIE; move(from, to) }
#else
#define CANCEL_STEP(from)	STEP(L_CANCEL, from, true)
#endif

proctype Worker(bit all; bit e)
{
	byte i, n, tries, to, from, rounds, mine;
	bit wish, done;

	/* After a boot: where does the trail say? */
	if
	:: booted -> goto next
	:: else
	fi;
	atomic {
		MAY_DIE;
		if
		:: lock != 0 -> goto next
		:: else -> lock = _pid
		fi
	}
	atomic {
		MAY_DIE;
		read_trail();
		if
		:: to == CUR && at == CUR -> goto scanned
#ifdef BOOT_NO_SCAN
		:: true -> goto scanned
#endif
		:: else
		fi
	}
	SETTLE((NEW | CUR | FAILED | HOLD));
scanned:
	atomic { MAY_DIE; booted = 1; lock = 0 }

next:
	atomic {
		MAY_DIE;
		if
		:: !all && rounds == ROUNDS -> goto killed
		:: else -> rounds = rounds + 1 - all
		fi;
		if
		:: (at & NEW) != 0 -> from = NEW
		:: (at & CUR) != 0 -> from = CUR
		:: (at & (NEW | CUR)) == 0 -> goto killed
		fi;
#ifdef TRAIL_BEFORE_LOCK
		read_trail()
#endif
	}
	atomic {
		MAY_DIE;
		if
#ifdef REAP_LOCKED
		:: lock != 0 && from == CUR -> lock = _pid
#endif
		:: lock != 0 -> goto next
		:: lock == 0 -> lock = _pid
		fi
	}
	atomic {
		MAY_DIE;
		if
		:: (at & from) == 0 -> lock = 0; goto next
		:: else
		fi;
#ifndef TRAIL_BEFORE_LOCK
		read_trail();
#endif
		if
		:: from == NEW -> goto claim
		:: from == CUR && to != CUR -> goto settle
		:: from == CUR && to == CUR && trail[lines - 1] == L_LEASE &&
		    !lapsed -> lock = 0; goto next
		:: from == CUR && to == CUR
		fi
	}

	/* Reap. */
	atomic {
		MAY_DIE;
		if
		:: asked -> goto cancel
		:: else
		fi
	}
	if
	:: tries >= ATTEMPTS ->
		STEP(L_FAIL, from, false)
	:: else ->
		STEP(L_AGAIN, from, false)
	fi;
	atomic { MAY_DIE; lock = 0; goto next }

settle:
	SETTLE(from);
	atomic { MAY_DIE; lock = 0; goto next }

claim:
	atomic {
		MAY_DIE;
#ifdef ASKED_FIRST
		if
		:: asked -> goto cancel
		:: else
		fi;
#endif
#ifndef CLAIM_NO_TRAIL
		if
		:: to != NEW -> goto settle
		:: else
		fi;
#endif
#ifndef CLAIM_NO_ASKED
		if
		:: asked -> goto cancel
		:: else
		fi;
#endif
		/* A wish that comes now is for the end of this claim. */
		assert(!stopped)
	}
	atomic { MAY_DIE; move(NEW, CUR) }
	atomic {
		MAY_DIE;
#ifdef N_GIVEN_BACK
		n = tries;
#endif
		n++;
		mine = n;
		append(L_CLAIM);
		check_start()
	}
	/* The command inherits the lock. */
	atomic {
		MAY_DIE;
		assert(running == 0);
		running++
	}
	atomic {
		if
		:: e != epoch -> goto gone
		:: else
		fi;
		if
		:: kills > 0 -> kills--; goto orphan
		:: running--
		fi
	}
	/* It has ended. */
	atomic {
		MAY_DIE;
		if
		:: done = 1
		:: done = 0
		fi;
		read_trail();
		if
		:: to != CUR || n != mine -> lock = 0; goto next
		:: else
		fi;
		wish = asked
	}
	if
	:: done ->
#ifdef LINE_LAST
		atomic { MAY_DIE; move(CUR, DONE) }
		atomic { MAY_DIE; append(L_DONE); SYNC }
#elif defined FINISH_NO_SYNC
		atomic { MAY_DIE; append(L_DONE) }
		atomic { MAY_DIE; move(CUR, DONE) }
#else
		STEP(L_DONE, CUR, true);
#endif
		atomic { MAY_DIE; finished = 1; lock = 0; goto next }
	:: !done && wish ->
		from = CUR;
		goto cancel
	:: !done && !wish && tries >= ATTEMPTS ->
		STEP(L_FAIL, CUR, true)
	:: !done && !wish && tries < ATTEMPTS ->
		STEP(L_AGAIN, CUR, false)
	fi;
	atomic { MAY_DIE; lock = 0; goto next }
cancel:
	CANCEL_STEP(from);
	atomic { MAY_DIE; lock = 0; goto next }

orphan:	/* The worker is dead, its command is not. */
#ifdef NO_INHERIT
	atomic { lock = 0 }
#endif
	atomic {
		if
		:: e != epoch -> goto gone
		:: else -> running--
		fi
	}
killed:
	atomic {
		if
		:: lock == _pid -> lock = 0
		:: else
		fi
	}
gone:
	skip
}

proctype Lease(bit e)
{
	byte i, n, tries, to, mine, calls;
	bit late;

	atomic {
		MAY_DIE;
		if
		:: (at & NEW) == 0 || lock != 0 -> goto gone
		:: else -> lock = _pid
		fi
	}
	atomic {
		MAY_DIE;
		read_trail();
		if
		:: (at & NEW) == 0 || to != NEW || asked -> goto killed
		:: else
		fi;
		assert(!stopped)
	}
	atomic { MAY_DIE; move(NEW, CUR) }
	atomic {
		MAY_DIE;
#ifdef N_GIVEN_BACK
		n = tries;
#endif
		n++;
		mine = n;
		append(L_LEASE);
		assert(!finished)
	}
	atomic {
		MAY_DIE;
#ifndef LEASE_NO_SYNC
		SYNC
#endif
	}
	atomic {
		MAY_DIE;
		check_start();
#ifdef CUT
		leased[n] = 1;
#endif
		lock = 0
	}

call:	/* by the token, again if the reply was lost, and even after the cut */
	if
	:: calls == 2 -> goto gone
	:: calls < 2 -> calls++
	fi;
	atomic {
		if
		:: lock == 0
		:: lock != 0 -> goto call
		fi;
#ifndef CUT
		MAY_DIE;
#endif
		if
		:: (at & CUR) == 0 -> goto call
		:: else -> lock = _pid
		fi;
		/* The holder of the token may be another machine. */
		e = epoch
	}
	atomic {
		MAY_DIE;
		read_trail();
		if
		:: (at & CUR) == 0 -> lock = 0; goto call
		:: else
		fi;
		if
		:: to != CUR -> goto settle
#ifndef ACK_ANY
		:: to == CUR && n != mine -> lock = 0; goto call
#endif
		:: else
		fi;
		/* It ends a claim: whose? */
		assert(holder[n] == _pid);
		late = asked
	}
	if
	:: true ->
#ifdef FINISH_NO_SYNC
		atomic { MAY_DIE; append(L_DONE) }
		atomic { MAY_DIE; move(CUR, DONE) }
#else
		STEP(L_DONE, CUR, true);
#endif
		atomic { MAY_DIE; finished = 1; lock = 0; goto call }
	:: late ->
		CANCEL_STEP(CUR);
		atomic { MAY_DIE; lock = 0; goto call }
	:: !late && tries < ATTEMPTS ->
		STEP(L_AGAIN, CUR, true)
	:: !late && tries >= ATTEMPTS ->
		STEP(L_FAIL, CUR, true)
	:: !late ->
		STEP(L_GIVEN, CUR, true)
	fi;
	atomic { MAY_DIE; lock = 0; goto call }
settle:
	SETTLE(CUR);
	atomic { MAY_DIE; lock = 0; goto call }
killed:
	atomic {
		if
		:: lock == _pid -> lock = 0
		:: else
		fi
	}
gone:
	skip
}

#define P_CANCEL 0
#define P_RETRY	1
#define P_HOLD	2
#define P_UNHOLD 3

proctype Person(bit e)
{
	byte i, n, tries, to, verb, from;

	if
	:: verb = P_CANCEL
	:: verb = P_RETRY
	:: verb = P_HOLD
	:: verb = P_UNHOLD
	fi;
	atomic {
		MAY_DIE;
		read_trail();
		if
		:: lock == 0 -> lock = _pid; goto locked
		:: lock != 0 && to == CUR && verb == P_CANCEL
		:: lock != 0 -> goto gone	/* is running, or 75 */
		fi
	}
	/* It runs under somebody's lock. */
	atomic { MAY_DIE; asked = 1 }
	atomic {
		MAY_DIE;
		if
		:: lock != 0
		:: else -> lock = _pid; goto mine
		fi
	}
	atomic {
		MAY_DIE;
		read_trail();
#ifdef CANCEL_ONCE
		to = CUR;
#endif
		if
		:: to == CUR -> stopped = 1; goto gone
		:: else		/* its end is being written */
		fi
	}
	atomic {
		if
		:: lock == 0
		:: e != epoch
		fi;
		MAY_DIE;
		lock = _pid
	}
mine:
	atomic {
		MAY_DIE;
		read_trail();
		from = at;
		if
		:: (to & FINAL) != 0 && to != CANCELLED -> asked = 0; goto killed
		:: to == CANCELLED -> stopped = 1; goto killed
		:: else -> goto cancel
		fi
	}
locked:
	atomic {
		MAY_DIE;
		read_trail();
		from = at;
		if
		:: verb == P_CANCEL && to == CANCELLED ->
			stopped = 1;
			goto killed
		:: verb == P_CANCEL && (to & FINAL) != 0 && to != CANCELLED ->
			goto killed
		:: verb == P_CANCEL && (to & FINAL) == 0 -> goto cancel
		:: else
		fi;
		if
		:: to == CUR && trail[lines - 1] == L_LEASE && !lapsed ->
			goto killed
		:: to == CUR && !(trail[lines - 1] == L_LEASE && !lapsed) &&
		    verb != P_UNHOLD
		:: else -> goto reaped
		fi
	}
	if
	:: asked -> verb = P_UNHOLD; goto cancel
	:: !asked && tries >= ATTEMPTS ->
		STEP(L_FAIL, from, false)
	:: !asked && tries < ATTEMPTS ->
		STEP(L_AGAIN, from, false)
	fi;
	from = at;
reaped:
	if
	:: verb == P_HOLD && (to == NEW || to == CUR) ->
		STEP(L_HOLD, from, true)
	:: (verb == P_RETRY && (to == HOLD || to == FAILED)) ||
	    (verb == P_UNHOLD && to == HOLD) -> goto back
	:: else
	fi;
	goto killed;
back:
	atomic {
		MAY_DIE;
		if
		:: verb == P_RETRY && n > 0 -> asked = 0
		:: else
		fi
	}
#ifdef RETRY_LINE_FIRST
	atomic { MAY_DIE; append(L_RETRY) }
	atomic { MAY_DIE; move(from, NEW) }
#else
	atomic { MAY_DIE; move(from, NEW) }
	atomic {
		MAY_DIE;
		if
		:: verb == P_RETRY -> append(L_RETRY)
		:: else -> append(L_AGAIN)
		fi
	}
#endif
	atomic { MAY_DIE; SYNC }
	atomic {
		MAY_DIE;
		if
		:: verb == P_RETRY -> wanted = n; stopped = 0
		:: else -> stopped = 0
		fi;
		goto killed
	}
cancel:
	CANCEL_STEP(from);
	atomic {
		MAY_DIE;
		if
		:: verb == P_CANCEL -> stopped = 1
		:: else
		fi
	}
killed:
	atomic {
		if
		:: lock == _pid -> lock = 0
		:: else
		fi
	}
gone:
	skip
}

#ifdef CUT
inline cut()
{
	epoch = 1;
	booted = 0;
	lock = 0;
	running = 0;
	do
	:: lines > synced -> lines--; trail[lines] = 0
	:: break
	od;
	synced = lines;
	/* The end was being written when the wish was answered. */
	read_trail();
	if
	:: asked && to != CUR -> stopped = 0
	:: else
	fi;
	/* Any name that it had, all of them, or none. */
	n = 1;
	at = 0;
	do
	:: n <= CANCELLED ->
		if
		:: (ever & n) != 0 -> at = n; break
		:: n = n * 2
		fi
	:: at = ever; break
	:: n > CANCELLED -> break
	od;
	/* A claim under a lock is in nobody's hands any more. */
	n = 0;
	do
	:: n < MAX ->
		if
		:: given[n] && !leased[n] -> given[n] = 0
		:: else
		fi;
		n++
	:: else -> n = 0; break
	od
}
#endif

#define ALONE	(_nr_pr == 1)

init {
	byte i, n, tries, to;

	atomic {
		do
		:: i < NC -> run Lease(0); i++
		:: else -> i = 0; break
		od;
		do
		:: i < NW -> run Worker(0, 0); i++
		:: else -> i = 0; break
		od;
		do
		:: i < NO -> run Person(0); i++
		:: else -> i = 0; break
		od
	}
	if
	:: lapsed = 1
	:: ALONE
	fi;
#ifdef CUT
	atomic {
		cut();
		run Worker(0, 1);
		run Person(1)
	}
#endif
	ALONE;
	/* Whatever has happened: the next ordinary commands. */
	atomic { kills = 0; lapsed = 1 }
	run Worker(1, epoch);
	ALONE;
	/* Somebody lets go of what was held. */
	atomic {
		read_trail();
		if
		:: to == HOLD ->
			assert(at == HOLD);
			move(HOLD, NEW);
			append(L_AGAIN)
		:: else
		fi
	}
	run Worker(1, epoch);
	ALONE;
	d_step {
		read_trail();
		assert(lock == 0 && running == 0);
		assert((to & FINAL) != 0 && at == to);
		assert(!finished || to == DONE);
		assert(!stopped || to == CANCELLED || to == DONE);
		assert(wanted == 255 || to != FAILED || n > wanted)
	}
}
