"""The kernel's nf_tables, for every mode that writes them.

`layer3` and `fields` (what a packet has), `statements` (what a rule does), `objects` and `elements` (what a table is
made of), `plan` (what a change needs) and `transaction` (how it is sent); `dump`, `audit` and `texts` (what is really
there), `watch` (who else writes), `names`. What is written is up to the modes.
"""
