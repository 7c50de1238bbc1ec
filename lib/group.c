/* SPDX-License-Identifier: ISC */
/*
 * The file of a group, groups/GH: what is known of its starts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define GROUP_FILE_MAX	(1024 * 1024)

static int
open_state(struct idq *q, const char *path, struct job *f)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK;
	struct stat st;

	memset(f, 0, sizeof(*f));
	f->fd = idq_at_open(q, path, flags);
	if (f->fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		f->fd = idq_at_open(q, path, flags);
	if (f->fd == -1 || fstat(f->fd, &st) == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	if (!S_ISREG(st.st_mode))
		return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular file; "
		    "left alone", q->path, path);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	strlcpy(f->pub.path, path, sizeof(f->pub.path));
	return 0;
}

int
idq_state_open(struct idq *q, const char *path, int64_t wait, struct job *f)
{
	int r = 0;

	while (r == 0) {
		if (open_state(q, path, f) == -1)
			r = -1;
		else if ((r = idq_job_lock(q, f, wait)) == 0) {
			idq_job_close(f);
			return 0;
		} else if (r == 1)
			r = idq_job_is(q, f, path);
		if (r != 1)
			idq_job_close(f);
	}
	return r;
}

void
idq_group_close(struct group *g)
{
	idq_job_close(&g->file);
	free(g->name);
	free(g->runs);
	g->name = NULL;
	g->runs = NULL;
}

/* A claim that is no longer in cur/ does not run. */
static bool
still_runs(struct idq *q, const char *pair)
{
	char path[PATH_SIZE];
	struct name n;

	if (idq_name_parse(PL_CUR, pair, &n) == -1)
		return false;
	idq_place_path(PL_CUR, n.hash, n.id, 0, path);
	/* What cannot be looked at may be there. */
	return idq_at_exists(q, path) || errno != ENOENT;
}

int
idq_group_run(struct group *g, const char *pair)
{
	void *more = reallocarray(g->runs, g->nruns + 1, sizeof(*g->runs));

	if (more == NULL)
		return -1;
	g->runs = more;
	strlcpy(g->runs[g->nruns++], pair, sizeof(*g->runs));
	return 0;
}

/* A line `Name: value' of groups/GH; what a crash has torn says nothing. */
static int
load_line(struct idq *q, struct group *g, char *line)
{
	char *value = strstr(line, ": ");
	struct name n;

	if (value == NULL)
		return 0;
	*value = '\0';
	value += 2;
	if (strcmp(line, "Group") == 0 && g->name == NULL)
		return (g->name = strdup(value)) != NULL ? 0 : -1;
	if (strcmp(line, "Last") == 0)
		idq_stamp_parse(value, strlen(value), &g->last);
	else if (strcmp(line, "Turn") == 0)
		idq_stamp_parse(value, strlen(value), &g->turn);
	else if (strcmp(line, "Next") == 0 &&
	    idq_name_parse(PL_NEW, value, &n) == 0)
		memcpy(g->next, value, sizeof(g->next));
	else if (strcmp(line, "Runs") == 0 && still_runs(q, value))
		return idq_group_run(g, value);
	return 0;
}

static int
group_load(struct idq *q, struct group *g)
{
	size_t len = g->file.size < GROUP_FILE_MAX ? (size_t)g->file.size :
	    GROUP_FILE_MAX;
	char *text = malloc(len + 1), *rest = text, *line;
	ssize_t n;
	int r = 0;

	if (text == NULL || (n = pread(g->file.fd, text, len, 0)) == -1) {
		free(text);
		return idq_errno(q, "%s/%s", q->path, g->file.pub.path);
	}
	text[n] = '\0';
	if (strncmp(text, MAGIC, strlen(MAGIC)) == 0) {
		free(text);
		return idq_error(q, EX_SOFTWARE, "%s/%s: is a job; left alone",
		    q->path, g->file.pub.path);
	}
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL)
		r = load_line(q, g, line);
	free(text);
	/* By a wrong clock: it holds back for one gap, from now on. */
	if (g->last > idq_now())
		g->last = idq_now();
	return r == 0 ? 0 : idq_errno(q, "%s", q->path);
}

int
idq_group_open(struct idq *q, const char *hash, const char *name,
    struct group *g)
{
	char path[PATH_SIZE];
	struct stat st;
	int r;

	memset(g, 0, sizeof(*g));
	strlcpy(g->hash, hash, sizeof(g->hash));
	idq_group_path(hash, path);
	if ((r = idq_state_open(q, path, GROUP_WAIT, &g->file)) != 1)
		return r;
	/* Who runs is not known by an empty file alone. */
	if (fstat(g->file.fd, &st) == -1)
		r = idq_errno(q, "%s/%s", q->path, path);
	else if (name != NULL && (g->name = strdup(name)) == NULL)
		r = idq_errno(q, "%s", q->path);
	else {
		g->file.size = st.st_size;
		if (group_load(q, g) == -1)
			r = -1;
	}
	if (r == -1)
		idq_group_close(g);
	return r;
}

static void
print_time(FILE *f, const char *name, int64_t t)
{
	char stamp[STAMP_SIZE];

	if (t != 0)
		fprintf(f, "%s: %s\n", name, idq_stamp(t, stamp));
}

/* To be freed. */
static char *
group_text(const struct group *g, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (f == NULL)
		return NULL;
	if (g->name != NULL)
		fprintf(f, "Group: %s\n", g->name);
	print_time(f, "Last", g->last);
	print_time(f, "Turn", g->turn);
	if (*g->next != '\0')
		fprintf(f, "Next: %s\n", g->next);
	for (size_t i = 0; i < g->nruns; i++)
		fprintf(f, "Runs: %s\n", g->runs[i]);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int
idq_group_save(struct idq *q, struct group *g)
{
	size_t len;
	char *text = group_text(g, &len);
	ssize_t n = -1;

	if (text != NULL)
		n = pwrite(g->file.fd, text, len, 0);
	free(text);
	if (n == (ssize_t)len &&
	    (g->file.size <= n || ftruncate(g->file.fd, n) == 0)) {
		g->file.size = n;
		return 0;
	}
	if (n >= 0 && n < (ssize_t)len)
		errno = ENOSPC;
	return idq_errno(q, "%s/%s", q->path, g->file.pub.path);
}
