"""What must hold when things race, are pulled away or come in numbers: inodes whose name has gone,
ends by signal under load, limits of numbers, storms of readers and pollers."""

import errno
import fcntl
import os
import random
import select
import signal
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from inputs import records
from mountkit import mounted, sanitized, sh, until

# --- inodes whose name has gone ---


def test_an_unlinked_file_that_is_open_goes_on(draft):
    fd = os.open(draft / "scratch", os.O_RDWR | os.O_CREAT)
    try:
        os.write(fd, b"hello")
        os.unlink(draft / "scratch")
        os.ftruncate(fd, 3)
        os.pwrite(fd, b"J", 0)
        os.utime(fd, ns=(5_000_000_001, 6_000_000_002))
        os.fchmod(fd, 0o640)
        st = os.fstat(fd)
        assert (st.st_size, st.st_nlink, st.st_mtime_ns) == (3, 0, 6_000_000_002)
        assert stat.S_IMODE(st.st_mode) == 0o640
        assert os.pread(fd, 10, 0) == b"Jel"
    finally:
        os.close(fd)
    assert not (draft / "scratch").exists()


def test_what_is_open_outlives_the_job(mount, name):
    job = mount.run(name, records(3))
    fds = {n: os.open(job / n, os.O_RDONLY) for n in
           ("status", "log", "output.jsonl", "text/rec-00001.txt", "input.jsonl", "output")}
    sizes = {n: os.fstat(fd).st_size for n, fd in fds.items()}
    sh(f"rm -r {job}", check=0)
    for n, fd in fds.items():
        assert os.fstat(fd).st_size >= sizes[n], n
        os.close(fd)


def race(seconds, *workers):
    """Runs the workers over and over, side by side; the errors they met."""
    errors, end = [], time.monotonic() + seconds

    def run(work):
        while time.monotonic() < end:
            try:
                work()
            except OSError as e:
                errors.append((work.__name__, errno.errorcode[e.errno]))

    threads = [threading.Thread(target=run, args=(w,)) for w in workers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return errors


def test_a_file_that_is_replaced_is_never_absent(draft):
    (draft / "notes").write_text("0\n")

    def replace():
        (draft / "notes.new").write_text("1\n")
        os.rename(draft / "notes.new", draft / "notes")

    def read():
        assert (draft / "notes").read_text() in ("0\n", "1\n")

    def look():
        os.stat(draft / "notes")

    assert race(1.5, replace, read, look) == []


def test_a_file_may_be_made_by_many_at_once(draft):
    """O_CREAT without O_EXCL finds what another made a moment before."""
    start, errors = threading.Barrier(4), []

    def append():
        for i in range(300):
            start.wait()
            try:
                os.close(os.open(draft / f"notes-{i}", os.O_CREAT | os.O_WRONLY | os.O_APPEND))
            except OSError as e:
                errors.append(errno.errorcode[e.errno])

    threads = [threading.Thread(target=append) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def test_made_removed_and_renamed_by_many_at_once(mount, name):
    """Each answer is one of those a local directory gives, and the daemon lives."""
    names = [mount.dir / f"{name}-{i}" for i in range(3)]

    def make():
        os.mkdir(random.choice(names))

    def fill():
        job = random.choice(names)
        (job / "scratch").write_text("x")
        (job / "media").mkdir()

    def move():
        os.rename(random.choice(names), random.choice(names))

    def remove():
        sh(f"rm -rf {random.choice(names)}")

    def scan():
        sh(f"find {mount.dir} -name '{name}*' -exec ls -lR {{}} +")

    errors = {e for _, e in race(3, make, fill, move, remove, scan)}
    assert errors <= {"EEXIST", "ENOENT", "ENOTEMPTY"}
    until(lambda: sh(f"rm -rf {mount.dir}/{name}-*").returncode == 0, 10)


def test_media_can_be_made_again_at_once(draft):
    (draft / "media").mkdir()
    (draft / "media").rmdir()
    assert not (draft / "media").exists()
    (draft / "media").mkdir()
    (draft / "media" / "a").write_text("a")
    assert os.listdir(draft / "media") == ["a"]


def test_an_ended_job_with_a_scratch_file_is_not_removed(mount, name):
    job = mount.job(name)
    (job / "media").mkdir()
    (job / "media" / "picture").write_text("x")
    job.fill(records(2))
    job.wait_end()
    (job / "scratch").write_text("mine")
    for root, dirs, files in os.walk(job, topdown=False):
        for f in files:
            if f != "scratch":
                os.unlink(os.path.join(root, f))
        for d in dirs:
            os.rmdir(os.path.join(root, d))
    with pytest.raises(OSError) as e:
        os.rmdir(job)
    assert e.value.errno == errno.ENOTEMPTY
    assert (job / "scratch").read_text() == "mine"


def test_rm_r_of_an_active_job_removes_nothing(mount, name):
    """What was there when it was submitted stays; an editor's own may come and go."""
    job = mount.job(name)
    (job / "media").mkdir()
    (job / "media" / "picture").write_text("x")
    (job / "notes").write_text("mine")
    job.fill(records(20), "builtin.slow", "delay_ms = 200\n")
    job.wait_state("InProgress")
    before = sorted(sh(f"find {job}", check=0).stdout.split())
    done = sh(f"rm -r {job}")
    assert done.returncode == 1 and "busy" in done.stderr
    assert sorted(sh(f"find {job}", check=0).stdout.split()) == before
    (job / ".input.jsonl.swp").write_text("x")
    os.unlink(job / ".input.jsonl.swp")
    job.ctl("stop")
    job.wait_end()
    sh(f"rm -r {job}", check=0)


def test_who_sees_the_end_of_a_retry_sees_its_results(new_mount):
    """By path, though the kernel had the last ones in its caches a moment before."""
    mount = new_mount({"poll": "0.01"}).start()
    for i in range(5):
        job = mount.run(f"job{i}", records(50), "builtin.fail")
        failed = sorted(n for n in os.listdir(job / "output")
                        if '"error"' in (job / "output" / n).read_text())
        before = os.stat(job / "output.jsonl").st_size
        assert failed
        with open(job / "output.jsonl", "rb") as f:
            job.ctl("retry")
            while job.status() != "Completed":
                os.stat(job / "output.jsonl")
                assert job.status() != "CompletedWithErrors"
            assert os.stat(job / "output.jsonl").st_size == len(
                (job / "output.jsonl").read_bytes()) != before
            for n in failed:
                assert '"error"' not in (job / "output" / n).read_text()
            assert os.fstat(f.fileno()).st_size == before == len(f.read())


# --- numbers ---


def test_a_job_whose_number_does_not_fit_is_refused(new_mount):
    mount = new_mount().start()
    mount.job("first")
    mount.stop()
    db = sqlite3.connect(mount.state / "state.db")
    db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'job'", ((1 << 22) - 2,))
    db.commit()
    db.close()
    mount.start()
    assert mount.run("last", records(2)).status() == "Completed"
    for _ in range(2):
        with pytest.raises(OSError) as e:
            os.mkdir(mount.dir / "more")
        assert e.value.errno == errno.ENOSPC
    assert not (mount.dir / "more").exists()
    assert sorted(os.listdir(mount.dir)) == [".batchfs", "first", "last"]
    mount.restart()
    assert sorted(os.listdir(mount.dir)) == [".batchfs", "first", "last"]


@pytest.mark.parametrize("where", ["root", "job"])
@pytest.mark.parametrize("raw, works", [
    (b"n" * 255, True), (b"n" * 256, False), (b"n" * 1000, False), (b"50% off", True),
    (b"\xf0\x9f\x98\x80", True), (b"a\\b", True), (b"%41", True), (b"\xff\xfe", None),
    (b"a\nb", None)])
def test_hostile_names(mount, name, where, raw, works):
    top = os.fsencode(mount.dir / name)
    os.mkdir(top)
    path = os.path.join(top if where == "job" else os.fsencode(mount.dir), raw)
    if works is None:  # a job's name stands on a line of a list; a scratch file's does not
        works = where == "job"
    try:
        if where == "root":
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError as e:
        assert not works
        assert e.errno == (errno.ENAMETOOLONG if len(raw) > 255 else errno.EINVAL)
        return
    assert works
    assert raw in os.listdir(os.path.dirname(path))
    os.lstat(path)
    (os.rmdir if where == "root" else os.unlink)(path)


# --- bytes ---


@pytest.mark.parametrize("file", ["scratch", "input.jsonl"])
def test_random_writes_truncations_and_reads_agree_with_a_reference(draft, file):
    """What fsx does: three descriptors with three ways through the cache, one reference."""
    rng, mirror = random.Random(file), bytearray()
    fds = [os.open(draft / file, flags) for flags in
           (os.O_RDWR | os.O_CREAT, os.O_WRONLY, os.O_RDONLY)]
    try:
        for _ in range(1500):
            at, size = rng.randrange(200_000), rng.randrange(1, 40_000)
            op = rng.random()
            if op < 0.45:
                data = rng.randbytes(size)
                os.pwrite(rng.choice(fds[:2]), data, at)
                mirror.extend(bytes(max(0, at + size - len(mirror))))
                mirror[at:at + size] = data
            elif op < 0.55:
                os.ftruncate(fds[0], at)
                del mirror[at:]
                mirror.extend(bytes(at - len(mirror)))
            else:
                assert os.pread(rng.choice(fds[::2]), size, at) == mirror[at:at + size]
            assert os.fstat(fds[2]).st_size == len(mirror)
    finally:
        for fd in fds:
            try:
                os.close(fd)
            except OSError as e:  # close tells that this is no JSON
                assert file == "input.jsonl" and e.errno == errno.EINVAL
    assert (draft / file).read_bytes() == mirror


def test_a_listing_can_be_gone_back_in(mount, name):
    """telldir and seekdir: what is read again from a place is the same, by another handle too."""
    job = mount.run(name, records(2000))
    program = r"""
        use strict; opendir(my $d, $ARGV[0]) or die; my (@at, @names);
        while (1) { push @at, telldir($d); my $n = readdir($d); last unless defined $n; push @names, $n }
        die scalar(@names) unless @names == 2002;
        for (1 .. 300) { my $i = int(rand(@names)); seekdir($d, $at[$i]);
            my $n = readdir($d); die "$i: $n" unless $n eq $names[$i] }
        opendir(my $other, $ARGV[0]) or die; readdir($other);
        seekdir($other, $at[1000]); my $n = readdir($other); die $n unless $n eq $names[1000];"""
    sh(f"perl -e '{program}' {job}/output", check=0)


# --- storms ---


def test_readers_by_the_hundred_are_interrupted_and_killed_at_random(mount, draft):
    fds = mount.fd_count()
    readers = [subprocess.Popen(["cat", draft / random.choice(["wait", "next"])],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for _ in range(150)]
    threads = mount.thread_count()
    random.shuffle(readers)
    for i, r in enumerate(readers[:100]):
        r.send_signal(signal.SIGKILL if i % 2 else signal.SIGINT)
    for r in readers[:100]:
        assert r.wait(10) != 0
    draft.fill(records(3))
    draft.wait_end()
    for r in readers[100:]:
        assert r.wait(10) == 0
    assert mount.thread_count() <= threads
    until(lambda: mount.fd_count() <= fds + 3, 5, "descriptors are left over")


def test_pollers_come_and_go_while_jobs_run(mount, name):
    """poll and epoll on every file that can be polled, closed with the poll registered."""
    job = mount.job(name)
    stop = threading.Event()
    errors = []

    def poll():
        rng = random.Random()
        try:
            while not stop.is_set():
                fds = [os.open(job / rng.choice(["status", "wait", "next", "progress", "ctl"]),
                               os.O_RDONLY | os.O_NONBLOCK) for _ in range(5)]
                with select.epoll() as e:
                    for fd in fds:
                        e.register(fd, select.EPOLLIN | select.EPOLLPRI)
                    for fd in fds[:rng.randrange(5)]:
                        os.close(fd)
                        fds.remove(fd)
                    e.poll(rng.random() / 50)
                    for fd in fds:
                        os.close(fd)
        except OSError as e:
            errors.append(e)

    threads = [threading.Thread(target=poll) for _ in range(6)]
    for t in threads:
        t.start()
    job.fill(records(20), "builtin.fail", "fail_rate = 1\nfail_attempts = 3\n")
    job.wait_end()
    for _ in range(4):
        if "retry" not in job.read("ctl").split():
            break
        job.ctl("retry")
        job.wait_end()
    stop.set()
    for t in threads:
        t.join()
    assert errors == []


def test_ten_thousand_opens_leave_nothing(mount, name):
    job = mount.run(name, records(100))
    program = f"""
import os
for i in range(1000):
    for n in ("status", "status.json", "log", "output.jsonl", "output/rec-00007.json", "wait",
              "input.jsonl", "text/rec-00003.txt", "progress", "ctl"):
        fd = os.open("{job}/" + n, os.O_RDONLY)
        os.read(fd, 1000)
        os.close(fd)
"""
    run = ["python3", "-c", program]
    subprocess.run(run, check=True)
    fds, threads, kb = mount.fd_count(), mount.thread_count(), mount.proc_status("VmRSS")
    subprocess.run(run, check=True)
    until(lambda: mount.fd_count() <= fds, 5, "descriptors are left over")
    assert mount.thread_count() <= threads
    if not sanitized():
        assert mount.proc_status("VmRSS") < kb + 2000


# --- ends ---

LOAD = """
for k in 1 2 3; do
    (for n in $(seq 200); do
        mkdir $k-$n; cp {input} $k-$n/input.jsonl; echo builtin.echo > $k-$n/model
        cat $k-$n/wait > /dev/null &
    done) &
done
for k in 1 2; do (while :; do ls -R . > /dev/null; done) & done
(while :; do cat */status */output.jsonl > /dev/null; done) &
(exec 5> 1-1/scratch; while :; do echo x >&5; done) &
(while :; do for x in *; do echo retry > $x/ctl; done; done) &
wait
"""


class Load:
    """Everything at once, in a session of its own."""

    def __init__(self, mount):
        file = mount.base / "records"
        file.write_bytes(b"".join(records(50)))
        self.proc = subprocess.Popen(["bash", "-c", LOAD.format(input=file)], cwd=mount.dir,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()


def busy_mount(new_mount):
    return new_mount({"poll": "0.01", "settle": "0", "settle_input": "0"}).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_ends_it_cleanly(new_mount, number):
    mount = busy_mount(new_mount)
    for _ in range(3):
        with Load(mount):
            time.sleep(0.3 + random.random())
            mount.proc.send_signal(number)
            assert mount.proc.wait(15) == 0, mount.said()
        assert not mounted(mount.dir)
        mount.check_log()
        mount.start()


def test_kill_9_under_load_leaves_nothing_stuck(new_mount):
    """The daemon dies at once, whatever it was telling the kernel, and the mount point can be
    cleared; a thread that waits in the kernel for a lookup it should have answered would stay."""
    mount = busy_mount(new_mount)
    for _ in range(6):
        with Load(mount):
            time.sleep(0.2 + random.random())
            mount.proc.send_signal(signal.SIGKILL)
            try:
                mount.proc.wait(10)
            except subprocess.TimeoutExpired:
                abort(mount)
                pytest.fail("killed, and still there")
        sh(f"fusermount3 -u -z {mount.dir}", check=0)
        mount.start()


def abort(mount):
    """Ends the kernel's side, so that what hangs can go."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            if line.split(" ")[4] == str(mount.dir):
                number = line.split(" ")[2].split(":")[1]
                sh(f"mount -t fusectl none /sys/fs/fuse/connections; "
                   f"echo 1 > /sys/fs/fuse/connections/{number}/abort")


def test_an_unmount_while_readers_are_parked(new_mount):
    mount = new_mount().start()
    job = mount.job("parked")
    readers = [subprocess.Popen(["cat", job / "wait"], stderr=subprocess.DEVNULL)
               for _ in range(20)]
    until(lambda: subprocess.run(["fusermount3", "-u", mount.dir],
                                 stderr=subprocess.DEVNULL).returncode != 0, 5)
    sh(f"fusermount3 -u -z {mount.dir}", check=0)
    mount.proc.send_signal(signal.SIGTERM)
    for r in readers:
        assert r.wait(10) != 0
    assert mount.proc.wait(10) == 0
    mount.check_log()


# --- beginnings ---


def background(mount, *args, **kw):
    return subprocess.run([*mount.command(*args)], timeout=20, **kw)


def pid_of(mount):
    return int((mount.state / "lock").read_text().split()[0])


def end_background(mount):
    pid = pid_of(mount)
    sh(f"fusermount3 -u {mount.dir}", check=0)
    until(lambda: not os.path.exists(f"/proc/{pid}"), 10)


def test_started_without_standard_descriptors_it_still_holds_its_lock(new_mount):
    mount = new_mount()
    other = mount.base / "other"
    other.mkdir()
    command = " ".join(mount.command())
    sh(f"exec {command} <&- >&- 2>&-", check=0)
    try:
        fds = {n: os.readlink(f"/proc/{pid_of(mount)}/fd/{n}") for n in range(3)}
        assert set(fds.values()) == {"/dev/null"}
        second = sh(command.replace(str(mount.dir), str(other)))
        assert second.returncode == 1
        assert f"pid {pid_of(mount)}, mounted on {mount.dir}" in second.stderr
        assert not mounted(other)
    finally:
        end_background(mount)


def test_in_the_background_nothing_of_the_callers_is_kept(new_mount):
    mount = new_mount()
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFD, 0)
    done = background(mount, stdin=subprocess.DEVNULL, stdout=write, stderr=write,
                      close_fds=False, cwd=mount.base)
    os.close(write)
    try:
        assert done.returncode == 0
        assert (mount.dir / ".batchfs" / "version").exists()
        with open(read, "rb") as f:  # ends only if nobody holds the other end
            assert f.read() == b""
        assert os.readlink(f"/proc/{pid_of(mount)}/cwd") == "/"
    finally:
        end_background(mount)


def test_an_empty_mount_point_is_none(binary, base):
    done = subprocess.run([binary, ""], cwd=base, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no mount point" in done.stderr
    assert not mounted(base)


@pytest.mark.parametrize("which", ["state", "cache"])
def test_a_state_or_cache_inside_the_mount_point_is_refused(new_mount, which):
    mount = new_mount()
    setattr(mount, which, mount.dir / "inside")
    done = background(mount, "-f", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"-o {which}=DIR" in done.stderr
    assert not mounted(mount.dir)


# --- others ---


def test_another_user_may_read_and_not_write(new_mount):
    mount = new_mount({"allow_other": None}).start()
    job = mount.run("shared", records(2))
    draft = mount.job("draft")

    def nobody(command):
        return sh(f"setpriv --reuid=65534 --regid=65534 --clear-groups bash -c '{command}'")

    assert nobody(f"cat {job}/status {job}/output/*").returncode == 0
    for command in (f"echo retry > {job}/ctl", f"mkdir {mount.dir}/mine", f"rmdir {draft}",
                    f"echo x > {draft}/model", f"rm -rf {job}", f"mv {draft} {mount.dir}/x",
                    f"touch {draft}/scratch", f"chmod 777 {draft}"):
        done = nobody(command)
        assert done.returncode != 0, command
        assert "ermission denied" in done.stderr or "not permitted" in done.stderr, command
