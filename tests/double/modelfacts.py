"""The models that the double knows, a few of each family."""

from dataclasses import dataclass

REGION_GEO = {"us-east-1": "us", "us-east-2": "us", "us-west-2": "us", "eu-west-1": "eu",
              "eu-central-1": "eu"}


@dataclass(frozen=True)
class Model:
    id: str
    family: str
    provider: str
    name: str
    on_demand: bool = True
    profiles: tuple = ()  # geographies: "us", "global"
    batch: bool = True
    max_tokens: int = 0  # 0: not known
    output: str = "TEXT"


MODELS = [
    Model("anthropic.claude-3-haiku-20240307-v1:0", "claude", "Anthropic", "Claude 3 Haiku",
          max_tokens=4096),
    Model("anthropic.claude-haiku-4-5-20251001-v1:0", "claude", "Anthropic", "Claude Haiku 4.5",
          False, ("us", "eu", "global"), max_tokens=64000),
    Model("anthropic.claude-sonnet-4-6", "claude", "Anthropic", "Claude Sonnet 4.6", False,
          ("us", "eu", "global"), max_tokens=128000),
    Model("anthropic.claude-opus-5", "claude", "Anthropic", "Claude Opus 5", False,
          ("us", "eu", "global"), max_tokens=128000),
    Model("anthropic.claude-sonnet-5", "claude", "Anthropic", "Claude Sonnet 5", False,
          ("us", "global"), batch=False),
    Model("amazon.nova-micro-v1:0", "nova", "Amazon", "Nova Micro", True, ("us",),
          max_tokens=10000),
    Model("amazon.nova-lite-v1:0", "nova", "Amazon", "Nova Lite", True, ("us", "eu")),
    Model("amazon.nova-2-lite-v1:0", "nova", "Amazon", "Nova 2 Lite", False, ("us", "global"),
          max_tokens=65535),
    Model("amazon.titan-embed-text-v2:0", "titan-text", "Amazon", "Titan Text Embeddings V2",
          output="EMBEDDING"),
    Model("amazon.titan-embed-image-v1", "titan-image", "Amazon",
          "Titan Multimodal Embeddings G1", output="EMBEDDING"),
    Model("meta.llama3-1-8b-instruct-v1:0", "llama", "Meta", "Llama 3.1 8B Instruct", True,
          ("us",)),
    Model("meta.llama3-3-70b-instruct-v1:0", "llama", "Meta", "Llama 3.3 70B Instruct", False,
          ("us",)),
    Model("mistral.mistral-small-2402-v1:0", "mistral-text", "Mistral AI", "Mistral Small"),
    Model("mistral.mistral-large-2407-v1:0", "mistral-chat", "Mistral AI", "Mistral Large"),
    Model("deepseek.v3.2", "chat", "DeepSeek", "DeepSeek V3.2"),
    Model("openai.gpt-oss-120b-1:0", "chat", "OpenAI", "gpt-oss-120b", max_tokens=128000),
    Model("qwen.qwen3-32b-v1:0", "chat", "Qwen", "Qwen3 32B", max_tokens=32768),
]
BY_ID = {m.id: m for m in MODELS}


def foundation_arn(region, model_id):
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


def profile_arn(region, account, profile_id):
    return f"arn:aws:bedrock:{region}:{account}:inference-profile/{profile_id}"


@dataclass(frozen=True)
class Resolved:
    model: Model = None
    arn: str = None
    refusal: str = None


def resolve(text, region, account, application_profiles=(), batch=True):
    """A modelId of a create (or of a call): the model and its full ARN, or why it is refused."""
    invalid = Resolved(refusal="The provided model identifier is invalid.")
    is_profile = "inference-profile/" in text
    if text.startswith("arn:"):
        if text.split(":")[3] != region:
            return Resolved(refusal="The provided ARN is invalid for the service region")
        if text in application_profiles:
            return Resolved(BY_ID[application_profiles[text]], text)
        text = text.rpartition("/")[2]
    if text in BY_ID and not is_profile:
        model, arn = BY_ID[text], foundation_arn(region, text)
        if not model.on_demand:
            return Resolved(refusal=f"Invocation of model ID {text} with on-demand throughput "
                            "isn\u2019t supported. Retry your request with the ID or ARN of an "
                            "inference profile that contains this model.")
    else:
        geo, _, rest = text.partition(".")
        model = BY_ID.get(rest)
        if model is None or geo not in model.profiles:
            return invalid
        if geo not in ("global", REGION_GEO.get(region)):
            return invalid
        arn = profile_arn(region, account, text)
    if batch and not model.batch:
        return Resolved(refusal="Batch inference is not supported for the requested model.")
    return Resolved(model, arn)


def summary(model, region):
    kinds = (["ON_DEMAND"] if model.on_demand else []) + \
        (["INFERENCE_PROFILE"] if model.profiles else [])
    return {"modelArn": foundation_arn(region, model.id), "modelId": model.id,
            "modelName": model.name, "providerName": model.provider,
            "inputModalities": ["TEXT"], "outputModalities": [model.output],
            "responseStreamingSupported": model.output == "TEXT", "customizationsSupported": [],
            "inferenceTypesSupported": kinds, "modelLifecycle": {"status": "ACTIVE"}}


def profiles(region, account):
    rows = []
    for model in MODELS:
        for geo in model.profiles:
            if geo not in ("global", REGION_GEO.get(region)):
                continue
            regions = [r for r, g in REGION_GEO.items() if geo in (g, "global")]
            rows.append({
                "inferenceProfileName": f"{geo.upper()} {model.name}",
                "inferenceProfileArn": profile_arn(region, account, f"{geo}.{model.id}"),
                "inferenceProfileId": f"{geo}.{model.id}", "status": "ACTIVE",
                "type": "SYSTEM_DEFINED", "createdAt": "2026-01-01T00:00:00Z",
                "updatedAt": "2026-01-01T00:00:00Z",
                "description": f"Routes requests to {model.name} in {geo}.",
                "models": [{"modelArn": foundation_arn(r, model.id)} for r in regions]})
    return rows
