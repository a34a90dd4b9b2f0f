"""Work on recorded files: analyze, recount, explain, evaluate, and what is drawn of them."""
