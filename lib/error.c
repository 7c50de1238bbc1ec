/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "idq_impl.h"

int
idq_error(struct idq *q, int code, const char *fmt, ...)
{
	va_list ap;

	q->code = code;
	va_start(ap, fmt);
	vsnprintf(q->msg, sizeof(q->msg), fmt, ap);
	va_end(ap);
	return -1;
}

static int
code_of(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return EX_TEMPFAIL;
	case EROFS:
		return EX_CANTCREAT;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	default:
		return EX_IOERR;
	}
}

int
idq_errno(struct idq *q, const char *fmt, ...)
{
	int err = errno;
	va_list ap;
	size_t len;

	q->code = code_of(err);
	va_start(ap, fmt);
	vsnprintf(q->msg, sizeof(q->msg), fmt, ap);
	va_end(ap);
	len = strlen(q->msg);
	snprintf(q->msg + len, sizeof(q->msg) - len, ": %s", strerror(err));
	errno = err;
	return -1;
}

void
idq_set_notice(struct idq *q, void (*notice)(void *, const char *), void *arg)
{
	q->notice = notice;
	q->notice_arg = arg;
}

void
idq_notice(struct idq *q, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (q->notice == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	q->notice(q->notice_arg, line);
}

int
idq_not_synced(struct idq *q, const char *path)
{
	q->sync_failed = true;
	return idq_errno(q, "%s/%s: sync", q->path, path);
}

int
idq_may_sync(struct idq *q)
{
	return q->sync_failed ? idq_error(q, EX_IOERR, "left alone: a sync "
	    "failed before") : 0;
}

bool
idq_pass_over(struct idq *q)
{
	if (q->code != EX_SOFTWARE && q->code != EX_NOPERM &&
	    (q->code != EX_IOERR || q->sync_failed))
		return false;
	idq_notice(q, "%s", q->msg);
	if (q->passed == 0 && q->code != EX_SOFTWARE)
		q->passed = q->code;
	return true;
}

int
idq_passed(const struct idq *q)
{
	return q->passed;
}

const char *
idq_errmsg(const struct idq *q)
{
	return q->msg;
}

int
idq_errcode(const struct idq *q)
{
	return q->code;
}
