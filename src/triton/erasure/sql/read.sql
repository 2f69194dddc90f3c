SELECT blob, erased_at FROM subject_keys WHERE id = %s
