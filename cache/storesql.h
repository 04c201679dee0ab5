#ifndef CACHE_STORESQL_H
#define CACHE_STORESQL_H

/*
 * The statements of the store.  Parameters ?1, ?2, ... in the order that the
 * callers in cache/store.c, and cache/storerow.c for whole rows, bind them.
 */

extern const char storesql_job_insert[];
extern const char storesql_job_update[];
extern const char storesql_job_rename[];
extern const char storesql_job_wish[];
extern const char storesql_job_exists[];
extern const char storesql_job_delete[];
extern const char storesql_job_remember[];
extern const char storesql_remote_known[];
extern const char storesql_source_claim[];
extern const char storesql_source_select[];
extern const char storesql_job_select[];
extern const char storesql_part_replace[];
extern const char storesql_parts_delete[];
extern const char storesql_part_select[];

#endif
