SELECT job, actor FROM job_submissions WHERE job = ANY(%(jobs)s)
