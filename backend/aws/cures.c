#include "backend/aws/cures.h"

#include <string.h>

#include "backend/aws/models.h"
#include "fs/base/macros.h"

/*
 * The first row wins, so that what is said more closely stands first.  Words
 * go before codes: ValidationException is the code of half of them.
 *
 * The rows are those of the failures that users have reported of batch jobs;
 * the parts of words were chosen to hold no id, number or name.
 */

#define WORDS_MAX   2048 /* of the service's; job messages have no more */
#define ADVISED_MAX 480	 /* of an error's own, before its advice */

#define ASK_POLICY "batchfs --print-iam shows the policies to have"

static const struct cures_row rows[] = {
	/* ---- the job's input ---- */
	{"than the required minimum of", "a batch job has a minimum of records, usually 100",
	 "add records, or put several inputs into one job; small inputs go to the on-demand service"},
	{"No jsonl files found",
	 "there was no object ending in .jsonl under the job's input folder when it was validated",
	 "see that nothing deletes or moves objects in {bucket}, and run the job again"},
	{"Could not validate GetObject permissions",
	 "{role} cannot read the input: no s3:GetObject there, the object is gone, or its KMS key is "
	 "closed to the role",
	 "allow {role} s3:GetObject on {bucket}, and kms:Decrypt if it is encrypted; " ASK_POLICY},
	{"Could not validate ListBucket permissions",
	 "{role} cannot list the bucket, or the bucket is in another region than the job",
	 "allow {role} s3:ListBucket on {bucket}, and use a bucket in {region}; " ASK_POLICY},
	{"Could not validate PutObject permissions", "{role} cannot write results",
	 "allow {role} s3:PutObject on {bucket}, and kms:GenerateDataKey if it is encrypted; " ASK_POLICY},

	/* ---- the model ---- */
	{"Batch inference is not supported for",
	 "{model} does not run in batch jobs, or not in {region}",
	 "write another model, a profile of it (global.{base}) or another region"},
	{"model identifier is invalid|provided model doesn't exist|Could not resolve the foundation model",
	 "{model} is not known in {region}: a misspelling, another region, or a geographic prefix is "
	 "missing",
	 "see .batchfs/models for the ids there are, and write one of them to the file model"},
	{"on-demand throughput isn|on-demand throughput is not",
	 "{model} is reached by an inference profile only",
	 "write its profile to the file model: us.{base}, eu.{base} or global.{base}, or the "
	 "profile's ARN"},
	{"aws-marketplace|Marketplace subscription|marketplace subscription",
	 "the model is sold through AWS Marketplace, and {role} uses it for the first time",
	 "open the model once in the Bedrock console, or allow {role} aws-marketplace:Subscribe and "
	 "aws-marketplace:ViewSubscriptions, and run the job again"},
	{"Model use case details have not been submitted|use case details have not been",
	 "Anthropic's models want a form to be filled in, once an account",
	 "fill it in on the model's page in the Bedrock console, wait a quarter of an hour, and run "
	 "the job again"},
	{"have access to the model with the specified model",
	 "the account has no access to {model}, or {caller} may not invoke it",
	 "open the model once in the model catalog of the Bedrock console, and allow {caller} "
	 "bedrock:InvokeModel; " ASK_POLICY},
	{"permissions to invokeModel", "{role} may not call {model}",
	 "allow {role} bedrock:InvokeModel on the model, and for a profile on the profile and on its "
	 "models in every region; " ASK_POLICY},

	/* ---- who may do what ---- */
	{"Cross-account pass role", "{role} belongs to another account than the credentials",
	 "make the role in the account of {caller}, and name it with -o role=ARN"},
	{"aws:ResourceOrgID|explicit deny in a service control policy|"
	 "explicit deny in a resource control policy",
	 "a policy of the organisation denies it; often one with aws:ResourceOrgID, since AWS's own "
	 "models are outside of the organisation",
	 "have the administrator exempt the resource named there, or Bedrock's model ARNs"},
	{"perform: iam:PassRole", "{caller} may not hand {role} to Bedrock",
	 "allow {caller} iam:PassRole on {role}, with iam:PassedToService bedrock.amazonaws.com; " ASK_POLICY},
	{"perform: bedrock:CreateModelInvocationJob",
	 "{caller} may not create jobs with this model: no policy allows it, or one of the "
	 "organisation denies it",
	 "allow it on the resource named there, which for a profile may be the model in another "
	 "region; " ASK_POLICY},
	{"Your account is not authorized to perform this action|create a support case",
	 "the account is not yet enabled for batch jobs or for this model, as new accounts are not",
	 "open a support case with AWS, account and billing, and name batch inference and {model}"},
	{"perform: kms:|AccessDeniedException from KMS|KMS.AccessDenied",
	 "the KMS key does not let {caller} or {role} use it",
	 "allow both kms:Decrypt and kms:GenerateDataKey in the key's policy; " ASK_POLICY},
	{"is not authorized to perform:", "no policy of {caller} allows it, or one denies it",
	 "allow the action on the resource named there; " ASK_POLICY},
	{"assume the role|assume role|cannot be assumed|be assumed by",
	 "{role} does not trust Bedrock, or only for another region or account",
	 "let its trust policy name the service bedrock.amazonaws.com; " ASK_POLICY},

	/* ---- names and numbers of jobs ---- */
	{"job name is currently in use", "a live job has this name",
	 "run the job again; each attempt gets a name of its own"},
	{"ServiceQuotaExceededException|too many in-progress",
	 "as many jobs of {model} are under way as the account may have",
	 "it is sent when one of them has ended; ask for more in Service Quotas"},
	{"State was: ", "the job had already ended", "nothing is to be done"},
	{"The provided ARN is invalid for the service region",
	 "the job is of another region than was asked",
	 "use -o region= with the region in the ARN"},
	{"The provided ARN is invalid", "the service takes a job's whole ARN only, encoded once",
	 "look for a proxy that changes paths between here and AWS"},
	{"UnknownOperationException", "the path did not reach the service as it was sent",
	 "look for a proxy that decodes %2F between here and AWS"},
	{"ResourceNotFoundException", "there is no such job for this account in this region",
	 "check -o region= and -o profile=: who made the job, and where"},

	/* ---- records ---- */
	{"cannot both be specified for this model",
	 "this model takes temperature or top_p, not both", "take one out of the record"},
	{"is deprecated for this model",
	 "this model takes no temperature, top_p and top_k any more",
	 "take them out of the record"},
	{"anthropic_version: Field required|anthropic_version: field required",
	 "the record is not in Claude's form for Bedrock",
	 "add \"anthropic_version\":\"bedrock-2023-05-31\" to modelInput"},
	{"Extra inputs are not permitted", "Claude refuses members that it does not know",
	 "take the one named there (model, modelId, stream, ...) out of modelInput"},
	{"maximum tokens you requested exceeds the model limit",
	 "the record asks for more output than {model} gives",
	 "lower max_tokens (or maxTokens, max_gen_len) to the limit"},
	{"URL sources are not supported", "batch jobs do not fetch from the web",
	 "give the bytes in base64, or put the file into media/ and write media://FILE"},

	/* ---- how a job ended ---- */
	{"=PartiallyCompleted", "its time was up before all records had run",
	 "its results are here; retry runs the others, and timeout = 168 in config gives more time"},
	{"=Expired", "the job was still waiting when its time was up",
	 "write timeout = 168 to config, use a global. profile or another region, and retry"},

	/* ---- credentials, clocks, rates ---- */
	{"scoped to a valid region", "AWS has no such region, or not for this service",
	 "check the spelling of -o region=, AWS_REGION or the profile's region"},
	{"token included in the request is expired|token has expired|ExpiredToken|"
	 "ExpiredTokenException|RequestExpired",
	 "the credentials of this session have run out",
	 "log in again (aws sso login, or how else you get them); waiting jobs go on by themselves"},
	{"security token included in the request is invalid|UnrecognizedClientException|"
	 "InvalidClientTokenId|InvalidAccessKeyId",
	 "AWS does not know these credentials",
	 "check -o profile= and the environment; keys may have been deleted or be of another "
	 "partition"},
	{"InvalidSignatureException|SignatureDoesNotMatch|RequestTimeTooSkewed|Signature expired",
	 "the clock is wrong, the secret key is, or something changed the request under way",
	 "set the clock (timedatectl), check the secret key, look for a proxy"},
	{"ThrottlingException|Too many requests|Rate exceeded|SlowDown|TooManyRequestsException",
	 "more was asked at once than the service takes", "it is tried again, more slowly"},

	{"ServiceUnavailable|InternalServerException|InternalError|InternalFailure",
	 "AWS has a trouble of its own", "nothing is to be done; a mount tries again by itself"},

	/* ---- S3 ---- */
	{"NoSuchKey",
	 "the object is not there: results come when a job ends, in a folder of its id",
	 "wait for the job's end, and see whether something deletes objects in {bucket}"},
	{"NoSuchBucket", "there is no such bucket, or not in this partition",
	 "check the spelling of {bucket}"},
	{"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException",
	 "the bucket is in another region",
	 "use a bucket in {region}: batch jobs want it beside them"},
	{"Access Denied|AccessDenied",
	 "{caller} may not do this in {bucket}: its own policies, the bucket's or the key's",
	 "allow it; " ASK_POLICY},

	/* ---- answers without words: S3 gives none to HEAD ---- */
	{": status 400", "S3 says no more; most often the credentials of this session have run out",
	 "log in again (aws sso login, or how else you get them); waiting jobs go on by themselves"},
	{": status 403", "{caller} is unknown to S3, or may not do this in {bucket}",
	 "ask batchfs --check, which says what is missing"},

	/* ---- the network ---- */
	{"does not answer in time|does not take connections in time|refuses connections|"
	 "cannot be reached|closes connections without a whole answer",
	 "the service is down, or a network or proxy between here and there",
	 "check the network, HTTPS_PROXY, and AWS_ENDPOINT_URL if it is set; a mount tries again by "
	 "itself"},
	{"has a name that cannot be resolved", "there is no such host, or DNS is down",
	 "check the network and the spelling of the region; a mount tries again by itself"},
	{"cannot be talked to over TLS",
	 "something answers that is not trusted here, or does not speak TLS",
	 "name the authority of your network's proxy with AWS_CA_BUNDLE=FILE, and look at "
	 "AWS_ENDPOINT_URL if it is set"},
};

/* Is one of the alternatives in text?  For a code: is it one of them? */
static bool matches(const char *match, const char *text, bool is_code)
{
	char part[128];

	for (;;) {
		size_t size = strcspn(match, "|");
		bool is_whole = is_code || *match == '=';

		if (size > 0 && size < sizeof(part)) {
			memcpy(part, match, size);
			part[size] = '\0';
			if (is_whole ? strcmp(text, part + (*part == '=')) == 0
				     : strcasestr(text, part) != NULL)
				return true;
		}
		if (!match[size])
			return false;
		match += size + 1;
	}
}

static const struct cures_row *find(const char *code, const char *words)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (matches(rows[i].match, words, false))
			return &rows[i];
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (matches(rows[i].match, code, true))
			return &rows[i];
	return NULL;
}

/* The bytes of a text from elsewhere, as part of a line. */
static void add_plain(struct buf *out, const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_add_char(out, (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i]);
}

static void add_known(struct buf *out, const char *s, const char *otherwise)
{
	if (s && *s)
		add_plain(out, s, strnlen(s, WORDS_MAX));
	else
		buf_add_str(out, otherwise);
}

static void add_place(struct buf *out, const char *name, size_t size, const struct cures_context *c)
{
	const struct {
		const char *name, *value, *otherwise;
	} places[] = {
		{"model", c->model, "the model"},
		{"region", c->region, "the job's region"},
		{"role", c->role, "the service role"},
		{"bucket", c->bucket, "the bucket"},
		{"caller", c->caller, "the identity you use"},
	};
	struct models_id id = {.base = ""};

	if (size == 4 && memcmp(name, "base", 4) == 0) {
		if (c->model)
			models_split(c->model, &id);
		if (id.base_size > 0)
			add_plain(out, id.base, id.base_size);
		else
			buf_add_str(out, "MODEL");
		return;
	}
	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (strlen(places[i].name) == size && memcmp(places[i].name, name, size) == 0)
			add_known(out, places[i].value, places[i].otherwise);
}

static void add_filled(struct buf *out, const char *text, const struct cures_context *c)
{
	while (*text) {
		size_t plain = strcspn(text, "{"), size;

		buf_add(out, text, plain);
		text += plain;
		size = strcspn(text, "}");
		if (!*text)
			break;
		add_place(out, text + 1, size - 1, c);
		text += size + (text[size] == '}');
	}
}

static void add_advice(struct buf *out, const struct cures_row *row, const struct cures_context *c)
{
	static const struct cures_context nothing;

	add_filled(out, row->cause, c ? c : &nothing);
	buf_add_str(out, ": ");
	add_filled(out, row->cure, c ? c : &nothing);
}

void cures_add_advice(struct buf *out, const char *code, const char *words,
		      const struct cures_context *c)
{
	const struct cures_row *row = find(code ? code : "", words ? words : "");

	if (row)
		add_advice(out, row, c);
}

void cures_add(struct buf *out, const char *code, const char *words, const struct cures_context *c)
{
	const struct cures_row *row;
	size_t size;

	code = code ? code : "";
	words = words && *words ? words : code;
	row = find(code, words);
	size = strnlen(words, WORDS_MAX);
	while (row && size > 0 && strchr(". \n", words[size - 1]))
		size--;
	add_plain(out, words, size);
	if (!row)
		return;
	buf_add_str(out, "; ");
	add_advice(out, row, c);
}

/* At most so much, and no part of a word or of a character. */
static size_t cut_words(const char *text)
{
	size_t size = strlen(text);

	if (size <= ADVISED_MAX)
		return size;
	for (size = ADVISED_MAX; size > 1 && text[size] != ' ';)
		size--;
	return size;
}

void cures_advise(struct err *e, const struct cures_context *c)
{
	CLEANUP(buf_release) struct buf advice = BUF_INIT(ERR_TEXT_MAX);
	const struct cures_row *row = find("", e->text);
	size_t size = cut_words(e->text);
	struct err with = ERR_INIT;

	if (!row || strstr(e->text, "; "))
		return;
	add_advice(&advice, row, c);
	if (buf_error(&advice) < 0 || size + advice.size + 8 > sizeof(e->text))
		return; /* the words are worth more than half of the advice */
	err_set(&with, 0, "%.*s%s; %s", (int)size, e->text, e->text[size] ? " ..." : "",
		advice.data);
	*e = with;
}

const struct cures_row *cures_rows(size_t *ret_count)
{
	*ret_count = COUNT_OF(rows);
	return rows;
}
