/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define FORMAT		"idq spool 1\n"
#define NAME_CHARS	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
			"0123456789._-"

const char *const idq_dirs[] = {
	"tmp", "keys", "new", "wait", "paced", "cur", "hold", "failed", "done",
	"cancelled", "expired", "dups", "turn", "groups", "out", "log",
	"asked", "boot", "run", NULL
};

/*
 * $HOME and XDG_STATE_HOME are not read: cron, sudo and a login shell disagree
 * on them, and a producer and a worker that disagree lose jobs in silence.
 */
char *
idq_spool_path(const char **why)
{
	const char *env = getenv("IDQ_SPOOL");
	struct passwd *pw;
	char *path = NULL;

	if (env != NULL && *env != '\0') {
		if (*env != '/') {
			*why = "IDQ_SPOOL is not an absolute path";
			return NULL;
		}
		path = strdup(env);
	} else if (geteuid() == 0) {
		path = strdup("/var/spool/idq");
	} else if ((pw = getpwuid(geteuid())) == NULL || *pw->pw_dir != '/') {
		*why = "this user has no home; set IDQ_SPOOL";
		return NULL;
	} else if (asprintf(&path, "%s/.local/state/idq", pw->pw_dir) == -1) {
		path = NULL;
	}
	if (path == NULL)
		*why = "out of memory";
	return path;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
idq_names_free(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

/* A folder of the spool with a format is a queue. */
static int
is_queue(int fd, const char *name)
{
	char path[NAME_MAX + sizeof("/format")];

	snprintf(path, sizeof(path), "%s/format", name);
	return *name != '.' && faccessat(fd, path, F_OK, 0) == 0;
}

static char **
read_queues(DIR *d)
{
	char **names = calloc(1, sizeof(*names)), **more;
	struct dirent *e;
	size_t n = 0;

	while (names != NULL && (e = readdir(d)) != NULL) {
		if (!is_queue(dirfd(d), e->d_name))
			continue;
		more = reallocarray(names, n + 2, sizeof(*names));
		if (more == NULL || (more[n] = strdup(e->d_name)) == NULL) {
			idq_names_free(more != NULL ? more : names);
			return NULL;
		}
		names = more;
		names[++n] = NULL;
	}
	if (n > 1)
		qsort(names, n, sizeof(*names), by_name);
	return names;
}

char **
idq_spool_queues(const char **why)
{
	char *spool = idq_spool_path(why), **names;
	DIR *d;

	if (spool == NULL)
		return NULL;
	d = opendir(spool);
	free(spool);
	*why = "out of memory";
	if (d != NULL) {
		names = read_queues(d);
		closedir(d);
		return names;
	}
	*why = strerror(errno);
	return errno == ENOENT ? calloc(1, sizeof(*names)) : NULL;
}

static char *
absolute(const char *name, const char **why)
{
	char *cwd, *path = NULL;

	if (*name == '/')
		path = strdup(name);
	else if ((cwd = getcwd(NULL, 0)) != NULL) {
		if (asprintf(&path, "%s/%s", cwd, name) == -1)
			path = NULL;
		free(cwd);
	}
	if (path == NULL)
		*why = "cannot tell the working directory";
	return path;
}

char *
idq_queue_path(const char *name, const char **why)
{
	size_t len = strlen(name);
	char *spool, *path = NULL;

	if (strchr(name, '/') != NULL)
		return absolute(name, why);
	if (len == 0 || len > 64 || strspn(name, NAME_CHARS) != len ||
	    *name == '.' || *name == '-') {
		*why = "a queue's name is 1 to 64 of A-Z a-z 0-9 . _ -, "
		    "not beginning with . or -";
		return NULL;
	}
	if ((spool = idq_spool_path(why)) == NULL)
		return NULL;
	if (asprintf(&path, "%s/%s", spool, name) == -1) {
		*why = "out of memory";
		path = NULL;
	}
	free(spool);
	return path;
}

const char *
idq_queue_dir(const struct idq *q)
{
	return q->path;
}

bool
idq_created(const struct idq *q)
{
	return q->created;
}

/* This host's name, fit for a file name and a field of a trail. */
static void
set_host(struct idq *q)
{
	if (gethostname(q->host, sizeof(q->host)) == -1 || *q->host == '\0')
		strlcpy(q->host, "localhost", sizeof(q->host));
	q->host[sizeof(q->host) - 1] = '\0';
	for (char *s = q->host; *s != '\0'; s++)
		if (strchr(NAME_CHARS, *s) == NULL)
			*s = '_';
	if (*q->host == '.')
		*q->host = '_';
}

const char *
idq_boot(struct idq *q)
{
	int fd;
	ssize_t n;

	if (*q->boot != '\0')
		return q->boot;
	strlcpy(q->boot, "?", sizeof(q->boot));
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return q->boot;
	n = read(fd, q->boot, sizeof(q->boot) - 1);
	close(fd);
	q->boot[n == 36 ? 36 : 0] = '\0';
	if (n != 36)
		strlcpy(q->boot, "?", sizeof(q->boot));
	return q->boot;
}

static struct idq *
new_handle(const char *path)
{
	struct idq *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->fd = -1;
	if ((q->path = strdup(path)) == NULL) {
		free(q);
		return NULL;
	}
	for (size_t n = strlen(q->path); n > 1 && q->path[n - 1] == '/'; n--)
		q->path[n - 1] = '\0';
	set_host(q);
	return q;
}

void
idq_close(struct idq *q)
{
	if (q == NULL)
		return;
	if (q->fd != -1)
		close(q->fd);
	free(q->path);
	free(q);
}

static int
check_owner(struct idq *q, const struct stat *st)
{
	bool shared = q->cfg[CFG_SHARED] == 1;
	struct passwd *pw;

	if (st->st_mode & S_IWOTH)
		return idq_error(q, EX_NOPERM,
		    "%s: is writable by everybody", q->path);
	if ((st->st_mode & S_IWGRP) && !shared)
		return idq_error(q, EX_NOPERM, "%s: is writable by its group, "
		    "but its config does not say shared yes", q->path);
	if (st->st_uid == geteuid() || shared)
		return 0;
	if (!q->writable && geteuid() == 0)
		return 0;
	pw = getpwuid(st->st_uid);
	return idq_error(q, EX_NOPERM, "%s: belongs to %s; use: "
	    "sudo -u %s idq ...", q->path, pw != NULL ? pw->pw_name : "?",
	    pw != NULL ? pw->pw_name : "OWNER");
}

static int
check_format(struct idq *q)
{
	char buf[32];
	ssize_t n = idq_read_small(q, "format", buf, sizeof(buf));

	if (n == -1 && errno == ENOENT)
		return 0;
	if (n == -1)
		return idq_errno(q, "%s/format", q->path);
	if (strcmp(buf, FORMAT) == 0)
		return 1;
	if (strncmp(buf, "idq spool ", 10) == 0)
		return idq_error(q, EX_CONFIG,
		    "%s: has the newer format '%.*s'", q->path,
		    (int)strcspn(buf, "\n"), buf);
	return idq_error(q, EX_CONFIG, "%s/format: is not idq's", q->path);
}

static int
no_queue(struct idq *q)
{
	const char *why, *name = strrchr(q->path, '/');
	char *usual;
	bool in_spool;

	name = name != NULL ? name + 1 : q->path;
	usual = idq_queue_path(name, &why);
	in_spool = usual != NULL && strcmp(usual, q->path) == 0;
	free(usual);
	return idq_error(q, EX_NOINPUT, "%s: no such queue; make it with: "
	    "idq init -q %s", q->path, in_spool ? name : q->path);
}

/* What is in the way is no disk error. */
static int
no_directory(struct idq *q, const char *path)
{
	idq_errno(q, "%s", path);
	if (q->code == EX_IOERR)
		q->code = EX_CANTCREAT;
	return -1;
}

/* 1, 0 if there is no queue (made or half made), -1. */
static int
open_dir(struct idq *q)
{
	struct stat st;
	int r;

	q->fd = open(q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (q->fd == -1) {
		if (errno == ENOENT)
			return 0;
		no_directory(q, q->path);
		/* Whose queue it is says more than `permission denied'. */
		if (errno == EACCES && stat(q->path, &st) == 0)
			check_owner(q, &st);
		return -1;
	}
	if (fstat(q->fd, &st) == -1)
		return idq_errno(q, "%s", q->path);
	q->remote = idq_is_remote(q->fd);
	q->dmode = st.st_mode & (S_IRWXU | S_IRWXG | S_ISGID);
	q->fmode = st.st_mode & (S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP);
	/* Whose queue it is comes before what is wrong with it. */
	if (st.st_uid != geteuid() && geteuid() != 0 &&
	    faccessat(q->fd, "format", R_OK, AT_EACCESS) == -1 &&
	    errno == EACCES)
		return check_owner(q, &st);
	if ((r = check_format(q)) != 1)
		return r;
	if (idq_config_load(q) == -1)
		return -1;
	q->careful = st.st_uid != geteuid() || q->cfg[CFG_SHARED] == 1;
	return check_owner(q, &st) == -1 ? -1 : 1;
}

int
idq_open(struct idq **qp, const char *path, int flags)
{
	struct idq *q;
	int r;

	if ((*qp = q = new_handle(path)) == NULL)
		return -1;
	q->writable = (flags & (IDQ_WRITE | IDQ_CREATE)) != 0;
	if ((r = open_dir(q)) == -1)
		return -1;
	if (r == 1)
		return 0;
	if (!(flags & IDQ_CREATE))
		return no_queue(q);
	idq_close(q);
	return idq_init(qp, path);
}

/* Make PATH and the directories above it. */
static int
make_path(struct idq *q)
{
	char *copy, *s;
	int r = 0;

	if ((copy = strdup(q->path)) == NULL)
		return idq_errno(q, "%s", q->path);
	for (s = copy + 1; r == 0 && (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		if (mkdir(copy, 0755) == -1 && errno != EEXIST)
			r = no_directory(q, copy);
		*s = '/';
	}
	if (r == 0 && mkdir(q->path, 0700) == -1 && errno != EEXIST)
		r = no_directory(q, q->path);
	free(copy);
	return r;
}

const char *
idq_dir_fault(struct idq *q, const char *name)
{
	struct stat top, st;

	errno = 0;
	if (fstat(q->fd, &top) == -1 || idq_at_stat(q, name, &st) == -1)
		return NULL;
	if (!S_ISDIR(st.st_mode))
		return S_ISLNK(st.st_mode) ? "is a symbolic link" :
		    "is no directory";
	return st.st_dev != top.st_dev ? "is on another file system" : NULL;
}

static int
make_dir(struct idq *q, const char *name)
{
	const char *fault;

	if (mkdirat(q->fd, name, q->dmode) == 0)
		return 0;
	if (errno != EEXIST)
		return idq_errno(q, "%s/%s", q->path, name);
	if ((fault = idq_dir_fault(q, name)) == NULL)
		return 0;
	return idq_error(q, EX_CANTCREAT, "%s/%s: %s; a queue's directories "
	    "are on one file system, since its jobs move by link and rename",
	    q->path, name, fault);
}

static int
make_tree(struct idq *q)
{
	char name[PATH_SIZE];

	for (size_t i = 0; idq_dirs[i] != NULL; i++)
		if (make_dir(q, idq_dirs[i]) == -1)
			return -1;
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "keys/%02x", i);
		if (make_dir(q, name) == -1)
			return -1;
	}
	for (size_t i = 0; idq_dirs[i] != NULL; i++)
		if (idq_sync_dir(q, idq_dirs[i]) == -1)
			return idq_errno(q, "%s/%s", q->path, idq_dirs[i]);
	return 0;
}

/* Links are what everything rests on: try one before the queue is one. */
static int
try_link(struct idq *q)
{
	char id[ID_SIZE], a[PATH_SIZE], b[PATH_SIZE];
	int r, err;

	if (idq_new_id(id) == -1)
		return idq_errno(q, "%s", q->path);
	idq_tmp_path(id, "", a);
	idq_tmp_path(id, ".k", b);
	if (idq_write_small(q, a, "", false) == -1)
		return idq_errno(q, "%s/tmp", q->path);
	r = linkat(q->fd, a, q->fd, b, 0);
	err = errno;
	unlinkat(q->fd, a, 0);
	if (r == 0)
		unlinkat(q->fd, b, 0);
	if (r == 0)
		return 0;
	return idq_error(q, EX_CANTCREAT, "%s: this file system has no hard "
	    "links, which a queue needs: %s", q->path, strerror(err));
}

static int
sync_parent(struct idq *q)
{
	int fd, r;

	fd = openat(q->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return errno == EACCES ? 0 : idq_errno(q, "%s/..", q->path);
	r = fsync(fd);
	close(fd);
	return r == 0 ? 0 : idq_errno(q, "%s/..", q->path);
}

int
idq_init(struct idq **qp, const char *path)
{
	struct idq *q;
	char boot[PATH_SIZE];
	struct stat st;
	int r;

	if ((*qp = q = new_handle(path)) == NULL)
		return -1;
	q->writable = true;
	if (make_path(q) == -1 || (r = open_dir(q)) == -1)
		return -1;
	if (r == 0 && fstat(q->fd, &st) == 0 && st.st_uid != geteuid())
		return check_owner(q, &st);
	if (r == 0 && make_tree(q) == -1)
		return -1;
	if (r == 1)
		return make_tree(q);
	if (try_link(q) == -1)
		return -1;
	/* An empty queue needs no start-up scan. */
	snprintf(boot, sizeof(boot), "boot/%s", q->host);
	if (idq_write_small(q, boot, idq_boot(q), false) == -1 ||
	    idq_sync_dir(q, "keys") == -1 ||
	    /* Last, so that what has a format is a whole queue. */
	    idq_write_small(q, "format", FORMAT, true) == -1)
		return idq_errno(q, "%s", q->path);
	q->created = true;
	if (sync_parent(q) == -1)
		return -1;
	return idq_config_load(q);
}

int
idq_never_used(struct idq *q)
{
	DIR *d = idq_opendir(q, "log");
	bool empty;

	if (d == NULL)
		return idq_errno(q, "%s/log", q->path);
	empty = idq_readdir(d) == NULL;
	closedir(d);
	return empty;
}
