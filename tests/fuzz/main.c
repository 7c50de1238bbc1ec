/* SPDX-License-Identifier: ISC */
/*
 * Gives each file, and each file of each folder, that is named to the target it
 * is linked with.  The last line says how many these were.
 */
#include <sys/stat.h>

#include <fts.h>

#include "fuzz.h"

static void
give(const char *path, size_t size)
{
	uint8_t *data = malloc(size + 1);
	FILE *f = fopen(path, "r");

	if (data == NULL || f == NULL || fread(data, 1, size, f) != size)
		err(1, "%s", path);
	fclose(f);
	/* Told before, so that whoever reads of a crash knows the file. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int
main(int argc, char **argv)
{
	unsigned int n = 0;
	FTSENT *e;
	FTS *tree;

	if (argc < 2)
		errx(1, "no file given");
	tree = fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (tree == NULL)
		err(1, "%s", argv[1]);
	while ((e = fts_read(tree)) != NULL) {
		if (e->fts_info == FTS_ERR || e->fts_info == FTS_NS ||
		    e->fts_info == FTS_DNR)
			errx(1, "%s: %s", e->fts_path, strerror(e->fts_errno));
		if (e->fts_info != FTS_F)
			continue;
		give(e->fts_path, (size_t)e->fts_statp->st_size);
		n++;
	}
	fts_close(tree);
	printf("%u files\n", n);
	return n == 0;
}
