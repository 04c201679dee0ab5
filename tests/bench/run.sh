#!/usr/bin/env bash
# How fast the mount is, as ratios to the bare file system in the same run; and
# a bedrock: source, as ratios to curl and to the AWS command line.
#
#	tests/bench/run.sh            1 GiB, 50,000 records; minutes
#	tests/bench/run.sh --quick    128 MiB, 5,000 records
#	tests/bench/run.sh --check    exit code 1 if a ratio is over its bar
#	tests/bench/run.sh --bedrock  the latter alone; --local: the former alone
#	tests/bench/run.sh --scale    jobs of 10^4 to 10^7 records, alone: does a record cost the
#	                              same in each?  10 minutes, and 25 GB of disk; --quick: to 10^5
#
# BATCHFS_BIN: the program (else the newest release build, made if there is
# none).  BENCH_MIB, BENCH_RECORDS, BENCH_JOBS, BENCH_SCALE (a list): sizes.
# BENCH_DEDUPE=yes: with --scale, jobs that ask for it.  TMPDIR: the file system
# compared with.
set -eu
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/../.."

if [ ! -e /dev/fuse ]; then
	echo "There is no /dev/fuse here: nothing to measure." >&2
	exit 1
fi
if [ -z "${BATCHFS_BIN-}" ]; then
	[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release >/dev/null
	meson compile -C build-bench >/dev/null
	BATCHFS_BIN=$PWD/build-bench/fs/batchfs
fi
export BATCHFS_BIN

# A plain pass-through of libfuse's, where its example is at hand.
examples=/usr/share/doc/libfuse3-dev/examples
work=$(mktemp -d "${TMPDIR:-/tmp}/batchfs-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ -f $examples/passthrough_ll.c ]; then
	# shellcheck disable=SC2046 # flags
	gcc -O2 -w -D_FILE_OFFSET_BITS=64 -o "$work/passthrough_ll" $examples/passthrough_ll.c \
		$(pkg-config --cflags --libs fuse3) && export PASSTHROUGH_BIN="$work/passthrough_ll"
fi
status=0
case " $* " in
*' --scale '*)
	/usr/bin/python3 tests/bench/bench_scale.py "$work" "$@" || status=$?
	exit $status
	;;
esac
case " $* " in
*' --bedrock '*) ;;
*) /usr/bin/python3 tests/bench/bench.py "$work" "$@" || status=$? ;;
esac
case " $* " in
*' --local '*) ;;
*) /usr/bin/python3 tests/bench/bench_bedrock.py "$work" "$@" || status=$? ;;
esac
exit $status
