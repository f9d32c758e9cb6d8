"""``carve-export``: one module for each command.

In: the command line. Out: frozen options for the function that does the work, and on the terminal
its progress and results. A command's module imports nothing at its top that only an extra of the
package brings, so that every help text is there without it.
"""
