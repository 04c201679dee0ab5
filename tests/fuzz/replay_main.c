/*
 * Runs a fuzz target over the files of the directories named, without a
 * fuzzer: what was found once stays found, under any compiler.
 */

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/macros.h"
#include "tests/fuzz/fuzz.h"

#define FILE_SIZE_MAX (1u << 20)

static int replay_file(const char *path)
{
	CLEANUP(file_closep) FILE *f = fopen(path, "re");
	CLEANUP(str_freep) char *content = malloc(FILE_SIZE_MAX);
	CLEANUP(str_freep) char *exact = NULL;
	size_t size;

	if (!f || !content) {
		fprintf(stderr, "cannot read %s\n", path);
		return -1;
	}
	size = fread(content, 1, FILE_SIZE_MAX, f);
	/* A copy of the exact size, so that a sanitizer sees a byte too many. */
	exact = malloc(size ? size : 1);
	if (!exact)
		return -1;
	memcpy(exact, content, size);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, size);
	return 0;
}

static int replay_directory(const char *dir, unsigned *count)
{
	CLEANUP(dir_closep) DIR *d = opendir(dir);

	if (!d) {
		fprintf(stderr, "cannot open %s\n", dir);
		return -1;
	}
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		CLEANUP(str_freep) char *path = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s/%s", dir, entry->d_name) < 0) {
			path = NULL;
			return -1;
		}
		if (replay_file(path) < 0)
			return -1;
		++*count;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		if (replay_directory(argv[i], &count) < 0)
			return 1;
	printf("%u inputs replayed\n", count);
	return count ? 0 : 1;
}
