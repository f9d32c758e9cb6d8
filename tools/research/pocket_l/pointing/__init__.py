"""Where pocket-L looks for a letter: in come a checkpoint and scenes, out goes a report."""
