"""docs/semantics.md, "Starting and ending": one clear line, and an exit code."""

import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from inputs import records
from mountkit import mounted, sh, until


def run(mount, *arguments, timeout=20, **kw):
    return subprocess.run([mount.binary, *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, **kw)


def refused(done, *words):
    """One clear line, not zero."""
    assert done.returncode > 0, done
    text = done.stderr.strip()
    assert len(text.splitlines()) == 1, text
    for word in words:
        assert str(word) in text, text
    return text


def test_version_and_help_go_to_stdout(new_mount):
    mount = new_mount()
    version = run(mount, "--version")
    assert version.returncode == 0 and version.stdout.startswith("batchfs 0.")
    helped = run(mount, "--help")
    assert helped.returncode == 0
    for word in ("MOUNTPOINT", "state=", "cache=", "config=", "settle=", "poll=", "submit=",
                 "allow_other", "ro", "-f", "-d"):
        assert word in helped.stdout, word
    assert not helped.stderr and not version.stderr


@pytest.mark.short
@pytest.mark.parametrize("option,word", [
    ("no_such_option", "no_such_option"), ("settle=abc", "settle"), ("settle=-1", "settle"),
    ("settle", "settle"), ("poll=0x10", "poll"), ("settle=nan", "settle"),
    ("settle=1e99", "settle"), ("submit=perhaps", "submit"), ("config=/no/such/file", "/no/such/file"),
    ("settle_input=", "settle_input"), ("max_records_per_job=0", "max_records_per_job"),
    ("max_jobs=1", "only bedrock: has this option")])
def test_a_wrong_option_is_one_line_that_names_it(new_mount, option, word):
    mount = new_mount()
    refused(run(mount, "local:", str(mount.dir), "-o", f"{mount.option_text()},{option}"), word)
    assert not mounted(mount.dir)


@pytest.mark.parametrize("arguments", [[], ["-x"], ["--no-such"], ["a", "b", "c"]])
def test_wrong_arguments_are_refused(new_mount, arguments):
    done = run(new_mount(), *arguments)
    assert done.returncode > 0 and done.stderr.strip()


def test_an_unknown_source_is_refused_by_name(new_mount):
    mount = new_mount()
    refused(run(mount, "elsewhere:", str(mount.dir), "-o", mount.option_text()), "elsewhere")


def test_a_missing_mount_point_and_one_that_is_a_file(new_mount, base):
    mount = new_mount()
    refused(run(mount, "local:", str(base / "none"), "-o", mount.option_text()), base / "none")
    (base / "file").write_text("x")
    refused(run(mount, "local:", str(base / "file"), "-o", mount.option_text()), base / "file")


def test_a_config_file_with_a_fault_is_named_with_its_line(new_mount):
    mount = new_mount(config="[model x]\ncommand = /bin/cat\nno_such_key = 1\n")
    text = refused(run(mount, "local:", str(mount.dir), "-o", mount.option_text()), "no_such_key")
    assert re.search(r"batchfs\.conf:3: ", text), text


@pytest.mark.short
def test_it_goes_to_the_background_once_the_mount_answers(new_mount):
    mount = new_mount()
    done = subprocess.run(mount.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=20)
    try:
        assert done.returncode == 0
        assert (mount.dir / ".batchfs" / "version").exists(), "it answers at once"
        pid = int((mount.state / "lock").read_text().split()[0])
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.getsid(pid) != os.getsid(0)
        job = mount.run("one", records(3))
        assert job.status() == "Completed"
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)
    until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the daemon lives on")


def test_the_background_daemon_keeps_no_descriptor_of_its_caller(new_mount):
    """$(batchfs ...) must return, and so must a pipe."""
    mount = new_mount()
    done = run(mount, *mount.command()[1:])
    try:
        assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)


def test_the_source_may_be_left_out(new_mount):
    mount = new_mount()
    done = run(mount, str(mount.dir), "-o", mount.option_text())
    try:
        assert done.returncode == 0
        assert (mount.dir / ".batchfs" / "source").read_text() == "local:\n"
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)


def test_relative_paths_mean_the_callers_directory(new_mount):
    mount = new_mount()
    done = run(mount, "local:", "mnt", "-o", "state=state,cache=cache", cwd=mount.base)
    try:
        assert done.returncode == 0, done.stderr
        assert mounted(mount.dir) and (mount.state / "state.db").exists()
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)


def test_without_options_the_xdg_directories_are_used(new_mount):
    mount = new_mount()
    env = {"HOME": str(mount.base), "PATH": os.environ["PATH"]}
    done = run(mount, "local:", str(mount.dir), env=env)
    try:
        assert done.returncode == 0, done.stderr
        assert (mount.base / ".local/state/batchfs/local/state.db").exists()
        assert os.stat(mount.base / ".local/state/batchfs/local").st_mode & 0o777 == 0o700
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)


@pytest.mark.short
def test_a_second_daemon_on_the_same_state_is_refused_by_name(new_mount):
    first, second = new_mount().start(), new_mount()
    second.state = first.state
    text = refused(run(second, *second.command()[1:]), first.dir)
    assert str(first.proc.pid) in text
    assert first.answers() and not mounted(second.dir)


@pytest.mark.parametrize("size", [0, 100, 8192])
def test_a_damaged_database_is_refused_with_words_and_not_touched(new_mount, size):
    mount = new_mount().start()
    mount.run("one", records(2))
    mount.stop()
    database = mount.state / "state.db"
    for extra in ("-wal", "-shm"):
        (mount.state / f"state.db{extra}").unlink(missing_ok=True)
    damaged = os.urandom(size) if size else b""
    database.write_bytes(damaged)
    done = run(mount, *mount.command()[1:])
    if size == 0 and done.returncode == 0:
        sh(f"fusermount3 -u {mount.dir}", check=0)
        pytest.skip("an empty file is a new database to SQLite")
    refused(done, "state.db")
    assert database.read_bytes() == damaged
    assert not mounted(mount.dir)


def test_a_database_of_a_newer_program_is_refused_with_words(new_mount):
    mount = new_mount().start()
    mount.run("one", records(2))
    mount.stop()
    with sqlite3.connect(mount.state / "state.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    refused(run(mount, *mount.command()[1:]), "state.db", "newer")
    with sqlite3.connect(mount.state / "state.db") as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 9999
    db.close()


@pytest.mark.short
def test_a_mount_point_left_stale_by_kill_9_is_cleaned_or_its_cure_is_printed(new_mount):
    mount = new_mount().start()
    mount.proc.kill()
    mount.proc.wait()
    assert mounted(mount.dir)
    with pytest.raises(OSError):
        os.listdir(mount.dir)
    done = run(mount, *mount.command()[1:])
    if done.returncode != 0:
        text = refused(done, mount.dir)
        assert "fusermount3 -u" in text or "umount" in text
        sh(f"fusermount3 -u -z {mount.dir}", check=0)
        done = run(mount, *mount.command()[1:])
    assert done.returncode == 0, done.stderr
    assert (mount.dir / ".batchfs").is_dir()
    sh(f"fusermount3 -u {mount.dir}", check=0)
    until(lambda: not mounted(mount.dir), 5, "still mounted")


def test_a_mount_point_in_use_by_another_mount_is_not_taken_from_it(new_mount):
    first, second = new_mount().start(), new_mount()
    second.dir = first.dir
    done = run(second, *second.command()[1:])
    if done.returncode == 0:  # mounted on top, as mount(8) would
        sh(f"fusermount3 -u {first.dir}", check=0)
    assert first.answers()


@pytest.mark.short
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_ends_with_zero(new_mount, number):
    mount = new_mount().start()
    job = mount.job("one")
    job.fill(records(50), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    mount.proc.send_signal(number)
    if number == signal.SIGHUP:  # may mean something else; it must not crash
        time.sleep(0.5)
        if mount.alive():
            return
    assert mount.proc.wait(15) == 0
    assert not mounted(mount.dir)
    mount.check_log()


def test_sigterm_with_an_open_file_still_ends(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    with open(job / "status"):
        mount.proc.send_signal(signal.SIGTERM)
        assert mount.proc.wait(15) == 0
    assert not mounted(mount.dir)


def test_a_read_only_mount_shows_everything_and_changes_nothing(new_mount):
    mount = new_mount().start()
    mount.run("one", records(3))
    mount.stop()
    mount.options["ro"] = None
    mount.start()
    job = mount.dir / "one"
    assert (job / "status").read_text() == "Completed\n"
    assert len((job / "output.jsonl").read_bytes().splitlines()) == 3
    for command in (f"mkdir {mount.dir}/two", f"echo retry > {job}/ctl", f"rm -r {job}",
                    f"touch {job}/x", f"mv {job} {job}-2"):
        done = sh(command)
        assert done.returncode != 0 and "Read-only" in done.stderr, command


MOUNT_AND_LOOK = """
set -e
mount --bind {bin} /usr/local/bin
mount -t fuse.batchfs local: {mnt} -o {options}
cat {mnt}/.batchfs/source
grep ' {mnt} ' /proc/self/mounts | cut -d' ' -f3
umount {mnt}
"""


@pytest.mark.parametrize("extra", ["", ",rw,noatime,exec,suid,dev", ",_netdev,nofail,user"])
def test_mount_t_fuse_batchfs(new_mount, extra):
    """In a mount namespace of its own: mount.fuse3 looks in the system's directories only."""
    if not os.path.exists("/sbin/mount.fuse3") or sh("unshare -m true").returncode != 0:
        pytest.skip("mount.fuse3 or unshare(1) does not work here")
    mount = new_mount()
    programs = mount.base / "bin"
    programs.mkdir()
    (programs / "batchfs").symlink_to(mount.binary)
    script = MOUNT_AND_LOOK.format(bin=programs, mnt=mount.dir, options=mount.option_text() + extra)
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script],
                          capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sh(f"pkill -9 -f {mount.dir}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "local:\nfuse.batchfs\n"


def test_others_see_nothing_without_allow_other(new_mount):
    mount = new_mount().start()
    mount.base.chmod(0o755)
    done = sh(f"ls {mount.dir}", user=65534, group=65534)
    assert done.returncode != 0 and "denied" in done.stderr


@pytest.mark.short
def test_with_allow_other_others_read_and_only_the_owner_writes_and_spends(new_mount):
    mount = new_mount({"allow_other": None}).start()
    mount.base.chmod(0o755)
    job = mount.run("one", records(3))
    other = {"user": 65534, "group": 65534, "extra_groups": []}
    assert sh(f"cat {job}/status {job}/text/rec-00001.txt", **other).stdout == \
        "Completed\nthe text of rec-00001\n"
    for command in (f"mkdir {mount.dir}/two", f"echo retry > {job}/ctl", f"rm -r {job}",
                    f"touch {job}/x", f"mv {job} {job}-2", f"chmod 777 {job}/input.jsonl",
                    f"touch -d 2001-01-01 {job}/input.jsonl"):
        done = sh(command, **other)
        assert done.returncode != 0, command
        assert "denied" in done.stderr or "not permitted" in done.stderr, done.stderr
    assert job.status() == "Completed"


def test_the_directories_it_makes_are_for_the_owner_alone(new_mount):
    mount = new_mount().start()
    for path in (mount.state, mount.cache, mount.dir):
        assert os.stat(path).st_mode & 0o777 == 0o700, path


def test_options_reach_the_daemon_with_fractions(new_mount):
    mount = new_mount({"settle": "0.25", "settle_input": ".5", "poll": "2"}).start()
    assert mount.run("one", records(1)).status() == "Completed"


def test_ten_starts_and_ends_leave_nothing(new_mount):
    mount = new_mount()
    for _ in range(10):
        mount.start()
        mount.stop()
    assert not mounted(mount.dir)
    assert os.listdir(mount.dir) == []
