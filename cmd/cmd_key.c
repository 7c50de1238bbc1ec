/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "cmd.h"

static int
print_key(void *arg, const char *key, int flags)
{
	const char *why = idq_key_check(key, strlen(key));
	char hash[IDQ_HASH_LEN + 1];

	(void)arg;
	(void)flags;
	if (why != NULL) {
		complain("%s: the key %s", key, why);
		return EX_USAGE;
	}
	idq_key_hash(key, strlen(key), hash);
	printf("%s\t", hash);
	print_text(key);
	putchar('\n');
	return 0;
}

int
cmd_key(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_KEY, OPT_END };
	struct key_opts key = { .n = 0 };
	int c;

	while ((c = next_option(opts, argc, argv)) != 0)
		key_option(&key, c);
	operands(&argc, &argv, 0, -1, "key");
	check_refs(&key, argc, argv);
	return each_ref(&key, argc, argv, print_key, NULL);
}
