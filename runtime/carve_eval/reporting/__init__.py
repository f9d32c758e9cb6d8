"""In come scores and figures, out go intervals, tests of significance, tables and progress bars."""
