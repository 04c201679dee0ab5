/*
 * The files of settings of AWS tools: what is read can be found again, and a
 * fault has its line.
 */

#include <errno.h>
#include <string.h>

#include "backend/aws/awsini.h"
#include "tests/fuzz/fuzz.h"

static void check(enum awsini_file file, const char *text, size_t size)
{
	struct awsini ini = AWSINI_INIT;
	struct err e = ERR_INIT;
	int r = awsini_parse(&ini, file, "f", text, size, &e);

	PROMISE(r == 0 || (r == -EINVAL && strncmp(e.text, "f:", 2) == 0));
	for (size_t i = 0; i < ini.section_count; i++)
		PROMISE(awsini_has(&ini, ini.sections[i].kind, ini.sections[i].name));
	for (size_t i = 0; i < ini.pair_count; i++) {
		const struct awsini_pair *p = &ini.pairs[i];
		const struct awsini_section *s = &ini.sections[p->section];
		const char *v = awsini_get(&ini, s->kind, s->name, p->outer, p->key);

		PROMISE(p->section < ini.section_count);
		PROMISE(!v || *v);
	}
	awsini_release(&ini);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(AWSINI_CONFIG, (const char *)data, size);
	check(AWSINI_CREDENTIALS, (const char *)data, size);
	return 0;
}
