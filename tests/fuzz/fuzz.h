/* SPDX-License-Identifier: ISC */
/*
 * A fuzz target is one file that defines fuzz(), which is called with any bytes
 * again and again in one process.  run builds it twice: with libFuzzer, which
 * looks for bytes that break it, and with main.c, which gives it files.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What must hold whatever the bytes are; else they are a finding. */
#define REQUIRE(cond) \
	require((cond), __FILE__, __LINE__, #cond)

static inline void
require(int held, const char *file, int line, const char *what)
{
	if (held)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/* The bytes as a string, to be freed; what follows a NUL is left out. */
static inline char *
fuzz_string(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (s == NULL)
		err(1, NULL);
	if (size > 0)
		memcpy(s, data, size);
	s[size] = '\0';
	return s;
}

/* Bytes that are taken one after the other; past their end there are zeros. */
struct bytes {
	const uint8_t	*p;
	size_t		 n;
};

static inline unsigned int
take_byte(struct bytes *b)
{
	if (b->n == 0)
		return 0;
	b->n--;
	return *b->p++;
}

#endif /* FUZZ_H */
