SELECT * FROM jobs WHERE job = %(job)s
