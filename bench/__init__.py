"""Measurements: `python -m bench --help`. Not part of the installed package.

`graphs` says what is computed, `systems` on what, `cases` what is measured of it; `turn` measures
one system in a process of its own, `rounds` lets the systems take turns, `report` compares them.
`counting` needs no clock.
"""
