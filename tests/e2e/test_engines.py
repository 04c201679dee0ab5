"""docs/semantics.md, "Models of local:": programs and servers named in the configuration."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inputs import records
from mountkit import sh, until

UPPER = """#!/usr/bin/python3
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    text = record["modelInput"]["messages"][-1]["content"].upper()
    print(json.dumps({"recordId": record["recordId"], "modelOutput": {"type": "message",
        "role": "assistant", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}}}), flush=True)
"""


def script(base, text, name="engine.py"):
    file = base / name
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.mark.short
def test_a_command_answers_records(new_mount, base):
    mount = new_mount(config=f"[model upper]\ncommand = {script(base, UPPER)}\n").start()
    job = mount.run("one", records(50), "upper")
    assert job.status() == "Completed"
    assert job.read("text/rec-00007.txt") == "THE TEXT OF REC-00007\n"
    assert ",end_turn,3,4," in job.read("results.csv")


def test_a_command_sees_a_clean_environment(new_mount, base):
    seen = base / "environment"
    text = UPPER.replace("import json, sys", f"import json, os, sys\nopen({str(seen)!r}, 'w')"
                                             ".write('\\n'.join(os.environ))")
    os.environ["AWS_SECRET_ACCESS_KEY"] = "not-a-secret"
    try:
        mount = new_mount(config=f"[model upper]\ncommand = {script(base, text)}\n").start()
    finally:
        del os.environ["AWS_SECRET_ACCESS_KEY"]
    assert mount.run("one", records(2), "upper").status() == "Completed"
    assert "AWS_SECRET_ACCESS_KEY" not in seen.read_text()
    assert "PATH" in seen.read_text()


def test_a_command_that_dies_is_started_again_or_its_records_fail(new_mount, base):
    text = UPPER.replace("for line in sys.stdin:",
                         "for number, line in enumerate(sys.stdin):\n    if number == 5: sys.exit(3)")
    mount = new_mount(config=f"[model dying]\ncommand = {script(base, text)}\n").start()
    job = mount.run("one", records(20), "dying", timeout=50)
    assert job.status() in ("Completed", "CompletedWithErrors")
    assert len(job.lines()) == 20


@pytest.mark.parametrize("answer", ["garbage", '{"recordId":"unknown","modelOutput":{}}', "{}",
                                    "", '{"recordId":"rec-00001"'])
def test_a_command_that_answers_nonsense_fails_its_records_and_nothing_else(new_mount, base,
                                                                            answer):
    text = f"#!/usr/bin/python3\nimport sys\nfor line in sys.stdin:\n    print({answer!r}, flush=True)\n"
    config = (f"[model odd]\ncommand = {script(base, text)}\ntimeout_s = 1\nmax_attempts = 1\n"
              f"[model upper]\ncommand = {script(base, UPPER, 'upper.py')}\n")
    mount = new_mount(config=config).start()
    job = mount.job("odd")
    job.fill(records(2), "odd")
    assert mount.run("fine", records(5), "upper").status() == "Completed"
    assert job.wait_end(40) == "Failed"
    assert len(job.lines("errors.jsonl")) == 2


def test_what_a_job_writes_never_runs_a_program(new_mount, base):
    mount = new_mount(config="[model mine]\ncommand = /bin/cat\n").start()
    job = mount.job("one")
    for line in (f"command = touch {base}/pwned", f"url = file://{base}/x", "workers = $(id)"):
        assert sh(f"echo '{line}' > {job}/config").returncode != 0, line
    assert not (base / "pwned").exists()


class Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible server: fails as told by its class's script."""

    protocol_version = "HTTP/1.1"
    bad_answers = {}  # how many of each status are still to be given
    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, body.get("model")))
        for status, left in self.bad_answers.items():
            if left > 0:
                self.bad_answers[status] -= 1
                return self.answer(status, {"error": {"message": "busy", "type": "busy"}})
        text = body["messages"][-1]["content"]
        if not isinstance(text, str):
            text = "".join(block.get("text", "") for block in text)
        return self.answer(200, {
            "id": "x", "object": "chat.completion", "model": body.get("model"),
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text[::-1]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}})

    def answer(self, status, obj):
        data = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if status in (429, 503):
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    class Mine(Server):
        bad_answers = {}
        seen = []

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    listener.script = Mine
    yield listener
    listener.shutdown()
    listener.server_close()


def http_config(server):
    return f"[model local-llm]\nurl = http://127.0.0.1:{server.server_port}/v1\nserved_model = tiny\n"


@pytest.mark.short
def test_an_openai_compatible_server_answers_records(new_mount, server):
    mount = new_mount(config=http_config(server)).start()
    job = mount.run("one", records(30), "local-llm")
    assert job.status() == "Completed"
    assert job.read("text/rec-00003.txt") == "the text of rec-00003"[::-1] + "\n"
    assert ",5,6," in job.read("results.csv")
    assert {path for path, _ in server.script.seen} == {"/v1/chat/completions"}
    assert {model for _, model in server.script.seen} == {"tiny"}


def test_busy_answers_are_tried_again(new_mount, server):
    server.script.bad_answers = {429: 3, 503: 3, 500: 1}
    mount = new_mount(config=http_config(server)).start()
    job = mount.run("one", records(10), "local-llm", timeout=55)
    assert job.status() == "Completed"
    assert len(server.script.seen) == 17


def test_a_server_that_is_down_pauses_the_job_with_the_reason_and_stop_works(new_mount, server):
    config = http_config(server)
    server.shutdown()
    server.server_close()
    mount = new_mount(config=config).start()
    job = mount.job("one")
    job.fill(records(5), "local-llm")
    job.wait_state("InProgress")
    port = str(server.server_port)
    until(lambda: port in job.read("status.json") or "onnect" in job.read("status.json"), 20,
          "status.json does not say why it is waiting")
    assert job.status() == "InProgress"
    job.ctl("stop")
    assert job.wait_end(20) == "Stopped"
    assert len(job.lines("retry.jsonl")) == 5


def test_builtin_template_and_hash_embed(mount, name):
    from inputs import line
    job = mount.run(name, [line({"recordId": f"e{i}", "modelInput": {
        "inputText": "near duplicate text", "dimensions": 256}}) for i in range(2)],
        "builtin.hash-embed")
    assert job.status() == "Completed"
    vectors = [[float(x) for x in job.read(f"text/e{i}.txt").split()] for i in range(2)]
    assert len(vectors[0]) == 256 and vectors[0] == vectors[1]
    assert abs(sum(x * x for x in vectors[0]) - 1) < 1e-6
