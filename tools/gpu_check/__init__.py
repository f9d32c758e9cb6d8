"""What a machine with a GPU says of the product: in come graphs without weights, out go tables."""
