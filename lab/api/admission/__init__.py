"""What becomes of an object before it is stored: defaults, validation, allocation.

`base` has the steps that every kind goes through; the other modules hold what is particular about one kind.
"""
