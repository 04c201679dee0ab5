#ifndef TESTS_UNIT_SIGV4_ROWS_H
#define TESTS_UNIT_SIGV4_ROWS_H

/*
 * Requests and their signatures: each rule of the canonical request once, for
 * services in general and for S3.  The signatures were computed by botocore's
 * signers, with the key and time below.
 */

#include <stdbool.h>

#define ROWS_KEY     "AKIDEXAMPLE"
#define ROWS_SECRET  "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define ROWS_REGION  "us-east-1"
#define ROWS_DATE    "20260102T030405Z"
#define ROWS_WALL_NS (1767323045LL * 1000000000LL)

#define ROWS_ARN                                                                                   \
	"arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Amodel-invocation-job%2Fab12cd34ef56"
#define ROWS_BEDROCK "bedrock.us-east-1.amazonaws.com"
#define ROWS_BUCKET  "in-bucket.s3.us-east-1.amazonaws.com"
#define ROWS_OTHER   "example.amazonaws.com"

/* headers: lines "Name:value", beside the host and x-amz-date (and S3's
 * x-amz-content-sha256, by unsigned_payload of the body or not). */
static const struct {
	const char *why, *method, *host, *path, *query, *headers, *body, *service;
	bool unsigned_payload;
	const char *signature;
} sigv4_rows[] = {
	{"B1 an ARN in the path is encoded twice", "GET", ROWS_BEDROCK,
	 "/model-invocation-job/" ROWS_ARN, NULL, NULL, NULL, "bedrock", false,
	 "8133d3e68236bb4ac74c2b353fe097c7dc260bae57af2a6ed03043b2ca48b5a5"},
	{"B2 a query is sorted; a session token", "GET", ROWS_BEDROCK, "/model-invocation-jobs",
	 "submitTimeAfter=2026-01-01T00%3A00%3A00Z&statusEquals=InProgress&maxResults=10&sortBy=CreationTime&sortOrder=Descending",
	 "X-Amz-Security-Token:SESSIONTOKEN==", NULL, "bedrock", false,
	 "5f21841b96496e396b97bccfa72ad5ac3c1040aaf9d5970d31af9581f98d1d9a"},
	{"B3 a body", "POST", ROWS_BEDROCK, "/model-invocation-job", NULL,
	 "Content-Type:application/json", "{\"jobName\":\"dev-job-1\"}", "bedrock", false,
	 "2d58c54547cea26acc94431578c3e280b3093798395d714e0fdc47eadf7f78fd"},
	{"B4 an empty body", "POST", ROWS_BEDROCK, "/model-invocation-job/" ROWS_ARN "/stop", NULL,
	 NULL, NULL, "bedrock", false,
	 "a76d4c9929a6892aa076d39bed3c30266d37d7c89e0aca2e1e0810abe2912853"},
	{"S1 a key is encoded once", "GET", ROWS_BUCKET, "/run%201/%C3%A4%2Bx/in.jsonl", NULL,
	 "Range:bytes=0-9\nIf-Match:\"e\"", NULL, "s3", false,
	 "873cf4276fdde00c3c9a3c2e561978f7169ec852c68ad5bc438d61a50ef56666"},
	{"S2 a body that is not signed", "PUT", ROWS_BUCKET, "/k", NULL,
	 "x-amz-checksum-crc32:NjowIA==", "hello\n", "s3", true,
	 "14667585f12ef72fa15a77453dad5bf1e843ba41913ad66118af72cbb2c69678"},
	{"S3 a list", "GET", ROWS_BUCKET, "/",
	 "list-type=2&prefix=run%201%2F%C3%A4%2Bx%2F&delimiter=%2F&encoding-type=url", NULL, NULL,
	 "s3", false, "165da1a75d11b52b80d5bcad20d9907f9bc96a0710714a898ed8357a6dda30e2"},
	{"S4 a parameter without a value", "POST", ROWS_BUCKET, "/k", "uploads", NULL, NULL, "s3",
	 false, "c9badd5df2ba36da5f56469f24119d6da8f1432b889cccb945d5b818dbccadb4"},
	{"the least there can be", "GET", ROWS_OTHER, "/", NULL, NULL, NULL, "service", false,
	 "c027d33560e11f7aa7020c393b307fda420be72894e9ab89028c97420f96fc5a"},
	{"the least with a method", "POST", ROWS_OTHER, "/", NULL, NULL, NULL, "service", false,
	 "102f2cf7f736e42dfe3b05398c5ed72861c8d4e1058696fb88fec65b0dfdaf12"},
	{"a name twice", "GET", ROWS_OTHER, "/", NULL,
	 "My-Header1:value2\nMy-Header1:value2\nMy-Header1:value1", NULL, "service", false,
	 "1675d1fc93c04060adc8c346eaad5ff89ff8ae75081b789a3a261c4467b1b82b"},
	{"the order of one name's values stays", "GET", ROWS_OTHER, "/", NULL,
	 "My-Header1:d\nmy-header1:a\nMY-HEADER1:c", NULL, "service", false,
	 "b64ae9f594dd581eaf762b77f291ecdb51541185f98c1ea586cc3920f80978a7"},
	{"white space around values and in them", "GET", ROWS_OTHER, "/", NULL,
	 "My-Header1:  value1 \nMy-Header2:\"a   b   c\"", NULL, "service", false,
	 "37c33a3332ef97194330a75a7ef5bf047f151a50dbe29d27427af3e57875dc07"},
	{"names in any case and order", "POST", ROWS_OTHER, "/", NULL,
	 "Zoo:Last\naAA:First\nM_x:a\nM-y:b", NULL, "service", false,
	 "fb288fade4dd8774caa1ec021dcb6d8c9cd4ce5ba6e1a6d1424ba223abc9fa47"},
	{"no space around, much within", "POST", ROWS_OTHER, "/", NULL, "P:phfft\t \t x", NULL,
	 "service", false, "0d331bd8c8440a726581fe46aab922f2293d515583947b5a221c73c96640e208"},
	{"back from one segment", "GET", ROWS_OTHER, "/example/..", NULL, NULL, NULL, "service",
	 false, "c027d33560e11f7aa7020c393b307fda420be72894e9ab89028c97420f96fc5a"},
	{"back from two", "GET", ROWS_OTHER, "/example1/example2/../..", NULL, NULL, NULL,
	 "service", false, "c027d33560e11f7aa7020c393b307fda420be72894e9ab89028c97420f96fc5a"},
	{"back from more than there is", "GET", ROWS_OTHER, "/../../a", NULL, NULL, NULL, "service",
	 false, "5198ad58320f1b03f2d9f8ad74d37255e72d9805075777fdd0773f5b469a68d0"},
	{"back in the middle", "GET", ROWS_OTHER, "/a/b/../c", NULL, NULL, NULL, "service", false,
	 "5bbf53a07c14b6aa1bc8afff062b394bd95d388a560acc19ab2f0aa9b2b04100"},
	{"a dot", "GET", ROWS_OTHER, "/./", NULL, NULL, NULL, "service", false,
	 "c027d33560e11f7aa7020c393b307fda420be72894e9ab89028c97420f96fc5a"},
	{"a dot at the start", "GET", ROWS_OTHER, "/./example", NULL, NULL, NULL, "service", false,
	 "6c90b3b1d479abf545de2be39847b089b7cd92d272233e7eaeaccaa3144e8c63"},
	{"a dot at the end", "GET", ROWS_OTHER, "/example/.", NULL, NULL, NULL, "service", false,
	 "6c90b3b1d479abf545de2be39847b089b7cd92d272233e7eaeaccaa3144e8c63"},
	{"dots that are names", "GET", ROWS_OTHER, "/.../..a/.b", NULL, NULL, NULL, "service",
	 false, "ac38ffe23a1275ab9283833cca81af06288092e94718d8a5f111a6980364db3c"},
	{"two slashes", "GET", ROWS_OTHER, "//", NULL, NULL, NULL, "service", false,
	 "c027d33560e11f7aa7020c393b307fda420be72894e9ab89028c97420f96fc5a"},
	{"many slashes", "GET", ROWS_OTHER, "//example//", NULL, NULL, NULL, "service", false,
	 "2ca0b5d63cf65106afb65f5c27d7eb703b42a34ba5ba14bc6ed80530bd0231ec"},
	{"a slash at the end", "GET", ROWS_OTHER, "/example/", NULL, NULL, NULL, "service", false,
	 "2ca0b5d63cf65106afb65f5c27d7eb703b42a34ba5ba14bc6ed80530bd0231ec"},
	{"an encoded space", "GET", ROWS_OTHER, "/example%20space/", NULL, NULL, NULL, "service",
	 false, "c35dc10ead7e30e77dad4a6bcaa8f9ee42af9d9bbb7e35e8d013e2a2d30c4b85"},
	{"unreserved characters", "GET", ROWS_OTHER, "/-._~0189AZaz", NULL, NULL, NULL, "service",
	 false, "e7c4cce314963b4e309d05bdc7c7a6a3ad890d796ee44bfb0f4312a3f28e6ae8"},
	{"reserved ones as they are", "GET", ROWS_OTHER, "/a:b@c!d$e&f'g(h)i*j+k,l;m=n", NULL, NULL,
	 NULL, "service", false,
	 "2a5298827cb470da941bd5f29be8574e63177edf6988124ee116f72d39408aaa"},
	{"beyond ASCII", "GET", ROWS_OTHER, "/%E1%88%B4", NULL, NULL, NULL, "service", false,
	 "5775962ca41dd90d4c74ddcbae08f31da1a862cb3ee4508d078f6aa89b9973d5"},
	{"S3 keeps dots", "GET", ROWS_BUCKET, "/example/..", NULL, NULL, NULL, "s3", false,
	 "6df2cce3de8e8c6692dc547f0e4bf2d51e277d599190d697d15d7d495bf2a7c9"},
	{"S3 keeps a dot", "GET", ROWS_BUCKET, "/./example", NULL, NULL, NULL, "s3", false,
	 "5c21cf91cfd790f59c105b6ba58eae69c3644fe178c9da22ff4b26f5b03ad6ee"},
	{"S3 keeps slashes", "GET", ROWS_BUCKET, "//example//", NULL, NULL, NULL, "s3", false,
	 "5fcc12f87df32eba2ab9f75a7c337a3d6e93d8244be0e4039053a615f8af2ac5"},
	{"S3 encodes nothing again", "GET", ROWS_BUCKET, "/a%3Ab%2520c/%E1%88%B4", NULL, NULL, NULL,
	 "s3", false, "8640d39b710577ca8f7ee52c709cd85a92453b5e81c4cb44332530bfb38acd18"},
	{"S3 signs a body's hash", "PUT", ROWS_BUCKET, "/k", NULL,
	 "Content-Type:application/x-ndjson\nX-Amz-Security-Token:SESSIONTOKEN==", "hello\n", "s3",
	 false, "a1ffae105d92b684f57da6ae91d91c496eb934aea6e8b98646e6ee7bdccf74bc"},
	{"the query in order of names", "GET", ROWS_OTHER, "/",
	 "Param-3=Value3&Param=Value2&%E1%88%B4=Value1", NULL, NULL, "service", false,
	 "a862b39e6bc3c28396b349c62fcad561d14b0a576bd8bb4a06a72fa6bd94355a"},
	{"one name, in order of values", "GET", ROWS_OTHER, "/", "p=b&p=a&p=", NULL, NULL,
	 "service", false, "ed0fae9d989eb5cd5c783055c09ecb45794faf285b737080e6e67168c7104d29"},
	{"names differ in case", "GET", ROWS_OTHER, "/", "b=1&A=2&a=3&B=4", NULL, NULL, "service",
	 false, "22f0567dee907bb51c803236ce32cd98f460c320d80c45987627541ce21678fd"},
	{"unreserved in a query", "GET", ROWS_OTHER, "/", "-._~0189AZaz=-._~0189AZaz", NULL, NULL,
	 "service", false, "9ecfa2a4e1a7f9abf86ce2ad4b2132676e1bfea9f036930cdad0a1f9cec007f2"},
	{"a form", "POST", ROWS_OTHER, "/", NULL,
	 "Content-Type:application/x-www-form-urlencoded; charset=utf-8\nContent-Length:13",
	 "Param1=value1", "service", false,
	 "e2cbeee4c31d4af4344c59476dda8c4a40df3782408151206eef7e4c15708fdd"},
	{"a port in the host", "GET", "127.0.0.1:9000", "/b/k", NULL, NULL, NULL, "s3", false,
	 "f69161f5ee22155947f0962ce0df7f2300465f1911fc7182ea6eec6fe6ed3166"},
};

#endif
