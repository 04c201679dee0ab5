/* Trust policies of service roles, as people write them. */

#include <string.h>

#include "backend/aws/trust.h"
#include "tests/unit/cmocka_all.h"

static const struct trust_place place = {"aws", "us-east-1", "111122223333"};

#define STATEMENT(principal, more)                                                                  \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":" principal \
	",\"Action\":\"sts:AssumeRole\"" more "}]}"
#define SERVICE	       "{\"Service\":\"bedrock.amazonaws.com\"}"
#define IF(conditions) ",\"Condition\":{" conditions "}"

/* Over 70 lines: a table. */
static void test_rows(void **state)
{
	static const struct {
		const char *why, *policy;
		enum trust is;
		const char *says; /* in the words, or NULL: no words */
	} rows[] = {
		{"the plain one", STATEMENT(SERVICE, ""), TRUST_GIVEN, NULL},
		{"lists where there could be strings",
		 "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":[\"ec2.amazonaws."
		 "com\",\"bedrock.amazonaws.com\"]},\"Action\":[\"sts:TagSession\",\"STS:assumerole\"]}}",
		 TRUST_GIVEN, NULL},
		{"an action with a star",
		 "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":" SERVICE
		 ",\"Action\":\"sts:Assume*\"}}",
		 TRUST_GIVEN, NULL},
		{"the manual's conditions",
		 STATEMENT(SERVICE,
			   IF("\"StringEquals\":{\"aws:SourceAccount\":\"111122223333\"},"
			      "\"ArnEquals\":{\"aws:SourceArn\":\"arn:aws:bedrock:us-east-1:"
			      "111122223333:model-invocation-job/*\"}")),
		 TRUST_GIVEN, NULL},
		{"keys in another case, one of several values",
		 STATEMENT(SERVICE,
			   IF("\"StringLike\":{\"AWS:sourceaccount\":[\"9*\",\"1111*\"]}")),
		 TRUST_GIVEN, NULL},
		{"a negated condition that is met",
		 STATEMENT(SERVICE, IF("\"StringNotEquals\":{\"aws:SourceAccount\":\"9\"}")),
		 TRUST_GIVEN, NULL},
		{"IfExists counts as the operator before it",
		 STATEMENT(SERVICE,
			   IF("\"ArnLikeIfExists\":{\"aws:SourceArn\":\"arn:aws:bedrock:*\"}")),
		 TRUST_GIVEN, NULL},
		{"the article's: the account's root",
		 STATEMENT("{\"AWS\":\"arn:aws:iam::111122223333:root\"}", ""), TRUST_PEOPLE,
		 "only arn:aws:iam::111122223333:root"},
		{"the same by its number", STATEMENT("{\"AWS\":\"111122223333\"}", ""),
		 TRUST_PEOPLE, "only 111122223333"},
		{"another service", STATEMENT("{\"Service\":\"lambda.amazonaws.com\"}", ""),
		 TRUST_OTHERS, "only lambda.amazonaws.com, and not the service bedrock"},
		{"many others are cut",
		 STATEMENT("{\"Service\":[\"a.b\",\"c.d\",\"e.f\",\"g.h\"]}", ""), TRUST_OTHERS,
		 "a.b, c.d, e.f and others"},
		{"a name that only begins alike",
		 STATEMENT("{\"Service\":\"bedrock.amazonaws.com.evil\"}", ""), TRUST_OTHERS,
		 "evil"},
		{"nobody", "{\"Statement\":[]}", TRUST_OTHERS, "nobody"},
		{"no statement", "{}", TRUST_OTHERS, "nobody"},
		{"another action",
		 "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":" SERVICE
		 ",\"Action\":\"sts:TagSession\"}}",
		 TRUST_OTHERS, "nobody"},
		{"another account",
		 STATEMENT(SERVICE,
			   IF("\"StringEquals\":{\"aws:SourceAccount\":\"999999999999\"}")),
		 TRUST_ELSEWHERE, "aws:SourceAccount has \"999999999999\""},
		{"another region",
		 STATEMENT(SERVICE, IF("\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:bedrock:us-west-2:"
				       "111122223333:model-invocation-job/*\"}")),
		 TRUST_ELSEWHERE, "us-west-2"},
		{"another kind of job",
		 STATEMENT(SERVICE, IF("\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:bedrock:us-east-1:"
				       "111122223333:evaluation-job/*\"}")),
		 TRUST_ELSEWHERE, "evaluation-job"},
		{"a star that is taken for a letter",
		 STATEMENT(SERVICE,
			   IF("\"StringEquals\":{\"aws:SourceArn\":\"arn:aws:bedrock:us-east-1:"
			      "111122223333:model-invocation-job/*\"}")),
		 TRUST_ELSEWHERE, "takes '*' for a letter"},
		{"a negated condition that is not met",
		 STATEMENT(SERVICE,
			   IF("\"StringNotEquals\":{\"aws:SourceAccount\":\"111122223333\"}")),
		 TRUST_ELSEWHERE, "aws:SourceAccount"},
		{"an organisation's",
		 STATEMENT(SERVICE, IF("\"StringEquals\":{\"aws:SourceOrgID\":\"o-1\"}")),
		 TRUST_UNSURE, "aws:SourceOrgID cannot be judged"},
		{"an operator for dates",
		 STATEMENT(SERVICE, IF("\"DateLessThan\":{\"aws:SourceAccount\":\"1\"}")),
		 TRUST_UNSURE, "DateLessThan"},
		{"everybody", STATEMENT("\"*\"", ""), TRUST_UNSURE, "everybody"},
		{"denied after it was allowed",
		 "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":" SERVICE
		 ",\"Action\":\"sts:AssumeRole\"},{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":"
		 "\"sts:*\"}]}",
		 TRUST_DENIED, "Deny"},
		{"a Deny that does not meet it",
		 "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":" SERVICE
		 ",\"Action\":\"sts:AssumeRole\"},{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":"
		 "\"sts:*\"" IF(
			 "\"StringNotEquals\":{\"aws:SourceAccount\":\"111122223333\"}") "}]}",
		 TRUST_GIVEN, NULL},
		{"not JSON", "<xml/>", TRUST_UNREADABLE, "no JSON"},
		{"nothing", "", TRUST_UNREADABLE, "no JSON"},
		{"a list", "[1,2]", TRUST_OTHERS, "nobody"},
		{"wrong types throughout",
		 "{\"Statement\":[1,{\"Effect\":7,\"Principal\":[],\"Action\":{}},{\"Effect\":\"Allow\","
		 "\"Principal\":{\"Service\":{}},\"Action\":\"sts:AssumeRole\",\"Condition\":[3]}]}",
		 TRUST_OTHERS, "nobody"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf words = BUF_INIT(8192);
		enum trust is = trust_judge(rows[i].policy, strlen(rows[i].policy), &place, &words);

		if (is != rows[i].is)
			fail_msg("%s: %d, \"%s\"", rows[i].why, (int)is, words.data);
		if (rows[i].says ? !strstr(words.data, rows[i].says) : words.size > 0)
			fail_msg("%s: \"%s\"", rows[i].why, words.data);
	}
}

static void test_an_account_that_is_not_known(void **state)
{
	static const struct trust_place nowhere = {"aws", "us-east-1", ""};
	static const char policy[] =
		STATEMENT(SERVICE, IF("\"StringEquals\":{\"aws:SourceAccount\":\"111122223333\"}"));
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024);

	(void)state;
	assert_int_equal(trust_judge(policy, sizeof(policy) - 1, &nowhere, &words), TRUST_UNSURE);
}

static void test_a_policy_that_is_too_large(void **state)
{
	CLEANUP(str_freep) char *large = calloc(1, TRUST_POLICY_MAX + 2);
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024);

	(void)state;
	assert_non_null(large);
	memset(large, ' ', TRUST_POLICY_MAX + 1);
	large[0] = '1';
	assert_int_equal(trust_judge(large, TRUST_POLICY_MAX + 1, &place, &words),
			 TRUST_UNREADABLE);
}

static void test_the_policy_that_is_taught_is_trusted(void **state)
{
	static const struct trust_place china = {"aws-cn", "cn-north-1", "111122223333"};
	CLEANUP(buf_release) struct buf policy = BUF_INIT(4096);
	CLEANUP(buf_release) struct buf words = BUF_INIT(4096);

	(void)state;
	trust_add_policy(&policy, &china);
	assert_int_equal(buf_error(&policy), 0);
	assert_int_equal(trust_judge(policy.data, policy.size, &china, &words), TRUST_GIVEN);
	assert_null(strchr(policy.data, '\n'));
	assert_int_equal(trust_judge(policy.data, policy.size, &place, &words), TRUST_ELSEWHERE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_an_account_that_is_not_known),
		cmocka_unit_test(test_a_policy_that_is_too_large),
		cmocka_unit_test(test_the_policy_that_is_taught_is_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
