"""Is an answer grounded? Whether attention tells wrong answers from right ones."""
