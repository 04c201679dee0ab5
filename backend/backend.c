#include "backend/backend.h"

void backend_files_release(struct backend_files *f)
{
	for (size_t i = 0; i < f->count; i++)
		str_freep(&f->paths[i]);
	f->count = 0;
	str_freep(&f->told);
}
