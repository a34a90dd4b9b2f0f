"""The figures of the project, each printed by one named command.

    python -m tests.bench --list
    python -m tests.bench NAME [--json] [-o KEY=VALUE …]

A bench is a module here with four names:

    NAME = "ring-copy"                    a literal; what the command line calls it
    DESCRIPTION = "…"                     a literal; one line
    def run(**options) -> dict            measures; plain JSON. By custom: "values", what was measured, with
                                          units in the keys; "rivals", the same of what it is compared with;
                                          "ratio"; "target", what is asked for; "method", one line
    def render(result: dict) -> str       the result for a person

It raises registry.Unavailable where it cannot run (no corpus, no redis-server). Two things are compared in
turn, round by round, and by medians (rounds.py): the machine's mood falls on both alike.
"""
