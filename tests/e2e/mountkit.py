"""A batchfs daemon under test: starting it, watching it, ending it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ENDS = ("Completed", "CompletedWithErrors", "PartiallyCompleted", "Failed", "Stopped", "Expired")

QUICK = {"settle": "0.3", "settle_input": "0.6", "poll": "0.1"}

# What a daemon in good health never prints, sanitizers included.
TROUBLE = re.compile(r"\berror: |AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")

live = set()  # mounts that are up, for the watchdog


def find_binary():
    """BATCHFS_BIN, or the newest build's."""
    given = os.environ.get("BATCHFS_BIN")
    if given:
        return str(Path(given).resolve())
    built = sorted(ROOT.glob("build*/fs/batchfs"), key=lambda p: p.stat().st_mtime)
    return str(built[-1]) if built else None


def sanitized():
    """Is the program slowed down by a sanitizer, so that sizes and times tell nothing?"""
    return bool(os.environ.get("BATCHFS_SANITIZED"))


def until(question, timeout=15, why="it did not happen", pause=0.02):
    """Asks until the answer is truthy, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{why} within {timeout} s"
        time.sleep(pause)


def sh(command, cwd=None, timeout=30, check=None, **kw):
    """Runs a shell line with output caught; check: the exit code it must have."""
    done = subprocess.run(["bash", "-c", command], cwd=cwd, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, errors="replace", **kw)
    if check is not None:
        assert done.returncode == check, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def need(*programs):
    """Skips the test where a program is not installed."""
    import pytest

    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def mounted(path):
    wanted = str(path).replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split(" ")[4] == wanted for line in f)


class Mount:
    """One source, mount point, state and cache; start() and stop() as often as you like."""

    source = "local:"

    def __init__(self, base, binary, options=None, config=None):
        self.base, self.binary = Path(base), binary
        self.dir, self.state, self.cache = (self.base / n for n in ("mnt", "state", "cache"))
        self.log = self.base / "daemon.log"
        self.options = dict(QUICK, **(options or {}))
        self.proc = None
        self.base.mkdir(exist_ok=True, parents=True)
        self.dir.mkdir(exist_ok=True)
        if config is not None:
            file = self.base / "batchfs.conf"
            file.write_text(config)
            self.options["config"] = str(file)

    # --- life ---

    def option_text(self):
        pairs = {"state": self.state, "cache": self.cache, **self.options}
        return ",".join(k if v is None else f"{k}={v}" for k, v in pairs.items())

    def command(self, *extra):
        return [self.binary, self.source, str(self.dir), *extra, "-o", self.option_text()]

    def environment(self):
        return dict(os.environ, XDG_CONFIG_HOME=str(self.base))  # not the developer's own models

    def start(self, timeout=20):
        self.proc = subprocess.Popen(self.command("-f"), stdin=subprocess.DEVNULL,
                                     env=self.environment(), stdout=open(self.log, "ab"), stderr=subprocess.STDOUT,
                                     start_new_session=True)
        live.add(self)
        deadline = time.monotonic() + timeout
        while not self.answers():
            if self.proc.poll() is not None:
                live.discard(self)
                raise AssertionError(f"batchfs ended with {self.proc.returncode}:\n{self.said()}")
            assert time.monotonic() < deadline, f"no mount within {timeout} s:\n{self.said()}"
            time.sleep(0.01)
        return self

    def answers(self):
        return mounted(self.dir) and (self.dir / ".batchfs" / "version").exists()

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def stop(self, timeout=20):
        """A clean end, by unmounting; the daemon must say that it was one."""
        def unmount():
            done = subprocess.run(["fusermount3", "-u", str(self.dir)], capture_output=True)
            return done.returncode == 0 or not mounted(self.dir)

        if not self.alive():
            self.clear()
            raise AssertionError(f"the daemon had died:\n{self.said()}")
        try:
            until(unmount, 5, "busy: it could not be unmounted")
            code = self.proc.wait(timeout)
        finally:
            self.clear()
        assert code == 0, f"the daemon ended with {code}:\n{self.said()}"
        self.check_log()

    def kill(self):
        """kill -9, as a power cut would; the stale mount point is cleared away."""
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()
        self.clear()

    def clear(self):
        """Leaves nothing behind, whatever the state of things."""
        if self.alive():
            self.proc.kill()
            self.proc.wait()
        for _ in range(3):
            if not mounted(self.dir):
                break
            subprocess.run(["umount", "-l", str(self.dir)], capture_output=True)
        live.discard(self)

    def restart(self):
        self.stop()
        return self.start()

    def said(self):
        return self.log.read_text(errors="replace")[-12000:] if self.log.exists() else ""

    def check_log(self):
        bad = [line for line in self.said().splitlines() if TROUBLE.search(line)]
        assert not bad, "the daemon printed:\n" + self.said()

    # --- what it uses ---

    def proc_status(self, key):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise KeyError(key)

    def thread_count(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/task"))

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    # --- jobs ---

    def job(self, name):
        """A draft."""
        job = Job(self.dir / name)
        job.path.mkdir()
        return job

    def run(self, name, lines, model="builtin.echo", config=None, timeout=30):
        """A job brought to its end."""
        job = self.job(name)
        job.fill(lines, model, config)
        job.wait_end(timeout)
        return job


class Memory(threading.Thread):
    """The most memory a mount's daemon had, sampled, in KiB; over.set() ends it."""

    def __init__(self, mount):
        super().__init__(daemon=True)
        self.mount, self.anon, self.rss, self.over = mount, 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.anon = max(self.anon, self.mount.proc_status("RssAnon"))
                self.rss = max(self.rss, self.mount.proc_status("VmRSS"))
            except (OSError, KeyError, AttributeError):
                pass  # it is being started again


@contextlib.contextmanager
def looked_after(base, make):
    """make(place, ...), for mounts below base; those up at the end must end cleanly."""
    made = []

    def make_one(*words, **named):
        made.append(make(base / f"m{len(made)}", *words, **named))
        return made[-1]

    yield make_one
    try:
        for mount in made:
            if mount.alive():
                mount.stop()
            elif mount.proc is not None:
                mount.check_log()
    finally:
        for mount in made:
            mount.clear()


class Job:
    """A job's directory."""

    def __init__(self, path):
        self.path = Path(path)

    def __truediv__(self, name):
        return self.path / name

    def __fspath__(self):
        return str(self.path)

    def __str__(self):
        return str(self.path)

    @property
    def name(self):
        return self.path.name

    def fill(self, lines, model="builtin.echo", config=None):
        """Input, configuration and model, in the order the README teaches."""
        data = lines if isinstance(lines, bytes) else b"".join(lines)
        (self / "input.jsonl").write_bytes(data)
        if config:
            (self / "config").write_text(config)
        if model:
            (self / "model").write_text(model + "\n")

    def read(self, name):
        return (self / name).read_text(encoding="utf-8")

    def status(self):
        return self.read("status").rstrip("\n")

    def wait_state(self, *states, timeout=20):
        seen = []

        def reached():
            word = self.status()
            if not seen or seen[-1] != word:
                seen.append(word)
            return word if word in states else None

        try:
            return until(reached, timeout, f"no {' or '.join(states)}")
        except AssertionError as e:
            raise AssertionError(f"{e}; seen {seen}; error: {self.read('error')!r}") from None

    def wait_end(self, timeout=30):
        return self.wait_state(*ENDS, timeout=timeout)

    def ctl(self, word):
        (self / "ctl").write_text(word + "\n")

    def lines(self, name="output.jsonl"):
        """The lines of a JSONL file, split on 0x0A only; the last one must be whole."""
        data = (self / name).read_bytes()
        assert not data or data.endswith(b"\n"), f"{name} does not end at a line boundary"
        return data.split(b"\n")[:-1]
