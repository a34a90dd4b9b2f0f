"""How right the counts are: counted crossings against true ones, and tracks against true boxes."""
