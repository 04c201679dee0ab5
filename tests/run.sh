#!/usr/bin/env bash
# Everything that is tested, on a bare Debian 12: installs, builds, tests, and
# ends with one line, "N passed, N failed" (and how many were skipped).
#
#	tests/run.sh                  the normal run, under 15 minutes on 2 cores
#	tests/run.sh --long           also what takes long: 10^6 records, soak, kill loops, seeds, fuzzing
#	tests/run.sh --only e2e       one part (may be repeated); see "parts" below
#	tests/run.sh --only e2e -- -k wait     words for pytest
#	tests/run.sh --no-install     what is missing is left missing
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
cd "$top" || exit 1
. docs/packages.sh

parts="unit quickstart e2e clang lint asan tsan"
long='' install=yes only=''
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=yes ;;
	--no-install) install='' ;;
	--only)
		only="$only ${2-}"
		shift
		;;
	--)
		shift
		break
		;;
	*)
		sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
		echo "parts: $parts fuzz" >&2
		exit 2
		;;
	esac
	shift
done
[ -n "$only" ] && parts=$only
[ -n "$long" ] && [ -z "$only" ] && parts="$parts fuzz"

build=${BATCHFS_TEST_BUILD:-$top/build-test}
logs=$build-logs
python=/usr/bin/python3
passed=0 failed=0 skipped=0
declare -a table

rm -rf "$logs"
mkdir -p "$logs"
# Mounts and files of the tests lie here, so that what is left over is found.
work=$(mktemp -d "${TMPDIR:-/tmp}/batchfs-test.XXXXXX") || exit 1
chmod 755 "$work"
export TMPDIR=$work

# tally NAME PASSED FAILED SKIPPED
tally() {
	passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
	table+=("$(printf '%-22s %5d passed %4d failed %4d skipped' "$1" "$2" "$3" "$4")")
	echo "${table[-1]}"
}

# fail NAME LOG: one failure that no report counts, with the end of its log.
fail() {
	echo "--- $1 failed; the end of $2:"
	tail -n 40 "$2"
	tally "$1" 0 1 0
}

# from_junit NAME CODE LOG XML: counts what a report says; a run that failed
# without saying so in its report, or that ran nothing, has failed.
from_junit() {
	local counts p f s
	counts=$("$python" tests/count.py "$4" 2>>"$3") || counts="0 0 0"
	read -r p f s <<<"$counts"
	if [ "$f" -gt 0 ] || [ "$2" -ne 0 ] || [ $((p + s)) -eq 0 ]; then
		echo "--- $1: exit code $2; the end of $3:"
		tail -n 60 "$3"
		[ "$f" -gt 0 ] || f=1
	fi
	tally "$1" "$p" "$f" "$s"
}

# configure DIR OPTION...: a build directory with those options, made or reused.
configure() {
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >"$logs/setup-${dir##*/}.log" 2>&1 && return 0
		rm -rf "$dir"
	fi
	meson setup "$dir" "$@" >"$logs/setup-${dir##*/}.log" 2>&1
}

# build_in NAME DIR OPTION...
build_in() {
	local name=$1 dir=$2
	shift 2
	if ! configure "$dir" "$@"; then
		fail "$name: configure" "$logs/setup-${dir##*/}.log"
		return 1
	fi
	if ! meson compile -C "$dir" >"$logs/$name-build.log" 2>&1; then
		fail "$name: build" "$logs/$name-build.log"
		return 1
	fi
}

# meson_tests NAME DIR ARGUMENT...
meson_tests() {
	local name=$1 dir=$2 code=0
	shift 2
	rm -f "$dir/meson-logs/testlog.junit.xml"
	# shellcheck disable=SC2086 # nothing, or a command
	${around-} timeout -k 10 900 meson test -C "$dir" --no-rebuild --print-errorlogs "$@" \
		</dev/null >"$logs/$name.log" 2>&1 || code=$?
	from_junit "$name" "$code" "$logs/$name.log" "$dir/meson-logs/testlog.junit.xml"
}

# can_mount NAME: may the e2e tests run here?  Sets as_root.
can_mount() {
	as_root=''
	if [ "$(id -u)" -ne 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			echo "$1: skipped, for it needs root and there is no sudo without a password"
			tally "$1" 0 0 1
			return 1
		fi
		as_root="sudo -n env PATH=$PATH TMPDIR=$work PYTHONDONTWRITEBYTECODE=1
			BATCHFS_SANITIZED=${BATCHFS_SANITIZED-}"
	fi
	if [ ! -e /dev/fuse ]; then
		echo "$1: skipped, for there is no /dev/fuse here (modprobe fuse; in a container:" \
			"--device /dev/fuse --cap-add SYS_ADMIN)"
		tally "$1" 0 0 1
		return 1
	fi
}

# pytests_run NAME BINARY ARGUMENT...: the e2e tests as root, over real mounts.
pytests_run() {
	local name=$1 binary=$2 code=0
	shift 2
	# shellcheck disable=SC2086 # a list of words
	timeout -k 10 "${E2E_LIMIT_S:-1200}" $as_root env BATCHFS_BIN="$binary" \
		"$python" -m pytest -q --junitxml="$logs/$name.xml" "$@" \
		</dev/null >"$logs/$name.log" 2>&1 || code=$?
	echo "$code" >"$logs/$name.code"
}

pytests_tally() {
	from_junit "$1" "$(cat "$logs/$1.code")" "$logs/$1.log" "$logs/$1.xml"
	grep '^SKIPPED' "$logs/$1.log" | grep -v 'only with --long' | head -n 20
	return 0
}

# pytests NAME BINARY ARGUMENT...
pytests() {
	can_mount "$1" || return 0
	pytests_run "$@"
	pytests_tally "$1"
}

main_build() {
	[ -n "${main_built-}" ] && return "$main_built"
	main_built=1
	build_in main "$build" -Dbuildtype=debugoptimized && main_built=0
	return "$main_built"
}

part_unit() {
	main_build || return
	meson_tests unit "$build"
	[ -n "$long" ] || return 0
	if BATCHFS_ANYJOB_COUNT=3000 timeout -k 10 1800 "$build/tests/unit/test_anyjob" \
		</dev/null >"$logs/anyjob.log" 2>&1; then
		tally anyjob 1 0 0
	else
		fail anyjob "$logs/anyjob.log"
	fi
}

# The other compiler, whose warnings and thread-safety analysis gcc lacks.
build_clang() {
	CC=clang build_in clang "$build-clang" -Dbuildtype=debugoptimized
}

part_clang() {
	build_clang && tally clang 1 0 0
}

part_lint() {
	local check ok=0 bad=0
	main_build || return
	for check in tests/lint/*; do
		[ -f "$check" ] || continue
		if BUILD_DIR=$build timeout 300 "$check" </dev/null >"$logs/lint.log" 2>&1; then
			ok=$((ok + 1))
		else
			bad=$((bad + 1))
			echo "--- $check:"
			head -n 40 "$logs/lint.log"
		fi
	done
	tally lint "$ok" "$bad" 0
}

part_quickstart() {
	if [ ! -e /dev/fuse ]; then
		tally quickstart 0 0 1
	elif timeout -k 10 600 docs/quickstart.sh </dev/null >"$logs/quickstart.log" 2>&1; then
		tally quickstart 1 0 0
	else
		fail quickstart "$logs/quickstart.log"
	fi
}

# The builds of the parts after e2e, at the lowest priority.  What fails here
# fails there again, and is told there.
build_ahead() {
	local part
	for part in $parts; do
		case $part in
		clang | asan | tsan) (renice -n 19 "$BASHPID" && "build_$part") ;;
		esac
	done >/dev/null 2>&1
}

# All thirds do little but wait, so they run side by side, and what has to be
# built for later is built meanwhile; with words for pytest it is one run of all.
part_e2e() {
	local more=''
	main_build || return
	can_mount e2e || return 0
	if [ -n "$long" ]; then
		local E2E_LIMIT_S=7200
		more=--long
	fi
	if [ $# -gt 0 ]; then
		pytests e2e "$build/fs/batchfs" $more tests/e2e "$@"
		return
	fi
	build_ahead &
	pytests_run e2e-bedrock-af "$build/fs/batchfs" $more tests/e2e/test_bedrock_[a-f]*.py &
	pytests_run e2e-bedrock-gz "$build/fs/batchfs" $more tests/e2e/test_bedrock_[g-z]*.py &
	pytests_run e2e "$build/fs/batchfs" $more tests/e2e --ignore-glob='*/test_bedrock_*'
	wait
	pytests_tally e2e
	pytests_tally e2e-bedrock-af
	pytests_tally e2e-bedrock-gz
}

build_asan() {
	build_in asan "$build-asan" -Db_sanitize=address,undefined -Db_lundef=false
}

build_tsan() {
	build_in tsan "$build-tsan" -Db_sanitize=thread -Db_lundef=false
}

# beside NAME BINARY COMMAND...: the short end-to-end tests with a sanitized binary,
# which mostly wait, while the command runs.
beside() {
	local name=$1 binary=$2 mounted=''
	shift 2
	if can_mount "$name"; then
		mounted=1
		BATCHFS_SANITIZED=1 pytests_run "$name" "$binary" -m short tests/e2e &
	fi
	"$@"
	wait
	[ -z "$mounted" ] || pytests_tally "$name"
}

part_asan() {
	build_asan || return
	export ASAN_OPTIONS=detect_leaks=1:suppressions=$top/tests/asan.supp
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
	# The S3 client is under the sanitizers in its unit tests and behind mounts.
	beside asan-e2e "$build-asan/fs/batchfs" \
		meson_tests asan "$build-asan" --no-suite double --no-suite s3 --timeout-multiplier 4
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

part_tsan() {
	local around="setarch -R" # with addresses at random the sanitizer may not start
	setarch -R true 2>/dev/null || around=''
	build_tsan || return
	export TSAN_OPTIONS=second_deadlock_stack=1:suppressions=$top/tests/tsan.supp
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$around" "$build-tsan/fs/batchfs" >"$work/batchfs"
	chmod +x "$work/batchfs"
	beside tsan-e2e "$work/batchfs" \
		meson_tests tsan "$build-tsan" --suite unit --timeout-multiplier 4
	unset TSAN_OPTIONS
}

part_fuzz() {
	if [ ! -x tests/fuzz/run.sh ]; then
		tally fuzz 0 0 1
	elif tests/fuzz/run.sh 60 </dev/null >"$logs/fuzz.log" 2>&1; then
		tally fuzz 1 0 0
	else
		fail fuzz "$logs/fuzz.log"
	fi
}

# Nothing may be left: no mount below the work directory, no program of ours.
check_leftovers() {
	local left='' pid exe
	left=$(grep -F " $work/" /proc/mounts)
	for exe in /proc/[0-9]*/exe; do
		pid=${exe#/proc/}
		case $(readlink "$exe" 2>/dev/null) in
		"$build"*/fs/batchfs*)
			left="$left process ${pid%/exe}"
			kill -9 "${pid%/exe}"
			;;
		*/ceph-mon | */ceph-osd | */radosgw) # of tests/integration/s3server.py
			grep -qF "$work/" "/proc/${pid%/exe}/cmdline" || continue
			left="$left process ${pid%/exe}"
			kill -9 "${pid%/exe}"
			;;
		esac
	done
	grep -F " $work/" /proc/mounts | cut -d' ' -f2 | sort -r | while read -r point; do
		umount -l "$(printf '%b' "$point")" 2>/dev/null || fusermount3 -u -z "$point"
	done
	if [ -n "$left" ]; then
		echo "--- left behind: $left"
		tally "nothing left behind" 0 1 0
	else
		tally "nothing left behind" 1 0 0
	fi
	grep -qF " $work/" /proc/mounts || rm -rf "$work"
}

finish() {
	trap - EXIT
	check_leftovers
	echo
	printf '%s\n' "${table[@]}"
	echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s; logs are in ${logs#"$top"/}"
	if [ "$skipped" -gt 0 ]; then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then
		exit 1
	fi
	exit 0
}

trap 'failed=$((failed + 1)); finish' INT TERM HUP
trap finish EXIT

if [ -n "$install" ] && ! install_packages build run demo test; then
	failed=$((failed + 1))
	exit 1
fi
for part in $parts; do
	echo "== $part"
	case $part in
	unit | clang | lint | quickstart | asan | tsan | fuzz) "part_$part" ;;
	e2e) part_e2e "$@" ;;
	*)
		echo "no such part: $part" >&2
		failed=$((failed + 1))
		;;
	esac
done
