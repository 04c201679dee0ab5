#!/bin/sh
# Fuzzes each target for SECONDS with libFuzzer (needs clang):
#
#	tests/fuzz/run.sh SECONDS [TARGET...]
#
# Starts from the corpus; what is found on the way stays in a temporary
# directory.  After a failure the input that caused it is printed in base64:
# put it into corpus/TARGET/ together with the fix.  Exit 77: no clang here.
set -eu

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- awsini jsonscan jsonspan s3xml

if ! command -v clang >/dev/null; then
	echo "tests/fuzz/run.sh: clang is not installed: nothing was fuzzed" >&2
	exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for target; do
	clang -std=gnu17 -g -O1 -D_GNU_SOURCE -I. \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		"tests/fuzz/fuzz_$target.c" fs/base/buf.c fs/base/err.c fs/base/kv.c \
		fs/base/utf8.c fs/base/json*.c backend/aws/awsini.c \
		backend/aws/s3xml.c -lexpat -o "$work/$target"
	mkdir "$work/corpus-$target"
	echo "fuzzing $target for $seconds s"
	if ! "$work/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
		-print_final_stats=1 -artifact_prefix="$work/found-" \
		"$work/corpus-$target" "tests/fuzz/corpus/$target" >"$work/log" 2>&1; then
		tail -n 40 "$work/log"
		for found in "$work"/found-*; do
			[ ! -f "$found" ] || base64 "$found"
		done
		exit 1
	fi
	grep -E 'number_of_executed_units|DONE' "$work/log" || true
done
