"""What the models answer: decided by the record alone, in each family's own shape.

	answer_text("What?")   the text of the answer to a prompt, in all families

A prompt may ask for its fate: "[[error:429:Too many requests]]" makes the record fail,
"[[missing]]" leaves it out of the output.
"""

import hashlib
import re

FATE = re.compile(r"\[\[(missing|error:(\d+|[A-Za-z]+):([^\]]*))\]\]")
# Characters at which a careless reader breaks lines; they are raw in real outputs.
ODD = "\u2028 \u2029 \u0085 \U0001f600 \u00e4\t\"\\/"

CONVERSE_BLOCK = ("audio", "cachePoint", "citationsContent", "document", "guardContent", "image",
                  "reasoningContent", "searchResult", "text", "toolResult", "toolUse", "video")


class RecordError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Missing(Exception):
    """The record is left out."""


def answer_text(prompt, odd=True):
    return f"Answer to: {prompt}" + (ODD if odd else "")


def words(text):
    return len(text.split())


def need(body, name, family_prefix=""):
    if name not in body:
        raise RecordError(400, f"{family_prefix}{name}: Field required")
    return body[name]


def parts_text(content, media):
    """The text of a message's content, whatever its style; what it refers to goes to media."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RecordError(400, "messages.0.content: Input should be a valid list")
    texts = []
    for part in content:
        if not isinstance(part, dict):
            raise RecordError(400, "messages.0.content.0: Input should be an object")
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        for kind in ("image", "document", "video", "audio"):
            if isinstance(part.get(kind), dict):
                look_at_source(part[kind].get("source"), media)
        if part.get("type") in ("image", "document"):
            look_at_source(part.get("source"), media)
    return " ".join(texts)


def look_at_source(source, media):
    if not isinstance(source, dict):
        raise RecordError(400, "messages.0.content.0.source: Field required")
    if source.get("type") == "url" or "url" in source:
        raise RecordError(400, "messages.0.content.1.image.source.base64.data: URL sources are "
                          "not supported")
    location = source.get("s3Location") or (source if source.get("type") == "s3" else None)
    if location:
        media.append(location.get("uri", ""))


def last_user_text(body, media):
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RecordError(400, "messages: at least one message is required")
    text = ""
    for message in messages:
        said = parts_text(message.get("content"), media) if isinstance(message, dict) else ""
        if isinstance(message, dict) and message.get("role") == "user":
            text = said
    return text


def fate(prompt):
    found = FATE.search(prompt)
    if not found:
        return
    if found[1] == "missing":
        raise Missing()
    code = int(found[2]) if found[2].isdigit() else found[2]
    raise RecordError(code, found[3])


def vector(text, size):
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return [round(digest[i % 32] / 255 - 0.5, 6) for i in range(size)]


def claude(model, body, media):
    need(body, "anthropic_version")
    limit = need(body, "max_tokens")
    for name in ("model", "modelId", "stream"):
        if name in body:
            raise RecordError(400, f"{name}: Extra inputs are not permitted")
    sampling = {"temperature", "top_p", "top_k"} & set(body)
    if "opus-5" in model.id and sampling:
        raise RecordError(400, f"`{sorted(sampling)[0]}` is deprecated for this model.")
    if "claude-3" not in model.id and {"temperature", "top_p"} <= set(body):
        raise RecordError(400, "`temperature` and `top_p` cannot both be specified for this "
                          "model. Please use only one.")
    check_limit(model, limit)
    prompt = last_user_text(body, media)
    return prompt, lambda text: {
        "id": "msg_bdrk_" + hashlib.sha256(prompt.encode()).hexdigest()[:24], "type": "message",
        "role": "assistant", "model": model.id.partition(".")[2],
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": words(prompt), "output_tokens": words(text),
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}}


def check_limit(model, limit):
    if not isinstance(limit, int) or limit < 1:
        raise RecordError(400, "max_tokens: Input should be a valid integer above 0")
    if model.max_tokens and limit > model.max_tokens:
        raise RecordError(400, "The maximum tokens you requested exceeds the model limit of "
                          f"{model.max_tokens}")


def nova(model, body, media):
    extra = set(body) - {"schemaVersion", "system", "messages", "inferenceConfig", "toolConfig"}
    if extra:
        raise RecordError(400, f"Malformed input request: #: extraneous key [{min(extra)}] is "
                          "not permitted, please reformat your input and try again.")
    config = body.get("inferenceConfig") or {}
    check_limit(model, config.get("maxTokens", config.get("max_new_tokens", 1)))
    prompt = last_user_text(body, media)
    return prompt, lambda text: {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": words(prompt), "outputTokens": words(text),
                  "totalTokens": words(prompt) + words(text)}}


def titan_text(model, body, media):
    prompt = need(body, "inputText")
    size = body.get("dimensions", 1024)
    if size not in (1024, 512, 256):
        raise RecordError(400, "Malformed input request: dimensions must be 1024, 512 or 256")
    found = vector(prompt, size)
    return prompt, lambda text: {"embedding": found, "inputTextTokenCount": words(prompt),
                                 "embeddingsByType": {"float": found}}


def titan_image(model, body, media):
    if "inputText" not in body and "inputImage" not in body:
        raise RecordError(400, "Malformed input request: inputText or inputImage is required")
    prompt = body.get("inputText", "")
    size = (body.get("embeddingConfig") or {}).get("outputEmbeddingLength", 1024)
    return prompt, lambda text: {"embedding": vector(prompt, size), "message": None,
                                 "inputTextTokenCount": words(prompt)}


def llama(model, body, media):
    prompt = need(body, "prompt")
    return prompt, lambda text: {"generation": text, "prompt_token_count": words(prompt),
                                 "generation_token_count": words(text), "stop_reason": "stop"}


def mistral_text(model, body, media):
    prompt = need(body, "prompt")
    return prompt, lambda text: {"outputs": [{"text": text, "stop_reason": "stop"}]}


def mistral_chat(model, body, media):
    prompt = last_user_text(body, media)
    return prompt, lambda text: {"choices": [{
        "index": 0, "message": {"role": "assistant", "content": text, "tool_calls": None},
        "stop_reason": "stop"}]}


def chat(model, body, media):
    prompt = last_user_text(body, media)
    check_limit(model, body.get("max_tokens", 1))
    return prompt, lambda text: {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": words(prompt), "completion_tokens": words(text),
                  "total_tokens": words(prompt) + words(text)}}


def converse(model, body, media):
    if model.output != "TEXT":
        raise RecordError(400, "This model doesn't support the Converse API.")
    if "modelId" in body or "max_tokens" in body or "anthropic_version" in body:
        raise RecordError(400, "Malformed input request: extraneous key is not permitted")
    check_limit(model, (body.get("inferenceConfig") or {}).get("maxTokens", 1))
    prompt = last_user_text(body, media)

    def block(**member):
        return {**dict.fromkeys(CONVERSE_BLOCK), **member}

    return prompt, lambda text: {
        "metrics": {"latencyMs": 1200},
        "output": {"message": {"role": "assistant", "content": [
            block(reasoningContent={"reasoningText": {"signature": None, "text": "Let me see."}}),
            block(text=text)]}},
        "stopReason": "end_turn",
        "usage": {"cacheDetails": None, "cacheReadInputTokenCount": None,
                  "cacheReadInputTokens": None, "cacheWriteInputTokenCount": None,
                  "cacheWriteInputTokens": None, "serverToolUsage": {"webSearchRequests": None},
                  "inputTokens": words(prompt), "outputTokens": words(text),
                  "totalTokens": words(prompt) + words(text)}}


FAMILIES = {"claude": claude, "nova": nova, "titan-text": titan_text, "titan-image": titan_image,
            "llama": llama, "mistral-text": mistral_text, "mistral-chat": mistral_chat,
            "chat": chat}


def answer(model, invocation, body, media_exists=lambda uri: True, odd=True, fated=True):
    """(modelOutput, tokens in, tokens out); or RecordError, or Missing."""
    media = []
    family = converse if invocation == "Converse" else FAMILIES[model.family]
    prompt, shape = family(model, body, media)
    if not isinstance(prompt, str):
        raise RecordError(400, "Malformed input request: expected type: String")
    for uri in media:
        if not media_exists(uri):
            raise RecordError(400, f"Could not find or access the S3 object {uri}")
    if fated:
        fate(prompt)
    text = answer_text(prompt, odd)
    return shape(text), words(prompt), 0 if model.output == "EMBEDDING" else words(text)
