SELECT job FROM job_submissions WHERE job = ANY(%(jobs)s)
