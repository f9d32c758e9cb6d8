"""Lower precision: in come bundles in float32, out go tables of what the lowered ones lose."""
