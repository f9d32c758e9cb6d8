"""What several tools share: in come scores and functions, out go intervals, tables and seconds."""
