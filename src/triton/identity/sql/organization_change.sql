UPDATE organizations
   SET disabled_at = CASE WHEN %(disabled)s THEN coalesce(disabled_at, clock_timestamp()) END
 WHERE id = %(id)s
