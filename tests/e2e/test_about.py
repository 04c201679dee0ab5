"""docs/semantics.md, "/.batchfs": what the mount tells about itself."""

import os
import re

from inputs import records
from mountkit import sh, until

METRIC = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+]?[0-9.eE+naif-]+$")


def about(mount, name):
    return (mount.dir / ".batchfs" / name).read_text(encoding="utf-8")


def test_it_is_listed_by_ls_a_and_holds_the_documented_files(mount):
    assert ".batchfs" in os.listdir(mount.dir)
    assert {"README", "source", "version", "jobs", "events", "metrics", "models"} <= \
        set(os.listdir(mount.dir / ".batchfs"))


def test_readme_teaches_the_use(mount):
    text = about(mount, "README")
    for word in ("mkdir", "input.jsonl", "model", "wait", "output.jsonl", "ctl"):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 100


def test_source_and_version_are_one_line(mount):
    assert about(mount, "source") == "local:\n"
    assert re.fullmatch(r"(batchfs )?\d+\.\d+\.\d+\S*\n", about(mount, "version"))


def test_jobs_has_a_line_a_job(mount, name):
    mount.run(name, records(4))
    mount.job(name + "-draft")
    lines = about(mount, "jobs").splitlines()
    assert [line for line in lines if name in line and "Completed" in line]
    assert [line for line in lines if name + "-draft" in line and "Draft" in line]
    assert lines[0].split()[-3:] == ["PARTS", "QUEUE", "NAME"]
    assert ["1/1/1", "-", name] in [line.split()[-3:] for line in lines]
    assert ["-", "-", name + "-draft"] in [line.split()[-3:] for line in lines]


def test_events_grow(mount, name):
    with open(mount.dir / ".batchfs" / "events", encoding="utf-8") as f:
        f.read()
        mount.run(name, records(1))
        told = ""

        def more():
            nonlocal told
            told += f.read()
            return "Completed" in told and name in told

        until(more, 5, "the events did not tell of the job")


def test_metrics_are_prometheus_text(mount, name):
    mount.run(name, records(4))
    lines = about(mount, "metrics").splitlines()
    values = [line for line in lines if not line.startswith("#")]
    assert values and all(METRIC.match(line) for line in values), values
    assert all(line.split()[0].startswith("batchfs_") for line in values)
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    assert {line.split("{")[0].split()[0] for line in values} <= typed


def test_models_lists_the_builtins_and_the_configured_ones(new_mount):
    mount = new_mount(config="[model mine]\ncommand = /bin/cat\n").start()
    models = about(mount, "models")
    for word in ("builtin.echo", "builtin.template", "builtin.hash-embed", "builtin.fail",
                 "builtin.slow", "mine"):
        assert re.search(rf"^{re.escape(word)}\b", models, re.M), word


def test_nothing_in_it_can_be_changed(mount):
    for command in ("touch new", "rm README", "mkdir x", "echo x > version", "mv README R"):
        assert sh(command, mount.dir / ".batchfs").returncode != 0, command
    assert about(mount, "version")
