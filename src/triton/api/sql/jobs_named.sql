SELECT * FROM jobs WHERE job = ANY(%(jobs)s)
