#!/bin/sh
# From a clone to a finished batch job in one command: installs what is missing
# (Debian), builds, mounts local:, runs a job over docs/examples and shows the
# results with ordinary tools.  Nothing stays behind, unless --keep is given.
set -eu

usage() {
	cat <<'TEXT'
usage: docs/quickstart.sh [--keep]

  --keep   leave the mount up at the end, to play with
TEXT
}

keep=
case ${1-} in
'') ;;
--keep) keep=yes ;;
-h | --help)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 2
	;;
esac

top=$(cd "$(dirname "$0")/.." && pwd)
examples=$top/docs/examples
. "$top/docs/packages.sh"

bold='' plain=''
if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() {
	printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

# Runs a command quietly; what it said is shown if it fails.
quiet() {
	said=$("$@" 2>&1 </dev/null) || {
		printf '%s\n' "$said" >&2
		return 1
	}
}

# Prints a command as it would be typed, then runs it in the mount.
show() {
	printf '$ %s\n' "$1"
	(cd "$mnt" && sh -c "$1") </dev/null
}

if [ ! -e /dev/fuse ]; then
	cat >&2 <<'TEXT'
There is no /dev/fuse here, and without it nothing can be mounted.
  On a machine:    sudo modprobe fuse
  In a container:  start it with  --device /dev/fuse --cap-add SYS_ADMIN
                   (on Ubuntu hosts also  --security-opt apparmor=unconfined)
TEXT
	exit 1
fi

say "1. Packages"
install_packages build run demo
echo "Everything needed is installed."

say "2. Build"
cd "$top"
[ -f build/build.ninja ] || quiet meson setup build --buildtype=release
quiet meson compile -C build
batchfs=$top/build/fs/batchfs
"$batchfs" --version

work=$(mktemp -d "${TMPDIR:-/tmp}/batchfs-demo.XXXXXX")
mnt=$work/batch
mkdir "$mnt"

cleanup() {
	code=$?
	trap - EXIT INT TERM HUP
	cd /
	pid=$(cut -d' ' -f1 "$work/state/lock" 2>/dev/null) || pid=
	for _ in 1 2 3 4 5; do
		grep -qF " $mnt " /proc/mounts || break
		fusermount3 -u "$mnt" 2>/dev/null || sleep 1
	done
	grep -qF " $mnt " /proc/mounts && fusermount3 -u -z "$mnt"
	for _ in 1 2 3 4 5 6 7 8 9 10; do # it ends by itself once unmounted
		if [ -z "$pid" ] || [ ! -e "/proc/$pid/exe" ]; then
			break
		fi
		sleep 0.3
	done
	rmdir "$mnt" 2>/dev/null && rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "3. Mount: jobs on this machine, in $mnt"
echo "\$ batchfs local: $mnt"
"$batchfs" local: "$mnt" -o "state=$work/state,cache=$work/cache,settle=1,poll=0.5"

say "4. A job is a directory: put in the records, then name the model"
show "mkdir audit"
show "cp '$examples/conversations.jsonl' audit/input.jsonl"
show "head -c 340 audit/input.jsonl; echo ..."
show "echo 'delay_ms = 150' > audit/config      # for each record, so that there is something to see"
show "echo builtin.slow > audit/model           # both are there: the job is submitted"

say "5. Watch it"
tries=0
while :; do
	state=$(cat "$mnt/audit/status")
	printf '%-12s %s\n' "$state" "$(cat "$mnt/audit/progress")"
	tries=$((tries + 1))
	case $state in
	Draft | Settling | Uploading | Queued | Submitted | Validating | Scheduled | InProgress | Fetching) ;;
	*) break ;;
	esac
	[ "$tries" -lt 60 ] || break
	sleep 1
done
show "cat audit/wait                            # returns when the job has ended"

say "6. Results, with the tools you have"
show "ls audit"
show "ls audit/text | wc -l"
show "cat audit/text/conv-0001.txt"
show "grep -li sleep audit/text/* | head -n 5"
show "jq -r '[.recordId, .modelOutput.stopReason, .modelOutput.usage.outputTokens] | @tsv' \\
    audit/output.jsonl | head -n 5 | column -t"

say "7. When records fail: retry runs only what failed"
show "mkdir shaky && head -n 60 audit/input.jsonl > shaky/input.jsonl && echo builtin.fail > shaky/model"
show "cat shaky/wait; cat shaky/progress"
show "head -n 1 shaky/errors.jsonl | jq -c 'del(.modelInput)'"
show "echo retry > shaky/ctl; cat shaky/wait"
show "cat shaky/progress; wc -l < shaky/errors.jsonl"

say "What next"
cat <<TEXT
The builtins are no language models: they answer by fixed rules, to show the way.

Your own data    one JSON object a line: {"recordId":"a1","modelInput":{...}}
A real model     name a server or a program in a file and mount with it, for example Ollama:
                     cat > my.conf <<END
                     [model llama]
                     url = http://127.0.0.1:11434/v1
                     served_model = llama3.2
                     END
                     $batchfs local: DIR -o config=\$PWD/my.conf
                 then  echo llama > JOB/model
All the rest     README.md, docs/semantics.md, man ./docs/batchfs.1
TEXT
if [ -n "$keep" ]; then
	trap - EXIT INT TERM HUP
	cat <<TEXT

The mount stays up:  cd $mnt
To end it:           fusermount3 -u $mnt && rm -r $work
TEXT
fi
