/* SPDX-License-Identifier: ISC */
/*
 * One key: adders of the same key, the helping of duplicates, a worker, purge
 * and forget, each killed anywhere; with CUT a power cut at any moment and the
 * boot after it.
 *
 * Steps		idq.5			lib/
 * Adder look		duplicate		holder.c look(), locked()
 * Adder make, link	add			new.c create(), add.c link_key()
 * Adder withdraw	add, a sync failed	add.c withdraw()
 * Adder give		replace			add.c replace()
 * complete()		complete		complete.c
 * Worker boot		after a boot		fsck.c check_job(),
 *						check_nameless()
 * Worker reap		reap			reap.c reap_locked(),
 *						idq_reap_one()
 * Worker claim, finish	claim, work, finish	claim.c, finish.c, move.c
 * Purger		purge and forget	purge.c, move.c idq_free_key()
 *
 * Assumed: link(2), rename(2) and unlink(2) are atomic; a killed process lets
 * go of its locks at once (what a command inherits is in claim.pml); memory is
 * sequentially consistent; whoever finds a lock taken may wait or exit 75.  What
 * is stable under a lock is read in one step.  A name may be missed by an adder
 * while the job moves.  Time is free: once a job has ended, its release may be
 * past whenever somebody looks.
 *
 * The cut: a file that was not synced may be torn, and an unsynced line be
 * lost; keys/H is any of those that it was since the folder was last synced; of
 * the names in tmp/ and in the state directories, which nobody syncs, any that
 * the file ever had may be there, or none: more than a rename that is undone.
 * A sync that failed is not repeated: a second one lies (EIO), so nobody is
 * killed between the failed sync of an add and its withdrawal.
 */
#ifndef NA
#define NA	2		/* adders */
#endif
#ifndef NL
#define NL	0		/* of them after the cut */
#endif
#ifndef NW
#define NW	1		/* workers */
#endif
#ifndef NP
#define NP	1		/* purges or forgets */
#endif
#ifndef KILLS
#define KILLS	1
#endif
#ifndef EIO
#define EIO	1
#endif
#ifndef ROUNDS
#define ROUNDS	2		/* jobs that a worker looks at */
#endif
#define SPARE	(NA + NL + 1)	/* for an adder whose file was taken */
#define LAST	(NA + NL + 2)	/* of the last add */
#define NF	LAST

/* Directories, as bits: after a cut a file may be in two. */
#define NEW	1
#define CUR	2
#define DONE	4
/* The last line of a trail. */
#define EMPTY	0
#define CLAIMED	1
#define ENDED	2

byte	key;			/* the file of keys/H; 0: none */
byte	tmp[NF + 1];		/* 1: tmp/ID, 2: tmp/ID.bad */
bit	k[NF + 1];		/* tmp/ID.k */
bit	whole[NF + 1];
byte	at[NF + 1];
byte	line[NF + 1];
byte	lock[NF + 1];		/* who */
bit	past[NF + 1];		/* its release */
bit	spare;			/* was used */
bit	epoch;			/* 1: after the cut */
bit	booted = 1;
byte	kills = KILLS;
byte	eios = EIO;
bit	failing;		/* the sync of an adder has failed */
/* What was promised. */
bit	told[NF + 1];		/* somebody was told that it is accepted */
bit	over[NF + 1];		/* it has run to its end */
bit	ended[NF + 1];		/* and somebody was told so */
bit	forgot[NF + 1];
bit	answered;

#ifdef CUT
bit	safe[NF + 1];		/* header and payload are on disk */
byte	line0[NF + 1];		/* the last line on disk */
byte	ever[NF + 1];		/* names that it had */
bit	lies[NF + 1];		/* a sync failed */
byte	key0 = 1;		/* what keys/H may be on disk, as bits */
#define NOTE_AT(f)	ever[f] = ever[f] | at[f]
#define NOTE_KEY	key0 = key0 | (1 << key)
#define SYNC_KEYS	key0 = 1 << key
#define SYNC(f) \
	if \
	:: !lies[f] -> \
		safe[f] = whole[f]; \
		line0[f] = line[f] \
	:: else \
	fi
#define FAIL(f)		lies[f] = 1
#else
#define NOTE_AT(f)	skip
#define NOTE_KEY	skip
#define SYNC_KEYS	skip
#define SYNC(f)		skip
#define FAIL(f)		skip
#endif

#define MAY_DIE \
	if \
	:: e != epoch -> goto gone \
	:: else \
	fi; \
	if \
	:: kills > 0 && !failing -> kills--; goto killed \
	:: true \
	fi

#define IS_LIVE(f)	((at[f] & (NEW | CUR)) != 0 && line[f] != ENDED)
#define IS_FREE(f)	(line[f] == ENDED && past[f])

inline time_passes(f)
{
	if
	:: line[f] == ENDED -> past[f] = 1
	:: true
	fi
}

inline unlock_all()
{
	d_step {
	g = 1;
	do
	:: g <= NF ->
		if
		:: lock[g] == _pid -> lock[g] = 0
		:: else
		fi;
		g++
	:: else -> g = 0; break
	od
	}
}

/* Before the cut every unfinished job in a state directory owns its key. */
inline check_live()
{
	g = 1;
	h = 0;
	do
	:: g <= NF ->
		if
		:: IS_LIVE(g) -> h++
		:: else
		fi;
		g++
	:: else -> break
	od;
	assert(h <= 1 || epoch);
	g = 0;
	h = 0
}

/* From one name to another; without the id it may be that of another file. */
inline move(f, from, to)
{
#ifdef NO_ID
	g = 1;
	do
	:: g <= NF ->
		/* What we move is what we hold, and we land on nobody. */
		assert(g == f || (at[g] & (from | to)) == 0);
		g++
	:: else -> g = 0; break
	od;
#endif
	at[f] = (at[f] & ~(from)) | (to);
	NOTE_AT(f)
}

#ifdef BAD_ENDED
#define MARKS_ENDED	true
#else
#define MARKS_ENDED	false
#endif
#ifdef COMPLETE_NO_SYNC
#define COMPLETE_SYNC(f)	skip
#define COMPLETE_SYNC_KEYS	skip
#else
#define COMPLETE_SYNC(f)	SYNC(f)
#define COMPLETE_SYNC_KEYS	SYNC_KEYS
#endif

/* f is locked, and has a key and no name in a state directory. */
#define COMPLETE(f, done, bad) \
	atomic { \
		MAY_DIE; \
		if \
		:: tmp[f] == 2 -> goto bad \
		:: else \
		fi; \
		if \
		:: true \
		:: eios > 0 -> \
			eios--; \
			FAIL(f); \
			if \
			:: line[f] == EMPTY || MARKS_ENDED -> tmp[f] = 2 \
			:: else \
			fi; \
			lock[f] = 0; \
			goto out \
		fi; \
		COMPLETE_SYNC(f) \
	} \
	atomic { MAY_DIE; COMPLETE_SYNC_KEYS } \
	atomic { \
		MAY_DIE; \
		tmp[f] = 0; \
		k[f] = 0; \
		if \
		:: line[f] == ENDED -> ended[f] = 1; move(f, 0, DONE) \
		:: else -> move(f, 0, NEW) \
		fi; \
		check_live(); \
		lock[f] = 0; \
		goto done \
	}

proctype Adder(byte f; bit e)
{
	byte old, g, h;
	bit have, replace;

look:
	atomic {
		MAY_DIE;
		replace = 0;
		old = key;
		if
		:: old == 0 -> goto make
		:: else
		fi
	}
	atomic {
		MAY_DIE;
		time_passes(old);
		if
#ifdef TORN_DUP
		:: true ->
#elif defined DUP_NO_HELP
		:: whole[old] && !IS_FREE(old) ->
#else
		:: whole[old] && !IS_FREE(old) && at[old] != 0 ->
#endif
			told[old] = 1;
			answered = 1;
			goto out
		:: true
		fi
	}
	atomic {
		MAY_DIE;
#ifndef REPLACE_NO_LOCK
		if
		:: lock[old] == 0 -> lock[old] = _pid
		:: lock[old] != 0 -> goto look
		:: lock[old] != 0 -> goto out
		fi
#endif
	}
	atomic {
		MAY_DIE;
#ifndef REPLACE_NO_LOCK
		if
		:: key != old -> lock[old] = 0; goto look
		:: else
		fi;
#endif
		time_passes(old);
		if
		:: !whole[old] ->
			g = 1;
			do
			:: g <= NF && at[g] == 0 -> g++
			:: else -> break
			od;
			if
			:: g > NF -> g = 0; goto give
			:: else -> g = 0; lock[old] = 0; goto out
			fi
		:: whole[old] && IS_FREE(old) -> goto give
		:: whole[old] && !IS_FREE(old) && at[old] != 0 ->
			lock[old] = 0;
			goto look
		:: else
		fi
	}
	COMPLETE(old, look, give);

give:	/* old is locked */
	replace = 1;

make:
	if
	:: have && replace -> goto instead
	:: have && !replace -> goto link
	:: else
	fi;
	atomic { MAY_DIE; tmp[f] = 1 }
	atomic { lock[f] == 0 -> MAY_DIE; lock[f] = _pid }
	atomic {
		MAY_DIE;
		if
		:: tmp[f] == 0 ->	/* a reaper was quicker */
			lock[f] = 0;
			if
			:: spare -> goto out
			:: !spare -> spare = 1; f = SPARE; goto make
			fi
		:: else -> whole[f] = 1; have = 1; goto make
		fi
	}

link:
	atomic {
		MAY_DIE;
#ifdef LINK_OVER
		if
		:: tmp[f] == 1 -> key = f; NOTE_KEY
		:: tmp[f] == 1 && key != 0 -> goto look
		:: tmp[f] != 1 -> goto out
		fi
#else
		if
		:: tmp[f] == 1 && key == 0 -> key = f; NOTE_KEY
		:: tmp[f] == 1 && key != 0 -> goto look
		:: tmp[f] != 1 -> goto out
		fi
#endif
	}
sync:
	atomic {
		MAY_DIE;
		if
		:: true
		:: eios > 0 -> eios--; FAIL(f); failing = 1; goto withdraw
		fi;
#ifndef ADD_NO_SYNC
		SYNC(f)
#endif
	}
	atomic {
		MAY_DIE;
#ifndef ADD_NO_SYNC
		SYNC_KEYS
#endif
	}
	atomic {
		MAY_DIE;
		if
		:: tmp[f] != 0 ->
			tmp[f] = 0;
			move(f, 0, NEW)
		:: else			/* the next worker is to complete it */
		fi;
		check_live()
	}
	atomic {
		MAY_DIE;
		lock[f] = 0;
		told[f] = 1;
		answered = 1;
		goto gone
	}

withdraw:
#ifdef NO_WITHDRAW
	atomic { failing = 0; goto killed }
#endif
	atomic {
		MAY_DIE;
#ifdef WITHDRAW_UNLOCKED
		lock[f] = 0
#endif
	}
	atomic {
		MAY_DIE;
		if
		:: key == f -> key = 0; NOTE_KEY
		:: else
		fi;
		failing = 0;
		goto out
	}

instead:	/* f takes the place of old */
	atomic {
		MAY_DIE;
		if
		:: true
		:: eios > 0 -> eios--; FAIL(f); goto out
		fi;
		SYNC(f)
	}
	atomic { MAY_DIE; k[f] = 1 }
	atomic {
		MAY_DIE;
		k[f] = 0;
		key = f;
		NOTE_KEY;
		/* A copy of one whose sync failed serves for it. */
		if
		:: tmp[old] == 2 && told[old] -> told[f] = 1; told[old] = 0
		:: else
		fi;
		if
		:: whole[old]
		:: !whole[old] -> lock[old] = 0; goto sync
		fi
	}
	atomic { MAY_DIE; at[old] = 0 }
	atomic { MAY_DIE; tmp[old] = 0; lock[old] = 0; goto sync }

out:
	atomic {
		MAY_DIE;
		if
		:: have && key != f -> tmp[f] = 0; k[f] = 0
		:: have && key == f -> tmp[f] = 0
		:: else
		fi;
		goto killed
	}
killed:
	atomic { unlock_all() }
gone:
	skip
}

/*
 * ROUNDS names, any, or with all until there is nothing left to do.
 */
proctype Worker(bit all; bit e)
{
	byte f, g, h, n, i;
	bit busy;

	atomic {
		MAY_DIE;
		if
		:: booted -> goto next
		:: else -> i = 1
		fi
	}
	/* Those of tmp/. */
	do
	:: i <= NF ->
		f = i;
		atomic {
			MAY_DIE;
			if
			:: tmp[f] == 0 && !k[f] -> goto boot_next
			:: lock[f] != 0 -> goto boot_next
			:: else -> lock[f] = _pid
			fi
		}
		atomic {
			MAY_DIE;
			k[f] = 0;
			if
			:: tmp[f] == 0 -> lock[f] = 0; goto boot_next
			:: else -> tmp[f] = 1
			fi;
			if
			:: !whole[f] || key != f || at[f] != 0 ->
				tmp[f] = 0;
				lock[f] = 0;
				goto boot_next
			:: else
			fi
		}
		COMPLETE(f, boot_next, boot_next);
boot_next:
		i++
	:: else -> i = 1; break
	od;
	/* The unfinished directories. */
	do
	:: i <= NF ->
		f = i;
		atomic {
			MAY_DIE;
			if
			:: (at[f] & (NEW | CUR)) == 0 -> goto place_next
			:: lock[f] != 0 -> goto place_next
			:: else -> lock[f] = _pid
			fi
		}
		atomic {
			MAY_DIE;
			if
			:: (at[f] & (NEW | CUR)) == 0 || !whole[f] ->
				lock[f] = 0;
				goto place_next
			:: else
			fi;
			time_passes(f);
			if
			:: key != f && line[f] == ENDED &&
			    (key != 0 || past[f]) ->
				at[f] = 0;
				lock[f] = 0;
				goto place_next
			:: key != f && key != 0 && line[f] != ENDED ->
				/* Set aside: nobody may have been told. */
				assert(!told[f] || ended[f]);
				at[f] = 0;
				lock[f] = 0;
				goto place_next
			:: key == 0 && !(line[f] == ENDED && past[f]) ->
				key = f;
				NOTE_KEY;
				SYNC(f);
				SYNC_KEYS
			:: else
			fi
		}
		atomic {
			MAY_DIE;
#ifndef ROLL_NO_SYNC
			SYNC(f);
#endif
			if
			:: line[f] == ENDED ->
				ended[f] = 1;
				move(f, NEW | CUR, DONE)
			:: line[f] != ENDED && (at[f] & CUR) != 0 ->
				line[f] = EMPTY;
				move(f, CUR, NEW)
			:: else
			fi;
			lock[f] = 0
		}
place_next:
		i++
	:: else -> i = 1; break
	od;
#ifndef BOOT_NO_KEYS
	do
	:: i <= NF ->
		f = i;
		atomic {
			MAY_DIE;
			if
			:: key != f || at[f] != 0 -> goto key_next
			:: key == f && at[f] == 0 && lock[f] != 0 ->
#ifndef BOOT_ONCE
				busy = 1;	/* to be scanned once more */
#endif
				goto key_next
			:: else -> lock[f] = _pid
			fi
		}
		atomic {
			MAY_DIE;
			if
			:: key != f || at[f] != 0 || !whole[f] ->
				lock[f] = 0;
				goto key_next
			:: else
			fi;
			time_passes(f);
			if
			:: IS_FREE(f) ->
				key = 0;
				NOTE_KEY;
				lock[f] = 0;
				goto key_next
			:: else
			fi
		}
		COMPLETE(f, key_next, key_next);
key_next:
		i++
	:: else -> i = 0; break
	od;
#endif
	atomic { MAY_DIE; i = 0; booted = booted | !busy }

next:
	atomic {
		MAY_DIE;
		f = 0;
		if
		:: !all && n == ROUNDS -> goto out
		:: else -> n = n + 1 - all
		fi;
		/* Any file that there is something to do with. */
		g = 1;
		do
		:: g <= NF ->
			if
			:: tmp[g] == 1 || k[g] || (at[g] & (NEW | CUR)) != 0 ->
				if
				:: f = g
				:: !all && f != 0 -> skip
				fi
			:: else
			fi;
			g++
		:: else -> g = 0; break
		od;
		if
		:: f == 0 -> goto out
		:: else
		fi;
#ifdef REAP_LOCKED
		if
		:: tmp[f] == 1 && whole[f] && at[f] == 0 && lock[f] != 0 ->
			tmp[f] = 0;
			goto next
		:: true
		fi;
#endif
		if
		:: lock[f] != 0 -> goto next
		:: else -> lock[f] = _pid
		fi
	}
	atomic {
		MAY_DIE;
		if
		:: k[f] || (tmp[f] == 1 &&
		    (!whole[f] || key != f || at[f] != 0)) ->
			k[f] = 0;
			if
			:: !whole[f] || key != f || at[f] != 0 -> tmp[f] = 0
			:: else
			fi;
			lock[f] = 0;
			goto next
		:: !k[f] && tmp[f] == 1 && whole[f] && key == f && at[f] == 0
		:: else -> goto place
		fi
	}
	COMPLETE(f, next, next);

place:
	atomic {
		MAY_DIE;
		if
		:: (at[f] & CUR) != 0 && line[f] == CLAIMED ->
			line[f] = EMPTY		/* interrupted */
		:: (at[f] & (NEW | CUR)) != 0 && line[f] == ENDED ->
#ifndef ROLL_NO_SYNC
			SYNC(f);
#endif
			ended[f] = 1;
			goto done
		:: (at[f] & NEW) != 0 && (at[f] & CUR) == 0 &&
		    line[f] != ENDED -> goto claim
		:: (at[f] & CUR) != 0 && line[f] == EMPTY
		:: (at[f] & (NEW | CUR)) == 0 -> lock[f] = 0; goto next
		fi
	}
	atomic { MAY_DIE; move(f, CUR, NEW); lock[f] = 0; goto next }

claim:
	atomic {
		MAY_DIE;
		if
		:: key != f ->
			/* Never run; fsck sets it aside. */
			assert(!told[f] || ended[f]);
			at[f] = 0;
			lock[f] = 0;
			goto next
		:: else -> move(f, NEW, CUR)
		fi
	}
	atomic {
		MAY_DIE;
		line[f] = CLAIMED;
		/* It may start. */
		assert(whole[f] && !ended[f] && key == f);
		g = 1;
		do
		:: g <= NF ->
			assert(g == f || !IS_LIVE(g));
			assert(g == f || !ended[g] || past[g] || forgot[g]);
			g++
		:: else -> g = 0; break
		od
	}
	atomic { MAY_DIE; line[f] = ENDED; over[f] = 1 }
	atomic {
		MAY_DIE;
#ifndef FINISH_NO_SYNC
		SYNC(f);
#endif
		ended[f] = 1
	}
done:
	atomic {
		MAY_DIE;
		move(f, NEW | CUR, DONE);
		lock[f] = 0;
		goto next
	}
out:
	skip;
killed:
	atomic { unlock_all() }
gone:
	skip
}

/* One job; with forget before its release. */
proctype Purger(bit forget; bit e)
{
	byte f, g, h;

	atomic {
		MAY_DIE;
		g = 1;
		do
		:: g <= NF ->
			if
#ifdef PURGE_EARLY
			:: at[g] != 0 -> f = g
#else
			:: at[g] == DONE -> f = g
			:: forget && key == g && line[g] == ENDED -> f = g
#endif
			:: true
			fi;
			g++
		:: else -> g = 0; break
		od;
		if
		:: f == 0 || lock[f] != 0 -> goto gone
		:: else
		fi;
#ifndef PURGE_NO_LOCK
		lock[f] = _pid
#endif
	}
	atomic {
		MAY_DIE;
#ifndef PURGE_EARLY
		if
		:: line[f] != ENDED || !(at[f] == DONE || at[f] == 0) ||
		    !whole[f] || (at[f] == 0 && !(forget && key == f)) ->
			goto killed
		:: else
		fi;
		if
		:: forget -> forgot[f] = 1
		:: !forget -> time_passes(f)
		fi;
		if
		:: !forget && !past[f] -> goto killed
		:: else
		fi
#endif
	}
	atomic { MAY_DIE; at[f] = 0 }
	atomic {
		MAY_DIE;
#ifndef PURGE_NO_COMPARE
		if
		:: key != f -> goto killed
		:: else
		fi
#endif
	}
	atomic { MAY_DIE; key = 0; NOTE_KEY }
	atomic { MAY_DIE; SYNC_KEYS }
killed:
	atomic { unlock_all() }
gone:
	skip
}

#ifdef CUT
/* What is left of it all. */
inline cut()
{
	epoch = 1;
	booted = 0;
	failing = 0;
	g = 1;
	do
	:: g <= NF ->
		lock[g] = 0;
		lies[g] = 0;
		if
		:: whole[g] && !safe[g] -> whole[g] = 0; line[g] = line0[g]
		:: line[g] = line0[g]
		:: true
		fi;
		if
		:: ever[g] != 0 || tmp[g] != 0 || k[g] ->
			/* Any name may be there. */
			if
			:: tmp[g] = 0
			:: tmp[g] = 1
			fi;
			k[g] = 0;
			at[g] = 0;
			if
			:: (ever[g] & NEW) != 0 -> at[g] = at[g] | NEW
			:: true
			fi;
			if
			:: (ever[g] & CUR) != 0 -> at[g] = at[g] | CUR
			:: true
			fi;
			if
			:: (ever[g] & DONE) != 0 -> at[g] = at[g] | DONE
			:: true
			fi
		:: else
		fi;
		g++
	:: else -> break
	od;
	key = 0;
	g = 0;
	do
	:: g <= NF ->
		if
		:: (key0 & (1 << g)) != 0 -> key = g; break
		:: true
		fi;
		g++
	:: else ->
		/* None was chosen: as it was. */
		g = 0;
		do
		:: (key0 & (1 << g)) == 0 -> g++
		:: else -> key = g; break
		od;
		break
	od;
	key0 = 1 << key;
	/* From now on this is what the disk has. */
	g = 1;
	do
	:: g <= NF ->
		safe[g] = whole[g];
		line0[g] = line[g];
		g++
	:: else -> g = 0; break
	od
}
#endif

#define ALONE	(_nr_pr == 1)

init {
	byte g;

	atomic {
		g = 1;
		do
		:: g <= NA -> run Adder(g, 0); g++
		:: else -> break
		od;
		g = 0;
		do
		:: g < NW -> run Worker(0, 0); g++
		:: else -> break
		od;
		g = 0;
		do
		:: g < NP ->
			if
			:: run Purger(0, 0)
			:: run Purger(1, 0)
			fi;
			g++
		:: else -> break
		od;
		g = 0
	}
#ifdef CUT
	atomic { cut() }
	ALONE;
	atomic {
		g = 1;
		do
		:: g <= NL -> run Adder(NA + g, 1); g++
		:: else -> g = 0; break
		od;
		run Worker(0, 1);
#ifdef TWO
		run Worker(0, 1)
#endif
	}
#endif
	/* Whatever has happened: the next ordinary commands. */
	atomic { ALONE; kills = 0; eios = 0; answered = 0 }
	run Worker(1, epoch);
	ALONE;
	d_step {
		g = 1;
		do
		:: g <= NF ->
			assert(!told[g] || over[g] || tmp[g] == 2);
			g++
		:: else -> g = 0; break
		od
	}
	run Adder(LAST, epoch);
	ALONE;
	if
	:: !answered -> run Purger(0, epoch)
	:: else
	fi;
	ALONE;
	if
	:: !answered -> run Adder(LAST, epoch)
	:: else
	fi;
	ALONE;
	run Worker(1, epoch);
	ALONE;
	d_step {
		g = 1;
		do
		:: g <= NF ->
			assert(lock[g] == 0);
			assert(!k[g] && tmp[g] != 1);
			assert((at[g] & (NEW | CUR)) == 0);
			assert((at[g] & DONE) == 0 || line[g] == ENDED);
			assert(!told[g] || over[g]);
			g++
		:: else -> break
		od;
		assert(answered);
		assert(key == 0 || line[key] == ENDED || tmp[key] == 2)
	}
}
