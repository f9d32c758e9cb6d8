"""``carve-run``: one module for each command, and what the commands print."""
