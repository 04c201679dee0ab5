"""Bedrock's runtime: records one by one, by InvokeModel and Converse.

The same models answer the same as in batch jobs (answers.py), and a prompt may ask for its
fate there, too, unless `runtime_fates` is off.  Every good answer is somebody's money:
`bought` counts them by the request's body, so that a test can say

	assert double.runtime.most_bought() == 1
"""

import json
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote

import modelfacts
from answers import Missing, RecordError, answer
from plane import Answer, ApiError, invalid

ROUTE = re.compile(r"/model/([^/]+)/(invoke|converse)")
OPERATIONS = {"invoke": "InvokeModel", "converse": "Converse"}
NAMES = {400: "ValidationException", 403: "AccessDeniedException",
         404: "ResourceNotFoundException", 408: "ModelTimeoutException",
         424: "ModelErrorException", 429: "ThrottlingException", 500: "InternalServerException",
         503: "ServiceUnavailableException"}


def route_runtime(method, path):
    """(operation, model); None if there is no such thing."""
    found = ROUTE.fullmatch(path)
    if found is None or method != "POST":
        return None
    return OPERATIONS[found[2]], unquote(found[1])


def without_nulls(value):
    """On demand Converse leaves out what is not set."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return value


@dataclass
class Runtime:
    """Threads: any."""

    plane: object
    runtime_latency: float = 0.0  # seconds an answer takes
    runtime_error_rate: float = 0.0
    runtime_error: tuple = (500, "InternalServerException", "Something went wrong inside")
    runtime_throttle_rate: float = 0.0
    runtime_parallel: int = 0  # so many at once and no more, else 429; 0: any
    runtime_fates: bool = True
    runtime_denied: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    bought: Counter = field(default_factory=Counter)  # body -> good answers
    asked: Counter = field(default_factory=Counter)  # body -> calls, refused ones as well
    at_once: int = 0
    at_once_most: int = 0

    def most_bought(self):
        with self.lock:
            return max(self.bought.values(), default=0)

    def summary(self):
        with self.lock:
            return {"asked": sum(self.asked.values()), "bought": sum(self.bought.values()),
                    "records": len(self.bought), "at_once_most": self.at_once_most,
                    "most_bought": max(self.bought.values(), default=0)}

    def serve(self, request, operation, label):
        body = self.body(request)
        key = json.dumps(body, sort_keys=True)
        with self.lock:
            self.asked[key] += 1
            self.at_once += 1
            self.at_once_most = max(self.at_once_most, self.at_once)
            crowded = 0 < self.runtime_parallel < self.at_once
        try:
            if crowded or random.random() < self.runtime_throttle_rate:
                raise ApiError(429, "ThrottlingException",
                               "Too many requests, please wait before trying again.")
            if self.runtime_latency:
                time.sleep(self.runtime_latency)
            said = self.answer(request, operation, label, body)
        finally:
            with self.lock:
                self.at_once -= 1
        with self.lock:
            self.bought[key] += 1
        return said

    def body(self, request):
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise invalid("Malformed input request, please reformat your input and try again.")
        return body

    def model(self, request, label):
        if self.runtime_denied:
            raise ApiError(403, "AccessDeniedException",
                           f"User: {request.key.arn} is not authorized to perform: "
                           f"bedrock:InvokeModel on resource: {label} because no "
                           "identity-based policy allows the bedrock:InvokeModel action")
        found = modelfacts.resolve(label, request.region, self.plane.account,
                                   self.plane.application_profiles, batch=False)
        if found.refusal:
            raise invalid(found.refusal)
        return found.model

    def answer(self, request, operation, label, body):
        model = self.model(request, label)
        if random.random() < self.runtime_error_rate:
            raise ApiError(*self.runtime_error)
        invocation = "Converse" if operation == "Converse" else "InvokeModel"
        try:
            output, tokens_in, tokens_out = answer(model, invocation, body,
                                                   fated=self.runtime_fates)
        except RecordError as e:
            if isinstance(e.code, int):
                raise ApiError(e.code, NAMES.get(e.code, "ValidationException"),
                               e.message) from None
            raise ApiError(400, e.code, e.message) from None
        except Missing:
            raise ApiError(424, "ModelErrorException", "The model said nothing") from None
        if invocation == "Converse":
            return Answer(200, without_nulls(output))
        return Answer(200, output, {
            "X-Amzn-Bedrock-Input-Token-Count": str(tokens_in),
            "X-Amzn-Bedrock-Output-Token-Count": str(tokens_out),
            "X-Amzn-Bedrock-Invocation-Latency": str(int(self.runtime_latency * 1000))})
