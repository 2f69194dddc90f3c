-- Takes what came after the shared part out of the history and of what was parked.
WITH parked AS (
    DELETE FROM parked_events WHERE partition = %(partition)s AND position > %(common)s
), intents AS (
    DELETE FROM insert_intents WHERE partition = %(partition)s
)
DELETE FROM job_events WHERE partition = %(partition)s AND position > %(common)s
