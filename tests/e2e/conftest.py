"""Mounts for the tests, and the watchdog that ends a test which hangs.

A test blocked in a system call on a dead-locked mount cannot be interrupted by
a signal; killing the daemon frees it.  So a thread does that first, and the
alarm that follows ends what is left.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import mountkit
from bedrockkit import cloud, cloud_session, new_bedrock, sdk  # noqa: F401, fixtures

DEFAULT_LIMIT_S = 60

numbers = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also what takes minutes")


def pytest_collection_modifyitems(config, items):
    reason = None
    if not os.path.exists("/dev/fuse"):
        reason = "there is no /dev/fuse here"
    elif os.geteuid() != 0:
        reason = "the tests of the mount need root"
    elif shutil.which("fusermount3") is None:
        reason = "fusermount3 is not installed"
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif item.get_closest_marker("slow") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="only with --long"))


@pytest.fixture(scope="session")
def binary():
    path = mountkit.find_binary()
    assert path and os.access(path, os.X_OK), "no batchfs: build it, or set BATCHFS_BIN"
    return path


@pytest.fixture(autouse=True)
def watchdog(request):
    marker = request.node.get_closest_marker("limit")
    limit = marker.args[0] if marker else DEFAULT_LIMIT_S
    if mountkit.sanitized():
        limit *= 3

    def free_the_hung():
        for mount in list(mountkit.live):
            mount.proc.kill()

    def too_long(_signal, _frame):
        raise TimeoutError(f"the test took over {limit} s")

    timer = threading.Timer(limit, free_the_hung)
    timer.daemon = True
    timer.start()
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(limit + 5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    timer.cancel()


def new_base():
    """A work directory others may enter: some tests look in as another user."""
    base = Path(tempfile.mkdtemp(prefix="batchfs-e2e-"))
    base.chmod(0o755)
    return base


def remove_base(base):
    inside = [line.split(" ")[4] for line in open("/proc/self/mountinfo", encoding="utf-8")]
    for point in sorted((p for p in inside if p.startswith(str(base) + "/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def base():
    """An empty directory for this test alone."""
    path = new_base()
    yield path
    remove_base(path)


@pytest.fixture
def new_mount(binary, base):
    """new_mount(options, config): a mount of the test's own, not started yet.

    What is up at the end is unmounted, and must end cleanly."""
    with mountkit.looked_after(base, lambda place, *words, **named: mountkit.Mount(
            place, binary, *words, **named)) as make:
        yield make


@pytest.fixture(scope="module")
def module_mount(binary):
    path = new_base()
    mount = mountkit.Mount(path, binary)
    mount.start()
    yield mount
    try:
        mount.stop()
    finally:
        mount.clear()
        remove_base(path)


@pytest.fixture
def mount(module_mount):
    """A mount that is up, shared by the tests of one file: use job names of your own."""
    if not module_mount.alive():
        module_mount.clear()
        module_mount.start()
    yield module_mount
    assert module_mount.alive(), f"the daemon died:\n{module_mount.said()}"


@pytest.fixture
def name(request):
    """A job name of this test's own."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[5:60].strip("-")
    return f"{words}-{next(numbers)}"


@pytest.fixture
def draft(mount, name):
    return mount.job(name)
