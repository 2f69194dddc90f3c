DROP TABLE extraction_lineage;
DROP TABLE documents;
