"""The http engine against a server that behaves, and one that does not.

Through local_open(), by the program run_local; no mount.  Each test has its
own server on port 0 and its own directory; the program is killed at the end
of a test if it still runs.
"""

import json
import os
import signal
import subprocess
import time

import pytest

from llm_server import LlmServer, Reply

RUN_LOCAL = os.environ.get("RUN_LOCAL", "build/tests/integration/run_local")
END_S = 40  # more than any of these needs on a slow machine


class Driver:
    """run_local on a directory of its own."""

    def __init__(self, path):
        self.path = path
        self.input = path / "input.jsonl"
        self.config = path / "config"
        self.runs = path / "runs"
        self.runs.mkdir()
        self.processes = []
        self.count = 0

    def write(self, url, records, **settings):
        lines = ["[model m]", "url = " + url]
        lines += ["%s = %s" % (k.replace("__", "."), v) for k, v in settings.items()]
        self.config.write_text("\n".join(lines) + "\n")
        self.input.write_text("".join(json.dumps(r) + "\n" for r in records))
        self.count = len(records)

    def start(self, *words):
        process = subprocess.Popen(
            [RUN_LOCAL, self.runs, self.config, self.input, "m", "token-1", str(self.count),
             *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def finish(self, process):
        out, err = process.communicate(timeout=END_S)
        assert process.returncode == 0, err
        result = json.loads(out)
        result["lines"] = {}
        for name in result["files"]:
            for line in open(name, encoding="utf-8", newline="\n"):
                line = json.loads(line)
                assert line["recordId"] not in result["lines"], "answered twice"
                result["lines"][line["recordId"]] = line
        return result

    def run(self, *words):
        return self.finish(self.start(*words))

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def driver(tmp_path):
    d = Driver(tmp_path)
    yield d
    d.close()


@pytest.fixture
def server():
    with LlmServer() as s:
        yield s


def chat(count, **more):
    return [{"recordId": "r%d" % i,
             "modelInput": {"messages": [{"role": "user", "content": "question r%d" % i}], **more}}
            for i in range(count)]


def one_record_of(server, name):
    """The requests there were for question NAME."""
    return [r for r in server.seen if r.record == "question " + name]


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def all_good(result, count):
    assert result["state"] == "Completed", result
    assert (result["good"], result["failed"]) == (count, 0)
    assert len(result["lines"]) == count


# What works.


def test_chat(driver, server):
    driver.write(server.url, chat(200, temperature=0.25), max_in_flight=8)
    result = driver.run()
    all_good(result, 200)
    for name, line in result["lines"].items():
        answer = line["modelOutput"]["choices"][0]["message"]["content"]
        assert answer == "answer to question " + name
        assert line["modelInput"]["messages"][0]["content"] == "question " + name
    assert (result["tokens_in"], result["tokens_out"]) == (400, 800)
    assert set(server.asked.values()) == {1}
    request = server.seen[0]
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "m" and request.body["temperature"] == 0.25
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("batchfs/")
    assert "expect" not in request.headers and "authorization" not in request.headers


def test_connections_are_kept_and_bounded(driver, server):
    server.plan = lambda request: Reply(delay=0.005)
    driver.write(server.url + "/v1", chat(300), max_in_flight=6)
    all_good(driver.run(), 300)
    assert server.most_at_once <= 6
    assert server.connections <= 6


def test_embeddings(driver, server):
    driver.write(server.url + "/v1", [
        {"recordId": "e%d" % i, "modelInput": {"input": "text %d" % i}} for i in range(20)])
    result = driver.run()
    all_good(result, 20)
    assert {r.path for r in server.seen} == {"/v1/embeddings"}
    assert result["lines"]["e3"]["modelOutput"]["data"][0]["embedding"] == [0.5, -0.25, 2]
    assert result["tokens_in"] == 40


def test_anthropic(driver, server, tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-ant-test\n")
    key.chmod(0o600)
    driver.write(server.url + "/v1/messages",
                 chat(20, anthropic_version="bedrock-2023-05-31", max_tokens=5, stream=True,
                      anthropic_beta=["one", "two"]),
                 key_file=key, served_model="claude-x")
    result = driver.run()
    all_good(result, 20)
    request = server.seen[0]
    assert request.body == {"model": "claude-x", "max_tokens": 5,
                            "messages": request.body["messages"]}
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["anthropic-beta"] == "one,two"
    assert request.headers["x-api-key"] == "sk-ant-test"
    assert result["lines"]["r0"]["modelOutput"]["content"][0]["text"] == "answer to question r0"
    assert (result["tokens_in"], result["tokens_out"]) == (40, 80)


def test_key_and_headers(driver, server, tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-test\n")
    key.chmod(0o600)
    driver.write(server.url, chat(1), key_file=key, header__X_Team="blue", api="openai")
    result = driver.run()
    all_good(result, 1)
    assert server.seen[0].headers["authorization"] == "Bearer sk-test"
    assert server.seen[0].headers["x_team"] == "blue"
    for root, _, names in os.walk(driver.runs):
        for name in names:
            assert "sk-test" not in open(os.path.join(root, name), encoding="utf-8").read()


def test_unix_socket(driver, tmp_path):
    with LlmServer(unix_path=str(tmp_path / "s")) as server:
        driver.write(server.url + ":/v1", chat(20))
        all_good(driver.run(), 20)
        assert {r.path for r in server.seen} == {"/v1/chat/completions"}


def test_pretty_answers_become_one_line(driver, server):
    answer = {"choices": [{"message": {"content": "a \u2028 b\n"}}]}
    server.plan = lambda request: Reply(body=json.dumps(answer, indent=2).encode())
    driver.write(server.url, chat(3))
    result = driver.run()
    all_good(result, 3)
    assert result["lines"]["r0"]["modelOutput"] == answer


def test_compressed_answers(driver, server):
    import gzip

    body = gzip.compress(b'{"choices":[]}')
    server.plan = lambda request: Reply(body=body, headers={"Content-Encoding": "gzip"})
    driver.write(server.url, chat(2))
    all_good(driver.run(), 2)
    assert "gzip" in server.seen[0].headers["accept-encoding"]


def test_rate(driver, server):
    driver.write(server.url, chat(11), requests_per_minute=600, max_in_flight=8)
    start = time.monotonic()
    all_good(driver.run(), 11)
    assert time.monotonic() - start >= 0.95


# Overload.


@pytest.mark.parametrize("status", [429, 503, 529])
def test_retry_after(driver, server, status):
    server.plan = lambda request: (
        Reply(status, {"Retry-After": "1"}, {"error": {"message": "busy"}})
        if request.record == "question r3" and request.count == 1 else None)
    driver.write(server.url, chat(10), max_in_flight=1)
    start = time.monotonic()
    all_good(driver.run(), 10)
    assert time.monotonic() - start >= 1
    assert server.asked["question r3"] == 2


def test_a_storm_of_503(driver, server):
    """A third of all requests is turned away; nothing is lost, and it calms down."""
    server.plan = lambda request: Reply(503, {"retry-after-ms": "5"}, {"error": "busy"}) \
        if request.number % 3 == 0 and request.number < 120 else None
    driver.write(server.url, chat(150), max_in_flight=16, max_attempts=1)
    all_good(driver.run(), 150)
    assert server.most_at_once <= 16


def test_the_window_follows_the_server(driver, server):
    """A server that takes two at once and says no to a third."""
    server.plan = lambda request: \
        Reply(429, {"retry-after-ms": "1"}, {"error": "busy"}) if server.now > 2 \
        else Reply(delay=0.002)
    driver.write(server.url, chat(150), max_in_flight=64)
    all_good(driver.run(), 150)
    assert server.most_at_once < 8
    assert server.requests < 150 * 3


def test_patience_ends(driver, server):
    server.plan = lambda request: Reply(429, {}, {"error": {"message": "always busy"}}) \
        if request.record == "question r1" else None
    driver.write(server.url, chat(3), give_up_s=1)
    result = driver.run()
    assert (result["good"], result["failed"]) == (2, 1)
    error = result["lines"]["r1"]["error"]
    assert str(error["errorCode"]) == "429" and error["errorMessage"] == "always busy"


def test_a_long_wish_is_told(driver, server):
    server.plan = lambda request: Reply(429, {"retry-after": "3000"},
                                        {"error": {"message": "come back tomorrow"}})
    driver.write(server.url, chat(20))
    process = driver.start()
    line = process.stderr.readline()
    assert "left alone for 600 s" in line and "come back tomorrow" in line
    time.sleep(0.3)
    assert server.requests <= 4 and process.poll() is None  # the others wait, too


# Faults of a record's own.


def test_transient_errors_have_attempts(driver, server):
    server.plan = lambda request: Reply(500, {}, {"error": {"message": "oops"}}) \
        if request.record == "question r1" or (request.record == "question r2"
                                               and request.count < 3) else None
    driver.write(server.url, chat(5), max_attempts=3)
    result = driver.run()
    assert (result["good"], result["failed"]) == (4, 1)
    assert server.asked["question r1"] == 3 and server.asked["question r2"] == 3
    error = result["lines"]["r1"]["error"]
    assert str(error["errorCode"]) == "500" and error["errorMessage"] == "oops"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_permanent_errors_are_not_asked_again(driver, server, status):
    server.plan = lambda request: Reply(status, {}, {"error": {"message": "too long a prompt",
                                                               "type": "invalid_request_error"}}) \
        if request.record == "question r0" else None
    driver.write(server.url, chat(3))
    result = driver.run()
    assert (result["good"], result["failed"]) == (2, 1)
    assert server.asked["question r0"] == 1
    error = result["lines"]["r0"]["error"]
    assert str(error["errorCode"]) == str(status)
    assert error["errorMessage"] == "too long a prompt"


def test_should_retry_overrides(driver, server):
    server.plan = lambda request: {
        ("question r0", 1): Reply(400, {"x-should-retry": "true"}, {"error": "x"}),
        ("question r1", 1): Reply(500, {"x-should-retry": "false"}, {"error": "x"}),
    }.get((request.record, request.count))
    driver.write(server.url, chat(3))
    result = driver.run()
    assert (result["good"], result["failed"]) == (2, 1)
    assert server.asked["question r0"] == 2 and server.asked["question r1"] == 1


GARBAGE = {
    "html": Reply(body=b"<html><body>Welcome</body></html>",
                  headers={"Content-Type": "text/html"}),
    "empty": Reply(body=b""),
    "array": Reply(body=b"[1]"),
    "cut": Reply(body=b'{"choices":[{"mess'),
    "twice": Reply(body=b'{"choices":[]}{"choices":[]}'),
    "stream": Reply(body=b"data: {}\n\ndata: [DONE]\n\n",
                    headers={"Content-Type": "text/event-stream"}),
    "not UTF-8": Reply(body=b'{"choices":["\xff"]}'),
    "nul": Reply(body=b'{"choices":[]}\0'),
}


@pytest.mark.parametrize("kind", sorted(GARBAGE))
def test_garbage(driver, server, kind):
    server.plan = lambda request: GARBAGE[kind] if request.record == "question r1" else None
    driver.write(server.url, chat(3))
    result = driver.run()
    assert (result["good"], result["failed"]) == (2, 1)
    assert result["lines"]["r1"]["error"]["errorCode"] == "BadAnswer"


def test_valid_json_of_another_type_is_an_answer(driver, server):
    server.plan = lambda request: Reply(headers={"Content-Type": "text/plain"})
    driver.write(server.url, chat(3))
    all_good(driver.run(), 3)


def test_an_error_in_the_dress_of_an_answer(driver, server):
    server.plan = lambda request: Reply(200, {}, {"error": {"code": 400, "message": "no"}}) \
        if request.record == "question r1" else None
    driver.write(server.url, chat(3))
    result = driver.run()
    assert str(result["lines"]["r1"]["error"]["errorCode"]) == "400"


def test_a_huge_answer(driver, server):
    """More than 64 MiB is not taken; a little less is not a question of size."""
    server.plan = lambda request: \
        Reply(body=b'{"choices":["' + b"x" * (65 << 20) + b'"]}') \
        if request.record == "question r1" else None
    driver.write(server.url, chat(3))
    result = driver.run()
    assert (result["good"], result["failed"]) == (2, 1)
    assert result["lines"]["r1"]["error"]["errorCode"] == "BadAnswer"


def test_a_bomb(driver, server):
    """Small on the wire, huge when unpacked."""
    import gzip

    bomb = gzip.compress(b"x" * (100 << 20), 1)
    server.plan = lambda request: Reply(body=bomb, headers={"Content-Encoding": "gzip"}) \
        if request.record == "question r1" else None
    driver.write(server.url, chat(3))
    result = driver.run()
    assert result["lines"]["r1"]["error"]["errorCode"] == "BadAnswer"


# Faults of the network.


@pytest.mark.parametrize("fault", [
    Reply(reset=True),
    Reply(cut=10),
    Reply(sent=b"HTTP/1.1 200 OK\r\nContent-Length: 5"),
    Reply(sent=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{"),
    Reply(sent=b"hello\r\n\r\n"),
], ids=["reset", "cut", "headers cut", "chunk cut", "not HTTP"])
def test_lost_connections(driver, server, fault):
    server.plan = lambda request: fault if request.count == 1 and request.number % 4 == 0 else None
    driver.write(server.url, chat(30))
    result = driver.run()
    all_good(result, 30)
    assert server.requests > 30


def test_a_slow_answer_is_waited_for_and_a_slower_one_not(driver, server):
    server.plan = lambda request: {"question r0": Reply(delay=0.6),
                                   "question r1": Reply(delay=30)}.get(request.record)
    driver.write(server.url, chat(4), timeout_s=1, max_attempts=1)
    result = driver.run()
    assert (result["good"], result["failed"]) == (3, 1)
    assert result["lines"]["r1"]["error"]["errorCode"] == "Timeout"


def test_a_server_that_comes_up_later(driver):
    with LlmServer(listening=False) as server:
        driver.write(server.url, chat(30))
        process = driver.start()
        time.sleep(1.2)
        server.listen()
        result = driver.finish(process)
        all_good(result, 30)
        assert result["messages"] == [server.url + " refuses connections; is the server running?"]
        assert set(server.asked.values()) == {1}


def test_a_socket_that_comes_up_later(driver, tmp_path):
    path = str(tmp_path / "s")
    driver.write("unix:" + path, chat(5))
    process = driver.start()
    time.sleep(0.5)
    with LlmServer(unix_path=path):
        result = driver.finish(process)
    all_good(result, 5)


def test_a_server_that_goes_and_comes_back(driver):
    with LlmServer() as first:
        first.plan = lambda request: Reply(delay=0.01)
        driver.write(first.url, chat(200))
        process = driver.start()
        wait_until(lambda: first.requests > 40)
        port = first.listener.server_address[1]
    time.sleep(1.2)
    with LlmServer(port=port) as second:
        result = driver.finish(process)
        all_good(result, 200)
        asked_again = set(first.answered) & set(second.asked)
        assert len(asked_again) <= 4  # those under way when it went


def test_tls_with_a_server_that_has_none(driver, server):
    driver.write(server.url.replace("http:", "https:"), chat(10))
    process = driver.start()
    assert "cannot be talked to over TLS" in process.stderr.readline()
    assert process.poll() is None and not server.asked


def test_gateway_with_nothing_behind_it(driver, server):
    """502 to everything for a while burns no record."""
    server.plan = lambda request: Reply(502, {}, b"<html>Bad Gateway</html>") \
        if request.number <= 5 else None
    driver.write(server.url, chat(10), max_attempts=2, max_in_flight=1)
    result = driver.run()
    all_good(result, 10)
    assert any("502" in m for m in result["messages"])


# What concerns all records.


@pytest.mark.parametrize("status,says", [(401, "key_file"), (403, "key_file"),
                                         (404, "served_model")])
def test_refusals_pause_and_burn_nothing(driver, server, status, says):
    server.plan = lambda request: Reply(status, {}, {"error": {"message": "not you"}}) \
        if request.number <= 4 else None
    driver.write(server.url, chat(20))
    result = driver.run()
    all_good(result, 20)
    assert says in result["messages"][0] and "not you" in result["messages"][0]
    assert server.requests <= 20 + 4


def test_a_404_between_good_ones_is_the_records_own(driver, server):
    server.plan = lambda request: Reply(404, {}, {"error": {"message": "no model nope"}}) \
        if request.record == "question r5" else None
    driver.write(server.url, chat(20), max_in_flight=1)
    result = driver.run()
    assert (result["good"], result["failed"]) == (19, 1)
    assert str(result["lines"]["r5"]["error"]["errorCode"]) == "404"


def test_a_404_of_the_first_record_does_not_hold_up_the_others(driver, server):
    server.plan = lambda request: Reply(404, {}, {"error": {"message": "no model nope"}}) \
        if request.record == "question r0" else None
    driver.write(server.url, chat(5), max_in_flight=1)
    result = driver.run()
    assert (result["good"], result["failed"]) == (4, 1)


def test_no_quota_pauses(driver, server):
    server.plan = lambda request: Reply(429, {}, {"error": {"message": "pay us",
                                                            "code": "insufficient_quota"}})
    driver.write(server.url, chat(20))
    process = driver.start()
    line = process.stderr.readline()
    assert "quota" in line and "pay us" in line
    time.sleep(0.3)
    assert server.requests <= 4 and process.poll() is None


def test_a_new_key_is_enough(driver, server, tmp_path):
    key = tmp_path / "key"
    key.write_text("old\n")
    key.chmod(0o600)
    server.plan = lambda request: None if request.headers["authorization"] == "Bearer new" \
        else Reply(401, {}, {"error": {"message": "bad key"}})
    driver.write(server.url, chat(5), key_file=key)
    process = driver.start()
    wait_until(lambda: server.requests >= 1)
    key.write_text("new\n")
    result = driver.finish(process)
    all_good(result, 5)
    assert "bad key" in result["messages"][0]


def test_a_key_that_others_can_read_is_not_sent(driver, server, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret\n")
    key.chmod(0o644)
    driver.write(server.url, chat(2), key_file=key)
    process = driver.start()
    time.sleep(0.5)
    assert server.requests == 0
    key.chmod(0o600)
    result = driver.finish(process)
    all_good(result, 2)
    assert "chmod 600" in result["messages"][0]
    assert "secret" not in json.dumps(result["messages"])


# Ends before the end.


def test_kill_and_go_on(driver, server):
    """What was answered before kill -9 is not asked again, and nothing is lost."""
    server.plan = lambda request: Reply(delay=0.01)
    driver.write(server.url, chat(200), max_in_flight=4)
    for after in (40, 90):
        process = driver.start()
        wait_until(lambda: server.requests >= after or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    all_good(driver.run(), 200)
    twice = [r for r, n in server.asked.items() if n > 1]
    assert len(twice) <= 2 * 5  # under way when it was killed, and the one not yet written
    assert len(server.asked) == 200


def test_stop(driver, server):
    server.plan = lambda request: Reply(delay=20) if request.number > 20 else None
    driver.write(server.url, chat(100), max_in_flight=4)
    start = time.monotonic()
    result = driver.run("stop_at=10")
    assert time.monotonic() - start < 5  # it did not wait for the slow ones
    assert result["state"] == "Stopped"
    assert 10 <= result["good"] <= 24 and len(result["lines"]) == result["good"]


def test_stop_closes_connections(driver, server):
    server.plan = lambda request: Reply(delay=20) if request.number > 5 else None
    driver.write(server.url, chat(10), max_in_flight=2)
    driver.run("stop_at=5")
    # The handlers are still in their delay; their peers are gone.
    with server.lock:
        left = list(server.open)
    for connection in left:
        connection.setblocking(False)
        assert connection.recv(1) == b""


def test_stop_while_paused(driver):
    with LlmServer() as server:
        server.plan = lambda request: Reply(401, {}, {"error": "no"}) if request.number > 3 \
            else None
        driver.write(server.url, chat(10), max_in_flight=1)
        start = time.monotonic()
        result = driver.run("stop_at=3")
        assert time.monotonic() - start < 5
        assert result["state"] == "Stopped" and result["good"] == 3


# Sections that cannot work are refused before anything is sent.


@pytest.mark.parametrize("settings,says", [
    ({"url": "ftp://h/v1"}, "http"),
    ({"url": "http://me:hunter2@h/v1"}, "key_file"),
    ({"url": "http://h/api/generate"}, "api = openai"),
    ({"url": "http://h", "key_file": "relative"}, "whole path"),
    ({"url": "http://h", "max_in_flight": "0"}, "max_in_flight"),
    ({"url": "http://h", "max_in_flight": "257"}, "max_in_flight"),
    ({"url": "http://h", "api": "gemini"}, "api"),
    ({"url": "http://h", "header.a b": "x"}, "key"),
    ({"url": "http://h", "verify": "no"}, "verify"),
])
def test_wrong_sections(driver, settings, says):
    driver.write("x", chat(1))
    lines = ["[model m]"] + ["%s = %s" % kv for kv in settings.items()]
    driver.config.write_text("\n".join(lines) + "\n")
    process = driver.start()
    _, err = process.communicate(timeout=END_S)
    assert process.returncode == 1
    assert says in err and "hunter2" not in err
