"""The supervisor: which processes run, with what, and whether they are well."""
