/* SPDX-License-Identifier: ISC */
/*
 * What a queue stands on, and what a crash has left in it.  Nothing is changed
 * but a file of our own in tmp/.
 */
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define OK		IDQ_FOUND_OK
#define WARNING		IDQ_FOUND_WARNING
#define ERROR		IDQ_FOUND_ERROR

#define FREE_MIN	5		/* per cent */
#define SYNC_MAX	IDQ_SECOND
#define CLOCK_MAX	(2 * IDQ_SECOND)
#define LEFT_AGE	IDQ_MINUTE

struct doctor {
	struct idq	*q;
	bool		 shared;
	bool		 net;		/* other hosts may use it too */
	void		(*each)(void *, enum idq_finding, const char *,
			    const char *);
	void		*arg;
	unsigned int	 dead;		/* claims in cur/ */
	unsigned int	 damaged;
};

/* What some words mean; the last row is for all others. */
struct row {
	const char	*words;
	enum idq_finding level;
	const char	*text;
};

enum { DISK, MEMORY, NET, ANY };

static const struct row types[] = {
	[DISK] = { " ext4 xfs btrfs ", OK, "" },
	[MEMORY] = { " tmpfs ramfs ", WARNING, ": a reboot loses all jobs; use "
	    "ext4, xfs or btrfs" },
	[NET] = { " nfs nfs4 cifs smb3 ceph 9p afs lustre gfs2 ocfs2 virtiofs "
	    "fuse fuse.sshfs fuse.glusterfs ", WARNING, ": see SHARED SPOOLS "
	    "in idq(5)" },
	[ANY] = { NULL, WARNING, ": not tested; use ext4, xfs or btrfs" }
};

static const struct row options[] = {
	{ " ro ", ERROR, ": no job can be added or started; mount it rw" },
	{ " nolock local_lock=all local_lock=flock ", ERROR, ": hosts do not "
	    "see each other's locks, and start a job twice; mount it without" },
	{ " nobarrier ", WARNING, ": a power cut can undo what was synced; "
	    "mount it without" },
	{ " data=writeback ", WARNING, ": a power cut can leave old data in "
	    "what was not synced; use data=ordered" },
	{ " sync ", WARNING, ": all writes wait for the disk; use async" },
	{ " soft softerr ", WARNING, ": a call can be done and fail; "
	    "use hard" },
	{ " vers=2 vers=3 vers=4.0 ", WARNING, ": a call can be done twice; "
	    "use vers=4.2" },
	{ NULL, OK, NULL }
};

static const struct row *
find(const struct row *r, const char *word)
{
	char blanks[PATH_MAX];

	snprintf(blanks, sizeof(blanks), " %s ", word);
	while (r->words != NULL && strstr(r->words, blanks) == NULL)
		r++;
	return r;
}

static void say(struct doctor *, enum idq_finding, const char *,
    const char *, ...) __attribute__((__format__(printf, 4, 5)));

static void
say(struct doctor *d, enum idq_finding level, const char *about,
    const char *fmt, ...)
{
	char text[PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->each(d->arg, level, about, text);
}

/* Its line in mountinfo, see proc(5), has type and options of a mount. */
static void
look_at_mount(struct doctor *d)
{
	char line[2 * PATH_MAX] = "", own[256], type[64], super[PATH_MAX];
	char all[2 * PATH_MAX], *rest = all, *option, *dash;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct statx st = { .stx_mnt_id = 0 };
	const struct row *r, *said = NULL;

	statx(d->q->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL &&
	    strtoull(line, NULL, 10) != st.stx_mnt_id)
		*line = '\0';
	if (f != NULL)
		fclose(f);
	if ((dash = strstr(line, " - ")) == NULL ||
	    sscanf(line, "%*s %*s %*s %*s %*s %255s", own) != 1 ||
	    sscanf(dash, " - %63s %*s %4095s", type, super) != 2) {
		say(d, WARNING, "type", "not known, without /proc");
		return;
	}
	r = find(types, type);
	say(d, r->level, "type", "%s%s", type, r->text);
	d->net = r == &types[NET];
	snprintf(all, sizeof(all), "%s,%s", own, super);
	while ((option = strsep(&rest, ",")) != NULL)
		if ((r = find(options, option))->text != NULL && r != said) {
			say(d, r->level, "mount", "%s%s", option, r->text);
			said = r;
		}
	if (said == NULL)
		say(d, OK, "mount", "%s,%s", own, super);
}

/* Whether a line of FILE begins with PATH or a folder above it. */
static bool
is_exported(const char *file, const char *path)
{
	FILE *f = fopen(file, "re");
	char line[PATH_MAX];
	bool found = false;
	size_t n;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, " \t\n")] = '\0';
		n = strlen(line);
		if (n > 0 && line[n - 1] == '/')
			n--;
		found = *line == '/' && strncmp(path, line, n) == 0 &&
		    (path[n] == '/' || path[n] == '\0');
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static void
look_at_exports(struct doctor *d)
{
	static const char *const files[] = { "/proc/fs/nfsd/exports",
		"/var/lib/nfs/etab", "/etc/exports" };
	char self[64], path[PATH_MAX] = "";

	snprintf(self, sizeof(self), "/proc/self/fd/%d", d->q->fd);
	if (readlink(self, path, sizeof(path) - 1) == -1)
		*path = '\0';
	for (size_t i = 0; i < NITEMS(files); i++)
		if (is_exported(files[i], path)) {
			say(d, WARNING, "export", "in %s: NFS clients and this "
			    "host do not see each other's locks; use the NFS "
			    "mount on this host too", files[i]);
			return;
		}
	say(d, OK, "export", "none known");
}

static void
say_free(struct doctor *d, const char *about, uint64_t avail, uint64_t total)
{
	double pc = 100.0 * (double)avail / (double)(total > 0 ? total : 1);

	if (total == 0)			/* inodes of btrfs */
		say(d, OK, about, "no limit");
	else
		say(d, avail == 0 ? ERROR : pc < FREE_MIN ? WARNING : OK,
		    about, "%.0f%% free%s", pc,
		    pc < FREE_MIN ? "; make room, perhaps by: idq purge" : "");
}

static void
look_at_system(struct doctor *d)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC };
	int fd = (int)syscall(SYS_openat2, d->q->fd, ".", &how, sizeof(how));
	int ino = inotify_init1(IN_CLOEXEC);
	struct statvfs v;

	look_at_mount(d);
	look_at_exports(d);
	if (fstatvfs(d->q->fd, &v) == 0) {
		say_free(d, "blocks", v.f_bavail, v.f_blocks);
		say_free(d, "inodes", v.f_favail, v.f_files);
	}
	say(d, OK, "openat2", fd != -1 ? "there" : "not there; paths are "
	    "looked up part by part instead");
	say(d, ino == -1 || d->net ? WARNING : OK, "inotify", ino == -1 ?
	    "not to be had, and workers look each second; see "
	    "fs.inotify.max_user_instances" : d->net ? "does not tell what "
	    "other hosts do, and workers look each minute" : "there");
	if (fd != -1)
		close(fd);
	if (ino != -1)
		close(ino);
}

static bool
is_good_dir(struct doctor *d, const char *name, mode_t want)
{
	const char *fault = idq_dir_fault(d->q, name);
	struct stat top, st;
	mode_t mode;
	bool ours;

	if (fstat(d->q->fd, &top) == -1 ||
	    idq_at_stat(d->q, name, &st) == -1 || fault != NULL) {
		say(d, ERROR, "dirs", "%s: %s; idq init makes it where there "
		    "is nothing, and idq fsck fills it", name,
		    fault != NULL ? fault : strerror(errno));
		return false;
	}
	ours = d->shared ? st.st_gid == top.st_gid : st.st_uid == top.st_uid;
	/* The folder above the queue can have passed setgid on. */
	mode = st.st_mode & (d->shared ? 07777 : 05777);
	if (ours && (mode & ~want) == 0 &&
	    (want & ~mode & (d->shared ? 07777 : 0700)) == 0)
		return true;
	say(d, !ours || mode & ~want & 022 ? ERROR : WARNING, "dirs",
	    "%s: %u:%u %04o, and not %u:%u %04o; see SECURITY in idq(5)",
	    name, st.st_uid, st.st_gid, mode, top.st_uid, top.st_gid, want);
	return false;
}

/* Of the 256 folders of keys/ the first that is wrong is enough. */
static void
look_at_dirs(struct doctor *d)
{
	mode_t want = d->shared ? 02770 : d->q->dmode & 0777;
	bool good = is_good_dir(d, ".", d->shared ? 03770 : 0700), key = true;
	char name[PATH_SIZE];

	for (size_t i = 0; idq_dirs[i] != NULL; i++)
		good = is_good_dir(d, idq_dirs[i], want) && good;
	for (int i = 0; key && i < 256; i++) {
		snprintf(name, sizeof(name), "keys/%02x", i);
		key = is_good_dir(d, name, want);
	}
	if (d->shared && !idq_config_is_safe(d->q)) {
		say(d, ERROR, "dirs", "config: a member can change it; see "
		    "SECURITY in idq(5)");
		good = false;
	}
	if (good && key)
		say(d, OK, "dirs", "all there, with the right modes");
}

/* A file of our own, locked; a reaper can be quicker than the lock. */
static int
make_probe(struct idq *q, const char *path)
{
	struct stat st;
	int fd;

	for (;;) {
		fd = idq_at_open(q, path, O_RDWR | O_CREAT | O_EXCL);
		if (fd == -1)
			return -1;
		/* What is wrong with the lock is seen by the second one. */
		flock(fd, LOCK_EX | LOCK_NB);
		if (fstat(fd, &st) == -1 || st.st_nlink > 0)
			return fd;
		close(fd);
	}
}

/* What was found out with that file. */
struct trial {
	bool	locked;
	bool	linked;
	int	err;			/* why it was not synced; 0: it was */
	int64_t	took;
	int64_t	off;			/* its time, from ours */
};

static void
try_sync(struct idq *q, int fd, struct trial *t)
{
	int64_t before = idq_now(), start = idq_ticks(), at;
	struct stat st;

	if (write(fd, "\n", 1) != 1 || fsync(fd) == -1 ||
	    idq_sync_dir(q, "tmp") == -1 || fstat(fd, &st) == -1) {
		t->err = errno;
		return;
	}
	t->took = idq_ticks() - start;
	at = (int64_t)st.st_mtim.tv_sec * IDQ_SECOND +
	    st.st_mtim.tv_nsec / 1000;
	t->off = at < before ? at - before : at > before + t->took ?
	    at - before - t->took : 0;
}

static int
try_file(struct idq *q, struct trial *t)
{
	char id[ID_SIZE], a[PATH_SIZE], b[PATH_SIZE];
	struct stat st;
	int fd, second;

	if (idq_new_id(id) == -1)
		return -1;
	idq_tmp_path(id, "", a);
	idq_tmp_path(id, ".k", b);
	if ((fd = make_probe(q, a)) == -1)
		return -1;
	second = idq_at_open(q, a, O_RDWR);
	t->locked = second != -1 && flock(second, LOCK_EX | LOCK_NB) == -1 &&
	    errno == EWOULDBLOCK;
	t->linked = idq_at_link(q, a, b) == 0 && fstat(fd, &st) == 0 &&
	    st.st_nlink == 2;
	try_sync(q, fd, t);
	idq_at_unlink(q, b, 0);
	idq_at_unlink(q, a, 0);
	if (second != -1)
		close(second);
	close(fd);
	return 0;
}

/* Nothing is said while the file is there: nobody may be listening. */
static void
look_at_file(struct doctor *d)
{
	struct trial t = { .err = 0 };
	bool slow, off;

	if (try_file(d->q, &t) == -1) {
		say(d, ERROR, "write", "tmp: %s: nothing can be added or "
		    "started from here", strerror(errno));
		return;
	}
	say(d, t.locked ? OK : ERROR, "flock", t.locked ? "works" :
	    "keeps nobody out; use another file system");
	say(d, t.linked ? OK : ERROR, "link", t.linked ? "works" :
	    "does not work; use another file system");
	if (t.err != 0) {
		say(d, ERROR, "fsync", "%s", strerror(t.err));
		return;
	}
	slow = t.took > SYNC_MAX;
	say(d, slow ? WARNING : OK, "fsync", "took %.1f ms%s",
	    (double)t.took / 1000, slow ? ", as each add does; see what else "
	    "is written there" : "");
	off = llabs(t.off) >= CLOCK_MAX;
	say(d, off ? WARNING : OK, "clock", "files are %+.1f s off%s",
	    (double)t.off / IDQ_SECOND, off ? "; set the clocks by NTP" : "");
}

static void
look_at_tmp(struct doctor *d)
{
	int64_t old = (idq_now() - LEFT_AGE) / IDQ_SECOND;
	DIR *dir = idq_opendir(d->q, "tmp");
	unsigned int left = 0, bad = 0;
	struct dirent *e;
	struct stat st;

	while (dir != NULL && (e = idq_readdir(dir)) != NULL) {
		if (strstr(e->d_name, ".bad") != NULL)
			bad++;
		else if (fstatat(dirfd(dir), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && st.st_ctime < old)
			left++;
	}
	if (dir != NULL)
		closedir(dir);
	say(d, left + bad > 0 ? WARNING : OK, "tmp", "%u left over, %u not "
	    "synced%s", left, bad, bad > 0 ? "; add their jobs again" :
	    left > 0 ? "; the next worker completes or removes them" : "");
}

/* Whether BOOT begins the boot id for which HOST was scanned last. */
static bool
is_boot_of(struct idq *q, const char *host, const char *boot)
{
	char path[PATH_SIZE], id[64];

	snprintf(path, sizeof(path), "boot/%s", host);
	return idq_read_small(q, path, id, sizeof(id)) <= 0 ||
	    strncmp(id, boot, strlen(boot)) == 0;
}

static int
look_at_claim(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct doctor *d = arg;
	char path[PATH_SIZE], host[65], boot[9];
	struct job j;
	int r;

	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	if ((r = idq_job_open(d->q, path, &j)) == 0)
		return 0;
	if (r == -1 || idq_job_load(d->q, &j, n->hash) == -1 || !j.whole)
		d->damaged++;
	else if (j.started && j.pub.lease == 0 &&
	    sscanf(j.line.detail, "host=%64s boot=%8s", host, boot) == 2)
		d->dead += !is_boot_of(d->q, host, boot);
	if (r == 1)
		idq_job_close(&j);
	return 0;
}

static void
look_at_jobs(struct doctor *d)
{
	bool scanned = is_boot_of(d->q, d->q->host, idq_boot(d->q));

	say(d, scanned ? OK : WARNING, "boot", scanned ? "no start-up scan "
	    "was left out" : "the start-up scan after the last boot is still "
	    "to come; start a worker");
	idq_walk(d->q, PL_CUR, look_at_claim, d);
	say(d, d->dead + d->damaged > 0 ? WARNING : OK, "cur",
	    "%u cut off by a boot, %u damaged%s", d->dead, d->damaged,
	    d->dead + d->damaged > 0 ? "; see: idq fsck -n" : "");
}

int
idq_doctor(const char *path, void (*each)(void *, enum idq_finding,
    const char *, const char *), void *arg)
{
	struct doctor d = { .each = each, .arg = arg };
	bool opened = idq_open(&d.q, path, IDQ_READ) == 0, theirs, there;

	if (d.q == NULL)
		return -1;
	there = d.q->fd != -1 && (opened || d.q->code != EX_NOINPUT);
	d.shared = d.q->cfg[CFG_SHARED] == 1;
	theirs = d.q->careful && !d.shared;
	/* No link is followed, in a queue of one's own neither. */
	d.q->careful = true;
	if (opened)
		say(&d, OK, "queue", "%s, format 1, %s", d.q->path,
		    d.shared ? "shared" : "private");
	else
		say(&d, ERROR, "queue", "%s", d.q->msg);
	if (d.q->fd != -1)
		look_at_system(&d);
	if (opened) {
		look_at_dirs(&d);
		if (theirs)
			say(&d, WARNING, "write", "not tried in the queue of "
			    "another user; run this as that one");
		else
			look_at_file(&d);
		look_at_tmp(&d);
		look_at_jobs(&d);
	}
	idq_close(d.q);
	return there;
}
