/* Hosts of services and buckets: partitions, switches, overrides and their order. */

#include <errno.h>

#include "backend/aws/endpoint.h"
#include "tests/unit/awsenv.h"

static const struct {
	const char *service, *region, *plain, *fips, *dual, *both; /* NULL: refused */
} hosts_of[] = {
	{"bedrock", "us-east-1", "bedrock.us-east-1.amazonaws.com",
	 "bedrock-fips.us-east-1.amazonaws.com", "bedrock.us-east-1.api.aws",
	 "bedrock-fips.us-east-1.api.aws"},
	{"bedrock", "us-gov-west-1", "bedrock.us-gov-west-1.amazonaws.com",
	 "bedrock-fips.us-gov-west-1.amazonaws.com", "bedrock.us-gov-west-1.api.aws",
	 "bedrock-fips.us-gov-west-1.api.aws"},
	{"bedrock-runtime", "eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com",
	 "bedrock-runtime-fips.eu-west-1.amazonaws.com", "bedrock-runtime.eu-west-1.api.aws",
	 "bedrock-runtime-fips.eu-west-1.api.aws"},
	{"bedrock", "cn-north-1", "bedrock.cn-north-1.amazonaws.com.cn",
	 "bedrock-fips.cn-north-1.amazonaws.com.cn",
	 "bedrock.cn-north-1.api.amazonwebservices.com.cn",
	 "bedrock-fips.cn-north-1.api.amazonwebservices.com.cn"},
	{"bedrock", "eusc-de-east-1", "bedrock.eusc-de-east-1.amazonaws.eu",
	 "bedrock-fips.eusc-de-east-1.amazonaws.eu",
	 "bedrock.eusc-de-east-1.api.amazonwebservices.eu",
	 "bedrock-fips.eusc-de-east-1.api.amazonwebservices.eu"},
	{"bedrock", "us-iso-east-1", "bedrock.us-iso-east-1.c2s.ic.gov",
	 "bedrock-fips.us-iso-east-1.c2s.ic.gov", NULL, NULL},
	{"bedrock", "us-isob-east-1", "bedrock.us-isob-east-1.sc2s.sgov.gov",
	 "bedrock-fips.us-isob-east-1.sc2s.sgov.gov", NULL, NULL},
	{"bedrock", "eu-isoe-west-1", "bedrock.eu-isoe-west-1.cloud.adc-e.uk",
	 "bedrock-fips.eu-isoe-west-1.cloud.adc-e.uk", NULL, NULL},
	{"bedrock", "us-isof-south-1", "bedrock.us-isof-south-1.csp.hci.ic.gov",
	 "bedrock-fips.us-isof-south-1.csp.hci.ic.gov", NULL, NULL},
	{"s3", "us-east-1", "s3.us-east-1.amazonaws.com", "s3-fips.us-east-1.amazonaws.com",
	 "s3.dualstack.us-east-1.amazonaws.com", "s3-fips.dualstack.us-east-1.amazonaws.com"},
	{"sts", "eu-west-1", "sts.eu-west-1.amazonaws.com", "sts-fips.eu-west-1.amazonaws.com",
	 "sts.eu-west-1.api.aws", "sts-fips.eu-west-1.api.aws"},
	{"sts", "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com",
	 "sts.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.api.aws",
	 "sts.us-gov-west-1.api.aws"},
	{"sso", "us-east-1", "portal.sso.us-east-1.amazonaws.com",
	 "portal.sso-fips.us-east-1.amazonaws.com", "portal.sso.us-east-1.api.aws",
	 "portal.sso-fips.us-east-1.api.aws"},
	{"sso-oidc", "us-east-1", "oidc.us-east-1.amazonaws.com",
	 "oidc-fips.us-east-1.amazonaws.com", "oidc.us-east-1.api.aws",
	 "oidc-fips.us-east-1.api.aws"},
	{"servicequotas", "us-east-1", "servicequotas.us-east-1.amazonaws.com",
	 "servicequotas-fips.us-east-1.amazonaws.com", "servicequotas.us-east-1.api.aws",
	 "servicequotas-fips.us-east-1.api.aws"},
	{"iam", "eu-west-1", "iam.amazonaws.com", "iam-fips.amazonaws.com", "iam.global.api.aws",
	 "iam-fips.global.api.aws"},
	{"iam", "cn-northwest-1", "iam.cn-north-1.amazonaws.com.cn", "iam-fips.amazonaws.com.cn",
	 "iam.global.api.amazonwebservices.com.cn", "iam-fips.global.api.amazonwebservices.com.cn"},
	{"iam", "us-gov-east-1", "iam.us-gov.amazonaws.com", "iam.us-gov.amazonaws.com",
	 "iam.global.api.aws", "iam-fips.global.api.aws"},
};

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(hosts_of) * 4; i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		CLEANUP(str_freep) char *url = NULL;
		struct awsenv env = {.count = 0};
		const char *const hosts[] = {hosts_of[i / 4].plain, hosts_of[i / 4].fips,
					     hosts_of[i / 4].dual, hosts_of[i / 4].both};
		const char *host = hosts[i % 4];
		struct err e = ERR_INIT;
		int r;

		awsenv_set(&env, "AWS_USE_FIPS_ENDPOINT", i & 1 ? "true" : NULL);
		awsenv_set(&env, "AWS_USE_DUALSTACK_ENDPOINT", i & 2 ? "true" : NULL);
		c = awsenv_load(&env, NULL, NULL);
		r = endpoint_service(c, hosts_of[i / 4].service, hosts_of[i / 4].region, &url, &e);
		if (r != (host ? 0 : -EINVAL))
			fail_msg("%s %s: %s", hosts_of[i / 4].service, hosts_of[i / 4].region,
				 e.text);
		if (host && (strncmp(url, "https://", 8) != 0 || strcmp(url + 8, host) != 0))
			fail_msg("%s: %s", host, url);
	}
}

static void test_overrides_and_their_order(void **state)
{
	static const struct {
		const char *why, *own, *all, *config, *ignored, *url; /* of s3 */
	} rows[] = {
		{"none", NULL, NULL, "", NULL, "https://s3.us-east-1.amazonaws.com"},
		{"the service's variable first", "http://a:1", "http://b:2",
		 "services = local\nendpoint_url = http://d:4", NULL, "http://a:1"},
		{"then the variable of all", NULL, "http://b:2",
		 "services = local\nendpoint_url = http://d:4", NULL, "http://b:2"},
		{"then the services section", NULL, NULL,
		 "services = local\nendpoint_url = http://d:4", NULL, "http://c:3/base"},
		{"then the profile", NULL, NULL, "endpoint_url = http://d:4", NULL, "http://d:4"},
		{"a section that does not speak of s3", NULL, NULL,
		 "services = other\nendpoint_url = http://d:4", NULL, "http://d:4"},
		{"switched off by the variable", "http://a:1", "http://b:2",
		 "services = local\nendpoint_url = http://d:4", "TRUE",
		 "https://s3.us-east-1.amazonaws.com"},
		{"switched off by the profile", "http://a:1", NULL,
		 "ignore_configured_endpoint_urls = true", NULL,
		 "https://s3.us-east-1.amazonaws.com"},
		{"a slash at the end goes", "https://a/", NULL, "", NULL, "https://a"},
		{"a base path stays", "https://a/x/y/", NULL, "", NULL, "https://a/x/y"},
		{"slashes at the end go", "https://a///", NULL, "", NULL, "https://a"},
		{"a section that is not there", NULL, NULL, "services = nowhere", NULL, NULL},
		{"not a URL", "127.0.0.1:9000", NULL, "", NULL, NULL},
		{"another scheme", "ftp://a", NULL, "", NULL, NULL},
		{"a query", "http://a/?x=1", NULL, "", NULL, NULL},
		{"a socket", "unix:/run/s", NULL, "", NULL, NULL},
		{"a password", "http://u:secret@a", NULL, "", NULL, NULL},
		{"FIPS beside it", "http://a:1", NULL, "use_fips_endpoint = true", NULL, NULL},
		{"dual-stack beside it", "http://a:1", NULL, "use_dualstack_endpoint = true", NULL,
		 NULL},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		CLEANUP(str_freep) char *url = NULL;
		struct awsenv env = {.count = 0};
		struct err e = ERR_INIT;
		char text[512];
		int r;

		snprintf(text, sizeof(text),
			 "[services local]\ns3 =\n  endpoint_url = http://c:3/base/\n"
			 "[services other]\nsts =\n  endpoint_url = http://e:5\n[default]\n%s\n",
			 rows[i].config);
		awsenv_file(&env, state, "config", text);
		awsenv_set(&env, "AWS_ENDPOINT_URL_S3", rows[i].own);
		awsenv_set(&env, "AWS_ENDPOINT_URL", rows[i].all);
		awsenv_set(&env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", rows[i].ignored);
		c = awsenv_load(&env, NULL, NULL);
		r = endpoint_service(c, "s3", "us-east-1", &url, &e);
		if (r != (rows[i].url ? 0 : -EINVAL) || (r == 0 && strcmp(url, rows[i].url) != 0))
			fail_msg("%s: %s %s", rows[i].why, url ? url : "refused", e.text);
		if (strstr(e.text, "secret"))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

static void test_variables_of_services(void **state)
{
	static const struct {
		const char *service, *variable;
	} rows[] = {
		{"bedrock", "AWS_ENDPOINT_URL_BEDROCK"},
		{"bedrock-runtime", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"},
		{"s3", "AWS_ENDPOINT_URL_S3"},
		{"sts", "AWS_ENDPOINT_URL_STS"},
		{"sso", "AWS_ENDPOINT_URL_SSO"},
		{"sso-oidc", "AWS_ENDPOINT_URL_SSO_OIDC"},
		{"iam", "AWS_ENDPOINT_URL_IAM"},
		{"servicequotas", "AWS_ENDPOINT_URL_SERVICE_QUOTAS"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		CLEANUP(str_freep) char *url = NULL;
		struct awsenv env = {.count = 0};

		awsenv_set(&env, rows[i].variable, "http://127.0.0.1:1");
		c = awsenv_load(&env, NULL, NULL);
		assert_int_equal(endpoint_service(c, rows[i].service, "us-east-1", &url, NULL), 0);
		if (strcmp(url, "http://127.0.0.1:1") != 0)
			fail_msg("%s: %s", rows[i].service, url);
	}
}

static void test_buckets(void **state)
{
	static const char long_name[] =
		"a23456789-123456789-123456789-123456789-123456789-123456789-123";
	static const char longer[] =
		"a23456789-123456789-123456789-123456789-123456789-123456789-1234";
	static const struct {
		const char *why, *bucket, *override, *config;
		bool path_style;
		const char *url;
	} rows[] = {
		{"in the host", "my-bucket", NULL, "", false,
		 "https://my-bucket.s3.us-east-1.amazonaws.com"},
		{"63 bytes", long_name, NULL, "", false, NULL},
		{"64 bytes are the old kind", longer, NULL, "", false, NULL},
		{"dots", "my.bucket", NULL, "", false,
		 "https://s3.us-east-1.amazonaws.com/my.bucket"},
		{"the old kind", "My_Bucket", NULL, "", false,
		 "https://s3.us-east-1.amazonaws.com/My_Bucket"},
		{"asked for", "my-bucket", NULL, "", true,
		 "https://s3.us-east-1.amazonaws.com/my-bucket"},
		{"asked for in the profile", "my-bucket", NULL, "s3 =\n  addressing_style = path",
		 false, "https://s3.us-east-1.amazonaws.com/my-bucket"},
		{"an address of IPv4", "my-bucket", "http://127.0.0.1:9000", "", false,
		 "http://127.0.0.1:9000/my-bucket"},
		{"an address of IPv6", "my-bucket", "http://[::1]:9000/", "", false,
		 "http://[::1]:9000/my-bucket"},
		{"this machine", "my-bucket", "http://localhost:9000", "", false,
		 "http://localhost:9000/my-bucket"},
		{"a name below it", "my-bucket", "http://s3.localhost:9000", "", false,
		 "http://s3.localhost:9000/my-bucket"},
		{"a host with a name", "my-bucket", "https://minio.example.com:9000", "", false,
		 "https://my-bucket.minio.example.com:9000"},
		{"a host with a name and a path", "my-bucket", "https://example.com/s3/", "", false,
		 "https://my-bucket.example.com/s3"},
		{"a host with a name, path style", "my-bucket", "https://example.com/s3/", "", true,
		 "https://example.com/s3/my-bucket"},
		{"FIPS and dual-stack", "my-bucket", NULL,
		 "use_fips_endpoint = true\nuse_dualstack_endpoint = true", false,
		 "https://my-bucket.s3-fips.dualstack.us-east-1.amazonaws.com"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		CLEANUP(str_freep) char *url = NULL;
		struct awsenv env = {.count = 0};
		char text[256], expected[256];
		struct err e = ERR_INIT;
		int r;

		snprintf(text, sizeof(text), "[default]\n%s\n", rows[i].config);
		awsenv_file(&env, state, "config", text);
		awsenv_set(&env, "AWS_ENDPOINT_URL_S3", rows[i].override);
		c = awsenv_load(&env, NULL, NULL);
		r = endpoint_bucket(c, rows[i].bucket, "us-east-1", rows[i].path_style, &url, &e);
		if (r != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		if (strlen(rows[i].bucket) == 63)
			snprintf(expected, sizeof(expected),
				 "https://%s.s3.us-east-1.amazonaws.com", rows[i].bucket);
		else
			snprintf(expected, sizeof(expected),
				 "https://s3.us-east-1.amazonaws.com/%s", rows[i].bucket);
		if (strcmp(url, rows[i].url ? rows[i].url : expected) != 0)
			fail_msg("%s: %s", rows[i].why, url);
	}
}

static void test_names_that_are_refused(void **state)
{
	static const char *const buckets[] = {"",	  "ab",	       "a/b",  "a b",
					      "bucket\n", "b?c",       "b@cc", "b%2f",
					      "...",	  "arn:aws:x", "b#c",  "b\\c"};
	static const char *const regions[] = {"",	    "us east", "US-EAST-1", "us-east-1/",
					      "us-east-1.", "-us",     "us-",	    "1",
					      "a@b",	    "evil.com"};
	CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
	struct awsenv env = {.count = 0};
	struct err e = ERR_INIT;
	char *url = NULL;

	(void)state;
	c = awsenv_load(&env, NULL, NULL);
	for (size_t i = 0; i < COUNT_OF(buckets); i++)
		if (endpoint_bucket(c, buckets[i], "us-east-1", false, &url, NULL) != -EINVAL)
			fail_msg("%s", buckets[i]);
	for (size_t i = 0; i < COUNT_OF(regions); i++)
		if (endpoint_service(c, "sts", regions[i], &url, NULL) != -EINVAL)
			fail_msg("%s", regions[i]);
	assert_int_equal(endpoint_service(c, "sts", NULL, &url, &e), -EINVAL);
	assert_non_null(strstr(e.text, "AWS_REGION"));
	assert_int_equal(endpoint_service(c, "ec2", "us-east-1", &url, &e), -EINVAL);
}

static void test_partitions(void **state)
{
	static const struct {
		const char *region, *partition, *suffix, *iam;
	} rows[] = {
		{"us-east-1", "aws", "amazonaws.com", "us-east-1"},
		{"mx-central-1", "aws", "amazonaws.com", "us-east-1"},
		{"cn-north-1", "aws-cn", "amazonaws.com.cn", "cn-north-1"},
		{"us-gov-east-1", "aws-us-gov", "amazonaws.com", "us-gov-west-1"},
		{"eusc-de-east-1", "aws-eusc", "amazonaws.eu", "eusc-de-east-1"},
		{"us-iso-west-1", "aws-iso", "c2s.ic.gov", "us-iso-east-1"},
		{"us-isob-west-1", "aws-iso-b", "sc2s.sgov.gov", "us-isob-east-1"},
		{"eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk", "eu-isoe-west-1"},
		{"us-isof-east-1", "aws-iso-f", "csp.hci.ic.gov", "us-isof-south-1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_string_equal(endpoint_partition(rows[i].region), rows[i].partition);
		assert_string_equal(endpoint_suffix(rows[i].region), rows[i].suffix);
		assert_string_equal(endpoint_signing_region("iam", rows[i].region), rows[i].iam);
		assert_string_equal(endpoint_signing_region("s3", rows[i].region), rows[i].region);
		assert_true(endpoint_region_is_valid(rows[i].region));
	}
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		IN_DIR(test_overrides_and_their_order),
		cmocka_unit_test(test_variables_of_services),
		IN_DIR(test_buckets),
		cmocka_unit_test(test_names_that_are_refused),
		cmocka_unit_test(test_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
