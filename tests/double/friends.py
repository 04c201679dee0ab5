"""Small doubles of the services around: STS, IAM, Service Quotas, SSO and its OIDC,
instance metadata, a container's credentials.  As much as --check and the chain of
credentials ask of them.
"""

import json
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from plane import Answer
from batchjobs import iso

GOOD_TRUST = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"},
    "Action": "sts:AssumeRole"}]}
# As a well-known article shows it: it lets in the account, and not the service.
ROOT_TRUST = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": "sts:AssumeRole"}]}
GOOD_POLICY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
     "Resource": "*"},
    {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}]}


@dataclass
class Role:
    arn: str
    trust: dict = field(default_factory=lambda: GOOD_TRUST)
    policies: dict = field(default_factory=lambda: {"batch": GOOD_POLICY})
    external_id: str = None  # AssumeRole must bring it
    assumable: bool = True  # by the caller


def xml(action, service, result, status=200):
    namespace = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/",
                 "iam": "https://iam.amazonaws.com/doc/2010-05-08/"}[service]
    return Answer(status, (
        f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>'
        "<ResponseMetadata><RequestId>11111111-2222-3333-4444-555555555555</RequestId>"
        f"</ResponseMetadata></{action}Response>").encode(), kind="text/xml")


def xml_error(status, code, message):
    return Answer(status, (
        f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        "<RequestId>11111111-2222-3333-4444-555555555555</RequestId></ErrorResponse>").encode(),
        kind="text/xml")


@dataclass
class Friends:
    """mint(arn, seconds) -> sigcheck.Key: credentials that are good everywhere."""

    mint: object
    account: str = "111122223333"
    roles: dict = field(default_factory=dict)  # name -> Role
    session_s: float = 3600
    web_tokens: set = field(default_factory=set)
    sso_tokens: dict = field(default_factory=dict)  # access token -> wall time of its end
    refresh_tokens: set = field(default_factory=set)
    container_token: str = None  # what Authorization must be
    iam_denied: set = field(default_factory=set)  # actions of IAM that the caller may not call
    simulated: dict = field(default_factory=dict)  # action -> decision; allowed if absent
    quota_rows: object = dict  # () -> name -> value
    quotas: dict = field(default_factory=dict)  # the same, in their place
    quotas_denied: bool = False
    quota_page: int = 100  # rows of an answer, at most
    instance_role: str = "InstanceRole"
    imds_v1_only: bool = False
    expires_in: dict = field(default_factory=dict)

    def add_role(self, arn, **more):
        self.roles[arn.rpartition("/")[2]] = Role(arn, **more)

    # --- the query protocol ---

    def serve_query(self, request, form):
        action = form.get("Action", "?")
        handler = getattr(self, "do_" + action, None)
        if handler is None:
            return xml_error(400, "InvalidAction", f"Could not find operation {action}")
        if action in self.iam_denied:
            return xml_error(403, "AccessDenied",
                             f"User: {request.key.arn} is not authorized to perform: "
                             f"iam:{action} on resource: *")
        return handler(request, form)

    def do_GetCallerIdentity(self, request, _):
        return xml("GetCallerIdentity", "sts",
                   f"<Arn>{request.key.arn}</Arn><UserId>AIDATEST</UserId>"
                   f"<Account>{self.account}</Account>")

    def credentials(self, role_arn, session):
        arn = role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
        key = self.mint(f"{arn}/{session}", self.session_s)
        return ("<Credentials>"
                f"<AccessKeyId>{key.access_key}</AccessKeyId>"
                f"<SecretAccessKey>{key.secret_key}</SecretAccessKey>"
                f"<SessionToken>{escape(key.token)}</SessionToken>"
                f"<Expiration>{iso(key.expires)}</Expiration></Credentials>"
                f"<AssumedRoleUser><Arn>{arn}/{session}</Arn></AssumedRoleUser>")

    def do_AssumeRole(self, request, form):
        role = self.roles.get(form.get("RoleArn", "").rpartition("/")[2])
        if role is None or not role.assumable or role.external_id != form.get("ExternalId"):
            return xml_error(403, "AccessDenied",
                             f"User: {request.key.arn} is not authorized to perform: "
                             f"sts:AssumeRole on resource: {form.get('RoleArn')}")
        return xml("AssumeRole", "sts",
                   self.credentials(role.arn, form.get("RoleSessionName", "s")))

    def do_AssumeRoleWithWebIdentity(self, request, form):
        if form.get("WebIdentityToken", "").strip() not in self.web_tokens:
            return xml_error(400, "InvalidIdentityToken", "The web identity token is not valid")
        return xml("AssumeRoleWithWebIdentity", "sts", self.credentials(
            form.get("RoleArn", ""), form.get("RoleSessionName", "s")))

    def role(self, form):
        return self.roles.get(form.get("RoleName", ""))

    def no_such(self, form):
        return xml_error(404, "NoSuchEntity",
                         f"The role with name {form.get('RoleName')} cannot be found.")

    def do_GetRole(self, request, form):
        role = self.role(form)
        if role is None:
            return self.no_such(form)
        return xml("GetRole", "iam",
                   f"<Role><Path>/</Path><RoleName>{form['RoleName']}</RoleName>"
                   f"<Arn>{role.arn}</Arn><AssumeRolePolicyDocument>"
                   f"{quote(json.dumps(role.trust), safe='')}</AssumeRolePolicyDocument>"
                   "<MaxSessionDuration>3600</MaxSessionDuration></Role>")

    def do_ListRolePolicies(self, request, form):
        role = self.role(form)
        if role is None:
            return self.no_such(form)
        names = "".join(f"<member>{n}</member>" for n in role.policies)
        return xml("ListRolePolicies", "iam",
                   f"<PolicyNames>{names}</PolicyNames><IsTruncated>false</IsTruncated>")

    def do_GetRolePolicy(self, request, form):
        role = self.role(form)
        if role is None or form.get("PolicyName") not in role.policies:
            return self.no_such(form)
        document = quote(json.dumps(role.policies[form["PolicyName"]]), safe="")
        return xml("GetRolePolicy", "iam",
                   f"<RoleName>{form['RoleName']}</RoleName>"
                   f"<PolicyName>{form['PolicyName']}</PolicyName>"
                   f"<PolicyDocument>{document}</PolicyDocument>")

    def do_ListAttachedRolePolicies(self, request, form):
        if self.role(form) is None:
            return self.no_such(form)
        return xml("ListAttachedRolePolicies", "iam",
                   "<AttachedPolicies/><IsTruncated>false</IsTruncated>")

    def do_SimulatePrincipalPolicy(self, request, form):
        actions = [v for k, v in form.items() if k.startswith("ActionNames.member.")]
        rows = "".join(
            f"<member><EvalActionName>{escape(a)}</EvalActionName>"
            f"<EvalDecision>{self.simulated.get(a, 'allowed')}</EvalDecision>"
            f"<EvalResourceName>{escape(form.get('ResourceArns.member.1', '*'))}"
            "</EvalResourceName></member>" for a in actions)
        return xml("SimulatePrincipalPolicy", "iam",
                   f"<EvaluationResults>{rows}</EvaluationResults>"
                   "<IsTruncated>false</IsTruncated>")

    # --- Service Quotas ---

    def serve_quotas(self, request):
        action = request.headers["x-amz-target"].partition(".")[2]
        body = json.loads(request.body or b"{}")
        if self.quotas_denied:
            return Answer(400, {"__type": "AccessDeniedException", "Message":
                                f"User: {request.key.arn} is not authorized to perform: "
                                f"servicequotas:{action}"}, kind="application/x-amz-json-1.1")
        filler = {f"Model invocation requests per minute {i}": 100 for i in range(250)}
        rows = [{"ServiceCode": "bedrock", "QuotaCode": f"L-{i:08X}", "QuotaName": name,
                 "Value": value, "Adjustable": True, "Unit": "None"}
                for i, (name, value) in enumerate(
                    {**filler, **self.quota_rows(), **self.quotas}.items())]
        kind = "application/x-amz-json-1.1"
        if action == "GetServiceQuota":
            rows = [r for r in rows if r["QuotaCode"] == body.get("QuotaCode")]
            if rows:
                return Answer(200, {"Quota": rows[0]}, kind=kind)
            return Answer(400, {"__type": "NoSuchResourceException", "message": "none"}, kind=kind)
        at = int(body.get("NextToken") or 0)
        size = min(int(body.get("MaxResults") or 100), self.quota_page)
        answer = {"Quotas": rows[at:at + size]}
        if at + size < len(rows):
            answer["NextToken"] = str(at + size)
        return Answer(200, answer, kind=kind)

    # --- where credentials come from ---

    def serve_plain(self, request):
        """SSO, OIDC, instance metadata, container; None if it is nothing of theirs."""
        path = request.path
        if path == "/federation/credentials":
            return self.sso(request)
        if path == "/token":
            return self.oidc(json.loads(request.body or b"{}"))
        if path.startswith("/latest/"):
            return self.metadata(request, path)
        if path == "/container":
            return self.container(request)
        return None

    def sso(self, request):
        token = request.headers.get("x-amz-sso_bearer_token", "")
        if self.sso_tokens.get(token, 0) <= time.time():
            return Answer(401, {"message": "Session token not found or invalid"},
                          {"x-amzn-ErrorType": "UnauthorizedException"})
        query = request.query
        key = self.mint(f"arn:aws:sts::{query.get('account_id')}:assumed-role/"
                        f"{query.get('role_name')}/sso", self.session_s)
        return Answer(200, {"roleCredentials": {
            "accessKeyId": key.access_key, "secretAccessKey": key.secret_key,
            "sessionToken": key.token, "expiration": int(key.expires * 1000)}})

    def oidc(self, body):
        old = body.get("refreshToken")
        if body.get("grantType") != "refresh_token" or old not in self.refresh_tokens:
            return Answer(400, {"error": "invalid_grant"})
        self.refresh_tokens.discard(old)
        new, refresh = f"sso-{time.time_ns()}", f"refresh-{time.time_ns()}"
        self.sso_tokens[new] = time.time() + 3600
        self.refresh_tokens.add(refresh)
        return Answer(200, {"accessToken": new, "expiresIn": 3600, "refreshToken": refresh,
                            "tokenType": "Bearer"})

    def key_document(self, role, **more):
        key = self.mint(f"arn:aws:sts::{self.account}:assumed-role/{role}/i-1", self.session_s)
        return Answer(200, {"AccessKeyId": key.access_key, "SecretAccessKey": key.secret_key,
                            "Token": key.token, "Expiration": iso(key.expires), **more})

    def metadata(self, request, path):
        if path == "/latest/api/token":
            if self.imds_v1_only or request.method != "PUT":
                return Answer(405, b"", kind="text/plain")
            return Answer(200, b"imds-token", kind="text/plain")
        if not self.imds_v1_only and \
                request.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return Answer(401, b"", kind="text/plain")
        base = "/latest/meta-data/iam/security-credentials/"
        if path == base:
            return Answer(200, self.instance_role.encode(), kind="text/plain")
        if path == base + self.instance_role:
            return self.key_document(self.instance_role, Code="Success")
        if path == "/latest/meta-data/placement/region":
            return Answer(200, b"us-east-1", kind="text/plain")
        return Answer(404, b"", kind="text/plain")

    def container(self, request):
        if self.container_token and request.headers.get("authorization") != self.container_token:
            return Answer(401, {"message": "not authorized"})
        return self.key_document("TaskRole")


def form_of(body):
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
