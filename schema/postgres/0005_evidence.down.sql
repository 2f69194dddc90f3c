DROP TABLE tree_heads, segments;
