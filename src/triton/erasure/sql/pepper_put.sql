INSERT INTO subject_keys_pepper (pepper) VALUES (%s) ON CONFLICT DO NOTHING
