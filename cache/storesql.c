#include "cache/storesql.h"

/*
 * The order of the columns is that of the lines of storerow.c.
 */

/* The name and the wishes, which store_job_put() leaves alone. */
#define JOB_WISHES                                                                                 \
	"held, submit_wanted, stop_wanted, retry_wanted, fetch_wanted, purge_wanted, retry_how, "  \
	"sample_wanted"
#define JOB_SHARED	  "name, " JOB_WISHES
#define JOB_SHARED_VALUES "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
#define JOB_OWN                                                                                    \
	"phase, end_state, model, error, attempt, generation, record_count, input_size_bytes, "    \
	"total, good, failed, input_tokens, output_tokens, created_ns, submitted_ns, ended_ns, "   \
	"status_ns, progress_ns, error_ns, ctl_ns, status_json_ns, names_ns, elsewhere, "          \
	"estimate_input, estimate_output, how, retryable_only, auto_retries, saved_records, "      \
	"saved_input, saved_output, padding_records, padding_input, padding_output, "              \
	"sample_records, sample_input, sample_output"
#define JOB_OWN_VALUES                                                                             \
	"?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, "         \
	"?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, ?41, "         \
	"?42, ?43, ?44, ?45, ?46"
#define PART_COLUMNS                                                                               \
	"job, attempt, seq, phase, token, remote, first, record_count, size_bytes, state, raw, "   \
	"message, total, good, failed, input_tokens, output_tokens, created_ns, ended_ns, name, "  \
	"asked_ns, expires_ns, how, padding"
#define PART_VALUES                                                                                \
	"?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, "   \
	"?20, ?21, ?22, ?23, ?24"

const char storesql_job_insert[] = "INSERT INTO job (" JOB_SHARED ", " JOB_OWN ", rev) VALUES"
				   " (" JOB_SHARED_VALUES ", " JOB_OWN_VALUES ", 1)";
const char storesql_job_update[] = "UPDATE job SET (" JOB_OWN ", rev) = (" JOB_OWN_VALUES
				   ", rev + 1) WHERE number = ?47 AND rev = ?48";
const char storesql_job_rename[] = "UPDATE job SET name = ?1 WHERE number = ?2";
const char storesql_job_wish[] = "UPDATE job SET (" JOB_WISHES ")"
				 " = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) WHERE number = ?9";
const char storesql_job_exists[] = "SELECT 1 FROM job WHERE number = ?1";
const char storesql_job_delete[] = "DELETE FROM job WHERE number = ?1";
const char storesql_job_remember[] =
	"INSERT OR IGNORE INTO forgotten (remote)"
	" SELECT remote FROM part WHERE job = ?1 AND remote IS NOT NULL";
const char storesql_remote_known[] = "SELECT 1 FROM part WHERE remote = ?1 OR token = ?2"
				     " UNION ALL SELECT 1 FROM forgotten WHERE remote = ?1 LIMIT 1";
const char storesql_source_claim[] =
	"INSERT OR IGNORE INTO meta (key, value) VALUES ('source', ?1)";
const char storesql_source_select[] = "SELECT value FROM meta WHERE key = 'source'";
const char storesql_job_select[] =
	"SELECT number, rev, " JOB_SHARED ", " JOB_OWN " FROM job ORDER BY number";
const char storesql_part_replace[] =
	"INSERT INTO part (" PART_COLUMNS ") VALUES (" PART_VALUES ")"
	" ON CONFLICT (job, attempt, seq) DO UPDATE SET (" PART_COLUMNS ") = (" PART_VALUES ")";
const char storesql_parts_delete[] = "DELETE FROM part WHERE job = ?1";
const char storesql_part_select[] =
	"SELECT " PART_COLUMNS " FROM part WHERE job = ?1 ORDER BY attempt, seq";
