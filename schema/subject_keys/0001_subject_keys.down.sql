DROP TABLE subject_keys_pepper;
DROP TABLE subject_keys;
